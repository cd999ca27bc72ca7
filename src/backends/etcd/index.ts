/**
 * etcd, one member or a cluster: a key an entry, in the order of their create revisions, attached to a lease.
 *
 * A pair of acquire and release is one transaction and one deletion (`joining.ts`, `lane.ts`). Who waits, or holds for longer
 * than a moment, has a copy of the queue that a watch keeps up to date (`copy.ts`), so that a hand-over is one message. How
 * an entry comes in is `joins.ts`, where it stands `standings.ts`, how it ends `endings.ts`, and how long it is kept
 * `keeping.ts`, `leases.ts` and `seats.ts`.
 */
import type { Backend, Claim, Entry, Finding, Held, QueueView, Renewal, Standing } from '../../backend.ts'
import type { Supports, Wake } from '../../backend.ts'
import { BackendError } from '../../backend.ts'
import { ElapsedClock } from '../../elapsed.ts'
import { tooHeavy } from '../../queue/too-heavy.ts'
import { Wakes } from '../../queue/wakes.ts'
import { EtcdClient } from './client.ts'
import { Copies } from './copies.ts'
import type { CopyEvents, CopyParts, Snapshot } from './copy.ts'
import { diagnose } from './diagnose.ts'
import { Endings } from './endings.ts'
import { etcdError } from './errors.ts'
import { Heartbeat } from './heartbeat.ts'
import { Joins, allHeld } from './joins.ts'
import { Keeping, MODES } from './keeping.ts'
import { Naming } from './keys.ts'
import { Leases } from './leases.ts'
import type { Seat } from './seats.ts'
import { Seats, foreignSeat } from './seats.ts'
import { LOST, Standings } from './standings.ts'
import { Store } from './store.ts'
import { Tick } from './tick.ts'
import { parseEtcdUrl } from './url.ts'
import { viewsOf } from './views.ts'
import { Watches } from './watches.ts'
import { Writer } from './writer.ts'

export type { ClientOptions, UserOperation, UserOutcome, UserTransaction } from './client.ts'
export { EtcdClient } from './client.ts'

export interface EtcdOptions {
  /** What all keys begin with. Default `'holdfast'`. */
  readonly keyPrefix?: string
  /**
   * What keeps an entry. `'process'`: one lease of etcd for all entries of this process that are kept equally long. `'entry'`: a
   * lease each, so that the loss of one is not the loss of all; four calls a pair in place of two. `'observed'`: no lease;
   * whoever waits takes over what has not changed for its ttl on the waiter's own clock. Survives a leader of etcd that stood
   * still and comes back; costs a write for each renewal. Default `'process'`.
   */
  readonly lease?: 'process' | 'entry' | 'observed'
  /**
   * Locks are folders at the top, as those of `etcdctl lock` and of Go's `concurrency.Mutex` are, and those and ours exclude
   * each other. Default `false`.
   */
  readonly interop?: boolean
}

/**
 * A coordinator on etcd.
 *
 * @param client stays yours; `close()` leaves it open
 * @throws BackendError `MISCONFIGURED` if `options` make no sense
 * @example
 * ```ts
 * import { connect } from 'holdfast'
 * import { EtcdClient, etcd } from 'holdfast/etcd'
 *
 * const client = new EtcdClient({ endpoints: ['http://127.0.0.1:2379'] })
 * const locks = connect(etcd(client))
 * ```
 */
export function etcd(client: EtcdClient, options: EtcdOptions = {}): EtcdBackend {
  if (!(client instanceof EtcdClient)) throw misconfigured('etcd() takes the EtcdClient that holdfast/etcd exports')
  return new EtcdBackend(client, options)
}

/**
 * A coordinator at an address: `etcd://a:2379,b:2379,c:2379`. The client is one of our own; `close()` ends it.
 *
 * @throws BackendError `MISCONFIGURED` if the address is wrong
 */
export function etcdAt(url: string, options: EtcdOptions = {}): EtcdBackend {
  const location = parseEtcdUrl(url)
  return new EtcdBackend(new EtcdClient(location.client), { ...location.options, ...options }, true)
}

/** A transaction has a limit, and each name has conditions of its own. */
const TOGETHER_MAX = 32
/** How long a keep-alive may take. */
const BEAT_MS = 1000

export class EtcdBackend implements Backend {
  readonly kind = 'etcd'
  readonly supports: Supports = { queue: true, sharing: 'permits', fence: 'durable', wake: true }

  readonly #client: EtcdClient
  readonly #ownsClient: boolean
  readonly #naming: Naming
  readonly #clock: ElapsedClock
  readonly #ticks: Tick
  readonly #heartbeat: Heartbeat
  readonly #watches: Watches
  readonly #store: Store
  readonly #keeping: Keeping
  readonly #seats: Seats
  readonly #copies: Copies
  readonly #writer: Writer
  readonly #wakes = new Wakes()
  readonly #endings: Endings
  readonly #standings: Standings
  readonly #joins: Joins
  #closed = false

  constructor(client: EtcdClient, options: EtcdOptions = {}, ownsClient = false) {
    const { keyPrefix = 'holdfast', lease = 'process', interop = false } = options
    for (const option of Object.keys(options))
      if (!OPTIONS.has(option)) throw misconfigured(`there is no option '${option}'`)
    if (!MODES.includes(lease)) throw misconfigured("lease must be 'process', 'entry' or 'observed'")
    if (typeof interop !== 'boolean') throw misconfigured('interop must be true or false')
    const { runtime } = client
    const clock = new ElapsedClock(runtime)
    const naming = new Naming(keyPrefix, interop)
    this.#client = client
    this.#ownsClient = ownsClient
    this.#naming = naming
    this.#clock = clock
    this.#ticks = new Tick(runtime, clock, () => this.#tick())
    this.#heartbeat = new Heartbeat(client, BEAT_MS)
    this.#watches = new Watches(client)
    const leases = new Leases(client, naming, this.#heartbeat, clock, (gone) => this.#endings.leaseIsGone(gone))
    const store = new Store(client, naming, leases, clock)
    const read = (name: string): Promise<Snapshot> => store.read(name)
    const peek: CopyParts['peek'] = (name) => store.peek(name)
    const copyParts = { naming, runtime, clock, watches: this.#watches, read, peek }
    this.#store = store
    this.#keeping = new Keeping(lease, leases, store)
    this.#seats = new Seats(naming, runtime)
    this.#copies = new Copies(copyParts, this.#ticks, (name) => this.#eventsOf(name), lease === 'observed')
    this.#writer = new Writer(store, this.#copies, (seat) => this.#endings.isGone(seat))
    const parts = {
      naming,
      runtime,
      clock,
      tick: this.#ticks,
      store,
      leases,
      keeping: this.#keeping,
      seats: this.#seats,
      copies: this.#copies,
      writer: this.#writer,
      wakes: this.#wakes,
    }
    this.#endings = new Endings(parts)
    this.#standings = new Standings(parts, this.#endings)
    this.#joins = new Joins(parts, this.#endings, this.#standings)
  }

  async join(entry: Entry): Promise<Standing> {
    this.#checkOpen()
    const startedAt = this.#clock.now()
    this.#endings.sweep(startedAt)
    const ending = this.#endings.of(entry.name)
    if (ending) await ending
    const known = this.#seats.get(entry)
    if (known?.state === 'standing') {
      const standing = await this.#standings.whereIs(known, startedAt)
      if (standing) return standing
    }
    const never = tooHeavy(entry)
    if (never) return never
    return this.#joins.join(entry, startedAt)
  }

  async joinAll(entries: readonly Entry[]): Promise<readonly Held[] | undefined> {
    this.#checkOpen()
    const startedAt = this.#clock.now()
    const names = entries.map(({ name }) => name)
    if (entries.length > TOGETHER_MAX || new Set(names).size < names.length) return undefined
    await Promise.all(names.map((name) => this.#endings.prune(name)))
    const known = entries.flatMap((entry) => this.#seats.get(entry) ?? [])
    if (known.length > 0) {
      const standings = await Promise.all(known.map((seat) => this.#standings.whereIs(seat, startedAt)))
      return standings.length === names.length ? allHeld(standings) : undefined
    }
    return this.#joins.joinAll(entries, startedAt)
  }

  renew(claim: Claim, ttlMs: number): Promise<Renewal> {
    return this.#on(claim, LOST, (seat) => this.#standings.renew(seat, ttlMs, this.#clock.now()))
  }

  renewAll(claims: readonly Claim[], ttlMs: number): Promise<Renewal[]> {
    return Promise.all(claims.map((claim) => this.renew(claim, ttlMs)))
  }

  async leave(claim: Claim, { lingerMs = 0 }: { readonly lingerMs?: number } = {}): Promise<boolean> {
    this.#checkOpen()
    this.#endings.sweep()
    const seat = this.#seats.get(claim)
    if (seat && (lingerMs === 0 || seat.state !== 'standing')) return this.#endings.end(seat)
    return this.#on(claim, false, async (mine) => {
      const lingers = lingerMs > 0 && (await this.#standings.whereIs(mine, this.#clock.now()))?.state === 'held'
      return lingers ? this.#endings.linger(mine, lingerMs) : this.#endings.end(mine)
    })
  }

  lighten(claim: Claim, weight: number): Promise<Renewal> {
    return this.#on(claim, LOST, async (seat) => {
      const standing = await this.#standings.whereIs(seat, this.#clock.now())
      const isLess = standing?.state === 'held' && weight < seat.record.weight
      if (isLess && (await this.#writer.write(seat, () => ({ weight }))) === undefined) return LOST
      return standing ?? LOST
    })
  }

  describe(claim: Claim, info: string): Promise<boolean> {
    return this.#on(claim, false, async (seat) => (await this.#writer.write(seat, () => ({ info }))) !== undefined)
  }

  async evict(name: string, fence: bigint): Promise<boolean> {
    this.#checkOpen()
    await this.#endings.prune(name)
    try {
      const { places } = await this.#store.persist(() => this.#store.read(name))
      const place = places.find((each) => BigInt(each.fence) === fence)
      return place !== undefined && (await this.#endings.evict(name, place))
    } catch (error) {
      throw etcdError(error)
    }
  }

  watch(claim: Claim, wake: Wake): () => void {
    return this.#wakes.watch(claim.id, wake)
  }

  attend(claim: Claim, alarm: () => void): () => void {
    const seat = this.#seats.get(claim)
    if (!seat) return () => {}
    seat.alarm = alarm
    return () => (seat.alarm = undefined)
  }

  keyOf(claim: Claim): string | undefined {
    return this.#seats.get(claim)?.key.toString()
  }

  async follow(name: string, wake: () => void): Promise<() => void> {
    if (this.#closed) return () => {}
    const unfollow = this.#wakes.follow(name, wake)
    const copy = this.#copies.use(name)
    let done = false
    return () => {
      if (done) return
      done = true
      unfollow()
      this.#copies.release(copy)
    }
  }

  async *inspect(prefix: string): AsyncGenerator<QueueView> {
    this.#checkOpen()
    await this.#endings.prune()
    const keptMs = (id: string): number | undefined => {
      const seat = this.#seats.byId(id)
      return seat?.state === 'standing' ? seat.due - this.#clock.now() : undefined
    }
    try {
      yield* viewsOf(this.#client, this.#naming, prefix, keptMs)
    } catch (error) {
      throw etcdError(error)
    }
  }

  async diagnose(): Promise<readonly Finding[]> {
    this.#checkOpen()
    return diagnose(this.#client, this, this.#keeping.mode)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#ticks.close()
    this.#store.close()
    this.#copies.close()
    this.#wakes.clear()
    this.#watches.close()
    this.#heartbeat.close()
    if (this.#ownsClient) this.#client.close()
  }

  /** What the verbs about an entry have in common: whose it is, and that it is there. */
  async #on<T>(claim: Claim, none: T, verb: (seat: Seat) => Promise<T>): Promise<T> {
    this.#checkOpen()
    this.#endings.sweep()
    const seat = this.#seats.get(claim)
    try {
      if (seat?.state === 'standing') return await verb(seat)
      if (seat) {
        if (seat.state === 'over') this.#endings.forget(seat)
        return none
      }
      return await this.#onForeign(claim, none, verb)
    } catch (error) {
      throw etcdError(error)
    }
  }

  /** Another process has put it in, and whoever knows its id may speak for it. */
  async #onForeign<T>({ name, id }: Claim, none: T, verb: (seat: Seat) => Promise<T>): Promise<T> {
    const { places } = await this.#store.persist(() => this.#store.read(name))
    const place = places.find((each) => each.id === id)
    if (!place || place.record.lingering) return none
    const seat = foreignSeat(name, place, this.#keeping.leaseOf(place), this.#clock.now())
    try {
      return await verb(seat)
    } finally {
      this.#endings.forget(seat)
    }
  }

  #eventsOf(name: string): CopyEvents {
    return {
      holds: ({ id, fence }) => {
        const seat = this.#seats.byId(id)
        if (seat?.fence === fence) seat.holds = true
        this.#wakes.wake(id, { held: BigInt(fence) })
      },
      gone: ({ id, fence }) => {
        const seat = this.#seats.byId(id)
        // An older one of the same owner token may have come in and gone before that was answered.
        if (seat?.state === 'standing' && seat.fence === fence) this.#endings.isGone(seat)
      },
      read: ({ revision, places }) => {
        // Also what was never heard of: it may have come and gone while nobody watched.
        for (const seat of this.#seats.all()) {
          const isOlder = seat.name === name && seat.state === 'standing' && seat.fence <= revision
          if (isOlder && !places.some(({ fence }) => fence === seat.fence)) this.#endings.isGone(seat)
        }
      },
      changed: () => this.#wakes.change(name),
    }
  }

  /** What is due. @returns when the next is */
  #tick(): number {
    const next = this.#endings.sweep()
    const now = this.#clock.now()
    return Math.min(next, this.#standings.watch(now), this.#copies.tidy(now))
  }

  #checkOpen(): void {
    if (this.#closed) throw new BackendError('CLOSED', 'this etcd backend was closed')
  }
}

const OPTIONS: ReadonlySet<string> = new Set<keyof EtcdOptions>(['keyPrefix', 'lease', 'interop'])

function misconfigured(text: string): BackendError {
  return new BackendError('MISCONFIGURED', text)
}
