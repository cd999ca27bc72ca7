/** One Redis server: a data set, a wall clock of its own, and who listens there. */
import type { SimulatedRuntime } from '../../../src/testing/simulated.ts'
import type { Far } from '../wire.ts'
import type { Listener } from './client.ts'
import type { ServerPlan } from './plan.ts'
import type { Queues } from './queues.ts'
import type { Reign } from './reign.ts'

/** 1 January 2026. */
const START_WALL_MS = 1_767_225_600_000

export class Server implements Far {
  readonly label: string
  readonly rate: number
  queues: Queues
  /** Of a primary. */
  reign: Reign | undefined
  away: Far['away']
  slowMs = 0
  epoch = 0
  readonly listeners: Set<Listener> = new Set()

  readonly #clock: SimulatedRuntime
  readonly #startedMs: number
  readonly #behind: (server: Server) => Promise<void>
  readonly #evict: (server: Server, name: string, fence: bigint) => void
  #offsetMs: number

  constructor(
    label: string,
    { drift, offsetMs }: ServerPlan,
    queues: Queues,
    clock: SimulatedRuntime,
    behind: (server: Server) => Promise<void>,
    evict: (server: Server, name: string, fence: bigint) => void,
  ) {
    this.label = label
    this.rate = 1 + drift
    this.queues = queues
    this.#clock = clock
    this.#startedMs = clock.monotonicMs()
    this.#offsetMs = offsetMs
    this.#behind = behind
    this.#evict = evict
  }

  /** Its wall clock, which tells microseconds. Leases end by it, also while the server is down. */
  now(): number {
    const ms = START_WALL_MS + this.#offsetMs + this.#clock.monotonicMs() - this.#startedMs
    return Math.floor(ms * 1000) / 1000
  }

  jump(byMs: number): void {
    this.#offsetMs += byMs
  }

  /** All connections are lost. */
  disconnect(): void {
    this.epoch += 1
    const lost = [...this.listeners]
    this.listeners.clear()
    for (const listener of lost) listener.disconnected()
  }

  async forget(): Promise<void> {
    await this.#behind(this)
  }

  async evict(name: string, fence: bigint): Promise<void> {
    this.#evict(this, name, fence)
  }
}
