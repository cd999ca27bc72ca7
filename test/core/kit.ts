/** What the tests of the core are written with: a coordinator in memory, processes on it, and time that stands still. */
import type { Backend } from '../../src/backend.ts'
import { memory } from '../../src/backends/memory/index.ts'
import type { ConnectOptions } from '../../src/connect.ts'
import { connect } from '../../src/connect.ts'
import type { Locks } from '../../src/locks.ts'
import type { Plan, Preset, Verb } from '../../src/testing/faults.ts'
import { faulty } from '../../src/testing/faults.ts'
import type { SimulatedRuntime, SimulatedTime } from '../../src/testing/simulated.ts'
import { simulatedTime } from '../../src/testing/simulated.ts'
import { viewOf } from '../conformance/kit/view.ts'

export interface ProcessOptions extends ConnectOptions {
  /** What its network does. */
  readonly plan?: Plan | Preset
  /** Something else between the process and the coordinator. */
  readonly wrap?: (backend: Backend) => Backend
}

export interface Process {
  readonly locks: Locks
  readonly runtime: SimulatedRuntime
  /** The calls it made, in order: `join`, `renew`, … */
  readonly calls: Verb[]
}

export interface World extends Process {
  readonly time: SimulatedTime
  /** The coordinator itself, as no network stands before it. */
  readonly coordinator: Backend
  /** Another process. */
  readonly other: Process
  readonly process: (options?: ProcessOptions) => Process
  /** Whether a newcomer would hold `name` right now. */
  readonly isFree: (name: string) => Promise<boolean>
}

/** Two processes on one coordinator: the one under test, with `options`, and an `other` one without a fault. */
export function world(options: ProcessOptions = {}): World {
  const time = simulatedTime()
  const coordinator = memory({ clocks: time.runtime() })
  const process = ({ plan = () => undefined, wrap = (backend) => backend, ...rest }: ProcessOptions = {}): Process => {
    const runtime = time.runtime()
    const calls: Verb[] = []
    const noted: Plan = (verb, target, n) => {
      calls.push(verb)
      return typeof plan === 'string' ? undefined : plan(verb, target, n)
    }
    const near = wrap(viewOf(coordinator))
    const backend = faulty(typeof plan === 'string' ? faulty(near, plan, { runtime }) : near, noted, { runtime })
    return { runtime, calls, locks: connect(backend, { runtime, ...rest }) }
  }
  const other = process()
  const isFree = async (name: string): Promise<boolean> => {
    const lease = await other.locks.tryAcquire(name)
    await lease?.release()
    return lease !== undefined
  }
  return { time, coordinator, process, other, isFree, ...process(options) }
}

/** How a promise has settled by now, without waiting for it. */
export function outcomeOf<T>(work: Promise<T>): { value?: T; error?: unknown; settled: boolean } {
  const outcome: { value?: T; error?: unknown; settled: boolean } = { settled: false }
  work.then(
    (value) => Object.assign(outcome, { value, settled: true }),
    (error: unknown) => Object.assign(outcome, { error, settled: true }),
  )
  return outcome
}
