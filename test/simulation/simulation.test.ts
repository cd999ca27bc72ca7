import { expect, test } from 'vitest'
import { memory } from '../../src/backends/memory/index.ts'
import { connect } from '../../src/connect.ts'
import { Register } from '../../src/verify/register.ts'
import type { Library } from './library.ts'
import { planOf } from './plan.ts'
import { run } from './run.ts'
import { shrink } from './shrink.ts'

/** It is all computing, and shares the machine with other tests. */
const timeout = 60_000

const library: Library = { connect, memory, Register }

test('the same seed gives the same history, event for event', { timeout }, async () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const [one, other] = [
      await run(planOf(seed), library, { trace: true }),
      await run(planOf(seed), library, { trace: true }),
    ]
    expect(other.events).toEqual(one.events)
    expect(other.lines).toEqual(one.lines)
  }
})

test('a hundred schedules break nothing, and something happens in them', { timeout }, async () => {
  const seen = new Map<string, number>()
  for (let seed = 1; seed <= 100; seed += 1) {
    const { events, violations } = await run(planOf(seed), library)
    expect(violations, `seed ${seed}`).toEqual([])
    for (const { kind } of events) seen.set(kind, (seen.get(kind) ?? 0) + 1)
  }
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
  const broken = await shrink(planOf(12), { ...library, Register: Closed })
  expect(broken.violations[0]?.checker).toBe('guarded-register')
  expect(broken.plan.processes).toHaveLength(1)
  expect(broken.plan.faults).toEqual([])
})
