/**
 * Told in time: user code hears of a loss no later than its deadline, and from then on its lease stays lost.
 *
 * What it proves: that whoever heeds the signal, or asks `assertHeld()` before each step, stops before anybody else can
 * hold. At the deadline a hold must have been released, or its signal fires within one turn of the event loop; a process
 * that stood still then hears of it within one turn after it goes on; one whose machine slept within the second after
 * which every connection looks at its clocks again. `assertHeld()` is never late, whatever stood still. And a lease whose
 * entry is gone (an operator evicted it, for example) is not renewed any more: the next answer says that it is lost.
 */
import type { Event, History, Hold, Violation } from '../history.ts'
import { endOf, entryKey, evidence } from '../history.ts'

export interface ToldOptions {
  /** One turn of the event loop, and what rounding costs. Milliseconds. */
  readonly turnMs: number
  /** How long after a sleep of the machine a signal may stay silent. */
  readonly afterSleepMs: number
}

export function toldInTime(history: History, options: ToldOptions): Violation[] {
  const violations: Violation[] = []
  const gone = new Map<string, Event>()
  for (const event of history.events) if (event.kind === 'left') gone.set(entryKey(event), event)
  for (const hold of history.holds.values()) {
    if (!hold.granted) continue
    const object = (text: string, ...more: readonly Event[]): void =>
      void violations.push({
        checker: 'told-in-time',
        text: `${hold.id}: ${text}`,
        events: [...evidence(hold), ...more],
      })
    silentAtDeadline(history, hold, options, object)
    checkedTooLate(hold, options, object)
    cameBack(hold, object)
    renewedGone(hold, gone.get(entryKey(hold.granted)), options, object)
  }
  return violations
}

/** A clock that runs slow makes a ttl longer. */
const CLOCKS_DIFFER = 1.02

type Object = (text: string, ...events: readonly Event[]) => void

function silentAtDeadline(history: History, hold: Hold, options: ToldOptions, object: Object): void {
  const deadline = hold.deadlines.at(-1)?.until ?? hold.granted!.until
  const told = Math.min(endOf(hold), history.crashes.get(hold.process)?.at ?? Infinity)
  let limit = deadline + options.turnMs
  // Most holds are told in time without an excuse, and there may be many pauses.
  if (told <= limit) return
  for (const { at, until, asleep } of history.pauses.get(hold.process) ?? []) {
    if (at > limit) break
    // A pause that covers the limit moves it behind the pause, where the next one may cover it. A sleep makes all timers
    // late, also those that would fire soon after it.
    limit = Math.max(limit, until + (asleep ? options.afterSleepMs : options.turnMs))
  }
  if (told <= limit || history.endedAt <= limit) return
  object(
    told === Infinity ? `was never told that it ended at ${deadline}` : `ended at ${deadline}, and was told at ${told}`,
  )
}

function checkedTooLate(hold: Hold, options: ToldOptions, object: Object): void {
  // The deadline as its holder knew it. Never back to life: what moves it after it has passed is an objection of its own.
  let deadline = hold.granted!.until
  let renewals = 0
  for (const check of hold.checked) {
    for (; (hold.deadlines[renewals]?.at ?? Infinity) <= check.at; renewals += 1)
      deadline = hold.deadlines[renewals]!.until
    if (check.at > deadline + options.turnMs) object(`assertHeld() returned at ${check.at}, after ${deadline}`, check)
    if (hold.lost && check.at >= hold.lost.at) object('assertHeld() returned after the loss', check)
  }
}

function cameBack(hold: Hold, object: Object): void {
  const after = hold.lost && hold.deadlines.find(({ at }) => at > hold.lost!.at)
  if (after) object('was renewed after it had been reported lost', after)
}

/** A deadline that is more than a ttl behind the end of its entry was given by an answer that came after that end. */
function renewedGone(hold: Hold, left: Event | undefined, options: ToldOptions, object: Object): void {
  const { ttlMs } = hold.granted!
  const limit = left && ttlMs !== undefined && left.at + ttlMs * CLOCKS_DIFFER + options.turnMs
  const renewed = limit && hold.deadlines.find(({ until }) => until > limit)
  if (renewed) object(`was renewed until ${renewed.until}, though its entry was gone at ${left.at}`, left, renewed)
}
