import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exclusion } from '../../src/verify/checkers/exclusion.ts'
import { permits } from '../../src/verify/checkers/permits.ts'
import { readersWriters } from '../../src/verify/checkers/readers-writers.ts'
import type { Story } from './story.ts'
import { story, texts } from './story.ts'

test('holds one after the other exclude each other, also when one begins at the instant at which another ends', () => {
  const good = story().hold('a', 1, [0, 0, 10]).hold('b', 2, [0, 10, 20]).hold('c', 3, [0, 25])
  expect(exclusion(good.history())).toEqual([])
})

test('holds of two names do not concern each other', () => {
  const good = story().hold('a', 1, [0, 0, 10]).hold('b', 2, [0, 5, 20], { name: 'm' })
  expect(exclusion(good.history())).toEqual([])
})

test('two holds at once are found, with the events that show it', () => {
  const [violation] = exclusion(story().hold('a', 1, [0, 0, 10]).hold('b', 2, [0, 9, 20]).history())
  expect(violation?.text).toBe('"n": a believed until 10, and b from 9')
  expect(violation?.events.map(({ kind, process }) => `${process} ${kind}`)).toEqual([
    'a ask',
    'a granted',
    'b ask',
    'b granted',
    'a released',
    'b released',
  ])
})

test('a long hold is compared with all that begin within it, not only with the next one', () => {
  const bad = story().hold('a', 1, [0, 0, 100]).hold('b', 2, [0, 10, 20]).hold('c', 3, [0, 30, 40])
  expect(exclusion(bad.history())).toHaveLength(2)
})

const ends: Record<string, (s: Story) => Story> = {
  'its deadline has passed': (s) => s.hold('a', 1, [0, 0], { until: 10 }),
  'its loss was seen': (s) =>
    s.hold('a', 1, [0, 0]).at(10, 'a', { kind: 'lost', hold: 'a', by: 'check', reason: 'gone' }),
  'its process died': (s) => s.hold('a', 1, [0, 0]).at(10, 'a', { kind: 'crash' }),
  'it was released': (s) => s.hold('a', 1, [0, 0, 10]),
  'an operator evicted it': (s) => s.hold('a', 1, [0, 0]).at(10, 'c', { kind: 'evicted', name: 'n', fence: 1 }),
}

test.each(Object.keys(ends))('a hold is over when %s, and not before', (end) => {
  expect(exclusion(ends[end]!(story()).hold('b', 2, [0, 10, 20]).history())).toEqual([])
  expect(exclusion(ends[end]!(story()).hold('b', 2, [0, 9.9, 20]).history())).toHaveLength(1)
})

test('a renewal makes a hold longer, and one after the deadline leaves a gap', () => {
  const renewed = (at: number) =>
    story().hold('a', 1, [0, 0, 50], { until: 10 }).at(at, 'a', { kind: 'deadline', hold: 'a', until: 30 })
  expect(exclusion(renewed(9).hold('b', 2, [0, 15, 18]).history())).toHaveLength(1)
  expect(exclusion(renewed(20).hold('b', 2, [0, 15, 18]).history())).toEqual([])
  expect(exclusion(renewed(16).hold('b', 2, [0, 15, 18]).history())).toHaveLength(1)
  expect(exclusion(renewed(9).hold('b', 2, [0, 31, 40]).history())).toEqual([])
})

test('a deadline that is moved into the past does not undo what was believed until then', () => {
  const moved = () => story().hold('a', 1, [0, 0], { until: 10 }).at(8, 'a', { kind: 'deadline', hold: 'a', until: 3 })
  expect(exclusion(moved().hold('b', 2, [0, 7, 20]).history())).toHaveLength(1)
  expect(exclusion(moved().hold('b', 2, [0, 8, 20]).history())).toEqual([])
})

test('readers share, a writer does not', () => {
  const readers = story().hold('a', 1, [0, 0, 10], { mode: 'shared' }).hold('b', 2, [0, 5, 15], { mode: 'shared' })
  expect(readersWriters(readers.history())).toEqual([])
  expect(texts(readersWriters(readers.hold('c', 3, [0, 12, 20]).history()))).toEqual([
    '"n": b believed (shared) until 15, and c (exclusive) from 12',
  ])
  const writer = story().hold('a', 1, [0, 0, 10]).hold('b', 2, [0, 5, 15], { mode: 'shared' })
  expect(readersWriters(writer.history())).toHaveLength(1)
})

test('permits are none of the business of readers and writers', () => {
  const both = story().hold('a', 1, [0, 0, 10]).hold('b', 2, [0, 5, 15], { mode: 'permits' })
  expect(readersWriters(both.history())).toEqual([])
  expect(readersWriters(both.hold('c', 3, [0, 6, 7], { mode: 'shared' }).history())).toHaveLength(1)
})

test('a writer that downgrades lets readers in, and not earlier', () => {
  const downgraded = story()
    .hold('a', 1, [0, 0, 20])
    .at(10, 'a', { kind: 'reshaped', hold: 'a', mode: 'shared', weight: 1 })
  expect(readersWriters(downgraded.hold('b', 2, [0, 10, 15], { mode: 'shared' }).history())).toEqual([])
  expect(readersWriters(downgraded.hold('c', 3, [0, 9, 15], { mode: 'shared' }).history())).toHaveLength(1)
})

test('a writer that says again that it is one after a downgrade is taken at its word', () => {
  const bad = story()
    .hold('a', 1, [0, 0, 20])
    .at(10, 'a', { kind: 'reshaped', hold: 'a', mode: 'shared', weight: 1 })
    .at(12, 'a', { kind: 'reshaped', hold: 'a', mode: 'exclusive', weight: 1 })
    .hold('b', 2, [0, 11, 15], { mode: 'shared' })
  expect(readersWriters(bad.history())).toHaveLength(1)
})

test('permits are counted by their weight', () => {
  const shape = { mode: 'permits', capacity: 3 } as const
  const good = story()
    .hold('a', 1, [0, 0, 10], { ...shape, weight: 2 })
    .hold('b', 2, [0, 5, 15], shape)
    .hold('c', 3, [0, 10, 20], { ...shape, weight: 2 })
  expect(permits(good.history())).toEqual([])
  expect(texts(permits(good.hold('d', 4, [0, 14, 16], shape).history()))).toEqual([
    '"n": 4 of 3 permits at 14, held by b, c, d',
  ])
})

interface Span {
  readonly from: number
  readonly until: number
  readonly side: 'exclusive' | 'shared' | 'permits'
  readonly weight: number
}

const CAPACITY = 3
const spans = fc.array(
  fc.record({
    from: fc.integer({ min: 0, max: 12 }),
    until: fc.integer({ min: 0, max: 16 }),
    side: fc.constantFrom('exclusive', 'shared', 'permits'),
    weight: fc.integer({ min: 1, max: CAPACITY }),
  }),
  { maxLength: 6 },
)

/** Written down without thinking of speed: every instant, every pair. */
function allowed(of: readonly Span[]): { exclusion: boolean; readersWriters: boolean; permits: boolean } {
  const result = { exclusion: true, readersWriters: true, permits: true }
  for (let instant = 0.5; instant < 16; instant += 1) {
    const now = of.filter(({ from, until }) => from < instant && instant < until)
    const count = (side: Span['side']) => now.filter((each) => each.side === side).length
    if (count('exclusive') > 1) result.exclusion = false
    if (count('exclusive') > 0 && count('shared') > 0) result.readersWriters = false
    const taken = now.filter(({ side }) => side === 'permits').reduce((sum, { weight }) => sum + weight, 0)
    if (taken > CAPACITY) result.permits = false
  }
  return result
}

test('each sweep objects just when at some instant too many hold', () => {
  fc.assert(
    fc.property(spans, (of) => {
      const told = story()
      of.forEach(({ from, until, side, weight }, index) => {
        const name = side === 'permits' ? 'p' : 'n'
        told.hold(`h${index}`, index, [0, from, until], { name, mode: side, weight, capacity: CAPACITY })
      })
      const history = told.history()
      expect({
        exclusion: exclusion(history).length === 0,
        readersWriters: readersWriters(history).length === 0,
        permits: permits(history).length === 0,
      }).toEqual(allowed(of))
    }),
    { numRuns: 5000 },
  )
})
