/**
 * Exclusion: no two exclusive holders of one name believe in their leases at the same time.
 *
 * What it proves: beliefs that do not overlap can be put in a row, so there is a serial order of all holds that explains
 * the history; beliefs that overlap are in no such order. A sweep over beliefs is therefore complete for a lock. It relies
 * on the assumptions of the coordinator (clock rates, nothing forgotten); a history that breaks them may be refused here.
 */
import type { Belief, History, Violation } from '../history.ts'
import { byName, evidence } from '../history.ts'

export function exclusion(history: History): Violation[] {
  const violations: Violation[] = []
  const exclusive = history.beliefs.filter(({ mode }) => mode === 'exclusive')
  for (const [name, beliefs] of byName(exclusive, ({ hold }) => hold.granted!.name)) {
    let longest: Belief | undefined
    for (const belief of beliefs.sort((a, b) => a.from - b.from)) {
      if (longest && belief.from < longest.until) {
        violations.push({
          checker: 'exclusion',
          text: `"${name}": ${longest.hold.id} believed until ${longest.until}, and ${belief.hold.id} from ${belief.from}`,
          events: evidence(longest.hold, belief.hold),
        })
      }
      if (!longest || belief.until > longest.until) longest = belief
    }
  }
  return violations
}
