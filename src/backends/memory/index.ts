/**
 * The coordinator inside this process: the reference implementation of the contract, the one to read first.
 *
 * It is a table of queues, a clock, and a list of who wants to be woken. It excludes what runs in this process only; use
 * it in tests, in single-process programs, and as the coordinator of a simulation.
 */
import { BackendError } from '../../backend.ts'
import type { Claim, Entry, Finding, Held, QueueView, Renewal, Standing, Supports, Wake } from '../../backend.ts'
import { FleetingMap } from '../../fleeting.ts'
import type { Moment } from '../../queue/table.ts'
import { Table } from '../../queue/table.ts'
import { Wakes } from '../../queue/wakes.ts'
import type { Memory, Node } from '../../quorum/node.ts'
import { PROPOSED_AHEAD_MAX_MS } from '../../quorum/node.ts'
import { realRuntime } from '../../runtime.ts'
import type { Clocks } from '../../runtime.ts'

export interface MemoryOptions {
  /** The coordinator's clock; the process's own unless a simulation brings one. */
  readonly clocks?: Clocks
  /** As a node of a quorum that has lost its memory: grant nothing for so long, and then until admitted. */
  readonly quarantineMs?: number
}

/**
 * A coordinator that lives and dies with this process.
 *
 * @example
 * ```ts
 * import { connect } from 'holdfast'
 * import { memory } from 'holdfast/memory'
 *
 * const locks = connect(memory())
 * ```
 */
export function memory(options: MemoryOptions = {}): MemoryBackend {
  return new MemoryBackend(options)
}

export class MemoryBackend implements Node {
  readonly kind = 'memory'
  readonly supports: Supports = { queue: true, sharing: 'permits', fence: 'volatile', wake: true }

  readonly #clocks: Clocks
  readonly #table = new Table()
  readonly #wakes = new Wakes()
  /** Of those who hold. */
  readonly #alarms = new FleetingMap<string, () => void>()
  readonly #incarnation: string = realRuntime.token()
  /** When the quarantine may end; `undefined`: it has. */
  #quarantineUntil: number | undefined
  #closed = false

  constructor({ clocks = realRuntime, quarantineMs }: MemoryOptions) {
    this.#clocks = clocks
    this.#quarantineUntil = quarantineMs === undefined ? undefined : clocks.monotonicMs() + quarantineMs
  }

  async join(entry: Entry, proposed?: bigint): Promise<Standing> {
    return this.#apply((now) => {
      const quarantineMs = this.#quarantineMs(now)
      if (quarantineMs !== undefined) return { state: 'refused', reason: 'quarantine', retryAfterMs: quarantineMs }
      const fence = Number(proposed ?? 0)
      if (fence <= (now.wallMs + PROPOSED_AHEAD_MAX_MS) * 1000) this.#table.raiseFence(fence - 1)
      return this.#table.join(entry, now)
    })
  }

  async joinAll(entries: readonly Entry[]): Promise<readonly Held[] | undefined> {
    return this.#apply((now) => (this.#quarantineMs(now) === undefined ? this.#table.joinAll(entries, now) : undefined))
  }

  async renew(claim: Claim, ttlMs: number): Promise<Renewal> {
    return this.#apply((now) => this.#table.renew(claim, ttlMs, now))
  }

  async renewAll(claims: readonly Claim[], ttlMs: number): Promise<Renewal[]> {
    return this.#apply((now) => claims.map((claim) => this.#table.renew(claim, ttlMs, now)))
  }

  async leave(claim: Claim, options: { readonly lingerMs?: number } = {}): Promise<boolean> {
    return this.#apply((now) => this.#table.leave(claim, now, options.lingerMs))
  }

  async lighten(claim: Claim, weight: number): Promise<Renewal> {
    return this.#apply((now) => this.#table.lighten(claim, weight, now))
  }

  async describe(claim: Claim, info: string): Promise<boolean> {
    return this.#apply((now) => this.#table.describe(claim, info, now))
  }

  async evict(name: string, fence: bigint): Promise<boolean> {
    return this.#apply((now) => {
      const seat = this.#table.queue(name)?.seats.find((each) => each.fence === Number(fence))
      const evicted = this.#table.evict(name, Number(fence), now)
      if (seat && evicted) this.#alarms.get(seat.id)?.()
      return evicted
    })
  }

  async confirm(claim: Claim, drawn: bigint, fence: bigint): Promise<Renewal> {
    return this.#apply((now) =>
      this.#quarantineUntil === undefined
        ? this.#table.confirm(claim, Number(drawn), Number(fence), now)
        : { state: 'lost' },
    )
  }

  async seed(entry: Entry, fence: bigint): Promise<Standing> {
    return this.#apply((now) => this.#table.seed(entry, Number(fence), now))
  }

  async recall(): Promise<Memory> {
    return this.#apply((now) => ({
      incarnation: this.#incarnation,
      top: BigInt(this.#table.lastFence),
      quarantineMs: this.#quarantineMs(now),
    }))
  }

  async admit(incarnation: string, top: bigint): Promise<boolean> {
    return this.#apply((now) => {
      if (incarnation !== this.#incarnation || (this.#quarantineMs(now) ?? 0) > 0) return false
      this.#table.raiseFence(Number(top))
      this.#quarantineUntil = undefined
      return true
    })
  }

  watch(claim: Claim, wake: Wake): () => void {
    return this.#wakes.watch(claim.id, wake)
  }

  attend(claim: Claim, alarm: () => void): () => void {
    this.#alarms.set(claim.id, alarm)
    return () => this.#alarms.delete(claim.id)
  }

  async follow(name: string, wake: () => void): Promise<() => void> {
    return this.#wakes.follow(name, wake)
  }

  async *inspect(prefix: string): AsyncGenerator<QueueView> {
    yield* this.#apply((now) => [...this.#table.view(prefix, now)])
  }

  async diagnose(): Promise<readonly Finding[]> {
    return [{ level: 'ok', subject: 'scope', text: 'memory: excludes what runs in this process only' }]
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#wakes.clear()
  }

  #quarantineMs(now: Moment): number | undefined {
    return this.#quarantineUntil === undefined ? undefined : Math.max(0, this.#quarantineUntil - now.monotonicMs)
  }

  #apply<T>(verb: (now: Moment) => T): T {
    if (this.#closed) throw new BackendError('CLOSED', 'this memory backend was closed')
    const answer = verb({ monotonicMs: this.#clocks.monotonicMs(), wallMs: this.#clocks.wallMs() })
    this.#wakes.announce(this.#table)
    return answer
  }
}
