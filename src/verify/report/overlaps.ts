/** Where more believed at once than may: what the checkers count, as stretches of time that can be drawn. */
import type { Belief, History } from '../history.ts'
import { byName } from '../history.ts'

export interface Overlap {
  readonly name: string
  readonly from: number
  readonly until: number
  /** All who believe in this stretch. */
  readonly beliefs: readonly Belief[]
}

/** In the order of time. Where one more joins in, another stretch begins. */
export function overlapsOf(history: History): Overlap[] {
  const overlaps: Overlap[] = []
  for (const [name, beliefs] of byName(history.beliefs, ({ hold }) => hold.granted!.name)) {
    const starts = beliefs.sort((a, b) => a.from - b.from)
    const times = [...new Set(beliefs.flatMap(({ from, until }) => [from, until]))].sort((a, b) => a - b)
    let active: Belief[] = []
    let started = 0
    for (const [index, from] of times.entries()) {
      active = active.filter(({ until }) => until > from)
      for (; starts[started]?.from === from; started += 1) active.push(starts[started]!)
      if (tooMany(active)) overlaps.push({ name, from, until: times[index + 1]!, beliefs: active })
    }
  }
  return overlaps.sort((a, b) => a.from - b.from)
}

function tooMany(beliefs: readonly Belief[]): boolean {
  if (beliefs.length < 2) return false
  let taken = 0
  let capacity = 0
  for (const { mode, weight, hold } of beliefs) {
    if (mode === 'exclusive') return true
    if (mode === 'shared') continue
    taken += weight
    // That of the newest is that of all, as for the checker.
    capacity = hold.granted!.capacity
  }
  return taken > capacity
}
