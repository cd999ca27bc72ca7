import { expect, test } from 'vitest'
import { etcdPlanOf } from './etcd/plan.ts'
import { loadLibrary } from './library.ts'
import { memoryPlanOf } from './memory/plan.ts'
import type { Plan } from './plan.ts'
import { quorumPlanOf } from './quorum/plan.ts'
import { redisPlanOf } from './redis/plan.ts'
import { run } from './run.ts'
import { shrink } from './shrink.ts'
import { source } from './tasks.ts'

/** It is all computing, and shares the machine with other tests. */
const timeout = 60_000

const library = await loadLibrary(source)

const quorumOf = (seed: number): Plan => quorumPlanOf(seed, 3 + (seed % 3))

test.each([
  ['one coordinator', memoryPlanOf],
  ['a quorum', quorumOf],
  ['redis', redisPlanOf],
  ['etcd', etcdPlanOf],
])('%s: the same seed gives the same history, event for event', { timeout }, async (_, plan) => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const [one, other] = [
      await run(plan(seed), library, { trace: true }),
      await run(plan(seed), library, { trace: true }),
    ]
    expect(other.events).toEqual(one.events)
    expect(other.lines).toEqual(one.lines)
  }
})

/** What happens in so many schedules, none of which breaks anything: how often each kind of event, and each fault. */
async function seenIn(
  schedules: number,
  plan: (seed: number) => Plan,
): Promise<{ readonly kinds: ReadonlyMap<string, number>; readonly overlaps: number }> {
  const kinds = new Map<string, number>()
  let overlaps = 0
  for (let seed = 1; seed <= schedules; seed += 1) {
    const { events, violations, ...outcome } = await run(plan(seed), library)
    expect(violations, `seed ${seed}`).toEqual([])
    overlaps += outcome.overlaps
    for (const event of events) {
      const kind = event.kind === 'fault' ? event.what.split(/[ ,]/, 1)[0]! : event.kind
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    }
  }
  return { kinds, overlaps }
}

const EVERYWHERE = ['granted', 'released', 'lost', 'gave-up', 'deadline', 'access', 'crash', 'pause']
const QUEUE = [...EVERYWHERE, 'reshaped', 'checked', 'lingers']

test.each([
  ['one coordinator', memoryPlanOf, 100, false, [...QUEUE, 'evicted']],
  ['a quorum', quorumOf, 100, false, [...EVERYWHERE, 'away', 'slow', 'forgets', 'both']],
  ['redis', redisPlanOf, 300, true, [...QUEUE, 'forgotten', 'fails', 'hears', 'restarts', 'flush', 'its', 'away']],
  ['etcd', etcdPlanOf, 300, true, [...QUEUE, 'forgotten', 'leads', 'steps', 'dies', 'stands', 'compacts', 'away']],
] as const)('%s: many schedules break nothing, and something happens in them', { timeout }, async (...row) => {
  const [, plan, schedules, goesBeyond, wanted] = row
  const { kinds, overlaps } = await seenIn(schedules, plan)
  for (const kind of wanted) expect(kinds.get(kind), kind).toBeGreaterThan(5)
  // Faults beyond what exclusion is promised under prove nothing unless it is seen to fail.
  expect(overlaps > 0).toBe(goesBeyond)
})

test('a failing plan is shrunk to few processes and faults, and fails for the same reason', { timeout }, async () => {
  // A resource that refuses everybody: the first access of any schedule shows it.
  class Closed extends library.Register {
    override read(): { accepted: boolean; version: number } {
      this.refuse()
      return { accepted: false, version: 0 }
    }
    refuse(): void {
      super.read({ process: 'p', hold: 'nobody', fence: -1, mode: 'exclusive' })
    }
  }
  const broken = await shrink(memoryPlanOf(12), { ...library, Register: Closed })
  expect(broken.violations[0]?.checker).toBe('guarded-register')
  expect(broken.plan.processes).toHaveLength(1)
  expect(broken.plan.faults).toEqual([])
})
