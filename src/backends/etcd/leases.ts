/**
 * The leases of this process: one for each length, shared by all entries that are kept so long.
 *
 * A shared lease is older than most entries on it. So how long an entry is kept counts from when the last keep-alive that was
 * answered had been sent, and never from its join; and a lease that has used up a tenth of its time is kept alive before
 * anybody is promised something.
 *
 * Shared leases keep alive what nobody wants. 1. A join is sent, and its answer does not come;  2. the entry is left, which
 * deletes nothing;  3. the join arrives;  4. the others' keep-alives keep a ghost alive for ever. So each lease has an epoch,
 * the version of a key: joins ask for the one that they know, and whoever leaves an entry of whose join nobody knows begins
 * the next one, of each lease that it asked for, in the same transaction. A join that arrives later puts nothing in.
 */
import type { ElapsedClock } from '../../elapsed.ts'
import type { EtcdClient } from './client.ts'
import { EtcdError, GRPC } from './errors.ts'
import type { Heartbeat } from './heartbeat.ts'
import type { Naming } from './keys.ts'
import type { Operation, Outcome } from './messages.ts'
import { LEASE_GRANT, LEASE_REVOKE, TXN } from './messages.ts'

/** A lease that has less than this share of its time is kept alive before anything is promised. */
const FRESH = 0.9
/** One that has less than this share may be over before it is kept alive; nothing new is put on it. */
const SPENT = 0.1

export class Lease {
  readonly id: bigint
  /** How long it lasts; etcd may give more than was asked for. */
  readonly ms: number
  /** By the elapsed clock: until then the server is known to keep it. */
  until: number
  /** The key of its epoch, and the version that it has. */
  readonly epochKey: Buffer
  epoch = 0
  /** The server has said that it is gone. */
  gone = false

  constructor(id: bigint, ms: number, until: number, epochKey: Buffer) {
    this.id = id
    this.epochKey = epochKey
    this.ms = ms
    this.until = until
  }
}

export class Leases {
  readonly #client: EtcdClient
  readonly #naming: Naming
  readonly #heartbeat: Heartbeat
  readonly #clock: ElapsedClock
  readonly #onGone: (lease: Lease) => void
  readonly #shared = new Map<number, Lease>()
  readonly #granting = new Map<number, Promise<Lease>>()

  constructor(
    client: EtcdClient,
    naming: Naming,
    heartbeat: Heartbeat,
    clock: ElapsedClock,
    onGone: (lease: Lease) => void,
  ) {
    this.#client = client
    this.#naming = naming
    this.#heartbeat = heartbeat
    this.#clock = clock
    this.#onGone = onGone
  }

  /** The shared lease of a length, if it is alive, and not for a moment only. */
  alive(ms: number): Lease | undefined {
    const lease = this.#shared.get(secondsOf(ms))
    return lease && !lease.gone && lease.until - this.#clock.now() > SPENT * lease.ms ? lease : undefined
  }

  /** The shared lease of a length. @throws EtcdError */
  async shared(ms: number): Promise<Lease> {
    const alive = this.alive(ms)
    if (alive) return alive
    const seconds = secondsOf(ms)
    let granting = this.#granting.get(seconds)
    if (!granting) {
      granting = this.own(ms).finally(() => this.#granting.delete(seconds))
      this.#granting.set(seconds, granting)
    }
    const lease = await granting
    this.#shared.set(seconds, lease)
    return lease
  }

  /** A new one. @throws EtcdError */
  async own(ms: number): Promise<Lease> {
    const sentAt = this.#clock.now()
    const { id, ttl } = await this.#client.call(LEASE_GRANT, { ttl: secondsOf(ms) })
    return new Lease(id, ttl * 1000, sentAt + ttl * 1000, this.#naming.epoch(id))
  }

  /** One that another process has, or that this one knows no more: it is not known how long it lasts. */
  foreign(id: bigint, keptMs: number): Lease {
    return new Lease(id, secondsOf(keptMs) * 1000, 0, this.#naming.epoch(id))
  }

  isFresh({ until, ms }: Lease): boolean {
    return until - this.#clock.now() >= FRESH * ms
  }

  /** Keep it alive. @throws EtcdError `unavailable`: nobody knows; `notFound`: it is gone */
  async beat(lease: Lease): Promise<void> {
    const sentAt = this.#clock.now()
    const seconds = lease.gone ? 0 : await this.#heartbeat.beat(lease.id)
    if (seconds === 0) {
      this.forget(lease)
      throw new EtcdError(GRPC.notFound, 'the lease is gone')
    }
    lease.until = Math.max(lease.until, sentAt + seconds * 1000)
  }

  /** The server does not know it any more. */
  forget(lease: Lease): void {
    if (lease.gone) return
    lease.gone = true
    this.#onGone(lease)
  }

  /**
   * Begin their next epochs: a join that was sent in these puts nothing in any more. `more` is done in the same transaction, so
   * that nothing has to be answered between the two.
   *
   * @returns what came of `more` @throws EtcdError
   */
  async advance(leases: readonly Lease[], more: Operation): Promise<Outcome> {
    const success = leases.flatMap(({ id, epochKey: key }): Operation[] => {
      // One inside the other, as joins are: a store that is full counts only what is put at the top, and takes those all the same.
      const put = { compare: [], success: [{ put: { key, lease: id } }], failure: [] }
      return [{ transaction: put }, { range: { key } }]
    })
    const { outcomes } = await this.#client.call(TXN, { success: [...success, more] })
    for (const [index, lease] of leases.entries())
      lease.epoch = Math.max(lease.epoch, outcomes[2 * index + 1]?.range?.kvs[0]?.version ?? 0)
    return outcomes.at(-1)!
  }

  /** End it, and all that is attached to it. @returns whether it was there */
  async revoke({ id }: Lease): Promise<boolean> {
    try {
      await this.#client.call(LEASE_REVOKE, { id })
      return true
    } catch (error) {
      if (error instanceof EtcdError && error.grpc === GRPC.notFound) return false
      throw error
    }
  }
}

/** etcd counts in whole seconds. */
export function secondsOf(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}
