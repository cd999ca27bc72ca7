/**
 * Readers and writers: while somebody believes to hold a name exclusively, nobody believes to share it.
 *
 * What it proves: together with `exclusion`, that a writer was alone. A writer that downgrades is a reader from the moment
 * it asks for that; if its lease says afterwards that it still is a writer, it is taken at its word.
 */
import type { Belief, History, Violation } from '../history.ts'
import { byName, evidence } from '../history.ts'

export function readersWriters(history: History): Violation[] {
  const violations: Violation[] = []
  const ofLocks = history.beliefs.filter(({ mode }) => mode !== 'permits')
  for (const [name, beliefs] of byName(ofLocks, ({ hold }) => hold.granted!.name)) {
    // The one of each side that lasts longest is the one that the other side runs into, if it runs into any.
    const longest: { exclusive?: Belief; shared?: Belief } = {}
    for (const belief of beliefs.sort((a, b) => a.from - b.from)) {
      const mode = belief.mode === 'exclusive' ? 'exclusive' : 'shared'
      const other = longest[mode === 'exclusive' ? 'shared' : 'exclusive']
      if (other && belief.from < other.until) {
        violations.push({
          checker: 'readers-writers',
          text: `"${name}": ${other.hold.id} believed (${other.mode}) until ${other.until}, and ${belief.hold.id} (${mode}) from ${belief.from}`,
          events: evidence(other.hold, belief.hold),
        })
      }
      const own = longest[mode]
      if (!own || belief.until > own.until) longest[mode] = belief
    }
  }
  return violations
}
