/**
 * Told in time: user code hears of a loss no later than its deadline, and from then on its lease stays lost.
 *
 * What it proves: that whoever heeds the signal, or asks `assertHeld()` before each step, stops before anybody else can
 * hold. At the deadline a hold must have been released, or its signal fires within one turn of the event loop; a process
 * that stood still then hears of it within one turn after it goes on; one whose machine slept within the second after
 * which every connection looks at its clocks again. `assertHeld()` is never late, whatever stood still. And a lease whose
 * entry is gone (an operator evicted it, for example) is not renewed any more: the next answer says that it is lost. Where
 * a coordinator tells its holders of what it has forgotten, it tells them soon.
 */
import type { Event, History, Hold, Violation } from '../history.ts'
import { endOf, entryKey, evidence, forgettingsAt } from '../history.ts'

export interface ToldOptions {
  /** One turn of the event loop, and what rounding costs. Milliseconds. */
  readonly turnMs: number
  /** How long after a sleep of the machine a signal may stay silent. */
  readonly afterSleepMs: number
  /** How old what the answer to a renewal says may be. Default 0. */
  readonly renewedMs?: number
  /** How soon a holder hears that the coordinator has forgotten its entry, where it is told. Default: when it renews. */
  readonly goneMs?: number
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
    checkedTooLate(history, hold, options, object)
    cameBack(hold, object)
    const left = gone.get(entryKey(hold.granted))
    renewedGone(history, hold, left, options, object)
    forgottenInSilence(history, hold, left, options, object)
  }
  return violations
}

/** A clock that runs slow makes a ttl longer. */
const CLOCKS_DIFFER = 1.02

type Object = (text: string, ...events: readonly Event[]) => void

function silentAtDeadline(history: History, hold: Hold, options: ToldOptions, object: Object): void {
  const deadline = lastDeadline(hold)
  const told = toldAt(history, hold)
  if (!isLate(history, hold, told, deadline, options)) return
  object(
    told === Infinity ? `was never told that it ended at ${deadline}` : `ended at ${deadline}, and was told at ${told}`,
  )
}

/** Whether user code heard later than it must have of what it was to hear of by then. */
function isLate(history: History, hold: Hold, told: number, by: number, options: ToldOptions): boolean {
  let limit = by + options.turnMs
  // Most holds are told in time without an excuse, and there may be many pauses.
  if (told <= limit) return false
  for (const { at, until, asleep } of history.pauses.get(hold.process) ?? []) {
    if (at > limit) break
    // A pause that covers the limit moves it behind the pause, where the next one may cover it. A sleep makes all timers
    // late, also those that would fire soon after it.
    limit = Math.max(limit, until + (asleep ? options.afterSleepMs : options.turnMs))
  }
  return told > limit && history.endedAt > limit
}

function toldAt(history: History, hold: Hold): number {
  return Math.min(endOf(hold), history.crashes.get(hold.process)?.at ?? Infinity)
}

function lastDeadline({ granted, deadlines }: Hold): number {
  return deadlines.at(-1)?.until ?? granted!.until
}

function checkedTooLate({ events }: History, hold: Hold, options: ToldOptions, object: Object): void {
  // The deadline as its holder knew it. Never back to life: what moves it after it has passed is an objection of its own.
  let deadline = hold.granted!.until
  let renewals = 0
  for (const check of hold.checked) {
    for (; (hold.deadlines[renewals]?.at ?? Infinity) <= check.at; renewals += 1)
      deadline = hold.deadlines[renewals]!.until
    if (check.at > deadline + options.turnMs) object(`assertHeld() returned at ${check.at}, after ${deadline}`, check)
    if (hold.lost && isBefore(events, hold.lost, check)) object('assertHeld() returned after the loss', check)
  }
}

/** At one instant, the order in which they were written down tells. */
function isBefore(events: readonly Event[], one: Event, other: Event): boolean {
  return one.at === other.at ? events.indexOf(one) < events.indexOf(other) : one.at < other.at
}

function cameBack(hold: Hold, object: Object): void {
  const after = hold.lost && hold.deadlines.find(({ at }) => at > hold.lost!.at)
  if (after) object('was renewed after it had been reported lost', after)
}

/** A deadline that is more than a ttl behind the end of its entry was given by an answer that came after that end. */
function renewedGone(
  history: History,
  hold: Hold,
  left: Event | undefined,
  options: ToldOptions,
  object: Object,
): void {
  const { name, ttlMs } = hold.granted!
  if (!left || ttlMs === undefined) return
  const goneAt = Math.max(left.at, ...forgettingsAt(history, name, left.at).map(({ until }) => until))
  const limit = goneAt + ttlMs * CLOCKS_DIFFER + options.turnMs + (options.renewedMs ?? 0)
  const renewed = hold.deadlines.find(({ until }) => until > limit)
  if (renewed) object(`was renewed until ${renewed.until}, though its entry was gone at ${goneAt}`, left, renewed)
}

function forgottenInSilence(
  history: History,
  hold: Hold,
  left: Event | undefined,
  options: ToldOptions,
  object: Object,
): void {
  const { granted } = hold
  if (options.goneMs === undefined || !left || !granted || granted.at > left.at) return
  if (forgettingsAt(history, granted.name, left.at).length === 0) return
  const told = Math.min(toldAt(history, hold), lastDeadline(hold))
  if (isLate(history, hold, told, left.at + options.goneMs, options))
    object(`was not told for ${options.goneMs} ms that its entry was gone at ${left.at}`, left)
}
