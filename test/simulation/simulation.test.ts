import { expect, test } from 'vitest'
import { memory } from '../../src/backends/memory/index.ts'
import { connect } from '../../src/connect.ts'
import { QuorumBackend } from '../../src/quorum/index.ts'
import { Register } from '../../src/verify/register.ts'
import type { Library } from './library.ts'
import type { Plan } from './plan.ts'
import { memoryPlanOf } from './memory/plan.ts'
import { quorumPlanOf } from './quorum/plan.ts'
import { run } from './run.ts'
import { shrink } from './shrink.ts'

/** It is all computing, and shares the machine with other tests. */
const timeout = 60_000

const library: Library = { connect, memory, QuorumBackend, RedisBackend, EtcdBackend, EtcdClient, Register }

const quorumOf = (seed: number): Plan => quorumPlanOf(seed, 3 + (seed % 3))

test.each([
  ['one coordinator', memoryPlanOf],
  ['a quorum', quorumOf],
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

/** What happens in a hundred schedules, none of which breaks anything: how often each kind of event, and each fault. */
async function hundred(plan: (seed: number) => Plan): Promise<Map<string, number>> {
  const seen = new Map<string, number>()
  for (let seed = 1; seed <= 100; seed += 1) {
    const { events, violations } = await run(plan(seed), library)
    expect(violations, `seed ${seed}`).toEqual([])
    for (const event of events) {
      const kind = event.kind === 'fault' ? event.what.split(/[ ,]/, 1)[0]! : event.kind
      seen.set(kind, (seen.get(kind) ?? 0) + 1)
    }
  }
  return seen
}

test('a hundred schedules of a quorum break nothing, and something happens in them', { timeout }, async () => {
  const seen = await hundred(quorumOf)
  for (const kind of ['granted', 'released', 'lost', 'gave-up', 'deadline', 'access', 'crash', 'pause'])
    expect(seen.get(kind), kind).toBeGreaterThan(5)
  for (const fault of ['away', 'slow', 'forgets', 'both']) expect(seen.get(fault), fault).toBeGreaterThan(5)
})

test('a hundred schedules break nothing, and something happens in them', { timeout }, async () => {
  const seen = await hundred(memoryPlanOf)
  const kinds = [
    'granted',
    'released',
    'lost',
    'gave-up',
    'reshaped',
    'checked',
    'access',
    'crash',
    'pause',
    'evicted',
    'lingers',
  ]
  for (const kind of kinds) expect(seen.get(kind), kind).toBeGreaterThan(5)
})

test('a failing plan is shrunk to few processes and faults, and fails for the same reason', { timeout }, async () => {
  // A resource that refuses everybody: the first access of any schedule shows it.
  class Closed extends Register {
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
