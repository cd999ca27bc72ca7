/** Checkers that carry a state from event to event, against definitions that look at everything before each of them. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fenceOrder } from '../../src/verify/checkers/fence-order.ts'
import { fifoOrder } from '../../src/verify/checkers/fifo-order.ts'
import { guardedRegister } from '../../src/verify/checkers/guarded-register.ts'
import type { Access, Event, History, Violation } from '../../src/verify/history.ts'
import { MemoryRecorder, historyOf } from '../../src/verify/history.ts'
import { Register } from '../../src/verify/register.ts'
import { histories } from './search/histories.ts'

/** Checker and definition count the same objections in each history; and of both kinds of history there are many. */
function agree(
  of: fc.Arbitrary<History>,
  check: (history: History) => readonly Violation[],
  define: (history: History) => number,
): void {
  const seen = { good: 0, bad: 0 }
  fc.assert(
    fc.property(of, (history) => {
      const found = check(history)
      seen[found.length === 0 ? 'good' : 'bad'] += 1
      expect(found).toHaveLength(define(history))
    }),
    { numRuns: 5000 },
  )
  expect(seen.good).toBeGreaterThan(900)
  expect(seen.bad).toBeGreaterThan(900)
}

test('fence-order objects to a grant for each rule that some grant before it breaks', () => {
  agree(histories('exclusive', 'shared'), fenceOrder, (history) => {
    const grants = history.events.flatMap((event) =>
      event.kind === 'granted' ? { ...event, askedAt: history.holds.get(event.hold)!.ask!.at } : [],
    )
    const isOrdered = (grant: (typeof grants)[number]): boolean =>
      grant.mode === 'exclusive' &&
      grant.until > grant.at &&
      !history.events.some((event) => event.kind === 'evicted' && event.fence === grant.fence && event.at < grant.at)
    return grants.reduce((sum, grant, index) => {
      const before = grants.slice(0, index)
      const sameFence = before.some(({ fence }) => fence === grant.fence)
      const askedAfter = grants.some(({ at, fence }) => at < grant.askedAt && fence > grant.fence)
      const grantedAfter = isOrdered(grant) && before.some((each) => isOrdered(each) && each.fence > grant.fence)
      return sum + Number(sameFence) + Number(askedAfter) + Number(grantedAfter)
    }, 0)
  })
})

const visits = fc.array(
  fc.record({
    fence: fc.integer({ min: 0, max: 4 }),
    mode: fc.constantFrom('exclusive', 'shared'),
    does: fc.constantFrom('read', 'write'),
    base: fc.integer({ min: 0, max: 3 }),
    lies: fc.integer({ min: 0, max: 15 }).map((chance) => chance === 0),
  }),
  { minLength: 2, maxLength: 10 },
)

/** What a guarded register records of visitors that write from what is there, but for a lie now and then. */
const accesses: fc.Arbitrary<History> = visits.map((each) => {
  const recorder = new MemoryRecorder(() => 0)
  const register = new Register('r', true, recorder)
  for (const { fence, mode, does, base, lies } of each) {
    const visitor = { process: 'p', hold: 'h', fence, mode }
    const { version } = recorder.events.findLast(isWrite) ?? { version: 0 }
    if (does === 'read') register.read(visitor)
    else register.write(visitor, lies ? base : version)
    if (lies) recorder.events.push({ ...(recorder.events.pop() as Access), accepted: base % 2 === 0 })
  }
  return historyOf(recorder.events)
})

function isWrite(event: Event): event is Access & { readonly puts: number } {
  return event.kind === 'access' && event.does === 'write' && event.accepted
}

test('guarded-register objects to each access that those before it forbid', () => {
  const check = (history: History) => guardedRegister(history, new Set(['r']))
  agree(accesses, check, ({ events }) => {
    const all = events as readonly Access[]
    return all.reduce((sum, access, index) => {
      const accepted = all.slice(0, index).filter((each) => each.accepted)
      const inTheWay = access.mode === 'exclusive' ? accepted : accepted.filter(({ mode }) => mode === 'exclusive')
      const isWelcome = inTheWay.every(({ fence }) => fence <= access.fence)
      const written = accepted.findLast(isWrite)?.puts ?? 0
      return sum + Number(access.accepted !== isWelcome) + Number(isWrite(access) && access.base !== written)
    }, 0)
  })
})

const deeds = fc.array(
  fc.record({
    does: fc.constantFrom('joins', 'joins', 'joins', 'leaves', 'leaves', 'lightens', 'asks'),
    which: fc.nat(),
    weight: fc.integer({ min: 1, max: 2 }),
    afterMs: fc.integer({ min: 0, max: 1 }),
  }),
  { minLength: 2, maxLength: 12 },
)

/** What a queue of capacity 2 says of itself, with one event dropped or moved to the next place now and then. */
const logs: fc.Arbitrary<History> = fc
  .tuple(deeds, fc.constantFrom('nothing', 'drops', 'moves'), fc.nat())
  .map(([all, mistake, which]) => {
    const events = logOf(all)
    const index = which % (events.length + 1)
    const [event] = mistake === 'nothing' ? [] : events.splice(index, 1)
    if (event && mistake === 'moves') events.splice(index + 1, 0, event)
    // In the order of time all the same: the later ones of two that changed places came at the same time.
    let at = 0
    return historyOf(events.map((each) => ({ ...each, at: (at = Math.max(at, each.at)) })))
  })

interface Seat {
  readonly fence: number
  weight: number
  holds: boolean
}

function logOf(all: typeof deeds extends fc.Arbitrary<infer T> ? T : never): Event[] {
  const events: Event[] = []
  const seats: Seat[] = []
  let at = 0
  for (const [fence, { does, which, weight, afterMs }] of all.entries()) {
    at += afterMs
    const about = { at, process: 'c', name: 'n' }
    const seat = seats[which % Math.max(1, seats.length)]
    if (does === 'joins') {
      seats.push({ fence, weight, holds: false })
      events.push({ ...about, kind: 'entered', fence, weight, capacity: 2 })
    } else if (seat && does === 'leaves') {
      seats.splice(seats.indexOf(seat), 1)
      events.push({ ...about, kind: 'left', fence: seat.fence })
    } else if (seat?.holds && does === 'lightens') {
      seat.weight = Math.min(seat.weight, weight)
      events.push({ ...about, kind: 'lightened', fence: seat.fence, weight: seat.weight })
    } else if (seat && does === 'asks') {
      events.push({ ...about, kind: seat.holds ? 'holds' : 'waits', fence: seat.fence })
    }
    let taken = 0
    for (const each of seats) {
      taken += each.weight
      if (taken > 2) break
      if (!each.holds) events.push({ ...about, kind: 'holds', fence: each.fence })
      each.holds = true
    }
  }
  return events
}

test('fifo-order objects just when an event of the log is not allowed after those before it', () => {
  agree(
    logs,
    (history) => fifoOrder(history).slice(0, 1),
    ({ events }) => Number(events.some((_, index) => !isAllowed(events, index))),
  )
})

type OfQueue = Extract<Event, { kind: 'entered' | 'holds' | 'waits' | 'lightened' | 'left' }>

function isAllowed(events: readonly Event[], index: number): boolean {
  const log = events as readonly OfQueue[]
  const event = log[index]!
  const before = seatsAfter(log.slice(0, index))
  const after = seatsAfter(log.slice(0, index + 1))
  const waiting = after.filter(({ holds }) => !holds)
  const taken = after.reduce((sum, { holds, weight }) => sum + (holds ? weight : 0), 0)
  if (log[index + 1]?.at !== event.at && waiting[0] && taken + waiting[0].weight <= 2) return false
  const seat = before.find(({ fence }) => fence === event.fence)
  if (event.kind === 'entered')
    return log.slice(0, index).every((each) => each.kind !== 'entered' || each.fence < event.fence)
  if (event.kind === 'waits') return !seat?.holds
  if (event.kind !== 'holds' || seat?.holds) return true
  return seat !== undefined && waiting.every(({ fence }) => fence > event.fence) && taken <= 2
}

/** Who stands in the queue after these events, in the order of entering. */
function seatsAfter(log: readonly OfQueue[]): Seat[] {
  return log.flatMap((event, index) => {
    if (event.kind !== 'entered') return []
    const later = log.slice(index).filter(({ fence }) => fence === event.fence)
    if (later.some(({ kind }) => kind === 'left')) return []
    const heldFrom = later.findIndex(({ kind }) => kind === 'holds')
    const held = heldFrom === -1 ? [] : later.slice(heldFrom)
    const lightened = held.findLast((each) => each.kind === 'lightened')
    return { fence: event.fence, weight: lightened?.weight ?? event.weight, holds: heldFrom !== -1 }
  })
}
