/**
 * First in, first out: the coordinator lets nobody hold while somebody with an earlier ticket stands in the queue and
 * waits; nobody waits, or is told to wait, who fits; and a ticket is drawn once and never comes back.
 * Where a coordinator forgets, a new line begins.
 *
 * What it proves: that none was overtaken, on the coordinator's own log. User code cannot tell: two readers that were
 * granted together may hear of it in either order. Where no such log was recorded, only the order of exclusive grants
 * speaks, and `fence-order` looks at that.
 */
import type { Event, Forgotten, History, Violation } from '../history.ts'
import { byName } from '../history.ts'

interface Line {
  /** In ticket order, which is the order of entering unless something is wrong. */
  readonly waiting: Map<number, { readonly event: Event; readonly weight: number }>
  readonly holding: Map<number, number>
  readonly seen: Set<number>
  capacity: number
  heldWeight: number
  lastTicket: number
}

type OfQueue = Extract<Event, { kind: 'entered' | 'holds' | 'waits' | 'lightened' | 'left' | 'forgotten' }>

const KINDS = new Set<string>([
  'entered',
  'holds',
  'waits',
  'lightened',
  'left',
  'forgotten',
] satisfies OfQueue['kind'][])

export function fifoOrder(history: History): Violation[] {
  const violations: Violation[] = []
  const log = history.events.filter((event): event is OfQueue => KINDS.has(event.kind))
  for (const [name, events] of byName(log, (event) => event.name)) {
    let line = newLine()
    const object = (text: string, ...shown: readonly Event[]): void =>
      void violations.push({ checker: 'fifo-order', text: `"${name}": ${text}`, events: shown })
    events.forEach((event, index) => {
      // Who is there then enters anew, also one that had left.
      if (event.kind === 'forgotten') line = newLine()
      else apply(line, event, object)
      // What one verb changed stands in the log as several events of one instant; between them anything may be half done.
      if (events[index + 1]?.at !== event.at) idle(line, event, object)
    })
  }
  return violations
}

type Object = (text: string, ...events: readonly Event[]) => void

function newLine(): Line {
  return { waiting: new Map(), holding: new Map(), seen: new Set(), capacity: 0, heldWeight: 0, lastTicket: -1 }
}

function apply(line: Line, event: Exclude<OfQueue, Forgotten>, object: Object): void {
  const { fence } = event
  switch (event.kind) {
    case 'entered':
      if (line.seen.has(fence)) object(`ticket ${fence} came a second time`, event)
      else if (fence < line.lastTicket) object(`ticket ${fence} was drawn after ${line.lastTicket}`, event)
      line.seen.add(fence)
      line.lastTicket = Math.max(line.lastTicket, fence)
      line.capacity = event.capacity
      line.waiting.set(fence, { event, weight: event.weight })
      break
    case 'holds': {
      const seat = line.waiting.get(fence)
      if (!seat) {
        if (!line.holding.has(fence)) object(`ticket ${fence} holds, and does not stand in the queue`, event)
        break
      }
      line.waiting.delete(fence)
      line.holding.set(fence, seat.weight)
      line.heldWeight += seat.weight
      // The first in the map entered first, and tickets are drawn in that order, which is checked above.
      const first = firstOf(line.waiting)
      if (first && first[0] < fence)
        object(`ticket ${fence} holds before ${first[0]}, which waits`, first[1].event, event)
      if (line.heldWeight > line.capacity && line.holding.size > 1)
        object(`ticket ${fence} holds, but ${line.heldWeight} of ${line.capacity} are taken`, event)
      break
    }
    case 'waits':
      if (line.holding.has(fence)) object(`ticket ${fence} is told to wait, though it holds`, event)
      break
    case 'lightened': {
      const before = line.holding.get(fence)
      if (before === undefined) break
      line.holding.set(fence, event.weight)
      line.heldWeight += event.weight - before
      break
    }
    case 'left': {
      line.heldWeight -= line.holding.get(fence) ?? 0
      line.holding.delete(fence)
      line.waiting.delete(fence)
      break
    }
  }
}

function idle(line: Line, event: Event, object: Object): void {
  const first = firstOf(line.waiting)
  if (first && line.heldWeight + first[1].weight <= line.capacity)
    object(`ticket ${first[0]} waits at ${event.at}, though it fits`, first[1].event, event)
}

function firstOf<K, V>(map: ReadonlyMap<K, V>): [K, V] | undefined {
  for (const entry of map) return entry
  return undefined
}
