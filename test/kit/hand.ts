/** A worker process that visits two registers under the lock `a`, and the wire that it speaks through. */
import type { AcquireOptions, LeaseState } from '../../src/index.ts'
import type { Wire } from '../../src/verify/torture/wire.ts'
import type { Round, Rounds } from './worker.ts'
import type { Worker } from './workers.ts'
import { eventually } from '../../src/verify/torture/clock.ts'

export const NAME = 'a'

/** Who stands in the queue of `a`, as the coordinator says: their pids. */
export type Waiters = () => Promise<readonly (number | undefined)[]>

export class Hand {
  readonly worker: Worker
  readonly wire: Wire
  readonly #rounds: Rounds
  readonly #waiters: Waiters
  #working: Promise<string[]> | undefined

  constructor(worker: Worker, wire: Wire, registers: string, waiters: Waiters) {
    this.worker = worker
    this.wire = wire
    this.#rounds = { name: NAME, registers }
    this.#waiters = waiters
  }

  get alive(): boolean {
    return this.worker.alive
  }

  get busy(): boolean {
    return this.alive && this.#working !== undefined
  }

  /** Resolves when it is answered: whoever has been cut off may notice it only when it next asks for something. */
  async isAnswered(): Promise<void> {
    const asks = (): Promise<boolean> => this.worker.do(({ locks }) => locks.inspect('warm').then(() => true))
    await eventually(() => asks().catch(() => false), `a connection of ${this.worker.name}`)
  }

  /** Begin one round, and stay inside of it until it is told to finish. */
  async begins(options: AcquireOptions = {}): Promise<void> {
    await this.worker.do(
      (stage, rounds) => {
        for (const key of ['go', 'came', 'round']) stage.kept.delete(key)
        stage.inside = () => new Promise<void>((go) => void stage.kept.set('go', go))
        const round = stage.round(rounds)
        stage.kept.set('round', round)
        void round.then((came) => stage.kept.set('came', came))
      },
      { ...this.#rounds, options },
    )
  }

  /** Begin one round; resolves with its fence when it is inside. */
  async enters(options: AcquireOptions = {}): Promise<number> {
    await this.begins(options)
    return this.entered()
  }

  /** Resolves with its fence when the round that it has begun is inside. */
  async entered(): Promise<number> {
    const isThere = (): Promise<boolean> => this.worker.do(({ kept }) => kept.has('go') || kept.has('came'))
    await eventually(isThere, `the turn of ${this.worker.name}`)
    const seen = await this.worker.do(({ kept, holds }) =>
      kept.has('go') ? Number(holds.get('a')!.lease.fence) : (kept.get('came') as string),
    )
    if (typeof seen === 'string') throw new Error(`${this.worker.name} is not inside: ${seen}`)
    return seen
  }

  isInside(): Promise<boolean> {
    return this.worker.do(({ kept }) => kept.has('go') && !kept.has('came'))
  }

  /** Begin one round; resolves when it stands in the queue. */
  async waits(options: AcquireOptions = {}): Promise<void> {
    await this.begins(options)
    const instead = (): Promise<string | undefined> =>
      this.worker.do(({ kept }) => (kept.has('go') ? 'it is inside' : (kept.get('came') as string | undefined)))
    let came: string | undefined
    await eventually(
      async () => (await this.#waiters()).includes(this.worker.pid) || (came = await instead()) !== undefined,
      `${this.worker.name} in the queue`,
    )
    if (came !== undefined) throw new Error(`${this.worker.name} does not wait: ${came}`)
  }

  /** Go on with the round that it has begun, and end it. */
  finishes(): Promise<Round> {
    return this.worker.do((stage) => {
      stage.inside = () => {}
      ;(stage.kept.get('go') as (() => void) | undefined)?.()
      return stage.kept.get('round') as Promise<Round>
    })
  }

  /** One round that comes to nothing: with what code it asked in vain. */
  async fails(options: AcquireOptions = {}): Promise<Round> {
    await this.begins(options)
    return this.worker.do(({ kept }) => kept.get('round') as Promise<Round>)
  }

  /** Of the lease that it has. */
  state(): Promise<LeaseState> {
    return this.worker.do(({ holds }) => holds.get('a')!.lease.state)
  }

  /** Why it was lost; waits until it is. */
  async loss(): Promise<string> {
    await eventually(async () => (await this.state()) === 'lost', `the loss of ${this.worker.name}`)
    return this.worker.do(({ holds }) => (holds.get('a')!.lease.signal.reason as { reason: string }).reason)
  }

  /** Round after round from now on, each some milliseconds long. */
  works(options: AcquireOptions = {}): void {
    this.#working = this.worker.do(
      (stage, rounds) => {
        stage.enough = false
        stage.inside = () => new Promise((resolve) => void setTimeout(resolve, 3))
        return stage.rounds(rounds)
      },
      { ...this.#rounds, options },
    )
  }

  /** Answers with what codes it asked in vain. */
  async rests(): Promise<string[]> {
    if (!this.#working) return []
    await this.worker.do((stage) => void (stage.enough = true))
    const codes = await this.#working
    this.#working = undefined
    return codes
  }

  written(): Promise<number> {
    return this.worker.do(({ written }) => written)
  }

  /** So many rounds more. */
  async writes(more = 2): Promise<void> {
    const before = await this.written()
    await eventually(async () => (await this.written()) >= before + more, `${more} rounds of ${this.worker.name}`)
  }
}
