/**
 * How an entry is put in: one transaction, whoever is there.
 *
 * Nobody is there whom it has to count: it holds. Otherwise one that waits is put in all the same, behind the others, and the
 * answer says who they are. One that does not wait, or not behind too many, looks first; where it would find room it is put in
 * on the condition that nobody came or changed meanwhile, so what is refused was never in.
 */
import type { Entry, Refused } from '../../backend.ts'
import type { Place, Snapshot } from './copy.ts'
import { holdersOf, placeOf } from './copy.ts'
import type { Naming } from './keys.ts'
import { absent, classOf } from './keys.ts'
import type { Answer } from './lane.ts'
import type { Lease } from './leases.ts'
import type { Compare, Operation, Outcome, RangeResponse } from './messages.ts'
import { BY, IS, OF, ORDER } from './messages.ts'
import type { Record } from './record.ts'
import { decode, encode, ticket } from './record.ts'
import type { Seat } from './seats.ts'
import { waitMsOf } from './seats.ts'

/** Who stands further back than this is told by the copy of the queue that it holds. */
const LOOKED_AT_MAX = 256

/** What a join needs to know. */
export interface Joining {
  readonly entry: Entry
  readonly key: Buffer
  readonly record: Record
  /** A client-observed entry has none. */
  readonly lease: Lease | undefined
  /** For one that waits; `undefined`: look first. */
  readonly waitLease: Lease | 'none' | undefined
  /** It may have been put in before. */
  readonly asked: boolean
  /** What is known from looking: put it in as `record`, unless somebody came since. */
  readonly seen?: { readonly revision: number; readonly holds: boolean } | undefined
}

/** Whoever waits, however long the queue is, need not look at it before it joins. */
export function looksNoFurther({ wait, waitersMax }: Entry): boolean {
  return wait && waitersMax === undefined
}

/** What came of it. `found`: it was not put in now, and this is who stands there. */
export type Joined =
  | { readonly state: 'alone'; readonly fence: number }
  | {
      readonly state: 'behind'
      readonly fence: number
      readonly holds: boolean
      readonly ahead: number
      readonly snapshot: Snapshot
      readonly whole: boolean
    }
  | { readonly state: 'found'; readonly snapshot: Snapshot; readonly whole: boolean }

/** @param isCopied the whole queue is known already, and need not be told */
export function question(naming: Naming, joining: Joining, isCopied: boolean): Operation {
  const { entry, key, record, lease, waitLease, asked, seen } = joining
  const { name } = entry
  const kind = classOf(entry)
  const everybody = naming.all(name)
  const exclusive = kind === 'w'
  const range = (limit: number): Operation => ({
    range: { ...everybody, order: ORDER.ascending, by: BY.create, limit },
  })
  const put = (what: Record, on: Lease | undefined): Operation => ({
    put: { key, value: encode(what), ...(on ? { lease: on.id } : {}) },
  })
  const putHolding = (): Operation => put(whenHolding(record), lease)
  const putWaiting = (): Operation => put(whenWaiting(record, entry), waitLease === 'none' ? undefined : waitLease)
  if (seen) {
    const { key: first, rangeEnd } = everybody
    // Who leaves makes room; who comes or changes may take it.
    const still = { key: first, rangeEnd, of: OF.modified, is: IS.less, modRevision: seen.revision + 1 }
    const success = [seen.holds ? putHolding() : putWaiting(), range(0)]
    return { transaction: { compare: [still], success, failure: [range(0)] } }
  }
  const looks = !looksNoFurther(entry) || waitLease === undefined
  const limit = exclusive ? 1 : LOOKED_AT_MAX
  const otherwise: Operation = looks
    ? range(exclusive && !asked && entry.waitersMax === undefined ? 1 : 0)
    : {
        transaction: {
          compare: [absentKey(key), ...naming.agreeing(name, kind)],
          success: [putWaiting(), range(isCopied ? limit : 0)],
          failure: [range(0)],
        },
      }
  return {
    transaction: { compare: alone(naming, entry, key), success: [putHolding()], failure: [otherwise] },
  }
}

const NO_END = Buffer.alloc(0)

function absentKey(key: Buffer): Partial<Compare> {
  return absent({ key, rangeEnd: NO_END })
}

/**
 * Conditions: nobody is there whom it has to count, nor itself. A reader does not count readers, so without the second: 1. it is
 * put in, which is not answered;  2. it asks again, and writes over its own key;  3. it takes that revision for its ticket.
 */
function alone(naming: Naming, entry: Entry, key: Buffer): readonly Partial<Compare>[] {
  const kind = classOf(entry)
  const conditions = naming.alone(entry.name, kind)
  return kind === 'r' ? [...conditions, absentKey(key)] : conditions
}

/** @param now when it was heard of, by the monotonic clock */
export function joined(naming: Naming, joining: Joining, { outcome, revision }: Answer, now: number): Joined {
  const { succeeded, outcomes } = outcome.transaction!
  const last = outcomes.at(-1)!
  if (succeeded && !joining.seen) return { state: 'alone', fence: revision }
  const inner = last.transaction
  const put = inner ? inner.succeeded : succeeded
  const range = (inner ? inner.outcomes.at(-1)! : last).range!
  const snapshot = snapshotOf(naming, range, revision, now)
  const whole = range.count === snapshot.places.length
  if (!put) return { state: 'found', snapshot, whole }
  // It came last, at this very revision.
  const ahead = range.count - 1
  const holds = holdersOf(snapshot.places).some(({ fence }) => fence === revision)
  return { state: 'behind', fence: revision, holds, ahead, snapshot, whole }
}

/** All of these, if each of them is alone. */
export function together(naming: Naming, seats: readonly Seat[], records: readonly Record[]): Operation {
  const compare = seats.flatMap(({ entry, key }) => alone(naming, entry, key))
  const success = seats.map(({ key, lease }, index): Operation => {
    return { put: { key, value: encode(records[index]!), ...(lease ? { lease: lease.id } : {}) } }
  })
  // Asked again they are all there, or none.
  return { transaction: { compare, success, failure: [{ range: { key: seats[0]!.key } }] } }
}

/** The ticket of all of them; `undefined`: they were not put in. */
export function togetherAt({ outcome, revision }: Answer, [first]: readonly Seat[]): number | undefined {
  const { succeeded, outcomes } = outcome.transaction!
  if (succeeded) return revision
  const [kv] = outcomes[0]!.range!.kvs
  return kv && decode(kv.value).id === first!.id ? kv.createRevision : undefined
}

/** The record of one that holds as soon as it is in. */
export function whenHolding(record: Record): Record {
  return { ...record, heldAt: record.joinedAt }
}

/** The record of one that waits. */
export function whenWaiting(record: Record, entry: Entry): Record {
  return { ...record, keptMs: waitMsOf(entry) }
}

/** Delete the key of an entry, and of no other: by its ticket, or, if that is not known, by what was put in. */
export function deletion(seat: Pick<Seat, 'key' | 'fence' | 'record' | 'entry'>): Operation {
  const { key, fence, record, entry } = seat
  const deleteIf = (condition: Partial<Compare>): Operation => ({
    transaction: { compare: [condition], success: [{ delete: { key } }], failure: [] },
  })
  if (fence > 0) return deleteIf(ticket(seat))
  const values = [whenHolding(record), whenWaiting(record, entry)].map(encode)
  const success = values.map((value) => deleteIf({ key, of: OF.value, is: IS.equal, value }))
  return { transaction: { compare: [], success, failure: [] } }
}

/** Whether it was there. */
export function wasDeleted({ transaction }: Outcome): boolean {
  const { succeeded, outcomes } = transaction!
  return succeeded && outcomes.some((outcome) => (outcome.transaction ? wasDeleted(outcome) : true))
}

export function snapshotOf(naming: Naming, range: RangeResponse, revision: number, now: number): Snapshot {
  return { revision, places: range.kvs.map((kv) => placeOf(kv, naming, now)) }
}

/** Why somebody who looked is not put in; `undefined`: there is room for it, or a place in the queue. */
export function refusal(entry: Entry, places: readonly Place[]): Refused['reason'] | undefined {
  const [first] = places
  if (!first) return undefined
  if ((capacityOf(places) ?? entry.capacity) !== entry.capacity) return 'capacity'
  if (roomFor(entry.weight, places)) return undefined
  if (!entry.wait) return 'held'
  const waiters = places.length - holdersOf(places).length
  return waiters >= (entry.waitersMax ?? Infinity) ? 'full' : undefined
}

/** What those who are ours count in. */
export function capacityOf(places: readonly Place[]): number | undefined {
  return places.find((place) => place.class !== '')?.record.capacity
}

/** Whether an entry of this weight would hold behind these. */
export function roomFor(weight: number, places: readonly Place[]): boolean {
  const taken = places.reduce((sum, { record }) => sum + record.weight, 0)
  return places.length === 0 || taken + weight <= places[0]!.record.capacity
}
