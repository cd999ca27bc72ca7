/** One member of an etcd cluster: whether it can be reached, and the clock by which it ends leases while it leads. */
import type { SimulatedRuntime } from '../../../src/testing/simulated.ts'
import type { Far } from '../wire.ts'
import type { SimulatedChannel } from './channel.ts'

export class Member implements Far {
  readonly label: string
  readonly endpoint: string
  readonly rate: number
  away: Far['away']
  slowMs = 0
  epoch = 0
  /** When it has applied what it was told of last. */
  appliedAt = 0
  readonly #waiting: (() => void)[] = []
  #frozen = false
  readonly channels: Set<SimulatedChannel> = new Set()

  readonly #clock: SimulatedRuntime
  readonly #behind: () => void

  constructor(number: number, drift: number, clock: SimulatedRuntime, behind: () => void) {
    this.label = `member ${number}`
    this.endpoint = `http://member-${number}`
    this.rate = 1 + drift
    this.#clock = clock
    this.#behind = behind
  }

  /** It stands still. */
  get frozen(): boolean {
    return this.#frozen
  }

  freeze(): void {
    this.#frozen = true
  }

  /** It goes on, with what it was asked meanwhile. */
  thaw(): void {
    this.#frozen = false
    for (const work of this.#waiting.splice(0)) work()
  }

  /** Do something: now, or when it goes on. */
  run(work: () => void): void {
    if (this.#frozen) this.#waiting.push(work)
    else work()
  }

  now(): number {
    return this.#clock.monotonicMs()
  }

  /** It is gone, with all its connections. */
  die(): void {
    this.away = 'with an error'
    this.epoch += 1
    for (const channel of this.channels) channel.reset()
    this.channels.clear()
  }

  async forget(): Promise<void> {
    this.#behind()
  }

  /** Operators speak to the cluster. */
  async evict(): Promise<void> {}
}
