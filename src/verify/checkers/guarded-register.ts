/**
 * The guarded register: no update is lost, no stale access is accepted, and no live one is refused.
 *
 * What it proves: that a resource which compares fences, on reads as well as writes, is safe whatever clocks, networks and
 * coordinators do. The events are the register's own, in the order in which it served them, so one pass tells: each write
 * that was accepted must have been made from the version that it replaced; the rule of the resource is computed anew, and
 * whoever it lets in must have been let in (a reader beside another reader, for example), and nobody else.
 */
import type { Access, History, Violation } from '../history.ts'
import { byName } from '../history.ts'

export function guardedRegister(history: History, registers: ReadonlySet<string>): Violation[] {
  const violations: Violation[] = []
  const accesses = history.events.filter(
    (event): event is Access => event.kind === 'access' && registers.has(event.register),
  )
  for (const [register, events] of byName(accesses, (event) => event.register)) {
    const object = (text: string, ...shown: readonly Access[]): void =>
      void violations.push({ checker: 'guarded-register', text: `"${register}": ${text}`, events: shown })
    let exclusiveFence = -1
    let anyFence = -1
    let largest: Access | undefined
    let written: Access | undefined
    for (const event of events) {
      const { fence, mode } = event
      const welcome = fence >= (mode === 'exclusive' ? anyFence : exclusiveFence)
      const before = largest ? [largest] : []
      if (event.accepted && !welcome)
        object(`a stale ${event.does} of ${event.hold} with fence ${fence} was accepted`, ...before, event)
      if (!event.accepted && welcome)
        object(`a live ${event.does} of ${event.hold} with fence ${fence} was refused`, ...before, event)
      if (event.accepted && event.does === 'write') {
        if (event.base !== (written?.puts ?? 0))
          object(`the update of ${written?.hold} was lost to ${event.hold}`, ...(written ? [written] : []), event)
        written = event
      }
      if (!event.accepted) continue
      if (fence >= anyFence) largest = event
      anyFence = Math.max(anyFence, fence)
      if (mode === 'exclusive') exclusiveFence = Math.max(exclusiveFence, fence)
    }
  }
  return violations
}
