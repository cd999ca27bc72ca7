/**
 * Residue: when everything has been closed and the longest ttl has passed, the coordinator knows of nothing, and no timer
 * or subscription is left; and what was nobody's any more stood no longer than it had to.
 *
 * What it proves: that nothing piles up, that a process can end, and that a lingering entry is never given new life.
 */
import type { Event, History, Violation } from '../history.ts'
import { entryKey } from '../history.ts'

/** What a coordinator's clock may differ from the history's over one linger, and what rounding costs. */
const SLACK_MS = 5

export function residue(history: History): Violation[] {
  const violations: Violation[] = []
  const object = (text: string, ...events: readonly Event[]): void =>
    void violations.push({ checker: 'residue', text, events })
  const lingering = new Map<string, Extract<Event, { kind: 'lingers' }>>()
  for (const event of history.events) {
    switch (event.kind) {
      case 'residue':
        for (const what of ['entries', 'timers', 'subscriptions'] as const)
          if (event[what] > 0) object(`${event[what]} ${what} are left`, event)
        break
      case 'lingers': {
        const before = lingering.get(entryKey(event))
        if (before && event.until > before.until + SLACK_MS)
          object(`lingering ticket ${event.fence} on "${event.name}" was kept longer`, before, event)
        if (!before) lingering.set(entryKey(event), event)
        break
      }
      case 'forgotten':
        for (const [key, before] of lingering) if (before.name === event.name) lingering.delete(key)
        break
      default:
        break
    }
  }
  return violations
}
