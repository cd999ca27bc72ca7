/**
 * The queues of all names, as a pure state machine: a verb and a time go in, an answer comes out.
 *
 * This is the reference for every coordinator. `memory:` runs it in the process, `file:` replays it from a log, and the
 * scripts of the servers are tested against it. It reads no clock and draws no random number.
 *
 * What each verb relies on:
 * - The seats of a queue stand in ticket order. The ones that hold are a prefix: the longest whose weights fit into the
 *   capacity. Seats join at the end only, so a position never gets worse.
 * - Every verb prunes first, so an answer never speaks of a seat whose time has ended.
 * - `heldAt` says when a seat came to hold. Nothing decides by it but the lock delay, which is owed only by those who
 *   may have been told that they hold.
 */
import type { Claim, Entry, EntryView, Held, QueueView, Refused, Renewal, Standing } from '../backend.ts'
import { tooHeavy } from './too-heavy.ts'

/** A place in a queue. `until`, `joinedAt` and `heldAt` are points on the coordinator's monotonic clock. */
export interface Seat {
  readonly name: string
  readonly id: string
  fence: number
  weight: number
  readonly ttlMs: number
  readonly waitTtlMs: number
  readonly lockDelayMs: number
  info: string | undefined
  /** Whose end takes the seat with it; a lingering seat belongs to nobody. */
  owner: string | undefined
  until: number
  readonly joinedAt: number
  heldAt: number | undefined
  lingering: boolean
}

export interface Queue {
  readonly name: string
  readonly capacity: number
  readonly seats: Seat[]
  /** How many seats at the front hold, and what they weigh together. */
  holders: number
  heldWeight: number
  /** No seat ends before this: a lower bound, so that most verbs need not look. */
  earliestEnd: number
}

/** The coordinator's time at which a verb takes effect. Monotonic for expiry, wall clock for fences. */
export interface Moment {
  readonly monotonicMs: number
  readonly wallMs: number
}

/** Everything a table knows, in a form that survives JSON. */
export interface TableState {
  readonly lastFence: number
  readonly queues: readonly { readonly name: string; readonly capacity: number; readonly seats: readonly Seat[] }[]
}

const LOST = { state: 'lost' } as const

export class Table {
  /**
   * What changed since the caller last drained these: seats that came to hold, waiting seats that have another seat
   * before them now, first waiters whose holders end sooner than they were told, and names whose holders or their info
   * are others.
   */
  readonly granted: Seat[] = []
  readonly shifted: Seat[] = []
  readonly sooner: Seat[] = []
  readonly changed: Set<string> = new Set()

  /** Whether who stands where, or whose a seat is, may be otherwise than when the caller last set this to false. */
  moved = true

  #lastFence = 0
  readonly #queues = new Map<string, Queue>()
  readonly #seats = new Map<string, Seat>()

  get lastFence(): number {
    return this.#lastFence
  }

  /** Those that linger, too; of one id there may be two. */
  get seatCount(): number {
    return [...this.#queues.values()].reduce((sum, { seats }) => sum + seats.length, 0)
  }

  /** Fences from here on are larger than `floor`, whatever the wall clock says. */
  raiseFence(floor: number): void {
    this.#lastFence = Math.max(this.#lastFence, floor)
  }

  join(entry: Entry, now: Moment, owner?: string): Standing {
    const never = tooHeavy(entry)
    if (never) return never
    const queue = this.#pruned(entry.name, now.monotonicMs)
    const known = this.#seatOf(entry)
    if (known && queue) return standing(queue, known, now.monotonicMs)
    if (queue && queue.capacity !== entry.capacity) return refused('capacity', queue, now.monotonicMs)
    if (queue && !hasRoom(queue, entry.weight)) {
      if (!entry.wait) return refused('held', queue, now.monotonicMs)
      const waiters = queue.seats.length - queue.holders
      if (waiters >= (entry.waitersMax ?? Infinity)) return refused('full', queue, now.monotonicMs)
    }
    const home = queue ?? this.#open(entry.name, entry.capacity)
    const seat = this.#sit(home, entry, now, owner)
    return standing(home, seat, now.monotonicMs)
  }

  /** All of these, if every one of them would hold at once. */
  joinAll(entries: readonly Entry[], now: Moment): readonly Held[] | undefined {
    const fit = entries.every((entry) => {
      if (tooHeavy(entry)) return false
      const queue = this.#pruned(entry.name, now.monotonicMs)
      if (!queue) return true
      const known = this.#seatOf(entry)
      if (known) return known.heldAt !== undefined
      return queue.capacity === entry.capacity && hasRoom(queue, entry.weight)
    })
    return fit ? entries.map((entry) => this.join(entry, now) as Held) : undefined
  }

  renew(claim: Claim, ttlMs: number, now: Moment): Renewal {
    const queue = this.#pruned(claim.name, now.monotonicMs)
    const seat = this.#seatOf(claim)
    if (!queue || !seat) return LOST
    prolong(seat, ttlMs, now.monotonicMs)
    return standing(queue, seat, now.monotonicMs)
  }

  /** `renew` for many entries of one name, by their fences, for a caller who knows that they are its own. */
  renewAll(name: string, fences: readonly number[], ttlMs: number, now: Moment): Renewal[] {
    const queue = this.#pruned(name, now.monotonicMs)
    let index = 0
    return fences.map((fence) => {
      if (queue) index = indexFrom(queue, fence, index)
      const seat = queue && claimed(queue.seats[index], fence)
      if (!seat) return LOST
      prolong(seat, ttlMs, now.monotonicMs)
      return standing(queue, seat, now.monotonicMs, index)
    })
  }

  /** The same, where nobody wants to know where they stand. */
  prolongAll(name: string, fences: readonly number[], ttlMs: number, now: Moment): void {
    const queue = this.#pruned(name, now.monotonicMs)
    if (!queue) return
    let index = 0
    for (const fence of fences) {
      index = indexFrom(queue, fence, index)
      const seat = claimed(queue.seats[index], fence)
      if (seat) prolong(seat, ttlMs, now.monotonicMs)
    }
  }

  leave(claim: Claim, now: Moment, lingerMs = 0): boolean {
    const queue = this.#pruned(claim.name, now.monotonicMs)
    const seat = this.#seatOf(claim)
    if (!queue || !seat) return false
    if (lingerMs > 0 && seat.heldAt !== undefined) {
      this.#linger(seat, now.monotonicMs + lingerMs)
      this.moved = true
      queue.earliestEnd = Math.min(queue.earliestEnd, seat.until)
      this.#hasten(queue)
    } else {
      this.#remove(queue, seat, now.monotonicMs)
    }
    return true
  }

  lighten(claim: Claim, weight: number, now: Moment): Renewal {
    const queue = this.#pruned(claim.name, now.monotonicMs)
    const seat = this.#seatOf(claim)
    if (!queue || !seat) return LOST
    if (seat.heldAt !== undefined && weight < seat.weight) {
      queue.heldWeight -= seat.weight - weight
      seat.weight = weight
      this.#grant(queue, now.monotonicMs)
    }
    return standing(queue, seat, now.monotonicMs)
  }

  describe(claim: Claim, info: string, now: Moment): boolean {
    const queue = this.#pruned(claim.name, now.monotonicMs)
    const seat = this.#seatOf(claim)
    if (!queue || !seat) return false
    seat.info = info
    if (seat.heldAt !== undefined) this.changed.add(queue.name)
    return true
  }

  /** The fence of a holder that stands alone, and drew this ticket, is this one, and all that come are larger. */
  confirm(claim: Claim, drawn: number, fence: number, now: Moment): Renewal {
    const queue = this.#pruned(claim.name, now.monotonicMs)
    const seat = this.#seatOf(claim)
    if (!queue || !seat || queue.seats.length > 1) return LOST
    if (seat.fence !== drawn && seat.fence !== fence) return LOST
    seat.fence = fence
    this.raiseFence(fence)
    return standing(queue, seat, now.monotonicMs)
  }

  /** `join` with a fence that was drawn elsewhere, if nobody is in the queue. */
  seed(entry: Entry, fence: number, now: Moment): Standing {
    const queue = this.#pruned(entry.name, now.monotonicMs)
    const known = this.#seatOf(entry)
    if (queue) return known ? standing(queue, known, now.monotonicMs) : refused('held', queue, now.monotonicMs)
    const home = this.#open(entry.name, entry.capacity)
    const seat = this.#sit(home, entry, now, undefined)
    seat.fence = fence
    this.raiseFence(fence)
    return standing(home, seat, now.monotonicMs)
  }

  evict(name: string, fence: number, now: Moment): boolean {
    const queue = this.#pruned(name, now.monotonicMs)
    const seat = queue?.seats.find((each) => each.fence === fence)
    if (!queue || !seat) return false
    this.#remove(queue, seat, now.monotonicMs)
    return true
  }

  /** `owner` has died: what it had ends now, but for a lock delay. Lingering seats belong to nobody and stay. */
  bury(owner: string, now: Moment): void {
    for (const seat of this.#seats.values())
      if (seat.owner === owner) seat.until = Math.min(seat.until, now.monotonicMs)
    for (const queue of this.#queues.values()) {
      queue.earliestEnd = now.monotonicMs
      this.#prune(queue, now.monotonicMs)
      if (queue.seats[0]?.lingering) this.#hasten(queue)
    }
  }

  /** Remove everything whose time has ended, in all queues. */
  pruneAll(now: Moment): void {
    for (const queue of this.#queues.values()) this.#prune(queue, now.monotonicMs)
  }

  queue(name: string): Readonly<Queue> | undefined {
    return this.#queues.get(name)
  }

  seat(id: string): Readonly<Seat> | undefined {
    return this.#seats.get(id)
  }

  /** What people see at this time. Changes nothing: a replica may only change by its log. */
  *view(prefix: string, now: Moment): Generator<QueueView> {
    for (const name of [...this.#queues.keys()].filter((each) => each.startsWith(prefix)).sort()) {
      const { capacity, seats } = this.#queues.get(name)!
      const alive = seats.filter((seat) => endOf(seat) > now.monotonicMs)
      if (alive.length === 0) continue
      let weight = 0
      const holders = alive.filter((seat) => (weight += seat.weight) <= capacity).length
      const entries = alive.map((seat, index) => view(seat, now.monotonicMs, index < holders))
      yield { name, capacity, holders: entries.slice(0, holders), waiters: entries.slice(holders) }
    }
  }

  dump(): TableState {
    const queues = [...this.#queues.values()].map(({ name, capacity, seats }) => ({ name, capacity, seats }))
    return { lastFence: this.#lastFence, queues }
  }

  static load(state: TableState): Table {
    const table = new Table()
    table.raiseFence(state.lastFence)
    for (const { name, capacity, seats } of state.queues) {
      const queue = table.#open(name, capacity)
      for (const seat of seats) {
        const copy = { ...seat, info: seat.info, owner: seat.owner, heldAt: seat.heldAt }
        queue.seats.push(copy)
        table.#seats.set(copy.id, copy)
        queue.earliestEnd = Math.min(queue.earliestEnd, copy.until)
        if (copy.heldAt === undefined) continue
        queue.holders += 1
        queue.heldWeight += copy.weight
      }
    }
    return table
  }

  #open(name: string, capacity: number): Queue {
    const queue: Queue = { name, capacity, seats: [], holders: 0, heldWeight: 0, earliestEnd: Infinity }
    this.#queues.set(name, queue)
    return queue
  }

  #sit(queue: Queue, entry: Entry, now: Moment, owner: string | undefined): Seat {
    this.#lastFence = Math.max(this.#lastFence + 1, Math.floor(now.wallMs * 1000))
    const seat: Seat = {
      name: entry.name,
      id: entry.id,
      fence: this.#lastFence,
      weight: entry.weight,
      ttlMs: entry.ttlMs,
      waitTtlMs: entry.waitTtlMs,
      lockDelayMs: entry.lockDelayMs ?? 0,
      info: entry.info,
      owner,
      until: now.monotonicMs + Math.min(entry.waitTtlMs, entry.ttlMs),
      joinedAt: now.monotonicMs,
      heldAt: undefined,
      lingering: false,
    }
    queue.seats.push(seat)
    this.#seats.set(seat.id, seat)
    this.moved = true
    this.#grant(queue, now.monotonicMs)
    if (seat.heldAt !== undefined) seat.until = now.monotonicMs + entry.ttlMs
    queue.earliestEnd = Math.min(queue.earliestEnd, seat.until)
    return seat
  }

  /** Whoever fits now holds now. */
  #grant(queue: Queue, nowMs: number): void {
    for (;;) {
      const next = queue.seats[queue.holders]
      if (!next || queue.heldWeight + next.weight > queue.capacity) return
      next.heldAt = nowMs
      this.moved = true
      queue.holders += 1
      queue.heldWeight += next.weight
      this.granted.push(next)
      this.changed.add(queue.name)
    }
  }

  /** The first waiter sleeps until the end that it was told, and that has come closer. */
  #hasten(queue: Queue): void {
    const first = queue.seats[queue.holders]
    if (first) this.sooner.push(first)
  }

  #remove(queue: Queue, seat: Seat, nowMs: number): void {
    this.#forget(queue, seat)
    this.#grant(queue, nowMs)
    if (queue.seats.length === 0) this.#queues.delete(queue.name)
  }

  #forget(queue: Queue, seat: Seat): void {
    const index = indexOf(queue, seat.fence)
    queue.seats.splice(index, 1)
    this.moved = true
    // A join that came twice may have given the id a new seat while this one lingered: that one stays known.
    if (this.#seats.get(seat.id) === seat) this.#seats.delete(seat.id)
    const next = queue.seats[index]
    if (next && next.heldAt === undefined) this.shifted.push(next)
    if (seat.heldAt === undefined) return
    // An eviction prunes first, and that may have let the evicted one hold.
    this.#tellNobody(seat)
    queue.holders -= 1
    queue.heldWeight -= seat.weight
    this.changed.add(queue.name)
  }

  /** From now on it is nobody's; it keeps its place. */
  #linger(seat: Seat, until: number): void {
    seat.lingering = true
    seat.owner = undefined
    seat.until = until
    this.#tellNobody(seat)
  }

  /** It has come to hold, and its owner must not hear of it any more. */
  #tellNobody(seat: Seat): void {
    const granted = this.granted.lastIndexOf(seat)
    if (granted !== -1) this.granted.splice(granted, 1)
  }

  #pruned(name: string, nowMs: number): Queue | undefined {
    const queue = this.#queues.get(name)
    if (!queue) return undefined
    this.#prune(queue, nowMs)
    return queue.seats.length > 0 ? queue : undefined
  }

  #prune(queue: Queue, nowMs: number): void {
    if (nowMs < queue.earliestEnd) return
    for (const seat of queue.seats.filter(({ until }) => until <= nowMs)) {
      // An unclean end of a holder owes the lock delay, counted from that end.
      if (seat.heldAt !== undefined && !seat.lingering) this.#linger(seat, seat.until + seat.lockDelayMs)
      this.moved = true
      if (seat.until <= nowMs) this.#forget(queue, seat)
    }
    this.#grant(queue, nowMs)
    queue.earliestEnd = queue.seats.reduce((earliest, { until }) => Math.min(earliest, until), Infinity)
    if (queue.seats.length === 0) this.#queues.delete(queue.name)
  }

  /** The seat of a claim; a lingering one is nobody's any more. */
  #seatOf(claim: Claim): Seat | undefined {
    const seat = this.#seats.get(claim.id)
    return seat && seat.name === claim.name && !seat.lingering ? seat : undefined
  }
}

/** The seat, if it has this fence and is somebody's. */
function claimed(seat: Seat | undefined, fence: number): Seat | undefined {
  return seat?.fence === fence && !seat.lingering ? seat : undefined
}

function prolong(seat: Seat, ttlMs: number, nowMs: number): void {
  const granted = seat.heldAt === undefined ? Math.min(ttlMs, seat.waitTtlMs) : ttlMs
  // A request that was sent earlier can land later, so a lease is never made shorter.
  seat.until = Math.max(seat.until, nowMs + granted)
}

function hasRoom(queue: Queue, weight: number): boolean {
  return queue.holders === queue.seats.length && queue.heldWeight + weight <= queue.capacity
}

function standing(
  queue: Queue,
  seat: Seat,
  nowMs: number,
  ahead = indexOf(queue, seat.fence),
): Exclude<Standing, Refused> {
  const fence = BigInt(seat.fence)
  const ttlMs = seat.until - nowMs
  if (seat.heldAt !== undefined) return { state: 'held', fence, ttlMs }
  // Only the first waiter has a date: if all had it, an expiry would make all of them ask at once.
  const retryAfterMs = ahead === queue.holders ? firstEnd(queue) - nowMs : ttlMs
  return { state: 'waiting', fence, ttlMs, ahead, retryAfterMs }
}

function refused(reason: Refused['reason'], queue: Queue, nowMs: number): Refused {
  const holder = queue.seats[0]!.info
  return {
    state: 'refused',
    reason,
    retryAfterMs: firstEnd(queue) - nowMs,
    ...(holder === undefined ? {} : { holder }),
    ...(reason === 'capacity' ? { capacity: queue.capacity } : {}),
  }
}

/** When the first of the holders ends if it does not renew, lock delay included. */
function firstEnd(queue: Queue): number {
  let first = Infinity
  for (let index = 0; index < queue.holders; index += 1) first = Math.min(first, endOf(queue.seats[index]!))
  return first
}

/** When a seat is gone if nothing more is heard of it: a holder's lock delay counts from the end of its lease. */
function endOf(seat: Seat): number {
  return seat.until + (seat.heldAt === undefined || seat.lingering ? 0 : seat.lockDelayMs)
}

/** Where the seat with this fence is, if it is there: seats stand in the order of their fences. */
function indexOf(queue: Queue, fence: number): number {
  let low = 0
  let high = queue.seats.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (queue.seats[middle]!.fence < fence) low = middle + 1
    else high = middle
  }
  return low
}

/** The same, for one fence after the other: most often it is the next seat, or the one after. */
function indexFrom(queue: Queue, fence: number, start: number): number {
  for (let index = start; index < start + 4; index += 1) if (queue.seats[index]?.fence === fence) return index
  return indexOf(queue, fence)
}

function view(seat: Seat, nowMs: number, holds: boolean): EntryView {
  return {
    fence: BigInt(seat.fence),
    weight: seat.weight,
    ageMs: nowMs - seat.joinedAt,
    ttlMs: endOf(seat) - nowMs,
    lingering: seat.lingering || seat.until <= nowMs,
    ...(holds ? { heldMs: nowMs - (seat.heldAt ?? nowMs) } : {}),
    ...(seat.info === undefined ? {} : { info: seat.info }),
  }
}
