/**
 * How entries end: they are left, their time is over, or somebody else has ended them.
 *
 * What is left is asked for until it is answered, so that nobody keeps an entry alive by mistake; and what nobody leaves is
 * ended by its process, at its time, which is sooner than its lease ends it.
 */
import type { ElapsedClock } from '../../elapsed.ts'
import type { Wakes } from '../../queue/wakes.ts'
import type { Copies } from './copies.ts'
import type { Place } from './copy.ts'
import { EtcdError, GRPC, etcdError } from './errors.ts'
import { deletion, wasDeleted } from './joining.ts'
import type { Lease, Leases } from './leases.ts'
import type { Compare, Operation, Outcome } from './messages.ts'
import { ticket, unchanged } from './record.ts'
import type { Parts } from './parts.ts'
import type { Seat, Seats } from './seats.ts'
import { delayOf } from './seats.ts'
import type { Store } from './store.ts'
import type { Tick } from './tick.ts'
import type { Writer } from './writer.ts'

/** The pause before an entry is ended again, when nobody answered. */
const END_AGAIN_MS = 1000

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

export class Endings {
  readonly #clock: ElapsedClock
  readonly #tick: Tick
  readonly #store: Store
  readonly #leases: Leases
  readonly #seats: Seats
  readonly #copies: Copies
  readonly #writer: Writer
  readonly #wakes: Wakes
  readonly #lingering = new Set<Lingering>()
  /** Ends of what was due that are on their way, by name. */
  readonly #ending = new Map<string, Promise<unknown>>()

  constructor({ clock, tick, store, leases, seats, copies, writer, wakes }: Parts) {
    this.#clock = clock
    this.#tick = tick
    this.#store = store
    this.#leases = leases
    this.#seats = seats
    this.#copies = copies
    this.#writer = writer
    this.#wakes = wakes
  }

  // It is left

  /**
   * Once at a time. Otherwise: 1. its time is over, and it is deleted;  2. it is left, and its deletion is asked for again;
   * 3. the first one is answered, and another entry gets the key;  4. the second one deletes that.
   *
   * @returns whether it was there @throws BackendError
   */
  end(seat: Seat): Promise<boolean> {
    if (seat.state === 'over') {
      this.forget(seat)
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
    this.#seats.unwatched.delete(seat)
    try {
      const there = await (seat.ownsLease && lease ? this.#endOwn(seat, lease) : this.#endShared(seat))
      this.#copies.get(name)?.remove(seat.fence)
      this.forget(seat)
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
    this.#tick.at(seat.due)
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
  async deleteIf(name: string, place: Pick<Place, 'key' | 'fence'>, condition: Partial<Compare>): Promise<boolean> {
    const deleted = await this.#store.deleteIf(place, condition)
    if (deleted) this.#copies.get(name)?.remove(place.fence)
    return deleted
  }

  /** End a place, whosever it is. @returns whether it was there @throws EtcdError */
  async evict(name: string, place: Place): Promise<boolean> {
    if (!(await this.deleteIf(name, place, ticket(place)))) return false
    const seat = this.#seats.byId(place.id)
    if (seat) this.isGone(seat)
    return true
  }

  /** It stands so much longer, and is nobody's. @returns whether it was there @throws EtcdError */
  async linger(seat: Seat, lingerMs: number): Promise<boolean> {
    const endsAt = this.#clock.now() + lingerMs
    const { name, key, fence, lease, ownsLease } = seat
    // While it stands, such a join finds it.
    if (!ownsLease) await this.#keepOut(seat, { range: { key } })
    // Also where entries have none: nobody keeps this one alive, so a leader that comes back cannot end it too early. Without it,
    // what lingers would outlive its process until somebody waits, and `once` only tries.
    const own = await this.#store.persist(() => this.#leases.own(lingerMs))
    const modRevision = await this.#writer.write(seat, () => ({ lingering: true, keptMs: lingerMs }), own)
    if (modRevision === undefined) return false
    const number = this.#seats.leaveBehind(seat)
    this.forget(seat)
    if (ownsLease && lease) this.#leases.revoke(lease).catch(() => {})
    this.#lingering.add({ name, key, fence, modRevision, endsAt, number })
    this.#tick.at(endsAt)
    return true
  }

  /** When what lingers with this ticket is ended. */
  lingersUntil(fence: number): number | undefined {
    return [...this.#lingering].find((each) => each.fence === fence)?.endsAt
  }

  // It is gone

  /** Somebody or something else has ended it. */
  isGone(seat: Seat): void {
    // One whose deletion is on its way keeps its key until that is answered, or the deletion would meet another entry there.
    if (seat.state === 'over' || seat.ending) return
    const { alarm, id } = seat
    seat.state = 'over'
    this.#seats.unwatched.delete(seat)
    // It may have been asked for twice, and come once more.
    this.#keepOut(seat, deletion(seat)).catch(() => {})
    // It stays until that has been said.
    this.#wakes.wake(id)
    alarm?.()
  }

  leaseIsGone(lease: Lease): void {
    for (const seat of this.#seats.all()) if (seat.lease === lease && seat.state === 'standing') this.isGone(seat)
  }

  forget(seat: Seat): void {
    this.#seats.end(seat)
    if (seat.copy) this.#copies.release(seat.copy)
    seat.copy = undefined
  }

  // Its time is over

  /** What has come to its end is ended, and awaited where an answer depends on it. */
  async prune(name?: string): Promise<void> {
    this.sweep()
    if (this.#ending.size === 0) return
    await (name === undefined ? Promise.all(this.#ending.values()) : this.#ending.get(name))
  }

  /** What has come to its end is ended. @returns when to look again */
  sweep(now: number = this.#clock.now()): number {
    const due = this.#seats.due(now)
    // Whoever holds is told first: it may not have looked at its clock since that was set ahead.
    for (const { alarm } of due) alarm?.()
    for (const seat of due) {
      if (seat.state === 'over') {
        this.forget(seat)
        continue
      }
      const delayMs = seat.holds && seat.state === 'standing' ? seat.due + delayOf(seat) - now : 0
      this.#endLater(seat.name, async () => {
        if (delayMs <= 0) return this.end(seat)
        seat.state = 'leaving'
        return this.linger(seat, delayMs).catch(() => this.#endAgain(seat))
      })
    }
    let next = this.#seats.earliest
    for (const each of this.#lingering) {
      if (each.endsAt > now) {
        next = Math.min(next, each.endsAt)
        continue
      }
      this.#lingering.delete(each)
      this.#endLater(each.name, async () => {
        await this.deleteIf(each.name, each, unchanged(each))
        this.#seats.free(each.name, each.number)
      })
    }
    return next
  }

  /** Ends of what was due of a name that are on their way. */
  of(name: string): Promise<unknown> | undefined {
    return this.#ending.get(name)
  }

  #endLater(name: string, end: () => Promise<unknown>): void {
    const ended: Promise<unknown> = Promise.all([this.#ending.get(name), end().catch(() => {})]).then(() => {
      if (this.#ending.get(name) === ended) this.#ending.delete(name)
    })
    this.#ending.set(name, ended)
  }
}
