/**
 * Where entries stand, and for how long that is promised.
 *
 * Whoever asks where it stands has a copy of the queue from then on (`copy.ts`), and is told by it. What is promised is never
 * more than the lease is known to last.
 */
import type { Held, Renewal, Waiting } from '../../backend.ts'
import type { ElapsedClock } from '../../elapsed.ts'
import type { Runtime } from '../../runtime.ts'
import type { Copies } from './copies.ts'
import type { Copy, Place, Snapshot } from './copy.ts'
import type { Endings } from './endings.ts'
import type { Keeping } from './keeping.ts'
import type { Leases } from './leases.ts'
import type { Parts } from './parts.ts'
import { unchanged } from './record.ts'
import type { Seat, Seats } from './seats.ts'
import { aloneAt, delayOf, waitMsOf } from './seats.ts'
import type { Store } from './store.ts'
import type { Tick } from './tick.ts'
import type { Writer } from './writer.ts'

export const LOST = { state: 'lost' } as const

export class Standings {
  readonly #runtime: Runtime
  readonly #clock: ElapsedClock
  readonly #tick: Tick
  readonly #store: Store
  readonly #leases: Leases
  readonly #keeping: Keeping
  readonly #seats: Seats
  readonly #copies: Copies
  readonly #writer: Writer
  readonly #endings: Endings
  readonly #isObserved: boolean

  constructor(parts: Parts, endings: Endings) {
    this.#runtime = parts.runtime
    this.#clock = parts.clock
    this.#tick = parts.tick
    this.#store = parts.store
    this.#leases = parts.leases
    this.#keeping = parts.keeping
    this.#seats = parts.seats
    this.#copies = parts.copies
    this.#writer = parts.writer
    this.#endings = endings
    this.#isObserved = parts.keeping.mode === 'observed'
  }

  /** Held or waiting; `undefined`: it is gone. @throws EtcdError */
  async whereIs(seat: Seat, startedAt: number): Promise<Held | Waiting | undefined> {
    await this.#endings.of(seat.name)
    const copy = this.#copyFor(seat)
    if (!copy.standing || !copy.knows(seat.fence)) await this.#store.persist(() => copy.refresh())
    else if (!seat.holds) await this.#store.persist(() => copy.verify())
    for (;;) {
      const ahead = copy.ahead(seat.fence)
      if (ahead === undefined) {
        this.#endings.isGone(seat)
        return undefined
      }
      seat.holds = ahead < copy.holders.length
      if (seat.holds || !(await this.takeOver(seat.name)))
        return standing(seat, startedAt, ahead, this.retryAfter(copy, ahead))
    }
  }

  async renew(seat: Seat, ttlMs: number, startedAt: number): Promise<Renewal> {
    const where = await this.whereIs(seat, startedAt)
    if (!where) return LOST
    const askedMs = seat.holds ? ttlMs : Math.min(ttlMs, waitMsOf(seat.entry))
    const keptMs = askedMs + delayOf(seat)
    const heldAt = seat.record.heldAt ?? (seat.holds ? this.#runtime.wallMs() : undefined)
    if (this.#isObserved) {
      // For as long as one of its renewals asks for: another one may be answered before this one is written.
      seat.askedUntil = Math.max(seat.askedUntil, seat.due, startedAt + askedMs)
      const longest = (): number => seat.askedUntil - this.#clock.now() + delayOf(seat)
      const written = await this.#writer.write(seat, () => ({ keptMs: longest(), heldAt }))
      if (written === undefined) return LOST
    } else {
      const until = Math.max(seat.due, startedAt + askedMs) + delayOf(seat)
      if (seat.lease!.ms < keptMs && !seat.foreign) {
        const longer = await this.#keeping.lasting(seat, keptMs, until)
        const written = await this.#writer.write(seat, () => ({ keptMs, heldAt }), longer)
        if (written === undefined) return LOST
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
    this.promise(seat, startedAt, askedMs)
    return { ...where, ttlMs: leftOf(seat, startedAt) }
  }

  /** Until when it stands, if it is not renewed. */
  promise(seat: Seat, startedAt: number, askedMs: number): void {
    const lasting = seat.lease ? seat.lease.until - delayOf(seat) : Infinity
    this.#seats.promise(seat, Math.min(startedAt + askedMs, lasting))
    this.#tick.at(this.#seats.earliest)
  }

  /** When the first of those who hold ends, if it is the next one that asks. */
  retryAfter(copy: Copy, ahead: number): number {
    const { holders } = copy
    return ahead === holders.length ? this.firstEnd(holders) : Infinity
  }

  /** How long all of these places stand without renewal, as far as is known here. */
  firstEnd(places: readonly Place[]): number {
    const now = this.#clock.now()
    return Math.min(...places.map((place) => this.#keptMs(place, now)))
  }

  #keptMs(place: Place, now: number): number {
    const endsAt = this.#endings.lingersUntil(place.fence)
    if (endsAt !== undefined) return Math.max(0, endsAt - now)
    const seat = this.#seats.byId(place.id)
    if (seat?.fence === place.fence) return Math.max(0, seat.due + delayOf(seat) - now)
    // A lease is kept alive without a trace in the key.
    const { record, seenAt } = place
    return this.#isObserved ? Math.max(0, record.keptMs - (this.#runtime.monotonicMs() - seenAt)) : record.keptMs
  }

  /**
   * What was not changed for as long as it said is nobody's, where entries have no lease.
   *
   * @param seen the whole queue, if it is known
   * @returns whether something was taken over @throws EtcdError
   */
  async takeOver(name: string, seen?: Snapshot): Promise<boolean> {
    if (!this.#isObserved) return false
    const copy = this.#copies.use(name, seen)
    try {
      // Not by the elapsed clock: a jump of it ends what is ours, and not what others hold.
      const now = this.#runtime.monotonicMs()
      const stale = copy.holders.filter(({ record, seenAt }) => now - seenAt >= record.keptMs)
      const ended = await Promise.all(stale.map((place) => this.#endings.deleteIf(name, place, unchanged(place))))
      return ended.some(Boolean)
    } finally {
      this.#copies.release(copy)
    }
  }

  /** Watch those that have held for long enough. @returns when the next has */
  watch(now: number): number {
    for (const [seat, at] of this.#seats.unwatched) {
      if (at > now) return at
      this.#copyFor(seat)
    }
    return Infinity
  }

  /** From here on, it is told by a copy of its queue. */
  #copyFor(seat: Seat): Copy {
    if (!seat.copy) {
      this.#seats.unwatched.delete(seat)
      seat.copy = this.#copies.use(seat.name, aloneAt(seat, this.#runtime.monotonicMs()), true)
    }
    return seat.copy
  }
}

export function standing(seat: Seat, startedAt: number, ahead: number, retryAfterMs: number): Held | Waiting {
  const fence = BigInt(seat.fence)
  const ttlMs = leftOf(seat, startedAt)
  if (seat.holds) return { state: 'held', fence, ttlMs }
  return { state: 'waiting', fence, ttlMs, ahead, retryAfterMs: Math.min(retryAfterMs, ttlMs) }
}

/** Counted from then, and rounded down. */
function leftOf({ due }: Seat, startedAt: number): number {
  return Math.floor(due - startedAt)
}
