/**
 * Permits: at no instant do those who believe to hold permits of one semaphore hold more of them together than there are.
 *
 * What it proves: that bound, at every instant, by a sweep over the ends of all beliefs. Permits have no order among
 * themselves, so nothing more can be said of them.
 */
import type { Belief, History, Violation } from '../history.ts'
import { byName, evidence } from '../history.ts'

export function permits(history: History): Violation[] {
  const violations: Violation[] = []
  const ofPermits = history.beliefs.filter(({ mode }) => mode === 'permits')
  for (const [name, beliefs] of byName(ofPermits, ({ hold }) => hold.granted!.name)) {
    const starts = beliefs
    const ends = [...beliefs].sort((a, b) => a.until - b.until)
    const active = new Set<Belief>()
    let taken = 0
    let ended = 0
    for (const belief of starts.sort((a, b) => a.from - b.from)) {
      for (; ended < ends.length && ends[ended]!.until <= belief.from; ended += 1) {
        if (active.delete(ends[ended]!)) taken -= ends[ended]!.weight
      }
      active.add(belief)
      taken += belief.weight
      // Others may count another capacity only after these have gone, so that of the newest is that of all.
      const { capacity } = belief.hold.granted!
      if (taken > capacity) {
        const holds = [...active].map(({ hold }) => hold)
        violations.push({
          checker: 'permits',
          text: `"${name}": ${taken} of ${capacity} permits at ${belief.from}, held by ${holds.map(({ id }) => id).join(', ')}`,
          events: evidence(...holds),
        })
      }
    }
  }
  return violations
}
