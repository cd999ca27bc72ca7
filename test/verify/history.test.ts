import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { FileRecorder, endOf, evidence, historyOf, parseEvents, readEvents } from '../../src/verify/history.ts'
import type { Story } from './story.ts'
import { story } from './story.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-history-'))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('what several processes recorded is read as one list in the order of time', () => {
  let now = 0
  const paths = ['a', 'b'].map((process) => join(folder, process))
  const [a, b] = paths.map((path) => new FileRecorder(path, () => now))
  a!.note('a', { kind: 'ask', hold: 'a', name: 'n', waits: true })
  now = 2
  a!.note('a', { kind: 'gave-up', hold: 'a', code: 'HELD' })
  now = 1
  b!.note('b', { kind: 'crash' })
  a!.close()
  b!.close()
  expect(() => b!.note('b', { kind: 'crash' })).toThrow('EBADF')
  appendFileSync(paths[0]!, '{"at":3,"proc')
  expect(readEvents(paths)).toEqual([
    { at: 0, process: 'a', kind: 'ask', hold: 'a', name: 'n', waits: true },
    { at: 1, process: 'b', kind: 'crash' },
    { at: 2, process: 'a', kind: 'gave-up', hold: 'a', code: 'HELD' },
  ])
})

test('a broken line in the middle is an error with its place', () => {
  const broken = `{"at":1}\n${'x'.repeat(100)}\n{"at":2}\n`
  const message = `:2 is no event: ${'x'.repeat(80)}`
  const cause = expect.any(SyntaxError) as unknown
  expect(() => parseEvents(broken, 'worker.ndjson')).toThrow(expect.objectContaining({ cause }))
  expect(() => parseEvents(broken, 'worker.ndjson')).toThrow(new SyntaxError(`worker.ndjson${message}`))
  expect(() => parseEvents(broken)).toThrow(new SyntaxError(`history${message}`))
})

test('beliefs follow deadlines, downgrades and the end of the process', () => {
  const history = story()
    .hold('a', 1, [0, 1], { until: 10 })
    .at(5, 'a', { kind: 'deadline', hold: 'a', until: 20 })
    .at(8, 'a', { kind: 'reshaped', hold: 'a', mode: 'shared', weight: 1 })
    .at(25, 'a', { kind: 'deadline', hold: 'a', until: 40 })
    .at(30, 'a', { kind: 'crash' })
    .history()
  expect(history.beliefs.map(({ mode, from, until }) => [mode, from, until])).toEqual([
    ['exclusive', 1, 8],
    ['shared', 8, 20],
    ['shared', 25, 30],
  ])
})

test('of what can happen once the first counts, of what can happen often all of it, in its order', () => {
  const told = story()
  for (const at of [1, 2]) {
    told
      .at(at, 'a', { kind: 'ask', hold: 'a', name: `n${at}`, waits: true })
      .at(at, 'a', { kind: 'gave-up', hold: 'a', code: String(at) })
      .at(at, 'a', { kind: 'released', hold: 'a' })
      .at(at, 'a', { kind: 'lost', hold: 'a', by: 'signal', reason: String(at) })
      .hold('a', at, [at, at])
      .at(at, 'a', { kind: 'deadline', hold: 'a', until: at })
      .at(at, 'a', { kind: 'checked', hold: 'a' })
      .at(at, 'a', { kind: 'reshaped', hold: 'a', mode: 'shared', weight: at })
      .at(at, 'c', { kind: 'evicted', name: 'n', fence: 7 })
      .at(at, 'c', { kind: 'forgotten', name: 'n', until: at })
      .at(at, 'a', { kind: 'pause', until: at, asleep: false })
  }
  const history = told.at(3, 'b', { kind: 'pause', until: 4, asleep: false }).at(5, 'b', { kind: 'crash' }).history()
  const hold = history.holds.get('a')!
  expect(hold).toMatchObject({ id: 'a', process: 'a' })
  for (const event of [hold.ask, hold.granted, hold.gaveUp, hold.released, hold.lost]) expect(event?.at).toBe(1)
  for (const events of [hold.deadlines, hold.checked, hold.reshaped]) expect(events.map(({ at }) => at)).toEqual([1, 2])
  expect([...history.evictions.values()]).toMatchObject([{ at: 1 }])
  expect(history.forgettings.map(({ at }) => at)).toEqual([1, 2])
  expect(history.pauses.get('a')?.map(({ at }) => at)).toEqual([1, 2])
  expect(history.pauses.get('b')).toHaveLength(1)
  expect([...history.crashes]).toMatchObject([['b', { at: 5 }]])
  expect(history.endedAt).toBe(5)
  expect(endOf(hold)).toBe(1)
})

test('a hold ends at the earlier of its release and its loss, if it ends', () => {
  const lost = { kind: 'lost', hold: 'a', by: 'check', reason: 'gone' } as const
  const ends = (told: Story) => endOf(told.history().holds.get('a')!)
  expect(ends(story().hold('a', 1, [0, 0]))).toBe(Infinity)
  expect(ends(story().hold('a', 1, [0, 0, 5]))).toBe(5)
  expect(ends(story().hold('a', 1, [0, 0, 5]).at(3, 'a', lost))).toBe(3)
  expect(ends(story().hold('a', 1, [0, 0]).at(7, 'a', lost))).toBe(7)
})

test('the evidence of holds is what a reader wants to see of them, in the order of time', () => {
  const history = story()
    .hold('a', 1, [0, 4, 9])
    .at(5, 'a', { kind: 'deadline', hold: 'a', until: 20 })
    .at(5, 'a', { kind: 'deadline', hold: 'a', until: 21 })
    .at(6, 'a', { kind: 'deadline', hold: 'a', until: 22 })
    .at(7, 'a', { kind: 'reshaped', hold: 'a', mode: 'shared', weight: 1 })
    .at(8, 'a', { kind: 'checked', hold: 'a' })
    .at(1, 'b', { kind: 'ask', hold: 'b', name: 'n', waits: true })
    .at(2, 'b', { kind: 'gave-up', hold: 'b', code: 'HELD' })
    .history()
  const shown = evidence(history.holds.get('a')!, history.holds.get('b')!)
  expect(shown.map(({ at, kind }) => [at, kind])).toEqual([
    [0, 'ask'],
    [1, 'ask'],
    [2, 'gave-up'],
    [4, 'granted'],
    [6, 'deadline'],
    [7, 'reshaped'],
    [9, 'released'],
  ])
})

test('a belief lasts to the instant at which it ends; what comes from then on changes nothing', () => {
  const beliefs = (told: Story) =>
    told.history().beliefs.map(({ mode, weight, from, until }) => [mode, weight, from, until])
  const hold = (end = 99) => story().hold('a', 1, [0, 1, end], { until: 10 })
  const reshaped = (s: Story, at: number) => s.at(at, 'a', { kind: 'reshaped', hold: 'a', mode: 'shared', weight: 2 })
  expect(beliefs(hold(1))).toEqual([])
  expect(beliefs(reshaped(hold(5), 5))).toEqual([['exclusive', 1, 1, 5]])
  expect(beliefs(hold(5).at(5, 'a', { kind: 'deadline', hold: 'a', until: 30 }))).toEqual([['exclusive', 1, 1, 5]])
  expect(beliefs(reshaped(hold(), 1))).toEqual([['shared', 2, 1, 10]])
  // A renewal at the very deadline fills the gap; one that is over when it comes ends what was believed until then.
  const renewed = (at: number, until: number) => hold().at(at, 'a', { kind: 'deadline', hold: 'a', until })
  expect(beliefs(renewed(10, 20))).toEqual([['exclusive', 1, 1, 20]])
  expect(beliefs(renewed(10.5, 20))).toEqual([
    ['exclusive', 1, 1, 10],
    ['exclusive', 1, 10.5, 20],
  ])
  expect(beliefs(renewed(6, 6))).toEqual([['exclusive', 1, 1, 6]])
  expect(beliefs(renewed(6, 3).at(8, 'a', { kind: 'deadline', hold: 'a', until: 12 }))).toEqual([
    ['exclusive', 1, 1, 6],
    ['exclusive', 1, 8, 12],
  ])
  // What is reshaped while nothing is believed is what is believed next.
  expect(beliefs(reshaped(renewed(20, 30), 15))).toEqual([
    ['exclusive', 1, 1, 10],
    ['shared', 2, 20, 30],
  ])
  // Renewed and reshaped in either order of being told.
  expect(beliefs(reshaped(renewed(5, 30), 3))).toEqual([
    ['exclusive', 1, 1, 3],
    ['shared', 2, 3, 30],
  ])
})

test('an empty history is a history', () => {
  expect(historyOf([])).toEqual({
    events: [],
    holds: new Map(),
    crashes: new Map(),
    pauses: new Map(),
    evictions: new Map(),
    forgettings: [],
    beliefs: [],
    endedAt: 0,
  })
})
