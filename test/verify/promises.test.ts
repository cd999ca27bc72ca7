import { expect, test } from 'vitest'
import { check } from '../../src/verify/checkers/index.ts'
import { guardedRegister } from '../../src/verify/checkers/guarded-register.ts'
import { liveness } from '../../src/verify/checkers/liveness.ts'
import { residue } from '../../src/verify/checkers/residue.ts'
import { toldInTime } from '../../src/verify/checkers/told-in-time.ts'
import type { Access } from '../../src/verify/history.ts'
import { MemoryRecorder, historyOf } from '../../src/verify/history.ts'
import { Register } from '../../src/verify/register.ts'
import type { Story } from './story.ts'
import { story, texts } from './story.ts'

const told = (s: Story) => texts(toldInTime(s.history(), { turnMs: 1, afterSleepMs: 1000 }))
const end = (s: Story, at: number) => s.at(at, 'w', { kind: 'end' })
const lost = (s: Story, at: number) => s.at(at, 'a', { kind: 'lost', hold: 'a', by: 'signal', reason: 'expired' })
const dying = () => story().hold('a', 1, [0, 0], { until: 10 })

test('a loss told at the deadline is in time, and so is a release before it', () => {
  expect(told(end(lost(dying(), 10), 100))).toEqual([])
  expect(told(end(story().hold('a', 1, [0, 0, 9], { until: 10 }), 100))).toEqual([])
  expect(told(end(dying().at(9, 'a', { kind: 'crash' }), 100))).toEqual([])
  expect(told(end(dying(), 10))).toEqual([])
})

test('a loss that is told late, or never, is found', () => {
  expect(told(end(lost(dying(), 12), 100))).toEqual(['a: ended at 10, and was told at 12'])
  expect(told(end(dying(), 100))).toEqual(['a: was never told that it ended at 10'])
})

test('a renewal moves the time by which a loss must be told', () => {
  const renewed = () => dying().at(5, 'a', { kind: 'deadline', hold: 'a', until: 30 })
  expect(told(end(lost(renewed(), 30), 100))).toEqual([])
  expect(told(end(lost(renewed(), 33), 100))).toEqual(['a: ended at 30, and was told at 33'])
})

test('a process that stood still is told when it goes on, and one whose machine slept within the next second', () => {
  const paused = (asleep: boolean) => dying().at(8, 'a', { kind: 'pause', until: 50, asleep })
  expect(told(end(lost(paused(false), 51), 5000))).toEqual([])
  expect(told(end(lost(paused(false), 52), 5000))).toHaveLength(1)
  expect(told(end(lost(paused(true), 1050), 5000))).toEqual([])
  expect(told(end(lost(paused(true), 1051), 5000))).toHaveLength(1)
  const early = dying().at(2, 'a', { kind: 'pause', until: 5, asleep: false })
  expect(told(end(lost(early, 12), 5000))).toHaveLength(1)
})

test('a pause is an excuse while it lasts and a turn longer, and the next one only if it began by then', () => {
  const paused = (...pauses: [at: number, until: number, asleep?: boolean][]) =>
    pauses.reduce((s, [at, until, asleep = false]) => s.at(at, 'a', { kind: 'pause', until, asleep }), dying())
  const toldAt = (s: Story, at: number) => told(end(lost(s, at), 5000)).length === 0
  // From the limit itself on; and another one from the new limit on.
  expect(toldAt(paused([11, 50]), 51)).toBe(true)
  expect(toldAt(paused([11.1, 50]), 51)).toBe(false)
  expect(toldAt(paused([11, 50], [51, 70]), 71)).toBe(true)
  expect(toldAt(paused([11, 50], [51.1, 70]), 71)).toBe(false)
  // A pause that ends by the deadline is none; a short one within a long one takes nothing away.
  expect(toldAt(paused([8, 10]), 11.1)).toBe(false)
  expect(toldAt(paused([8, 10.5]), 11.5)).toBe(true)
  expect(toldAt(paused([8, 50], [9, 20]), 51)).toBe(true)
  // After a sleep all timers are late, also one that was due a little later.
  expect(toldAt(paused([-3000, -990, true]), 10)).toBe(true)
  expect(toldAt(paused([-3000, -989, true]), 11.1)).toBe(false)
  expect(toldAt(paused([-3000, -988, true]), 12)).toBe(true)
  expect(toldAt(paused([-3000, -990, true]), 11.1)).toBe(false)
  expect(toldAt(paused([8, 500, true], [9, 20, true]), 1500)).toBe(true)
  // It is the pause of another process that does not count.
  expect(toldAt(dying().at(8, 'b', { kind: 'pause', until: 50, asleep: false }), 50)).toBe(false)
})

test('what could not be told before the recording ended is not missed; an objection shows what it is about', () => {
  expect(told(end(dying(), 11))).toEqual([])
  expect(told(end(dying(), 11.1))).toHaveLength(1)
  const [violation] = toldInTime(end(dying(), 100).history(), { turnMs: 1, afterSleepMs: 1000 })
  expect(violation?.events.map(({ kind }) => kind)).toEqual(['ask', 'granted'])
})

test('assertHeld() that returns after the deadline or after the loss is found', () => {
  const checked = (s: Story, at: number) => s.at(at, 'a', { kind: 'checked', hold: 'a' })
  expect(told(end(lost(checked(dying(), 10), 10.5), 100))).toEqual([])
  // At one instant, the order in which they were written down tells.
  expect(told(end(lost(checked(dying(), 11), 11), 100))).toEqual([])
  expect(told(end(checked(lost(dying(), 11), 11), 100))).toEqual(['a: assertHeld() returned after the loss'])
  expect(told(end(lost(checked(dying(), 11.5), 11), 100))).toEqual([
    'a: assertHeld() returned at 11.5, after 10',
    'a: assertHeld() returned after the loss',
  ])
  const bad = end(lost(checked(dying(), 11.5), 11), 100)
  const [violation] = toldInTime(bad.history(), { turnMs: 1, afterSleepMs: 1000 })
  expect(violation?.events.map(({ kind }) => kind)).toEqual(['ask', 'granted', 'lost', 'checked'])
})

test('assertHeld() is measured by the deadline of its time, whatever came later', () => {
  const renewed = (at: number, until: number, s = dying()) => s.at(at, 'a', { kind: 'deadline', hold: 'a', until })
  const checks = (s: Story, ...times: number[]) =>
    told(
      end(times.reduce((all, at) => all.at(at, 'a', { kind: 'checked', hold: 'a' }), s).hold('a', 1, [0, 0, 60]), 100),
    )
  expect(checks(renewed(20, 70), 15, 20, 40)).toEqual(['a: assertHeld() returned at 15, after 10'])
  expect(checks(renewed(30, 70, renewed(5, 20)), 15, 25, 30)).toEqual(['a: assertHeld() returned at 25, after 20'])
})

test('of a check and a loss at one instant, the one that was written down first was first', () => {
  const checked = (s: Story) => s.at(10, 'a', { kind: 'checked', hold: 'a' })
  expect(told(end(lost(checked(dying()), 10), 100))).toEqual([])
  expect(told(end(checked(lost(dying(), 10)), 100))).toEqual(['a: assertHeld() returned after the loss'])
})

test('a lease that is renewed after it was reported lost is found', () => {
  expect(told(end(lost(dying(), 10).at(12, 'a', { kind: 'deadline', hold: 'a', until: 40 }), 100))).toEqual([
    'a: was renewed after it had been reported lost',
  ])
})

test('a renewal that is told at the very instant of the loss did not come after it', () => {
  const renewed = lost(dying().at(10, 'a', { kind: 'deadline', hold: 'a', until: 40 }), 10)
  expect(told(end(renewed, 100))).toEqual([])
})

test('a lease that is renewed although its entry is gone is found', () => {
  const evicted = (until: number) =>
    story()
      .hold('a', 1, [0, 0], { ttlMs: 10, until: 10 })
      .at(8, 'a', { kind: 'deadline', hold: 'a', until: 17 })
      .at(9, 'c', { kind: 'left', name: 'n', fence: 1 })
      .at(16, 'a', { kind: 'deadline', hold: 'a', until })
  expect(told(end(lost(evicted(20), 20), 100))).toEqual([])
  expect(told(end(lost(evicted(25), 25), 100))).toEqual(['a: was renewed until 25, though its entry was gone at 9'])
})

test('how much longer a clock that differs makes a ttl is granted, and no more; without a ttl nothing is known', () => {
  const renewed = (until: number, ttlMs?: number) => {
    const granted = {
      kind: 'granted',
      hold: 'a',
      name: 'n',
      fence: 1,
      mode: 'exclusive',
      weight: 1,
      capacity: 1,
    } as const
    const s = story().at(0, 'a', { ...granted, until: 2000, ...(ttlMs === undefined ? {} : { ttlMs }) })
    s.at(10, 'c', { kind: 'left', name: 'n', fence: 1 }).at(20, 'a', { kind: 'deadline', hold: 'a', until })
    return told(s.at(30, 'a', { kind: 'released', hold: 'a' }))
  }
  expect(renewed(1031, 1000)).toEqual([])
  expect(renewed(1031.5, 1000)).toEqual(['a: was renewed until 1031.5, though its entry was gone at 10'])
  expect(renewed(1031.5)).toEqual([])
  // By the ticket of that hold, and no other.
  const other = dying().at(5, 'c', { kind: 'left', name: 'n', fence: 2 })
  expect(told(lost(other.at(6, 'a', { kind: 'deadline', hold: 'a', until: 9000 }), 7))).toEqual([])
})

test('how old the answer to a renewal may be is a matter of the coordinator', () => {
  const s = story()
    .hold('a', 1, [0, 0], { ttlMs: 10, until: 10 })
    .at(9, 'c', { kind: 'left', name: 'n', fence: 1 })
    .at(9.5, 'a', { kind: 'deadline', hold: 'a', until: 30 })
  const old = (renewedMs: number) => texts(toldInTime(s.history(), { turnMs: 1, afterSleepMs: 1000, renewedMs }))
  expect(old(9)).toHaveLength(1)
  expect(old(10)).toEqual([])
})

test('what a coordinator is about to forget may be renewed until it has', () => {
  const renewed = (until: number) =>
    story()
      .hold('a', 1, [0, 0], { ttlMs: 10, until: 10 })
      .at(8, 'c', { kind: 'forgotten', name: 'n', until: 20 })
      .at(9, 'c', { kind: 'left', name: 'n', fence: 1 })
      .at(9.5, 'a', { kind: 'deadline', hold: 'a', until })
  expect(told(end(lost(renewed(31), 31), 100))).toEqual([])
  expect(told(end(lost(renewed(35), 35), 100))).toEqual(['a: was renewed until 35, though its entry was gone at 20'])
})

test('whoever is told of what was forgotten is told soon', () => {
  const forgotten = () =>
    story()
      .hold('a', 1, [0, 0], { until: 80 })
      .at(5, 'c', { kind: 'forgotten', name: 'n', until: 5 })
      .at(5, 'c', { kind: 'left', name: 'n', fence: 1 })
  const soon = (s: Story) => texts(toldInTime(s.history(), { turnMs: 1, afterSleepMs: 1000, goneMs: 10 }))
  expect(soon(end(lost(forgotten(), 16), 100))).toEqual([])
  const late = 'a: was not told for 10 ms that its entry was gone at 5'
  expect(soon(end(lost(forgotten(), 17), 100))).toEqual([late])
  expect(told(end(lost(forgotten(), 17), 100))).toEqual([])
  expect(soon(end(lost(forgotten(), 61).at(6, 'a', { kind: 'pause', until: 60, asleep: false }), 100))).toEqual([])
  // Of what still stands nobody has to be told, nor somebody whose grant came when it was gone; at that very moment it counts.
  expect(soon(end(lost(dying(), 10), 100))).toEqual([])
  const grantedAt = (at: number) => {
    const s = story().at(5, 'c', { kind: 'forgotten', name: 'n', until: 5 })
    return s.at(5, 'c', { kind: 'left', name: 'n', fence: 1 }).hold('a', 1, [0, at], { until: 80 })
  }
  expect(soon(end(lost(grantedAt(5.5), 17), 100))).toEqual([])
  expect(soon(end(lost(grantedAt(5), 17), 100))).toEqual([late])
  // What was not forgotten but left has left.
  const left = story().hold('a', 1, [0, 0], { until: 80 }).at(5, 'c', { kind: 'left', name: 'n', fence: 1 })
  expect(soon(end(lost(left, 17), 100))).toEqual([])
})

const bounds = { answerMs: 100, noticeMs: 10, leaveMs: 20 }
const live = (s: Story) => texts(liveness(s.history(), bounds))
const ask = (s: Story, at: number, hold = 'a') => s.at(at, hold, { kind: 'ask', hold, name: 'n', waits: true })
const gaveUp = (s: Story, at: number, code = 'WAIT_TIMEOUT') => s.at(at, 'a', { kind: 'gave-up', hold: 'a', code })
const seat = { name: 'n', fence: 1, hold: 'a' }
const entered = (s: Story, at: number) => s.at(at, 'c', { kind: 'entered', ...seat, weight: 1, capacity: 1 })

test('every ask is answered in time, counted from the end of the last fault', () => {
  expect(live(end(gaveUp(ask(story(), 0), 100), 500))).toEqual([])
  expect(live(end(gaveUp(ask(story(), 0), 101), 500))).toEqual(['a waited for an answer beyond 100'])
  expect(live(end(ask(story(), 0), 500))).toEqual(['a waited for an answer beyond 100'])
  expect(live(end(ask(story(), 0).at(450, 'w', { kind: 'healed' }), 500))).toEqual([])
  expect(live(end(ask(story(), 0).at(50, 'a', { kind: 'crash' }), 500))).toEqual([])
})

test('what had no time to happen before the recording ended is not missed', () => {
  expect(live(end(ask(story(), 0), 100))).toEqual([])
  expect(live(end(entered(story(), 1).hold('a', 1, [1, 2, 5]), 25))).toEqual([])
})

const healed = (s: Story, at: number) => s.at(at, 'w', { kind: 'healed' })

test('a silent coordinator is no excuse when all is well', () => {
  expect(live(end(gaveUp(ask(story(), 5), 9, 'UNREACHABLE'), 500))).toEqual([
    'a asked when all was well, and was told that the coordinator is silent',
  ])
  expect(live(end(healed(gaveUp(ask(story(), 5), 9, 'UNREACHABLE'), 6), 500))).toEqual([])
  expect(live(end(healed(gaveUp(ask(story(), 5), 9, 'UNREACHABLE'), 5), 500))).toEqual([])
  expect(live(end(gaveUp(ask(story(), 5), 9, 'WAIT_TIMEOUT'), 500))).toEqual([])
})

const holding = (s: Story, at: number, more = {}) => s.at(at, 'c', { kind: 'holds', ...seat, ...more })

test('a grant that reaches its waiter late is found', () => {
  const granted = (at: number, before = story(), more = {}) =>
    end(holding(entered(before, 1), 2, more).hold('a', 1, [1, at, at + 1]), at + 2)
  expect(live(granted(12))).toEqual([])
  expect(live(granted(13))).toEqual(['a heard of its grant 11 ms late'])
  const [late] = liveness(granted(13).history(), bounds)
  expect(late?.events.map(({ kind }) => kind)).toEqual(['holds', 'ask', 'granted', 'released'])
  // While things went wrong, of an earlier try, of nobody known, or of one that died.
  for (const at of [2, 3]) expect(live(granted(13, healed(story(), at)))).toEqual([])
  expect(live(granted(13, story(), { fence: 2 }))).toEqual([])
  expect(live(granted(13, story(), { hold: undefined }))).toEqual([])
  expect(live(granted(13, story(), { hold: 'x' }))).toEqual([])
  expect(live(granted(13, story().at(14, 'a', { kind: 'crash' })))).toEqual([])
  expect(live(end(gaveUp(holding(ask(story(), 1), 2), 50), 60))).toEqual([])
})

test('an entry that stays after it was given up or released is found', () => {
  const left = (s: Story, at: number) => s.at(at, 'c', { kind: 'left', ...seat })
  const late = ['the entry of a stood in the queue beyond 25']
  expect(live(end(left(gaveUp(entered(ask(story(), 0), 1), 5), 25), 500))).toEqual([])
  expect(live(end(left(gaveUp(entered(ask(story(), 0), 1), 5), 26), 500))).toEqual(late)
  const released = () => end(holding(entered(story(), 1), 2).hold('a', 1, [0, 2, 5]), 500)
  expect(live(released())).toEqual(late)
  const [found] = liveness(released().history(), bounds)
  expect(found?.events.map(({ kind }) => kind)).toEqual(['entered', 'ask', 'granted', 'released'])
  // Not given up, of an earlier try, by one that died, or asked for when things went wrong.
  expect(live(end(entered(story(), 1).hold('a', 1, [0, 2]), 500))).toEqual([])
  expect(live(end(entered(story(), 1).hold('a', 2, [0, 2, 5]), 500))).toEqual([])
  expect(live(released().at(9, 'a', { kind: 'crash' }))).toEqual([])
  expect(live(healed(released(), 1))).toEqual([])
  expect(live(healed(end(entered(story(), 1).hold('a', 1, [1, 2, 5]), 500), 1))).toEqual(late)
})

test('an entry that lingers in time may stay', () => {
  const lingers = (at: number) =>
    live(
      end(entered(story(), 1).hold('a', 1, [0, 2, 5]), 500)
        .at(at, 'c', { kind: 'lingers', ...seat, until: 90 })
        .at(90, 'c', { kind: 'left', ...seat }),
    )
  expect(lingers(25)).toEqual([])
  expect(lingers(26)).toHaveLength(1)
})

test('what is left at the end is found', () => {
  const rest = { entries: 0, timers: 0, subscriptions: 0 }
  expect(
    residue(
      story()
        .at(9, 'w', { kind: 'residue', ...rest })
        .history(),
    ),
  ).toEqual([])
  for (const what of ['entries', 'timers', 'subscriptions']) {
    const bad = story().at(9, 'w', { kind: 'residue', ...rest, [what]: 2 })
    expect(texts(residue(bad.history()))).toEqual([`2 ${what} are left`])
  }
})

test('a lingering entry that is kept longer is found, by more than clocks differ, also step by step', () => {
  const lingers = (...untils: number[]) =>
    untils.reduce((s, until, at) => s.at(at, 'c', { kind: 'lingers', name: 'n', fence: 1, until }), story())
  const found = (s: Story) => texts(residue(s.history()))
  expect(found(lingers(50, 50))).toEqual([])
  expect(found(lingers(50, 55))).toEqual([])
  expect(found(lingers(50, 90))).toEqual(['lingering ticket 1 on "n" was kept longer'])
  expect(found(lingers(50, 54, 58))).toHaveLength(1)
  expect(found(lingers(50).at(9, 'c', { kind: 'lingers', name: 'n', fence: 2, until: 90 }))).toEqual([])
  expect(found(lingers(50).at(9, 'c', { kind: 'lingers', name: 'm', fence: 1, until: 90 }))).toEqual([])
  const [violation] = residue(lingers(50, 90).history())
  expect(violation?.events).toMatchObject([{ until: 50 }, { until: 90 }])
})

test('what was forgotten lingers no more', () => {
  const lingers = (s: Story, at: number, until: number, name = 'n') =>
    s.at(at, 'c', { kind: 'lingers', name, fence: 1, until })
  const forgets = (s: Story) => s.at(2, 'c', { kind: 'forgotten', name: 'n', until: 2 })
  expect(residue(lingers(forgets(lingers(story(), 1, 50)), 3, 90).history())).toEqual([])
  expect(residue(lingers(forgets(lingers(story(), 1, 50, 'm')), 3, 90, 'm').history())).toHaveLength(1)
})

function register(guarded = true) {
  const recorder = new MemoryRecorder(() => 0)
  const it = new Register('r', guarded, recorder)
  return {
    read: (hold: string, fence: number, mode: 'exclusive' | 'shared' = 'exclusive') =>
      it.read({ process: 'p', hold, fence, mode }),
    write: (hold: string, fence: number, base: number) =>
      it.write({ process: 'p', hold, fence, mode: 'exclusive' }, base),
    violations: () => texts(guardedRegister(historyOf(recorder.events), new Set(['r']))),
    lostUpdates: () => it.lostUpdates,
    recorder,
  }
}

test('a guarded register refuses an old holder, reads included', () => {
  const r = register()
  expect(r.read('a', 1)).toEqual({ accepted: true, version: 0 })
  expect(r.read('b', 2)).toEqual({ accepted: true, version: 0 })
  expect(r.write('a', 1, 0)).toBe(false)
  expect(r.read('a', 1).accepted).toBe(false)
  expect(r.write('b', 2, 0)).toBe(true)
  expect(r.read('b', 2)).toEqual({ accepted: true, version: 1 })
  expect(r.violations()).toEqual([])
  expect(r.lostUpdates()).toBe(0)
})

test('a register records who did what, from which version, and whether it was let in', () => {
  const r = register()
  r.write('a', 2, 0)
  r.read('b', 1, 'shared')
  const about = { kind: 'access', process: 'p', register: 'r' }
  expect(r.recorder.events).toEqual([
    {
      ...about,
      at: 0,
      hold: 'a',
      fence: 2,
      mode: 'exclusive',
      does: 'write',
      accepted: true,
      version: 0,
      puts: 1,
      base: 0,
    },
    { ...about, at: 0, hold: 'b', fence: 1, mode: 'shared', does: 'read', accepted: false, version: 1 },
  ])
})

test('a guarded register lets an older reader in beside a newer one, but not behind a writer', () => {
  const r = register()
  expect(r.read('b', 2, 'shared').accepted).toBe(true)
  expect(r.read('a', 1, 'shared').accepted).toBe(true)
  expect(r.read('c', 1).accepted).toBe(false)
  expect(r.write('d', 3, 0)).toBe(true)
  expect(r.read('b', 2, 'shared').accepted).toBe(false)
  expect(r.violations()).toEqual([])
})

test('an unguarded register loses updates, counts them, and is found', () => {
  const r = register(false)
  r.read('a', 1)
  r.read('b', 2)
  expect(r.write('b', 2, 0)).toBe(true)
  expect(r.write('a', 1, 0)).toBe(true)
  expect(r.lostUpdates()).toBe(1)
  expect(r.violations()).toEqual([
    '"r": a stale write of a with fence 1 was accepted',
    '"r": the update of b was lost to a',
  ])
})

test('a register that guards writes only, or refuses a live reader, is found', () => {
  const access = { kind: 'access', register: 'r', version: 0, does: 'read' } as const
  const stale = story()
    .at(1, 'a', { ...access, hold: 'a', fence: 2, mode: 'exclusive', accepted: true })
    .at(2, 'b', { ...access, hold: 'b', fence: 1, mode: 'exclusive', accepted: true })
  expect(texts(guardedRegister(stale.history(), new Set(['r'])))).toEqual([
    '"r": a stale read of b with fence 1 was accepted',
  ])
  const refused = story()
    .at(1, 'a', { ...access, hold: 'a', fence: 2, mode: 'shared', accepted: true })
    .at(2, 'b', { ...access, hold: 'b', fence: 1, mode: 'shared', accepted: false })
  expect(texts(guardedRegister(refused.history(), new Set(['r'])))).toEqual([
    '"r": a live read of b with fence 1 was refused',
  ])
  expect(guardedRegister(refused.history(), new Set())).toEqual([])
})

test('an objection to an access shows what stands in its way: the newest of the largest fence, or the write that is lost', () => {
  let at = 0
  const told = story()
  const access = (hold: string, fence: number, mode: 'exclusive' | 'shared', more: Partial<Access> = {}) => {
    const what = { kind: 'access', register: 'r', hold, fence, mode, does: 'read', version: 0, accepted: true } as const
    told.at((at += 1), hold, { ...what, ...more })
  }
  const write = (base: number, puts: number) => ({ does: 'write', base, puts }) as const
  access('a', 1, 'exclusive', { accepted: false })
  access('b', 3, 'shared')
  access('c', 3, 'shared')
  access('d', 2, 'shared')
  access('e', 1, 'exclusive')
  access('f', 4, 'exclusive', write(7, 8))
  access('g', 4, 'exclusive', write(0, 9))
  const shown = guardedRegister(told.history(), new Set(['r'])).map(({ events }) =>
    events.map(({ process }) => process),
  )
  expect(shown).toEqual([['a'], ['c', 'e'], ['f'], ['f', 'g']])
})

const options = { ...bounds, turnMs: 1, afterSleepMs: 1000, guarded: new Set(['r']) }

test('all checkers together pass a good history', () => {
  const good = story().hold('a', 1, [0, 0, 10]).hold('b', 2, [0, 10, 20])
  expect(check(good.history(), options)).toEqual([])
})

const shared = { mode: 'shared' } as const
const stale = { kind: 'access', register: 'r', does: 'read', mode: 'exclusive', version: 0, accepted: true } as const

const other = { name: 'n', fence: 2 } as const

const broken: Record<string, (s: Story) => Story> = {
  exclusion: (s) => s.hold('a', 1, [0, 0, 10]).hold('b', 2, [0, 9, 20]),
  'readers-writers': (s) => s.hold('a', 1, [0, 0, 10], shared).hold('b', 2, [0, 9, 20]),
  permits: (s) => s.hold('a', 1, [0, 0, 10], { mode: 'permits', weight: 2 }),
  backed: (s) =>
    s
      .hold('a', 1, [0, 0, 10])
      .at(0, 'c', { kind: 'entered', ...other, weight: 1, capacity: 1 })
      .at(0, 'c', { kind: 'holds', ...other }),
  'fence-order': (s) => s.hold('a', 1, [0, 0, 10]).hold('b', 1, [0, 10, 20]),
  'fifo-order': (s) => s.at(0, 'c', { kind: 'holds', name: 'n', fence: 1 }),
  'told-in-time': (s) => end(s.hold('a', 1, [0, 0], { until: 10 }), 90),
  'guarded-register': (s) =>
    s.at(0, 'a', { ...stale, hold: 'a', fence: 2 }).at(1, 'b', { ...stale, hold: 'b', fence: 1 }),
  liveness: (s) => end(ask(s, 0), 500),
  residue: (s) => s.at(9, 'w', { kind: 'residue', entries: 1, timers: 0, subscriptions: 0 }),
}

test.each(Object.keys(broken))('of all checkers only %s objects to what breaks only its promise', (name) => {
  expect(check(broken[name]!(story()).history(), options).map(({ checker }) => checker)).toEqual([name])
})

test('several checkers may object to one history', () => {
  const bad = story().hold('a', 2, [0, 0, 10]).hold('b', 2, [0, 9, 20])
  expect(check(bad.history(), options).map(({ checker }) => checker)).toEqual(['exclusion', 'fence-order'])
})
