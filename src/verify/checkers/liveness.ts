/**
 * Liveness: once the last fault is over, everybody who waits gets an answer, nobody is left alone with a grant that was
 * not delivered, and what was given up does not stand in the way of others.
 *
 * What it proves, within bounds that its caller derives from ttls and timeouts: no lost wake-up, no ghost in the queue, no
 * stuck waiter. It says nothing about the time in which faults happen; the bounds count from the end of the last one.
 */
import type { Event, History, Violation } from '../history.ts'
import { entryKey, evidence } from '../history.ts'

export interface LivenessOptions {
  /** From the ask, or the last fault, to its answer. Milliseconds. */
  readonly answerMs: number
  /** From the coordinator's grant, or the last fault, until user code has it. */
  readonly noticeMs: number
  /** From the release or the giving up, of what was asked for after the last fault, until the entry is gone or lingers. */
  readonly leaveMs: number
}

export function liveness(history: History, options: LivenessOptions): Violation[] {
  const violations: Violation[] = []
  const healedAt = history.events.findLast(({ kind }) => kind === 'healed')?.at ?? 0
  const object = (text: string, events: readonly Event[]): void =>
    void violations.push({ checker: 'liveness', text, events })
  answers(history, healedAt, options.answerMs, object)
  entries(history, healedAt, options, object)
  return violations
}

type Object = (text: string, events: readonly Event[]) => void

function answers(history: History, healedAt: number, boundMs: number, object: Object): void {
  for (const hold of history.holds.values()) {
    const { ask, granted, gaveUp } = hold
    if (!ask || history.crashes.has(hold.process)) continue
    const limit = Math.max(ask.at, healedAt) + boundMs
    const answer = granted ?? gaveUp
    if (answer ? answer.at > limit : history.endedAt > limit)
      object(`${hold.id} waited for an answer beyond ${limit}`, evidence(hold))
    if (gaveUp?.code === 'UNREACHABLE' && ask.at > healedAt)
      object(`${hold.id} asked when all was well, and was told that the coordinator is silent`, evidence(hold))
  }
}

function entries(history: History, healedAt: number, options: LivenessOptions, object: Object): void {
  const gone = new Map<string, number>()
  for (const event of history.events) {
    if (event.kind !== 'left' && event.kind !== 'lingers') continue
    const key = entryKey(event)
    if (!gone.has(key)) gone.set(key, event.at)
  }
  for (const event of history.events) {
    if (event.kind !== 'holds' && event.kind !== 'entered') continue
    const hold = event.hold === undefined ? undefined : history.holds.get(event.hold)
    if (!hold || history.crashes.has(hold.process)) continue
    if (event.kind === 'holds' && event.at > healedAt && hold.granted?.fence === event.fence) {
      if (hold.granted.at > event.at + options.noticeMs)
        object(`${hold.id} heard of its grant ${hold.granted.at - event.at} ms late`, [event, ...evidence(hold)])
    }
    // A hold may have tried more than once; its entry is the one it was granted, and after giving up, each of them.
    const done = hold.granted ? (hold.granted.fence === event.fence ? hold.released : undefined) : hold.gaveUp
    // While things go wrong, a join that is late, or comes twice, may leave a ghost until its lease ends.
    if (event.kind !== 'entered' || !done || !hold.ask || hold.ask.at < healedAt) continue
    const limit = Math.max(done.at, event.at) + options.leaveMs
    if (history.endedAt > limit && (gone.get(entryKey(event)) ?? Infinity) > limit)
      object(`the entry of ${hold.id} stood in the queue beyond ${limit}`, [event, ...evidence(hold)])
  }
}
