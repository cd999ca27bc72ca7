/** Queues as somebody who looks gets them. */
import type { Inspected, Inspection } from '../../../src/locks.ts'

export function entry(fence: bigint, more: Partial<Inspected> = {}): Inspected {
  return {
    fence,
    who: { host: 'web-2', pid: 4121, user: 'alice' },
    weight: 1,
    exclusive: true,
    ageMs: 200_000,
    heldMs: 187_000,
    remainingMs: 24_000,
    lingering: false,
    ...more,
  }
}

export function view(more: Partial<Inspection> = {}): Inspection {
  const holders = [entry(1n)]
  return { name: 'deploy/api', kind: 'lock', capacity: 1, holders, waiters: [entry(2n), entry(3n), entry(4n)], ...more }
}
