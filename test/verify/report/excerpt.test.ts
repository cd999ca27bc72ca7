import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exclusion } from '../../../src/verify/checkers/exclusion.ts'
import type { Event } from '../../../src/verify/history.ts'
import { historyOf } from '../../../src/verify/history.ts'
import { excerptOf, momentOf } from '../../../src/verify/report/excerpt.ts'
import { story } from '../story.ts'
import { turns } from './samples.ts'

const kinds = (events: readonly Event[]): string[] =>
  events.map((event) => ('hold' in event && event.hold !== undefined ? `${event.hold} ${event.kind}` : event.kind))

test('an excerpt holds its place: at most so many events, in their order, around the moment', () => {
  const events = turns({ rounds: 400 })
  const at = events[1000]!.at
  const excerpt = excerptOf(events, { at, about: 'here', eventsMax: 200 })
  expect(excerpt).toMatchObject({ at, about: 'here' })
  expect(excerpt.events.length).toBeLessThanOrEqual(200)
  expect(excerpt.events.length).toBeGreaterThan(190)
  expect(excerpt.events).toEqual(events.filter((event) => excerpt.events.includes(event)))
  expect(excerpt.events[0]!.at).toBeLessThan(at)
  expect(excerpt.events.at(-1)!.at).toBeGreaterThan(at)
})

test('a short history is taken whole', () => {
  const events = turns({ rounds: 20 })
  expect(excerptOf(events, { at: 1500, about: '' }).events).toEqual(events)
})

test('whatever is taken, beliefs in it are as they were', () => {
  const events = turns({ rounds: 60, honest: false })
  const beliefs = (of: readonly Event[]): string[] =>
    historyOf(of).beliefs.map(({ hold, from, until }) => `${hold.id} ${from} ${until}`)
  const all = new Set(beliefs(events))
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: events.length - 1 }),
      fc.integer({ min: 1, max: 300 }),
      (index, eventsMax) => {
        const excerpt = excerptOf(events, { at: events[index]!.at, about: '', eventsMax })
        expect(beliefs(excerpt.events).filter((belief) => !all.has(belief))).toEqual([])
      },
    ),
  )
})

test('who believes at the moment is whole, with its ask far before and its end far after, whatever that takes', () => {
  const tale = story().hold('a', 1, [0, 100, 900], { until: 150 })
  for (let at = 110; at < 900; at += 10) tale.at(at, 'a', { kind: 'deadline', hold: 'a', until: at + 50 })
  tale.hold('b', 2, [0, 950, 960])
  const { events } = excerptOf(tale.history().events, { at: 500, about: '', eventsMax: 10 })
  expect(events).toHaveLength(82)
  expect(new Set(events.map(({ process }) => process))).toEqual(new Set(['a']))
})

test('who held near the moment comes before who only waited then', () => {
  const tale = story().hold('a', 1, [20, 30, 100])
  for (let n = 1; n <= 9; n += 1)
    tale.at(10, 'w', { kind: 'ask', hold: `w${n}`, name: 'n', waits: true }).at(90, 'w', {
      kind: 'gave-up',
      hold: `w${n}`,
      code: 'WAIT_TIMEOUT',
    })
  const { events } = excerptOf(tale.history().events, { at: 50, about: '', eventsMax: 7 })
  expect(kinds(events)).toEqual(['w1 ask', 'w2 ask', 'a ask', 'a granted', 'w1 gave-up', 'w2 gave-up', 'a released'])
})

test('the death that ends a belief comes with it, and what the coordinator says of its entry', () => {
  const events = story()
    .hold('a', 1, [0, 10])
    .at(8, 'coordinator', { kind: 'entered', name: 'n', fence: 1, weight: 1, capacity: 1, hold: 'a' })
    .at(500, 'a', { kind: 'crash' })
    .at(1200, 'coordinator', { kind: 'left', name: 'n', fence: 1 })
    .at(1300, 'nemesis', { kind: 'fault', what: 'far away' })
    .history().events
  expect(kinds(excerptOf(events, { at: 20, about: '', eventsMax: 4 }).events)).toEqual([
    'a ask',
    'a entered',
    'a granted',
    'crash',
    'left',
  ])
})

test('accesses of registers that nobody asked for are left out', () => {
  const events = turns({ rounds: 5 })
  const without = excerptOf(events, { at: 1000, about: '', registers: new Set(['another']) }).events
  expect(without.some(({ kind }) => kind === 'access')).toBe(false)
  const all = excerptOf(events, { at: 1000, about: '', registers: new Set(['guarded']) }).events
  expect(all).toEqual(events)
})

test('the moment is that of the first violation, where its two began to believe at once', () => {
  const history = story()
    .at(0, 'nemesis', { kind: 'fault', what: 'cut' })
    .hold('a', 1, [0, 0, 50], { until: 30 })
    .hold('b', 2, [1, 20, 40])
    .hold('c', 3, [1, 25, 28])
    .history()
  expect(momentOf(history, exclusion(history).toReversed())).toEqual({
    at: 20,
    about: 'The first violation, exclusion: "n": a believed until 30, and b from 20',
  })
})

test('they may begin to do so by a renewal that came late, and not by a grant', () => {
  const history = story()
    .hold('a', 1, [0, 0, 90], { until: 10 })
    .at(50, 'a', { kind: 'deadline', hold: 'a', until: 80 })
    .hold('b', 2, [0, 20, 60])
    .history()
  expect(momentOf(history, exclusion(history))?.at).toBe(50)
})

test('a violation of one hold is where its last event is, and of two that do not overlap where the last was granted', () => {
  const history = story().hold('a', 2, [0, 0, 10]).hold('b', 1, [11, 12, 30]).history()
  const events = (...ids: string[]): Event[] =>
    history.events.filter((event) => 'hold' in event && ids.includes(String(event.hold)))
  expect(momentOf(history, [{ checker: 'c', text: 't', events: events('a') }])?.at).toBe(10)
  expect(momentOf(history, [{ checker: 'c', text: 't', events: events('a', 'b') }])?.at).toBe(12)
})

test('without a violation it is the first overlap, then a refused access, then a fault, then a grant', () => {
  const late = { process: 'a', hold: 'a', register: 'r', fence: 1, mode: 'exclusive', version: 0 } as const
  const tale = story()
  expect(momentOf(tale.history(), [])).toBeUndefined()
  tale.hold('a', 1, [0, 5, 20])
  expect(momentOf(tale.history(), [])).toEqual({ at: 5, about: 'The first grant: a holds "n".' })
  tale.at(9, 'a', { kind: 'pause', until: 29, asleep: false })
  expect(momentOf(tale.history(), [])).toEqual({ at: 9, about: 'The first fault: a stands still for 20 ms.' })
  tale.at(30, 'a', { kind: 'access', ...late, does: 'write', accepted: false })
  expect(momentOf(tale.history(), [])).toEqual({
    at: 30,
    about: 'The register "r" refuses a stale write of a, with fence 1.',
  })
  tale.hold('b', 2, [40, 50, 60]).hold('c', 3, [40, 55, 70])
  expect(momentOf(tale.history(), [])).toEqual({
    at: 55,
    about: 'Two believe at once in "n": b with fence 2, c with fence 3; for 5 ms.',
  })
  // A violation that nothing shows leads nowhere.
  expect(momentOf(tale.history(), [{ checker: 'liveness', text: 'a hot loop', events: [] }])?.at).toBe(55)
})

test('between the first event and the last no hold is missing, though a smaller one further away would have had room', () => {
  const tale = story().hold('a', 1, [0, 0, 100]).hold('b', 2, [0, 110, 120])
  for (let at = 111; at < 120; at += 1) tale.at(at, 'b', { kind: 'checked', hold: 'b' })
  tale.hold('c', 3, [0, 130, 140])
  const { events } = excerptOf(tale.history().events, { at: 50, about: '', eventsMax: 10 })
  expect(kinds(events)).toEqual(['a ask', 'a granted', 'a released'])
})
