/**
 * How entries come in: asked for until it is answered, and given what keeps them. What is asked is `joining.ts`.
 */
import type { Entry, Held, Refused, Standing, Waiting } from '../../backend.ts'
import { BackendError } from '../../backend.ts'
import type { ElapsedClock } from '../../elapsed.ts'
import type { Runtime } from '../../runtime.ts'
import type { Copies } from './copies.ts'
import type { Place, Snapshot } from './copy.ts'
import { holdersOf } from './copy.ts'
import type { Endings } from './endings.ts'
import { EtcdError, GRPC, etcdError, isUnknown } from './errors.ts'
import type { Joining } from './joining.ts'
import { capacityOf, joined, looksNoFurther, question, refusal, roomFor, together } from './joining.ts'
import { togetherAt, whenHolding, whenWaiting } from './joining.ts'
import type { Keeping } from './keeping.ts'
import type { Naming } from './keys.ts'
import type { Answer, Words } from './lane.ts'
import type { Lease, Leases } from './leases.ts'
import type { Parts } from './parts.ts'
import type { Record } from './record.ts'
import { checkVersions } from './record.ts'
import type { Seat, Seats } from './seats.ts'
import { delayOf, waitMsOf } from './seats.ts'
import type { Standings } from './standings.ts'
import { standing } from './standings.ts'
import type { Store } from './store.ts'
import type { Tick } from './tick.ts'

/** A holder of this age hears of its loss by a watch; before, it costs more than most holds last. */
const WATCHED_FROM_MS = 25

/** What is known of an entry that has come in. */
interface Came {
  readonly fence: number
  readonly modRevision?: number
  readonly holds?: boolean
  readonly ahead?: number
  readonly snapshot?: Snapshot
  readonly whole?: boolean
}

export class Joins {
  readonly #naming: Naming
  readonly #runtime: Runtime
  readonly #clock: ElapsedClock
  readonly #tick: Tick
  readonly #store: Store
  readonly #leases: Leases
  readonly #keeping: Keeping
  readonly #seats: Seats
  readonly #copies: Copies
  readonly #endings: Endings
  readonly #standings: Standings

  constructor(parts: Parts, endings: Endings, standings: Standings) {
    this.#naming = parts.naming
    this.#runtime = parts.runtime
    this.#clock = parts.clock
    this.#tick = parts.tick
    this.#store = parts.store
    this.#leases = parts.leases
    this.#keeping = parts.keeping
    this.#seats = parts.seats
    this.#copies = parts.copies
    this.#endings = endings
    this.#standings = standings
  }

  /** @throws BackendError */
  join(entry: Entry, startedAt: number): Promise<Standing> {
    const seat = this.#seats.take(entry)
    return this.#attempt([seat], () => this.#join(seat, startedAt))
  }

  /** All at once, or none: `undefined`. @throws BackendError */
  joinAll(entries: readonly Entry[], startedAt: number): Promise<readonly Held[] | undefined> {
    const seats = entries.map((entry) => this.#seats.take(entry))
    return this.#attempt(seats, () => this.#joinAll(seats, startedAt))
  }

  async #attempt<T>(seats: readonly Seat[], join: () => Promise<T>): Promise<T> {
    try {
      return await join()
    } catch (error) {
      // Nobody will ask for it, unless it may have been put in: then it will be left.
      for (const seat of seats) if (seat.state === 'joining' && !seat.isUnknown) this.#endings.forget(seat)
      throw etcdError(error)
    }
  }

  async #join(seat: Seat, startedAt: number): Promise<Standing> {
    const { entry, name, record } = seat
    let seen: Joining['seen']
    let waitLease: Joining['waitLease']
    let waits = false
    for (;;) {
      seat.lease ??= this.#keeping.alive(record.keptMs) ?? (await this.#keeping.leaseFor(seat, record.keptMs))
      if (typeof waitLease === 'object' && waitLease.gone) waitLease = undefined
      if (waits || seen) waitLease = await this.#keeping.waitLeaseFor(seat, waitLease)
      let joining!: Joining
      const words = (): Words => {
        const isCopied = this.#copies.get(name) !== undefined
        // Where others are likely it is told at once how it would wait.
        if (isCopied) waitLease ??= this.#keeping.aliveWaitLease(seat)
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
        return this.#seated(seat, found, mine.record, this.#keeping.leaseOf(mine, leasesOf(joining)), startedAt)
      }
      // What arrived there once more when it was long over: it is ended like any other, and not by us.
      if (places.some(({ key }) => key.equals(seat.key))) this.#seats.move(seat)
      if (await this.#standings.takeOver(name, came.whole ? came.snapshot : undefined)) continue
      const reason = refusal(entry, places)
      if (reason) {
        await this.#keptOut(seat)
        return this.#refused(reason, places)
      }
      if (looksNoFurther(entry)) waits = true
      else seen = { revision, holds: roomFor(entry.weight, places) }
    }
  }

  async #joinAll(seats: readonly Seat[], startedAt: number): Promise<readonly Held[] | undefined> {
    const records = seats.map(({ record }) => whenHolding(record))
    for (;;) {
      for (const seat of seats) seat.lease ??= await this.#keeping.leaseFor(seat, seat.record.keptMs)
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
    if (seat.isUnknown) await this.#endings.end(seat)
    else this.#endings.forget(seat)
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
    this.#standings.promise(seat, startedAt, keptMs)
    if (!holds || this.#copies.get(seat.name)) {
      const copy = (seat.copy ??= this.#copies.use(seat.name, whole ? snapshot : undefined))
      // It may have heard of more than the answer says.
      if (copy.standing && copy.knows(fence + 1))
        return (await this.#standings.whereIs(seat, startedAt)) ?? endedMeanwhile(seat, ahead)
      return standing(seat, startedAt, ahead, this.#standings.retryAfter(copy, ahead))
    }
    const watchedFrom = this.#clock.now() + WATCHED_FROM_MS
    this.#seats.unwatched.set(seat, watchedFrom)
    if (this.#seats.unwatched.size === 1) this.#tick.at(watchedFrom)
    return standing(seat, startedAt, ahead, Infinity)
  }

  #refused(reason: Refused['reason'], places: readonly Place[]): Refused {
    const retryAfterMs = this.#standings.firstEnd(holdersOf(places))
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
}

/** For how long others let stand what has written this, before any lock delay. */
function promisedMs({ keptMs, heldAt }: Record, seat: Seat): number {
  return heldAt === undefined ? keptMs : keptMs - delayOf(seat)
}

function leasesOf({ lease, waitLease }: Joining): Lease[] {
  return [lease, waitLease].filter((each) => typeof each === 'object')
}

export function allHeld(standings: readonly (Held | Waiting | undefined)[]): readonly Held[] | undefined {
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

/** It came in, and was ended before that was answered: it lasts no longer, and whoever wants it comes again. */
function endedMeanwhile({ holds, fence }: Seat, ahead: number): Held | Waiting {
  const ended = { fence: BigInt(fence), ttlMs: 0 }
  return holds ? { state: 'held', ...ended } : { state: 'waiting', ...ended, ahead, retryAfterMs: 0 }
}
