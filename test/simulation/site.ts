/** Where the processes of a schedule go to: one coordinator, the nodes of a quorum, servers of Redis, members of etcd. */
import type { Backend } from '../../src/backend.ts'
import type { SimulatedRuntime } from '../../src/testing/simulated.ts'
import type { Violation } from '../../src/verify/history.ts'
import type { MessageFault, SiteFault } from './plan.ts'
import type { Random } from './random.ts'
import type { Inbox, Wire } from './wire.ts'

export interface Site {
  /** The ways there of a new process. */
  connect(caller: Caller): Ways
  strike(fault: SiteFault): void
  readonly subscriptions: Subscriptions
  /** How many entries there are at this time. */
  entries(): Promise<number>
  /** What was seen to be wrong here, and stands in no history. */
  readonly violations: readonly Violation[]
  /** What it did that breaks an assumption. */
  readonly excuses: readonly Excuse[]
  /** From then on a fence may be smaller than one before. */
  readonly fencesUntil: number
}

/** From `at` on, who asked before `until` may believe that it holds beside somebody else. */
export interface Excuse {
  readonly at: number
  readonly until: number
}

export interface Caller {
  readonly inbox: Inbox
  readonly runtime: SimulatedRuntime
  /** Chance of this process, for this use. */
  readonly random: (...use: readonly number[]) => Random
  readonly faults: readonly MessageFault[]
  readonly renewsInBulk: boolean
}

export interface Ways {
  readonly backend: Backend
  readonly wires: readonly Wire[]
}

/** How many each process has. */
export class Subscriptions {
  readonly #counts = new Map<string, number>()

  of(process: string): number {
    return this.#counts.get(process) ?? 0
  }

  counted(process: string, end: () => void): () => void {
    this.#counts.set(process, this.of(process) + 1)
    let ended = false
    return () => {
      if (ended) return
      ended = true
      this.#counts.set(process, this.of(process) - 1)
      end()
    }
  }
}
