/**
 * The part of a history that is worth drawing, and the moment in its middle.
 *
 * A history of minutes has tens of thousands of events, and a reader wants to see a few seconds of it. What is taken is
 * whole: each hold with everything that belongs to it, or not at all, so that a drawing shows no belief that is longer or
 * shorter than it was.
 */
import type { Event, History, Hold, Violation } from '../history.ts'
import { endOf, entryKey, historyOf } from '../history.ts'
import type { Overlap } from './overlaps.ts'
import { overlapsOf } from './overlaps.ts'
import type { Excerpt } from './report.ts'
import { ms } from './words.ts'

export type Moment = Pick<Excerpt, 'at' | 'about'>

export interface ExcerptOptions extends Moment {
  /** Default 2000. Those who believe at the moment itself are whole, however many events that takes. */
  readonly eventsMax?: number | undefined
  /** The registers whose accesses are taken. Default: all. */
  readonly registers?: ReadonlySet<string>
}

/** @param events in the order of time */
export function excerptOf(events: readonly Event[], options: ExcerptOptions): Excerpt {
  const { at, about, eventsMax = 2000, registers } = options
  const wanted = registers ? events.filter((event) => event.kind !== 'access' || registers.has(event.register)) : events
  const taken = new Set<Event>()
  for (const piece of piecesOf(historyOf(wanted), at)) {
    const must = piece.distance === 0 && piece.rank === RANKS.held
    // Not on to a smaller one that is further away: between the first event and the last none is missing.
    if (!must && taken.size + piece.events.length > eventsMax) break
    for (const event of piece.events) taken.add(event)
  }
  return { at, about, events: wanted.filter((event) => taken.has(event)) }
}

/**
 * What to look at first: the first violation, else where two first believed at once, else the first stale access that was
 * refused, else the first fault, else the first grant.
 */
export function momentOf(history: History, violations: readonly Violation[]): Moment | undefined {
  const overlaps = overlapsOf(history)
  return (
    firstViolation(violations, overlaps) ?? firstOverlap(overlaps[0]) ?? firstEvent(history, refusal, strike, grant)
  )
}

/** Which hold an event belongs to: one of its own, or one that the coordinator tells of its entry. */
export function belonging({ holds }: History): (event: Event) => Hold | undefined {
  const byEntry = new Map<string, Hold>()
  for (const hold of holds.values()) if (hold.granted) byEntry.set(entryKey(hold.granted), hold)
  return (event) => {
    const hold = 'hold' in event && event.hold !== undefined ? holds.get(event.hold) : undefined
    return hold ?? ('fence' in event && 'name' in event ? byEntry.get(entryKey(event)) : undefined)
  }
}

function firstViolation(violations: readonly Violation[], overlaps: readonly Overlap[]): Moment | undefined {
  return violations
    .filter(({ events }) => events.length > 0)
    .map((violation) => ({
      at: momentOfViolation(violation, overlaps),
      about: `The first violation, ${violation.checker}: ${violation.text}`,
    }))
    .sort((a, b) => a.at - b.at)[0]
}

/** Of two or more: when they first believed at once, else when the last of them was granted. Else its last event. */
function momentOfViolation({ events }: Violation, overlaps: readonly Overlap[]): number {
  const holds = new Set(events.flatMap((event) => ('hold' in event ? [event.hold] : [])))
  const overlap = overlaps.find(({ beliefs }) => beliefs.filter(({ hold }) => holds.has(hold.id)).length > 1)
  if (overlap) return overlap.from
  const grants = events.filter(({ kind }) => kind === 'granted')
  return Math.max(...(grants.length > 1 ? grants : events).map(({ at }) => at))
}

function firstOverlap(overlap: Overlap | undefined): Moment | undefined {
  if (!overlap) return undefined
  const { name, from, until, beliefs } = overlap
  const holders = beliefs.map(({ hold }) => `${hold.process} with fence ${hold.granted!.fence}`)
  const many = beliefs.length === 2 ? 'Two believe' : 'More believe than may'
  return { at: from, about: `${many} at once in "${name}": ${holders.join(', ')}; for ${ms(until - from)}.` }
}

/** What is to be seen in an event, if it is what is looked for. */
type Look = (event: Event) => string | undefined

function firstEvent({ events }: History, ...looks: readonly Look[]): Moment | undefined {
  for (const look of looks) {
    for (const event of events) {
      const about = look(event)
      if (about !== undefined) return { at: event.at, about }
    }
  }
  return undefined
}

const refusal: Look = (event) =>
  event.kind === 'access' && !event.accepted
    ? `The register "${event.register}" refuses a stale ${event.does} of ${event.process}, with fence ${event.fence}.`
    : undefined

const strike: Look = (event) => {
  switch (event.kind) {
    case 'fault':
      return `The first fault: ${event.what}.`
    case 'pause':
      return `The first fault: ${event.process} ${event.asleep ? 'sleeps' : 'stands still'} for ${ms(event.until - event.at)}.`
    case 'crash':
      return `The first fault: ${event.process} is gone.`
    default:
      return undefined
  }
}

const grant: Look = (event) =>
  event.kind === 'granted' ? `The first grant: ${event.process} holds "${event.name}".` : undefined

/** What is taken whole or not at all. */
interface Piece {
  /** From the moment. */
  readonly distance: number
  readonly rank: number
  readonly events: readonly Event[]
}

/** Of pieces at the same distance: who held, then what struck, then who only waited. */
const RANKS = { held: 0, alone: 1, waited: 2 }

/** The nearest first. */
function piecesOf(history: History, at: number): Piece[] {
  const own = new Map([...history.holds.values()].map((hold) => [hold, [] as Event[]]))
  const holdOf = belonging(history)
  const pieces: Piece[] = []
  for (const event of history.events) {
    const hold = holdOf(event)
    if (hold) own.get(hold)!.push(event)
    else {
      const until = event.kind === 'pause' || event.kind === 'forgotten' ? event.until : event.at
      pieces.push({ distance: distanceOf(at, event.at, until), rank: RANKS.alone, events: [event] })
    }
  }
  for (const [hold, events] of own) {
    const { granted, process } = hold
    const crash = endOf(hold) === Infinity ? history.crashes.get(process) : undefined
    const from = (granted ?? events[0]!).at
    const until = Math.min(granted ? lastOf(hold) : (hold.gaveUp?.at ?? Infinity), crash?.at ?? Infinity)
    pieces.push({
      distance: distanceOf(at, from, until),
      rank: granted ? RANKS.held : RANKS.waited,
      events: crash ? [...events, crash] : events,
    })
  }
  return pieces.sort((a, b) => a.distance - b.distance || a.rank - b.rank)
}

/** When its user was told that it is over, or, if nobody told, its last deadline. */
function lastOf(hold: Hold): number {
  const end = endOf(hold)
  return end === Infinity ? (hold.deadlines.at(-1) ?? hold.granted!).until : end
}

function distanceOf(at: number, from: number, until: number): number {
  return Math.max(0, from - at, at - until)
}
