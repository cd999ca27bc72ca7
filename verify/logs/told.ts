/** What those who hold were told: the fence of each, by its name and its label. */
import type { Event } from '../../src/verify/history.ts'

export type Told = ReadonlyMap<string, number>

export function toldOf(seen: readonly Event[]): Told {
  const told = new Map<string, number>()
  // Of several names, each has a hold of its own, and all of them one label.
  for (const event of seen)
    if (event.kind === 'granted') told.set(keyOf(event.name, event.hold.split('.', 1)[0]), event.fence)
  return told
}

export function fenceTold(told: Told, name: string, label: string | undefined): number | undefined {
  return told.get(keyOf(name, label))
}

function keyOf(name: string, label: string | undefined): string {
  return `${label} ${name}`
}
