/**
 * etcd, one member or a cluster: a key an entry, in the order of their create revisions, attached to a lease.
 *
 * A pair of acquire and release is one transaction and one deletion (`joining.ts`, `lane.ts`). Who waits, or holds for longer
 * than a moment, has a copy of the queue that a watch keeps up to date (`copy.ts`), so that a hand-over is one message. How
 * long an entry is kept is `leases.ts` and `seats.ts`.
 */
import type { Backend, Claim, Entry, Finding, Held, QueueView, Refused, Renewal, Standing } from '../../backend.ts'
import type { Supports, Waiting, Wake } from '../../backend.ts'
import { BackendError } from '../../backend.ts'
import { tooHeavy } from '../../queue/too-heavy.ts'
import { ElapsedClock } from '../../elapsed.ts'
import { Wakes } from '../../queue/wakes.ts'
import type { Runtime, Timer } from '../../runtime.ts'
import { EtcdClient } from './client.ts'
import { Copies } from './copies.ts'
import type { Copy, CopyEvents, Place, Snapshot } from './copy.ts'
import { holdersOf } from './copy.ts'
import { diagnose } from './diagnose.ts'
import { EtcdError, GRPC, etcdError, isUnknown } from './errors.ts'
import { Heartbeat } from './heartbeat.ts'
import { capacityOf, deletion, joined, looksNoFurther, question, refusal, roomFor } from './joining.ts'
import { together, togetherAt, wasDeleted, whenHolding, whenWaiting } from './joining.ts'
import type { Joining } from './joining.ts'
import { Naming } from './keys.ts'
import type { Answer, Words } from './lane.ts'
import type { Lease } from './leases.ts'
import { Leases, secondsOf } from './leases.ts'
import type { Compare, Operation, Outcome, PutRequest } from './messages.ts'
import type { Record } from './record.ts'
import { checkVersions, decode, encode, ticket, unchanged } from './record.ts'
import type { Seat } from './seats.ts'
import { Seats, aloneAt, delayOf, foreignSeat, waitMsOf } from './seats.ts'
import { Store } from './store.ts'
import { parseEtcdUrl } from './url.ts'
import { viewsOf } from './views.ts'
import { Watches } from './watches.ts'

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
/** A holder of this age hears of its loss by a watch; before, it costs more than most holds last. */
const WATCHED_FROM_MS = 25
/** The pause before an entry is ended again, when nobody answered. */
const END_AGAIN_MS = 1000
/** How long a keep-alive may take. */
const BEAT_MS = 1000

/** An entry of ours that lingers, and when to end it: sooner than its lease does, which counts in seconds. */
interface Lingering {
  readonly name: string
  readonly key: Buffer
  readonly fence: number
  readonly modRevision: number
  readonly endsAt: number
  /** That of its seat. */
  readonly number: number | undefined
}

export class EtcdBackend implements Backend {
  readonly kind = 'etcd'
  readonly supports: Supports = { queue: true, sharing: 'permits', fence: 'durable', wake: true }

  readonly #client: EtcdClient
  readonly #ownsClient: boolean
  readonly #mode: 'process' | 'entry' | 'observed'
  readonly #naming: Naming
  readonly #runtime: Runtime
  readonly #clock: ElapsedClock
  readonly #heartbeat: Heartbeat
  readonly #watches: Watches
  readonly #leases: Leases
  readonly #store: Store
  readonly #copies: Copies
  readonly #seats: Seats
  readonly #wakes = new Wakes()
  /** Holders that nothing watches yet, the oldest first. */
  readonly #unwatched = new Map<Seat, number>()
  readonly #lingering = new Set<Lingering>()
  /** Ends of what was due that are on their way, by name. */
  readonly #ending = new Map<string, Promise<unknown>>()
  #timer: Timer | undefined
  #timerAt = Infinity
  #closed = false

  constructor(client: EtcdClient, options: EtcdOptions = {}, ownsClient = false) {
    const { keyPrefix = 'holdfast', lease = 'process', interop = false } = options
    for (const option of Object.keys(options))
      if (!OPTIONS.has(option)) throw misconfigured(`there is no option '${option}'`)
    if (!['process', 'entry', 'observed'].includes(lease))
      throw misconfigured("lease must be 'process', 'entry' or 'observed'")
    if (typeof interop !== 'boolean') throw misconfigured('interop must be true or false')
    this.#client = client
    this.#ownsClient = ownsClient
    this.#mode = lease
    this.#runtime = client.runtime
    this.#clock = new ElapsedClock(client.runtime)
    this.#naming = new Naming(keyPrefix, interop)
    this.#heartbeat = new Heartbeat(client, BEAT_MS)
    this.#watches = new Watches(client)
    this.#leases = new Leases(client, this.#naming, this.#heartbeat, this.#clock, (gone) => this.#leaseIsGone(gone))
    this.#seats = new Seats(this.#naming, client.runtime)
    this.#store = new Store(client, this.#naming, this.#leases, this.#clock)
    const parts = {
      naming: this.#naming,
      runtime: client.runtime,
      clock: this.#clock,
      watches: this.#watches,
      read: (name: string) => this.#store.read(name),
      peek: (name: string) => this.#store.peek(name),
    }
    this.#copies = new Copies(parts, (name) => this.#eventsOf(name), lease === 'observed')
  }

  async join(entry: Entry): Promise<Standing> {
    this.#checkOpen()
    const startedAt = this.#clock.now()
    this.#sweep(startedAt)
    if (this.#ending.size > 0) await this.#ending.get(entry.name)
    const known = this.#seats.get(entry)
    if (known?.state === 'standing') {
      const standing = await this.#whereIs(known, startedAt)
      if (standing) return standing
    }
    const never = tooHeavy(entry)
    if (never) return never
    const seat = this.#seats.take(entry)
    try {
      return await this.#join(seat, startedAt)
    } catch (error) {
      // Nobody will ask for it, unless it may have been put in: then it will be left.
      if (seat.state === 'joining' && !seat.isUnknown) this.#forget(seat)
      throw etcdError(error)
    }
  }

  async joinAll(entries: readonly Entry[]): Promise<readonly Held[] | undefined> {
    this.#checkOpen()
    const startedAt = this.#clock.now()
    const names = entries.map(({ name }) => name)
    if (entries.length > TOGETHER_MAX || new Set(names).size < names.length) return undefined
    await Promise.all(names.map((name) => this.#prune(name)))
    const known = entries.flatMap((entry) => this.#seats.get(entry) ?? [])
    if (known.length > 0) {
      const standings = await Promise.all(known.map((seat) => this.#whereIs(seat, startedAt)))
      return standings.length === names.length ? allHeld(standings) : undefined
    }
    const seats = entries.map((entry) => this.#seats.take(entry))
    try {
      return await this.#joinTogether(seats, startedAt)
    } catch (error) {
      for (const seat of seats) if (seat.state === 'joining' && !seat.isUnknown) this.#forget(seat)
      throw etcdError(error)
    }
  }

  renew(claim: Claim, ttlMs: number): Promise<Renewal> {
    return this.#on(claim, LOST, (seat) => this.#renew(seat, ttlMs, this.#clock.now()))
  }

  renewAll(claims: readonly Claim[], ttlMs: number): Promise<Renewal[]> {
    return Promise.all(claims.map((claim) => this.renew(claim, ttlMs)))
  }

  async leave(claim: Claim, { lingerMs = 0 }: { readonly lingerMs?: number } = {}): Promise<boolean> {
    this.#checkOpen()
    this.#sweep()
    const seat = this.#seats.get(claim)
    if (seat && (lingerMs === 0 || seat.state !== 'standing')) return this.#end(seat)
    return this.#on(claim, false, async (mine) => {
      const lingers = lingerMs > 0 && (await this.#whereIs(mine, this.#clock.now()))?.state === 'held'
      return lingers ? this.#linger(mine, lingerMs) : this.#end(mine)
    })
  }

  lighten(claim: Claim, weight: number): Promise<Renewal> {
    return this.#on(claim, LOST, async (seat) => {
      const standing = await this.#whereIs(seat, this.#clock.now())
      if (standing?.state === 'held' && weight < seat.record.weight && !(await this.#write(seat, () => ({ weight }))))
        return LOST
      return standing ?? LOST
    })
  }

  describe(claim: Claim, info: string): Promise<boolean> {
    return this.#on(claim, false, (seat) => this.#write(seat, () => ({ info })))
  }

  async evict(name: string, fence: bigint): Promise<boolean> {
    this.#checkOpen()
    await this.#prune(name)
    try {
      const { places } = await this.#store.persist(() => this.#store.read(name))
      const place = places.find((each) => BigInt(each.fence) === fence)
      if (!place || !(await this.#deleteIf(name, place, ticket(place)))) return false
      const seat = this.#seats.byId(place.id)
      if (seat) this.#isGone(seat)
      return true
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
      this.#release(copy)
    }
  }

  async *inspect(prefix: string): AsyncGenerator<QueueView> {
    this.#checkOpen()
    await this.#prune()
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
    return diagnose(this.#client, this, this.#mode)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    this.#store.close()
    this.#copies.close()
    this.#wakes.clear()
    this.#watches.close()
    this.#heartbeat.close()
    if (this.#ownsClient) this.#client.close()
  }

  // Joining: see `joining.ts`.

  async #join(seat: Seat, startedAt: number): Promise<Standing> {
    const { entry, name } = seat
    const { record } = seat
    let seen: Joining['seen']
    let waitLease: Joining['waitLease']
    let waits = false
    for (;;) {
      seat.lease ??=
        this.#aliveLease(record.keptMs) ?? (await this.#store.persist(() => this.#leaseFor(seat, record.keptMs)))
      if (typeof waitLease === 'object' && waitLease.gone) waitLease = undefined
      if (waits || seen) waitLease = await this.#store.persist(() => this.#waitLease(seat, waitLease))
      let joining!: Joining
      const words = (): Words => {
        const isCopied = this.#copies.get(name) !== undefined
        // Where others are likely it is told at once how it would wait.
        if (isCopied) waitLease ??= this.#aliveWaitLease(seat)
        const asked = seat.isUnknown
        joining = { entry, key: seat.key, record, lease: seat.lease, waitLease, asked, seen }
        const leases = leasesOf(joining)
        for (const lease of leases) seat.askedOn.add(lease)
        return { operation: question(this.#naming, joining, isCopied), leases }
      }
      const answer = await this.#put([seat], words)
      if (!answer) continue
      if (seat.state !== 'joining') throw await leftEarly([seat])
      const came = joined(this.#naming, joining, answer, this.#runtime.monotonicMs())
      if (came.state === 'alone') return this.#seated(seat, came, whenHolding(record), seat.lease, startedAt)
      const { places, revision } = came.snapshot
      checkVersions(places.map(({ record }) => record))
      if (came.state === 'behind') {
        const [is, lease] = seen?.holds ? [whenHolding(record), seat.lease] : [whenWaiting(record, entry), waitLease]
        // The one that it would have held on.
        if (seat.ownsLease && seat.lease && seat.lease !== lease) this.#leases.revoke(seat.lease).catch(() => {})
        return this.#seated(seat, came, is, lease === 'none' ? undefined : lease, startedAt)
      }
      const mine = places.find(({ id }) => id === seat.id)
      if (mine) {
        const { fence, modRevision } = mine
        const found = {
          ...came,
          fence,
          modRevision,
          ahead: places.indexOf(mine),
          holds: holdersOf(places).includes(mine),
        }
        return this.#seated(seat, found, mine.record, this.#leaseOf(mine, leasesOf(joining)), startedAt)
      }
      // What arrived there once more when it was long over: it is ended like any other, and not by us.
      if (places.some(({ key }) => key.equals(seat.key))) this.#seats.move(seat)
      if (await this.#takeOver(name, came)) continue
      const reason = refusal(entry, places)
      if (reason) {
        await this.#keptOut(seat)
        return this.#refused(reason, places)
      }
      if (looksNoFurther(entry)) waits = true
      else seen = { revision, holds: roomFor(entry.weight, places) }
    }
  }

  async #joinTogether(seats: readonly Seat[], startedAt: number): Promise<readonly Held[] | undefined> {
    const records = seats.map(({ record }) => whenHolding(record))
    for (;;) {
      for (const seat of seats) seat.lease ??= await this.#store.persist(() => this.#leaseFor(seat, seat.record.keptMs))
      const leases = [...new Set(seats.flatMap(({ lease }) => lease ?? []))]
      for (const { askedOn, lease } of seats) if (lease) askedOn.add(lease)
      const answer = await this.#put(seats, () => ({ operation: together(this.#naming, seats, records), leases }))
      if (!answer) continue
      const fence = togetherAt(answer, seats)
      if (fence === undefined) {
        await Promise.all(seats.map((seat) => this.#keptOut(seat)))
        return undefined
      }
      if (seats.some(({ state }) => state !== 'joining')) throw await leftEarly(seats)
      const seated = seats.map((seat, index) => this.#seated(seat, { fence }, records[index]!, seat.lease, startedAt))
      return allHeld(await Promise.all(seated))
    }
  }

  /** It was not put in. What was asked for before, and not answered, must not put it in later. @throws BackendError */
  async #keptOut(seat: Seat): Promise<void> {
    if (seat.isUnknown) await this.#end(seat)
    else this.#forget(seat)
  }

  /** Ask for them, until it is answered; `undefined`: a lease was gone, and they must be asked for with another. */
  async #put(seats: readonly Seat[], words: () => Words): Promise<Answer | undefined> {
    const apart = seats.map(({ name }) => name)
    // 1. It is left, which begins the next epoch;  2. so its join does nothing;  3. it must not be sent again, in the new epoch.
    const wanted = (): boolean => seats.every(({ state }) => state === 'joining')
    try {
      return await this.#store.persist(async () => {
        try {
          return await this.#store.join({ apart, words, wanted })
        } catch (error) {
          if (isUnknown(error)) for (const seat of seats) seat.isUnknown = true
          throw error
        }
      }, wanted)
    } catch (error) {
      if (!(error instanceof EtcdError) || error.grpc !== GRPC.notFound) throw error
      for (const seat of seats) if (seat.lease?.gone) seat.lease = undefined
      return undefined
    }
  }

  /** It is in. */
  async #seated(
    seat: Seat,
    { fence, modRevision = fence, holds = true, ahead = 0, snapshot, whole }: Came,
    record: Record,
    lease: Lease | undefined,
    startedAt: number,
  ): Promise<Held | Waiting> {
    seat.fence = fence
    seat.modRevision = modRevision
    seat.holds = holds
    seat.alone = snapshot === undefined
    seat.record = record
    seat.lease = lease
    seat.state = 'standing'
    const wantedMs = holds ? seat.entry.ttlMs : waitMsOf(seat.entry)
    // Whoever holds by what a waiter has written is kept for as long as that says.
    const keptMs = lease ? wantedMs : Math.min(wantedMs, promisedMs(record, seat))
    if (lease && !this.#leases.isFresh(lease)) {
      // Nothing is promised yet, and what has no time left would be swept away meanwhile.
      seat.due = Infinity
      // If nobody can say how long it is, it is as long as was known before.
      await this.#leases.beat(lease).catch(() => {})
      if (seat.state !== 'standing') return endedMeanwhile(seat, ahead)
      seat.due = 0
    }
    this.#promise(seat, startedAt, keptMs)
    if (!holds || this.#copies.get(seat.name)) {
      const copy = (seat.copy ??= this.#copies.use(seat.name, whole ? snapshot : undefined))
      // It may have heard of more than the answer says.
      if (copy.standing && copy.knows(fence + 1))
        return (await this.#whereIs(seat, startedAt)) ?? endedMeanwhile(seat, ahead)
      return standing(seat, startedAt, ahead, this.#retryAfter(copy, ahead))
    }
    this.#unwatched.set(seat, this.#clock.now() + WATCHED_FROM_MS)
    if (this.#unwatched.size === 1) this.#tickAt(this.#clock.now() + WATCHED_FROM_MS)
    return standing(seat, startedAt, ahead, Infinity)
  }

  #refused(reason: Refused['reason'], places: readonly Place[]): Refused {
    const now = this.#clock.now()
    const holders = holdersOf(places)
    const retryAfterMs = Math.min(...holders.map((place) => this.#keptMs(place, now)))
    const holder = places[0]?.record.info
    const capacity = capacityOf(places)
    return {
      state: 'refused',
      reason,
      retryAfterMs,
      ...(holder === undefined ? {} : { holder }),
      ...(reason === 'capacity' && capacity !== undefined ? { capacity } : {}),
    }
  }

  // Standing

  /** What the verbs about an entry have in common: whose it is, and that it is there. */
  async #on<T>(claim: Claim, none: T, verb: (seat: Seat) => Promise<T>): Promise<T> {
    this.#checkOpen()
    this.#sweep()
    const seat = this.#seats.get(claim)
    try {
      if (seat?.state === 'standing') return await verb(seat)
      if (seat) {
        if (seat.state === 'over') this.#forget(seat)
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
    const seat = foreignSeat(name, place, this.#leaseOf(place), this.#clock.now())
    try {
      return await verb(seat)
    } finally {
      this.#forget(seat)
    }
  }

  /** Held or waiting; `undefined`: it is gone. @throws EtcdError */
  async #whereIs(seat: Seat, startedAt: number): Promise<Held | Waiting | undefined> {
    await this.#ending.get(seat.name)
    const copy = this.#copyFor(seat)
    if (!copy.standing || !copy.knows(seat.fence)) await this.#store.persist(() => copy.refresh())
    else if (!seat.holds) await this.#store.persist(() => copy.verify())
    for (;;) {
      const ahead = copy.ahead(seat.fence)
      if (ahead === undefined) {
        this.#isGone(seat)
        return undefined
      }
      seat.holds = ahead < copy.holders.length
      if (seat.holds || !(await this.#takeOver(seat.name)))
        return standing(seat, startedAt, ahead, this.#retryAfter(copy, ahead))
    }
  }

  async #renew(seat: Seat, ttlMs: number, startedAt: number): Promise<Renewal> {
    const where = await this.#whereIs(seat, startedAt)
    if (!where) return LOST
    const askedMs = seat.holds ? ttlMs : Math.min(ttlMs, waitMsOf(seat.entry))
    const keptMs = askedMs + delayOf(seat)
    const heldAt = seat.record.heldAt ?? (seat.holds ? this.#runtime.wallMs() : undefined)
    if (this.#mode === 'observed') {
      // As long as any renewal asks for: another one may be answered before this one is written.
      seat.askedUntil = Math.max(seat.askedUntil, seat.due, startedAt + askedMs)
      const longest = (): number => seat.askedUntil - this.#clock.now() + delayOf(seat)
      if (!(await this.#write(seat, () => ({ keptMs: longest(), heldAt })))) return LOST
    } else {
      const until = Math.max(seat.due, startedAt + askedMs) + delayOf(seat)
      if (seat.lease!.ms < keptMs && !seat.foreign) {
        const longer = await this.#lastingLease(seat, keptMs, until)
        if (!(await this.#write(seat, () => ({ keptMs, heldAt }), longer))) return LOST
      }
      const lease = seat.lease!
      if (lease.until < until) {
        try {
          await this.#leases.beat(lease)
        } catch (error) {
          if (lease.gone) return LOST
          throw error
        }
      }
    }
    if (seat.state !== 'standing') return LOST
    this.#promise(seat, startedAt, askedMs)
    return { ...where, ttlMs: leftOf(seat, startedAt) }
  }

  /** Until when it stands, if it is not renewed. */
  #promise(seat: Seat, startedAt: number, askedMs: number): void {
    const lasting = seat.lease ? seat.lease.until - delayOf(seat) : Infinity
    this.#seats.promise(seat, Math.min(startedAt + askedMs, lasting))
    this.#tickAt(this.#seats.earliest)
  }

  /** When the first of those who hold ends, if it is the next one that asks. */
  #retryAfter(copy: Copy, ahead: number): number {
    const { holders } = copy
    if (ahead !== holders.length) return Infinity
    const now = this.#clock.now()
    return Math.min(...holders.map((place) => this.#keptMs(place, now)))
  }

  /** How long a place stands without renewal, as far as is known here. */
  #keptMs(place: Place, now: number): number {
    const lingering = [...this.#lingering].find(({ fence }) => fence === place.fence)
    if (lingering) return Math.max(0, lingering.endsAt - now)
    const seat = this.#seats.byId(place.id)
    if (seat?.fence === place.fence) return Math.max(0, seat.due + delayOf(seat) - now)
    // A lease is kept alive without a trace in the key.
    const { record, seenAt } = place
    return this.#mode === 'observed'
      ? Math.max(0, record.keptMs - (this.#runtime.monotonicMs() - seenAt))
      : record.keptMs
  }

  /** Write into its key, after what is being written there. `false`: it is gone. @throws EtcdError */
  async #write(seat: Seat, change: () => Partial<Record>, lease?: Lease): Promise<boolean> {
    const revision = await this.#writeAt(seat, change, lease)
    return revision !== undefined
  }

  #writeAt(seat: Seat, change: () => Partial<Record>, lease: Lease | undefined): Promise<number | undefined> {
    const write = async (): Promise<number | undefined> => {
      // With what was not answered. Otherwise: 1. a writer becomes a reader, which is not answered;  2. others come in;  3. its
      // next renewal makes it a writer again.
      seat.unwritten = { ...seat.unwritten, ...change() }
      const record = { ...seat.record, ...seat.unwritten }
      const keeps = lease ? { lease: lease.id } : seat.lease ? { ignoreLease: true } : {}
      const revision = await this.#writeOver(seat, { value: encode(record), ...keeps })
      if (revision === undefined) {
        this.#isGone(seat)
        return undefined
      }
      seat.record = record
      seat.unwritten = {}
      if (lease) seat.lease = lease
      this.#copies.get(seat.name)?.amend(seat.fence, revision, record)
      return revision
    }
    const written = seat.writing.then(write, write)
    seat.writing = written.catch(() => {})
    return written
  }

  /** Over what it has written itself since, unanswered. @returns at which revision; `undefined`: it is gone @throws EtcdError */
  async #writeOver(seat: Seat, put: Partial<PutRequest>): Promise<number | undefined> {
    for (;;) {
      const written = await this.#store.write(seat, put)
      if (typeof written === 'number') return (seat.modRevision = written)
      const { kv } = written
      if (kv?.createRevision !== seat.fence || decode(kv.value).lingering) return undefined
      seat.modRevision = kv.modRevision
    }
  }

  // Ending

  /**
   * Once at a time. Otherwise: 1. its time is over, and it is deleted;  2. it is left, and its deletion is asked for again;
   * 3. the first one is answered, and another entry gets the key;  4. the second one deletes that.
   *
   * @returns whether it was there @throws BackendError
   */
  #end(seat: Seat): Promise<boolean> {
    if (seat.state === 'over') {
      this.#forget(seat)
      return Promise.resolve(false)
    }
    seat.ending ??= this.#endNow(seat).finally(() => (seat.ending = undefined))
    return seat.ending
  }

  async #endNow(seat: Seat): Promise<boolean> {
    const { name, lease, state } = seat
    // If its join is answered at all, then later.
    if (state === 'joining') seat.isUnknown = true
    seat.state = 'leaving'
    this.#unwatched.delete(seat)
    try {
      const there = await (seat.ownsLease && lease ? this.#endOwn(seat, lease) : this.#endShared(seat))
      this.#copies.get(name)?.remove(seat.fence)
      this.#forget(seat)
      return there
    } catch (error) {
      this.#endAgain(seat)
      throw etcdError(error)
    }
  }

  /** Nobody keeps it alive by mistake: it is ended again, until that is answered. */
  #endAgain(seat: Seat): void {
    seat.due = this.#clock.now() + END_AGAIN_MS
    this.#seats.promise(seat, seat.due)
    this.#tickAt(seat.due)
  }

  async #endShared(seat: Seat): Promise<boolean> {
    if (!seat.isUnknown || seat.askedOn.size === 0) return this.#delete(seat)
    const advanced = await this.#keepOut(seat, deletion(seat))
    return advanced ? wasDeleted(advanced) : this.#store.deleteOwn(seat)
  }

  /**
   * A join of which nobody knows puts nothing in any more, on none of the leases that it asked for: the epoch of a lease ends with
   * it, and is then that of one which nobody has ever left. @returns what came of `more`, if there is one @throws EtcdError
   */
  async #keepOut({ isUnknown, askedOn }: Seat, more: Operation): Promise<Outcome | undefined> {
    for (;;) {
      // Nothing will be attached to one that is gone.
      const leases = [...askedOn].filter(({ gone }) => !gone)
      if (!isUnknown || leases.length === 0) return undefined
      try {
        return await this.#store.persist(() => this.#leases.advance(leases, more))
      } catch (error) {
        if (!(error instanceof EtcdError) || error.grpc !== GRPC.notFound) throw error
        await Promise.allSettled(leases.map((lease) => this.#leases.beat(lease)))
        if (!leases.some(({ gone }) => gone)) throw error
      }
    }
  }

  /** With the key, for a renewal that is on its way may have put it on another lease. @throws EtcdError */
  async #endOwn(seat: Seat, lease: Lease): Promise<boolean> {
    const deleted = this.#delete(seat)
    // A join that nobody knows of could still come.
    if (!seat.isUnknown) await deleted
    const leases = [...new Set([lease, ...seat.askedOn])]
    const revoked = Promise.all(leases.map((each) => this.#store.persist(() => this.#leases.revoke(each))))
    if (!seat.isUnknown) revoked.catch(() => {})
    else await Promise.all([deleted, revoked])
    return deleted
  }

  #delete(seat: Seat): Promise<boolean> {
    // What may arrive later must not meet another entry there.
    return this.#store.delete(seat, () => this.#seats.giveUp(seat))
  }

  /** Delete a place if a condition is met. @returns whether it was @throws EtcdError */
  async #deleteIf(name: string, place: Pick<Place, 'key' | 'fence'>, condition: Partial<Compare>): Promise<boolean> {
    const deleted = await this.#store.deleteIf(place, condition)
    if (deleted) this.#copies.get(name)?.remove(place.fence)
    return deleted
  }

  /** It stands so much longer, and is nobody's. */
  async #linger(seat: Seat, lingerMs: number): Promise<boolean> {
    const endsAt = this.#clock.now() + lingerMs
    const { name, key, fence, lease, ownsLease } = seat
    // While it stands, such a join finds it.
    if (!ownsLease) await this.#keepOut(seat, { range: { key } })
    // Also where entries have none: nobody keeps this one alive, so a leader that comes back cannot end it too early. Without it,
    // what lingers would outlive its process until somebody waits, and `once` only tries.
    const own = await this.#store.persist(() => this.#leases.own(lingerMs))
    const modRevision = await this.#writeAt(seat, () => ({ lingering: true, keptMs: lingerMs }), own)
    if (modRevision === undefined) return false
    const number = this.#seats.leaveBehind(seat)
    this.#forget(seat)
    if (ownsLease && lease) this.#leases.revoke(lease).catch(() => {})
    this.#lingering.add({ name, key, fence, modRevision, endsAt, number })
    this.#tickAt(endsAt)
    return true
  }

  /** Somebody or something else has ended it. */
  #isGone(seat: Seat): void {
    // One whose deletion is on its way keeps its key until that is answered, or the deletion would meet another entry there.
    if (seat.state === 'over' || seat.ending) return
    const { alarm, id } = seat
    seat.state = 'over'
    this.#unwatched.delete(seat)
    // It may have been asked for twice, and come once more.
    this.#keepOut(seat, deletion(seat)).catch(() => {})
    // It stays until that has been said.
    this.#wakes.wake(id)
    alarm?.()
  }

  #leaseIsGone(lease: Lease): void {
    for (const seat of this.#seats.all()) if (seat.lease === lease && seat.state === 'standing') this.#isGone(seat)
  }

  #forget(seat: Seat): void {
    this.#seats.end(seat)
    this.#unwatched.delete(seat)
    if (seat.copy) this.#release(seat.copy)
    seat.copy = undefined
  }

  /** What has come to its end is ended, and awaited where an answer depends on it. */
  async #prune(name?: string): Promise<void> {
    this.#sweep()
    if (this.#ending.size === 0) return
    await (name === undefined ? Promise.all(this.#ending.values()) : this.#ending.get(name))
  }

  #sweep(now: number = this.#clock.now()): void {
    const due = this.#seats.due(now)
    // Whoever holds is told first: it may not have looked at its clock since that was set ahead.
    for (const { alarm } of due) alarm?.()
    for (const seat of due) {
      if (seat.state === 'over') {
        this.#forget(seat)
        continue
      }
      const delayMs = seat.holds && seat.state === 'standing' ? seat.due + delayOf(seat) - now : 0
      this.#endLater(seat.name, async () => {
        if (delayMs <= 0) return this.#end(seat)
        seat.state = 'leaving'
        return this.#linger(seat, delayMs).catch(() => this.#endAgain(seat))
      })
    }
    for (const each of this.#lingering) {
      if (each.endsAt > now) continue
      this.#lingering.delete(each)
      this.#endLater(each.name, async () => {
        await this.#deleteIf(each.name, each, unchanged(each))
        this.#seats.free(each.name, each.number)
      })
    }
  }

  #endLater(name: string, end: () => Promise<unknown>): void {
    const ended: Promise<unknown> = Promise.all([this.#ending.get(name), end().catch(() => {})]).then(() => {
      if (this.#ending.get(name) === ended) this.#ending.delete(name)
    })
    this.#ending.set(name, ended)
  }

  /** What was not changed for as long as it said is nobody's, where entries have no lease. @returns whether there was any */
  async #takeOver(name: string, seen: Pick<Came, 'snapshot' | 'whole'> = {}): Promise<boolean> {
    if (this.#mode !== 'observed') return false
    const copy = this.#copies.use(name, seen.whole ? seen.snapshot : undefined)
    try {
      // Not by the elapsed clock: a jump of it ends what is ours, and not what others hold.
      const now = this.#runtime.monotonicMs()
      const stale = copy.holders.filter(({ record, seenAt }) => now - seenAt >= record.keptMs)
      const ended = await Promise.all(stale.map((place) => this.#deleteIf(name, place, unchanged(place))))
      return ended.some(Boolean)
    } finally {
      this.#release(copy)
    }
  }

  #copyFor(seat: Seat): Copy {
    if (!seat.copy) {
      this.#unwatched.delete(seat)
      seat.copy = this.#copies.use(seat.name, aloneAt(seat, this.#runtime.monotonicMs()), true)
    }
    return seat.copy
  }

  #release(copy: Copy): void {
    this.#tickAt(this.#copies.release(copy))
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
        if (seat?.state === 'standing' && seat.fence === fence) this.#isGone(seat)
      },
      read: ({ revision, places }) => {
        // Also what was never heard of: it may have come and gone while nobody watched.
        for (const seat of this.#seats.all()) {
          const isOlder = seat.name === name && seat.state === 'standing' && seat.fence <= revision
          if (isOlder && !places.some(({ fence }) => fence === seat.fence)) this.#isGone(seat)
        }
      },
      changed: () => this.#wakes.change(name),
    }
  }

  // Leases

  async #leaseFor(seat: Seat, ms: number): Promise<Lease | undefined> {
    switch (this.#mode) {
      case 'process':
        return this.#leases.shared(ms)
      case 'entry':
        seat.ownsLease = true
        return this.#leases.own(ms)
      case 'observed':
        return undefined
    }
  }

  /**
   * One that lasts until then, before an entry is put on it. Otherwise: 1. a lease that nobody has needed for a while has a moment
   * left;  2. an entry is put on it, which is not answered;  3. it ends with that moment, though its holder was promised more.
   */
  async #lastingLease(seat: Seat, ms: number, until: number): Promise<Lease> {
    for (;;) {
      const lease = (await this.#store.persist(() => this.#leaseFor(seat, ms)))!
      try {
        if (lease.until < until) await this.#leases.beat(lease)
        return lease
      } catch (error) {
        if (!lease.gone) throw error
      }
    }
  }

  #aliveLease(ms: number): Lease | undefined {
    return this.#mode === 'process' ? this.#leases.alive(ms) : undefined
  }

  /** What a waiter is kept by. */
  async #waitLease(seat: Seat, known: Joining['waitLease']): Promise<Joining['waitLease']> {
    if (this.#mode === 'observed') return 'none'
    const ms = waitMsOf(seat.entry)
    if (this.#mode === 'process') return this.#leases.shared(ms)
    // A key has one lease, and who waits is kept for less.
    if (seat.lease!.ms <= secondsOf(ms) * 1000) return seat.lease
    return typeof known === 'object' && !known.gone ? known : this.#leases.own(ms)
  }

  /** What a place is attached to, among these or another one. */
  #leaseOf({ lease: id, record }: Place, known: readonly Lease[] = []): Lease | undefined {
    if (id === 0n) return undefined
    return known.find((lease) => lease.id === id) ?? this.#leases.foreign(id, record.keptMs)
  }

  /** The same, if it costs nothing; `undefined`: look first. */
  #aliveWaitLease({ entry, lease }: Seat): Joining['waitLease'] {
    if (!entry.wait) return undefined
    if (this.#mode === 'observed') return 'none'
    const ms = waitMsOf(entry)
    if (this.#mode === 'process') return this.#aliveLease(ms)
    return lease!.ms <= secondsOf(ms) * 1000 ? lease : undefined
  }

  // Time

  #tickAt(at: number): void {
    if (at >= this.#timerAt || this.#closed) return
    this.#timer?.cancel()
    this.#timerAt = at
    this.#timer = this.#runtime.after(at - this.#clock.now(), () => this.#tick())
  }

  #tick(): void {
    this.#timerAt = Infinity
    this.#sweep()
    const now = this.#clock.now()
    let next = this.#seats.earliest
    for (const [seat, at] of this.#unwatched) {
      if (at > now) {
        next = Math.min(next, at)
        break
      }
      this.#copyFor(seat)
    }
    for (const { endsAt } of this.#lingering) next = Math.min(next, endsAt)
    this.#tickAt(Math.min(next, this.#copies.tidy(now)))
  }

  #checkOpen(): void {
    if (this.#closed) throw new BackendError('CLOSED', 'this etcd backend was closed')
  }
}

/** What is known of an entry that has come in. */
interface Came {
  readonly fence: number
  readonly modRevision?: number
  readonly holds?: boolean
  readonly ahead?: number
  readonly snapshot?: Snapshot
  readonly whole?: boolean
}

const OPTIONS: ReadonlySet<string> = new Set<keyof EtcdOptions>(['keyPrefix', 'lease', 'interop'])
const LOST = { state: 'lost' } as const

function standing(seat: Seat, startedAt: number, ahead: number, retryAfterMs: number): Held | Waiting {
  const fence = BigInt(seat.fence)
  const ttlMs = leftOf(seat, startedAt)
  if (seat.holds) return { state: 'held', fence, ttlMs }
  return { state: 'waiting', fence, ttlMs, ahead, retryAfterMs: Math.min(retryAfterMs, ttlMs) }
}

/** For how long others let stand what has written this, before any lock delay. */
function promisedMs({ keptMs, heldAt }: Record, seat: Seat): number {
  return heldAt === undefined ? keptMs : keptMs - delayOf(seat)
}

/** Counted from then, and rounded down. */
function leftOf({ due }: Seat, startedAt: number): number {
  return Math.floor(due - startedAt)
}

function leasesOf({ lease, waitLease }: Joining): Lease[] {
  return [lease, waitLease].filter((each) => typeof each === 'object')
}

function allHeld(standings: readonly (Held | Waiting | undefined)[]): readonly Held[] | undefined {
  const held = standings.flatMap((each) => (each?.state === 'held' ? each : []))
  return held.length === standings.length ? held : undefined
}

/**
 * It has come in, and must be left once more, when the first time is over. Otherwise: 1. it is left before it came in, which
 * finds nothing;  2. it comes in, and that is answered first;  3. it is left again, which is taken for the same as 1.
 */
async function leftEarly(seats: readonly Seat[]): Promise<BackendError> {
  await Promise.allSettled(seats.flatMap(({ ending }) => ending ?? []))
  return new BackendError('UNAVAILABLE', 'etcd: it left before its join was answered')
}

function misconfigured(text: string): BackendError {
  return new BackendError('MISCONFIGURED', text)
}

/** It came in, and was ended before that was answered: it lasts no longer, and whoever wants it comes again. */
function endedMeanwhile({ holds, fence }: Seat, ahead: number): Held | Waiting {
  const ended = { fence: BigInt(fence), ttlMs: 0 }
  return holds ? { state: 'held', ...ended } : { state: 'waiting', ...ended, ahead, retryAfterMs: 0 }
}
