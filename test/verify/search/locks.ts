/**
 * Locks for the search: what a history says that was done to one of them, and what a lock allows.
 *
 * A hold is a chain of steps: it takes the lock, may change what it takes, and gives it back. Who takes does so between its
 * ask and its grant. What ends a hold, be it a release or time, is a step of the lock itself: it comes at some time after
 * its user has stopped to believe, or never. The same is true of what makes a hold lighter, and the other way round for
 * what makes it heavier. A lease that is renewed after its deadline was given back, and taken anew.
 *
 * Who believes what is found here by asking at each instant, and not with the help of `historyOf`, which is under test.
 */
import type { History, Hold, Mode } from '../../../src/verify/history.ts'
import type { Model, Operation } from './linearizable.ts'

export interface Shape {
  readonly mode: Mode
  readonly weight: number
}

/** The `index`th step of a hold: what it takes from then on, if anything. */
export interface Step {
  readonly hold: string
  readonly index: number
  readonly takes: Shape | undefined
  readonly fence: number | undefined
}

interface Span extends Shape {
  readonly from: number
  readonly until: number
}

interface Locked {
  /** How many steps each hold has done, and what it takes. */
  readonly holds: ReadonlyMap<string, { readonly steps: number; readonly takes: Shape | undefined }>
  readonly lastFence: number
}

/** A lock that lets those hold together that `fit`, and, if `fenced`, gives a larger fence to each than to the one before. */
export function lockOf(fit: (shapes: readonly Shape[]) => boolean, fenced = false): Model<Locked, Step> {
  return {
    initial: { holds: new Map(), lastFence: -Infinity },
    step({ holds, lastFence }, { hold, index, takes, fence }) {
      if (index !== (holds.get(hold)?.steps ?? 0)) return undefined
      const drawn = index === 0 && fence !== undefined ? fence : undefined
      if (fenced && drawn !== undefined && drawn <= lastFence) return undefined
      const next = new Map(holds).set(hold, { steps: index + 1, takes })
      const taken = [...next.values()].flatMap((each) => each.takes ?? [])
      return fit(taken) ? { holds: next, lastFence: drawn ?? lastFence } : undefined
    },
    keyOf: ({ holds, lastFence }) =>
      `${lastFence} ${[...holds]
        .map(([hold, { steps }]) => `${hold}:${steps}`)
        .sort()
        .join()}`,
  }
}

export function oneWriter(shapes: readonly Shape[]): boolean {
  return shapes.filter(({ mode }) => mode === 'exclusive').length <= 1
}

export function noReaderBesideWriter(shapes: readonly Shape[]): boolean {
  return !(shapes.some(({ mode }) => mode === 'exclusive') && shapes.some(({ mode }) => mode === 'shared'))
}

export function within(capacity: number): (shapes: readonly Shape[]) => boolean {
  return (shapes) => shapes.reduce((sum, { mode, weight }) => sum + (mode === 'permits' ? weight : 0), 0) <= capacity
}

/** The steps of everybody who asked for this name. */
export function stepsOf(history: History, name: string): Operation<Step>[] {
  return [...history.holds.values()].flatMap((hold): Operation<Step>[] => {
    if ((hold.granted ?? hold.ask)?.name !== name) return []
    // Nobody heard of a grant; the lock may have given it all the same, and taken it back when it liked.
    if (!hold.granted) {
      const takes: Shape = { mode: 'exclusive', weight: 1 }
      return [
        { call: { hold: hold.id, index: 0, takes, fence: undefined }, from: hold.ask!.at, until: Infinity },
        { call: { hold: hold.id, index: 1, takes: undefined, fence: undefined }, from: hold.ask!.at, until: Infinity },
      ]
    }
    const { fence } = hold.granted
    return windowsOf(hold, spansOf(history, hold)).map(({ takes, from, until }, index) => ({
      call: { hold: hold.id, index, takes, fence },
      from,
      until,
    }))
  })
}

interface Window {
  readonly takes: Shape | undefined
  readonly from: number
  readonly until: number
}

function windowsOf(hold: Hold, spans: readonly Span[]): Window[] {
  return spans.flatMap((span, index): Window[] => {
    const before = spans[index - 1]
    const end = { takes: undefined, from: span.until, until: Infinity }
    const isLast = spans[index + 1]?.from !== span.until
    if (before?.until !== span.from) {
      const begin = { takes: span, from: before?.until ?? hold.ask?.at ?? -Infinity, until: span.from }
      return isLast ? [begin, end] : [begin]
    }
    const change =
      size(span) < size(before)
        ? { takes: span, from: span.from, until: Infinity }
        : { takes: span, from: before.from, until: span.from }
    return isLast ? [change, end] : [change]
  })
}

function size({ mode, weight }: Shape): number {
  return mode === 'exclusive' ? Infinity : mode === 'shared' ? 0 : weight
}

/** From when to when the user of this hold believes that it takes what. Beliefs change at times of events and deadlines. */
function spansOf(history: History, hold: Hold): Span[] {
  const { granted, deadlines, reshaped, released, lost } = hold
  const crash = history.crashes.get(hold.process)
  const evicted = history.events.find(
    (event) => event.kind === 'evicted' && event.name === granted?.name && event.fence === granted.fence,
  )
  const ends = [released, lost, crash, evicted].flatMap((event) => event?.at ?? [])
  const times = [granted!, ...deadlines, ...reshaped].flatMap((event) =>
    'until' in event ? [event.at, event.until] : event.at,
  )
  const instants = [...new Set([...times, ...ends])].sort((a, b) => a - b)
  const spans: Span[] = []
  for (const [index, from] of instants.entries()) {
    const until = instants[index + 1]
    if (until === undefined) break
    const shape = believes((from + until) / 2)
    if (!shape) continue
    const last = spans.at(-1)
    if (last?.until === from && last.mode === shape.mode && last.weight === shape.weight)
      spans.splice(-1, 1, { ...last, until })
    else spans.push({ mode: shape.mode, weight: shape.weight, from, until })
  }
  return spans

  function believes(at: number): Shape | undefined {
    if (granted!.at > at || ends.some((end) => end <= at)) return undefined
    const deadline = deadlines.findLast((each) => each.at <= at) ?? granted!
    return deadline.until > at ? (reshaped.findLast((each) => each.at <= at) ?? granted!) : undefined
  }
}
