/**
 * Backed: whoever was granted something holds it by the coordinator's own log, and nobody believes for longer than the entry
 * stands there.
 *
 * What it proves: that no belief rests on an answer that was mixed up, meant for another, or never given, and that a lease is over
 * for its user before it is over for the coordinator. Where no such log was recorded, it says nothing; and nothing of entries that
 * the coordinator lost, or an operator evicted.
 */
import type { Event, Hold, History, Violation } from '../history.ts'
import { entryKey, evidence, forgettingsAt } from '../history.ts'

/** What the clock of the log may be off by, and what rounding costs. Milliseconds. */
const SLACK_MS = 5

export function backed(history: History): Violation[] {
  const violations: Violation[] = []
  const holding = new Set<string>()
  const gone = new Map<string, Event>()
  for (const event of history.events) {
    if (event.kind === 'holds') holding.add(entryKey(event))
    if (event.kind === 'left') gone.set(entryKey(event), event)
  }
  if (holding.size === 0) return []
  const object = (text: string, hold: Hold, ...more: readonly Event[]): void =>
    void violations.push({ checker: 'backed', text: `${hold.id}: ${text}`, events: [...evidence(hold), ...more] })
  for (const hold of history.holds.values()) {
    const { granted } = hold
    if (granted && !holding.has(entryKey(granted)))
      object(`was granted ${granted.fence}, and the coordinator lets nobody hold by that`, hold)
  }
  for (const { hold, until } of history.beliefs) {
    const { name } = hold.granted!
    const left = gone.get(entryKey(hold.granted!))
    if (!left || until <= left.at + SLACK_MS || forgettingsAt(history, name, left.at).length > 0) continue
    object(`believed until ${until}, and its entry was gone at ${left.at}`, hold, left)
  }
  return violations
}
