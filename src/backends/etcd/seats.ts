/**
 * The entries that this process has put in, and until when each is promised to stand.
 *
 * All that share a lease are kept alive together, also one that nobody renews. So it is this process that ends an entry at its
 * time, to the millisecond; the lease ends those of a process that is no more.
 */
import type { Claim, Entry } from '../../backend.ts'
import { FleetingMap } from '../../fleeting.ts'
import type { Runtime } from '../../runtime.ts'
import type { Copy, Place, Snapshot } from './copy.ts'
import type { Naming } from './keys.ts'
import { classOf } from './keys.ts'
import type { Lease } from './leases.ts'
import type { Record } from './record.ts'

export interface Seat extends Claim {
  readonly entry: Entry
  /** Its number among those of its name; another process's has none. */
  number: number | undefined
  key: Buffer
  record: Record
  /** Its ticket; 0 until it is known. */
  fence: number
  /** The revision of the last change of its key that is known. */
  modRevision: number
  /** Of a client-observed one there is none. */
  lease: Lease | undefined
  /** Another process has put it in. */
  readonly foreign: boolean
  /** Nobody else's entries are on the lease. */
  ownsLease: boolean
  /** What tells of its queue; a short hold does without. */
  copy: Copy | undefined
  /** Nobody was there when it joined. */
  alone: boolean
  /** By the elapsed clock: until then it is promised to stand, if it is not renewed. */
  due: number
  /** The same, if all renewals are answered that were asked for. */
  askedUntil: number
  holds: boolean
  /** `leaving`: its end was asked for and not answered. `over`: it is nobody's any more. */
  state: 'joining' | 'standing' | 'leaving' | 'over'
  /** A join was sent, and nobody knows what became of it. */
  isUnknown: boolean
  /** The leases whose epochs its joins asked for. */
  readonly askedOn: Set<Lease>
  /** Its end, while that is on its way. */
  ending: Promise<boolean> | undefined
  /** What is written into its key, one after the other. */
  writing: Promise<unknown>
  /** What was to be written of its record, while that is not answered. */
  unwritten: Partial<Record>
  /** Who wants to hear that it may be gone. */
  alarm: (() => void) | undefined
}

/** One that is about to join. @param joinedAt by the wall clock */
function newSeat(entry: Entry, joinedAt: number): Seat {
  const { name, id, weight, capacity, info, ttlMs, lockDelayMs = 0 } = entry
  return {
    name,
    id,
    entry,
    number: undefined,
    key: NOWHERE,
    record: { id, weight, capacity, info, keptMs: ttlMs + lockDelayMs, joinedAt },
    fence: 0,
    modRevision: 0,
    lease: undefined,
    foreign: false,
    ownsLease: false,
    copy: undefined,
    alone: false,
    due: 0,
    askedUntil: 0,
    holds: false,
    state: 'joining',
    isUnknown: false,
    askedOn: new Set(),
    ending: undefined,
    writing: Promise.resolve(),
    unwritten: {},
    alarm: undefined,
  }
}

/** One that another process has put in. Its lease is that one's, and will not be another. */
export function foreignSeat(
  name: string,
  { id, key, fence, modRevision, record }: Place,
  lease: Lease | undefined,
  now: number,
): Seat {
  const { weight, capacity, keptMs } = record
  const entry = { name, id, weight, capacity, ttlMs: keptMs, waitTtlMs: keptMs, wait: true }
  return {
    name,
    id,
    entry,
    number: undefined,
    key,
    record,
    fence,
    modRevision,
    lease,
    foreign: true,
    ownsLease: false,
    copy: undefined,
    alone: false,
    due: now,
    askedUntil: now,
    holds: false,
    state: 'standing',
    isUnknown: false,
    askedOn: new Set(),
    ending: undefined,
    writing: Promise.resolve(),
    unwritten: {},
    alarm: undefined,
  }
}

/** How long a waiter is kept. */
export function waitMsOf({ ttlMs, waitTtlMs }: Entry): number {
  return Math.min(ttlMs, waitTtlMs)
}

/** How much longer its place is kept when a holder comes to its end without leaving. */
export function delayOf({ holds, entry }: Seat): number {
  return holds ? (entry.lockDelayMs ?? 0) : 0
}

/** The queue as an entry found it that was alone. Among readers, others may have been there. */
export function aloneAt({ alone, id, key, fence, lease, record, entry }: Seat, now: number): Snapshot | undefined {
  const kind = classOf(entry)
  if (!alone || kind === 'r') return undefined
  const place = { id, key, class: kind, fence, modRevision: fence, lease: lease?.id ?? 0n, record, seenAt: now }
  return { revision: fence, places: [place] }
}

const NOWHERE = Buffer.alloc(0)

export class Seats {
  readonly #naming: Naming
  readonly #runtime: Runtime
  /** What the keys of this process begin with, behind the class. */
  readonly #process: string
  /** The numbers in use, by name. */
  readonly #numbers = new FleetingMap<string, Set<number>>()
  readonly #seats = new FleetingMap<string, Seat>()
  /** Holders that nothing watches yet, and from when on something should: the oldest first. */
  readonly unwatched: Map<Seat, number> = new Map()
  /** No seat is due before this: a lower bound. */
  #earliest = Infinity

  constructor(naming: Naming, runtime: Runtime) {
    this.#naming = naming
    this.#runtime = runtime
    this.#process = runtime.token()
  }

  get earliest(): number {
    return this.#earliest
  }

  get(claim: Claim): Seat | undefined {
    const seat = this.#seats.get(claim.id)
    return seat?.name === claim.name ? seat : undefined
  }

  byId(id: string): Seat | undefined {
    return this.#seats.get(id)
  }

  all(): Seat[] {
    return this.#seats.values()
  }

  /** One that is about to join. */
  take(entry: Entry): Seat {
    const seat = newSeat(entry, this.#runtime.wallMs())
    this.move(seat)
    this.#seats.set(seat.id, seat)
    return seat
  }

  /** To another number, the lowest that is free; the one that it had stays in use. */
  move(seat: Seat): void {
    const used = this.#numbers.get(seat.name) ?? new Set()
    let number = 0
    while (used.has(number)) number += 1
    this.#numbers.set(seat.name, used.add(number))
    seat.number = number
    seat.key = this.#naming.key(seat.name, classOf(seat.entry), `${this.#process}.${number}`)
  }

  /** It is nobody's any more, and its key is not there. */
  end(seat: Seat): void {
    seat.state = 'over'
    this.unwatched.delete(seat)
    if (this.#seats.get(seat.id) === seat) this.#seats.delete(seat.id)
    this.free(seat.name, seat.number)
    seat.number = undefined
  }

  /** What it left in its key stands on; the number is to be freed later. */
  leaveBehind(seat: Seat): number | undefined {
    const { number } = seat
    this.giveUp(seat)
    this.end(seat)
    return number
  }

  /** Its number stays in use for ever. */
  giveUp(seat: Seat): void {
    seat.number = undefined
  }

  free(name: string, number: number | undefined): void {
    const used = this.#numbers.get(name)
    if (!used || number === undefined) return
    used.delete(number)
    if (used.size === 0) this.#numbers.delete(name)
  }

  promise(seat: Seat, until: number): void {
    seat.due = Math.max(seat.due, until)
    this.#earliest = Math.min(this.#earliest, seat.due)
  }

  /** Those whose time has ended. */
  due(now: number): Seat[] {
    if (now < this.#earliest) return []
    const due: Seat[] = []
    this.#earliest = Infinity
    for (const seat of this.#seats.values()) {
      if (seat.state === 'joining') continue
      if (seat.due <= now) due.push(seat)
      else this.#earliest = Math.min(this.#earliest, seat.due)
    }
    return due
  }
}
