/**
 * What every backend must do, as tests: each promise of the contract, sentence by sentence.
 *
 * The tests are plain functions that reject when a promise is broken, for any test runner. What a backend does not claim
 * to support is skipped. Each test makes names of its own, so a shared server does as a coordinator.
 */
import { looking } from './conformance/looking.ts'
import { joining } from './conformance/joining.ts'
import { leaving } from './conformance/leaving.ts'
import { renewing } from './conformance/renewing.ts'
import type { Case, Coordinator, Need } from './conformance/trial.ts'
import { Trial, unmet } from './conformance/trial.ts'
import { waking } from './conformance/waking.ts'

export type { Coordinator, Need } from './conformance/trial.ts'

export interface ConformanceOptions {
  /**
   * The ttl of most entries. On a real clock some tests wait for one or two of these, so it is a compromise between a
   * quick run and a slow machine. Default 1000.
   */
  readonly ttlMs?: number
  /** How many wait in the test of a long queue. Default 1000. */
  readonly waiters?: number
}

export interface ConformanceTest {
  /** A sentence about what a backend does. */
  readonly name: string
  readonly needs: readonly Need[]
  /** Rejects with an `AssertionError` when the backend does not. `'skipped'`: it does not claim to. */
  readonly run: () => Promise<'passed' | 'skipped'>
}

/**
 * The suite for one kind of backend.
 *
 * @param make gives a coordinator for one test; called once for each
 * @example
 * ```ts
 * import { memory } from 'holdfast/memory'
 * import { conformance, simulatedTime } from 'holdfast/testing'
 * import { test } from 'vitest'
 *
 * const suite = conformance(async () => {
 *   const time = simulatedTime()
 *   return { backend: memory({ clocks: time.runtime() }), advance: (ms) => time.advance(ms) }
 * })
 * test.for(suite)('$name', async ({ run }, { skip }) => skip((await run()) === 'skipped'))
 * ```
 */
export function conformance(make: () => Promise<Coordinator>, options: ConformanceOptions = {}): ConformanceTest[] {
  const { ttlMs = 1000, waiters = 1000 } = options
  const cases = [...joining(waiters), ...renewing, ...leaving, ...waking, ...looking]
  return cases.map((each) => ({ name: each.name, needs: each.needs, run: () => run(each, make, ttlMs) }))
}

async function run(each: Case, make: () => Promise<Coordinator>, ttlMs: number): Promise<'passed' | 'skipped'> {
  const coordinator = await make()
  const trial = new Trial(coordinator, ttlMs)
  const skipped = each.needs.some((need) => unmet(need, coordinator))
  try {
    if (!skipped) await each.run(trial)
  } catch (error) {
    // What goes wrong while cleaning up after a failure would hide the failure.
    await trial.end().catch(() => {})
    throw error
  }
  await trial.end()
  return skipped ? 'skipped' : 'passed'
}
