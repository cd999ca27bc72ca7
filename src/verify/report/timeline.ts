/**
 * An excerpt as a drawing: a block for each name, a lane for each process, time to the right, the moment in the middle.
 *
 * It is SVG without a scale: what has a time stands at a percentage of the width, and says its times in `data-a` and
 * `data-b`, in milliseconds from the middle; everything else is in pixels. So it can be read at any width and without a
 * script, and a script zooms by setting percentages anew, which leaves texts, marks and lines as large as they were.
 */
import type { Access, Belief, Event, History, Hold } from '../history.ts'
import { byName, endOf, entryKey, historyOf } from '../history.ts'
import type { View } from './layout.ts'
import { fits, placeOf, seatsOf, ticksOf } from './layout.ts'
import type { Markup } from './markup.ts'
import { markup } from './markup.ts'
import type { Overlap } from './overlaps.ts'
import { overlapsOf } from './overlaps.ts'
import type { Excerpt } from './report.ts'
import { cut, listed, ms, wordsOf } from './words.ts'

/** As wide as on a phone: texts that fit there fit everywhere. A script that knows the width shows more of them. */
const NARROW_PX = 260
/** Marks of the axis are short, and may stand closer. */
const TICKS_PX = 320

const AXIS_PX = 26
/** Of texts that stand one under the other. */
const ROW_PX = 16
const NAME_PX = 28
const LANE_PX = 36
const BAR_PX = 18
/** For the texts of faults. */
const ROWS_MAX = 2

interface Lane {
  readonly process: string
  readonly top: number
  readonly holds: readonly Hold[]
}

interface Block {
  readonly name: string
  readonly top: number
  readonly lanes: readonly Lane[]
  readonly bottom: number
  readonly overlaps: readonly Overlap[]
}

export function timelineOf(excerpt: Excerpt): Markup {
  const scene = new Scene(excerpt)
  const { pen, faults, blocks, height } = scene
  const { from, span } = pen.view
  const faultTexts = faults.map((event) => ({ at: event.at, text: cut(scene.textOf(event), 60) }))
  const longest = Math.max(4, ...blocks.flatMap(({ lanes }) => lanes.map(({ process }) => cut(process).length)))
  const lanes = blocks.flatMap((block) => block.lanes)
  // What is drawn later lies above.
  return markup`<div class="drawing">
<svg class="who" width="${16 + 7.5 * longest}" height="${height}" aria-hidden="true">${lanes.map(whoOf)}</svg>
<svg class="plot" height="${height}" role="img" aria-label="${excerpt.about}" data-from="${from}" data-span="${span}" data-first="${scene.first}" data-last="${scene.last}">
${ticksOfAxis(pen.view, height)}
${lanes.map((lane) => groundOf(scene, lane))}
${faults.map((event) => (event.kind === 'pause' ? pen.bar('fault', event.at, event.until, AXIS_PX, height - AXIS_PX) : pen.line('fault', event.at, AXIS_PX, height)))}
${blocks.map(({ top, bottom, overlaps }) => overlaps.map(({ from, until }) => pen.bar('overlap', from, until, top + NAME_PX, bottom - top - NAME_PX)))}
${pen.line('middle', excerpt.at, AXIS_PX - 6, height)}
${lanes.map(({ top, holds }) => holds.map((hold) => holdOf(scene, hold, top)))}
${blocks.map((block) => headingOf(pen, block))}
${pen.texts('fault', AXIS_PX + 12, scene.rows, faultTexts)}
</svg></div>`
}

/** What is to be drawn, and where. */
class Scene {
  readonly history: History
  readonly pen: Pen
  /** What strikes all lanes. What strikes a process that has lanes is drawn there. */
  readonly faults: readonly Event[]
  /** Of texts of faults. */
  readonly rows: number
  readonly blocks: readonly Block[]
  readonly height: number
  /** In milliseconds from the middle, as everything that a page says of times. */
  readonly first: number
  readonly last: number
  readonly beliefs: ReadonlyMap<string, readonly Belief[]>
  readonly accesses: ReadonlyMap<string, readonly Access[]>
  /** By `entryKey`. */
  readonly lefts: ReadonlyMap<string, Event>
  readonly #processes: ReadonlySet<string>

  constructor({ at, events }: Excerpt) {
    const history = historyOf(events)
    this.history = history
    this.#processes = new Set([...history.holds.values()].map(({ process }) => process))
    this.beliefs = byName(history.beliefs, ({ hold }) => hold.id)
    this.accesses = byName(
      events.filter((event) => event.kind === 'access'),
      ({ hold }) => hold,
    )
    this.lefts = new Map(events.flatMap((event) => (event.kind === 'left' ? [[entryKey(event), event]] : [])))
    this.faults = events.filter((event) => this.#isFault(event))
    this.rows = Math.min(ROWS_MAX, this.faults.length)
    this.blocks = blocksOf(history, at, AXIS_PX + this.rows * ROW_PX)
    this.height = this.blocks.at(-1)?.bottom ?? AXIS_PX + this.rows * ROW_PX
    this.first = round((events[0]?.at ?? at) - at)
    this.last = round(Math.max(history.endedAt, ...history.beliefs.map(({ until }) => until)) - at)
    const half = halfOf(history, at)
    this.pen = new Pen(at, { from: -half, span: 2 * half, px: NARROW_PX })
  }

  textOf(event: Event): string {
    switch (event.kind) {
      case 'fault':
        return this.#processes.has(event.process) ? `${event.process}: ${event.what}` : event.what
      case 'pause':
      case 'crash':
        return `${event.process} ${wordsOf(event, event.at)}`
      default:
        return wordsOf(event, event.at)
    }
  }

  #isFault({ kind, process }: Event): boolean {
    switch (kind) {
      case 'fault':
      case 'healed':
      case 'evicted':
      case 'forgotten':
        return true
      case 'pause':
      case 'crash':
        return !this.#processes.has(process)
      default:
        return false
    }
  }
}

/** Draws what has a time. */
class Pen {
  readonly view: View
  readonly #at: number

  constructor(at: number, view: View) {
    this.#at = at
    this.view = view
  }

  bar(kind: string, from: number, until: number, y: number, height: number): Markup {
    const [a, b] = [this.#offset(from), this.#offset(until)]
    const place = placeOf(a, b, this.view)
    const where = place && markup` x="${round(place.x)}%" width="${round(Math.max(place.width, 0.2))}%"`
    return markup`<rect class="${kind}${!place && ' off'}" data-a="${a}" data-b="${b}"${where} y="${y}" height="${height}"/>`
  }

  line(kind: string, at: number, y: number, until: number): Markup {
    return markup`<rect class="${kind} line"${this.#point(at)} y="${y}" width="1.5" height="${until - y}"/>`
  }

  mark(kind: string, at: number, y: number): Markup {
    return markup`<use href="#mark-${kind}"${this.#point(at)} y="${y}"/>`
  }

  /** A text that stays on its bar, if there is room. */
  inside(from: number, until: number, y: number, text: string): Markup {
    const [a, b] = [this.#offset(from), this.#offset(until)]
    const place = placeOf(a, b, this.view)
    const seen = place && fits(text.length, place, this.view)
    const where = seen && markup` x="${round(Math.max(place.x, 0))}%"`
    return markup`<text class="inside${!seen && ' off'}" data-a="${a}" data-b="${b}"${where} y="${y}" dx="5">${text}</text>`
  }

  /** Texts beside their times, in rows, so that none covers another. */
  texts(
    kind: string,
    y: number,
    rows: number,
    texts: readonly { readonly at: number; readonly text: string }[],
  ): Markup {
    const labels = texts.map(({ at, text }) => ({ at: this.#offset(at), text, length: text.length }))
    const seats = seatsOf(labels, rows, this.view)
    return markup`<g class="texts ${kind}" data-y="${y}" data-rows="${rows}" data-row="${ROW_PX}">${labels.map(
      ({ at, text }, index) => {
        const seat = seats[index]
        if (!seat) return markup`<text class="off" data-at="${at}">${text}</text>`
        const x = round(placeOf(at, at, this.view)!.x)
        return markup`<text data-at="${at}" x="${x}%" y="${y + seat.row * ROW_PX}" text-anchor="${seat.anchor}">${text}</text>`
      },
    )}</g>`
  }

  #point(at: number): Markup {
    const a = this.#offset(at)
    const place = placeOf(a, a, this.view)
    // What is nowhere to be seen stands far out.
    return markup` data-a="${a}" x="${round(place?.x ?? -1000)}%"`
  }

  #offset(at: number): number {
    return round(at - this.#at)
  }
}

function ticksOfAxis(view: View, height: number): Markup {
  return markup`<g class="ticks" data-y="${AXIS_PX - 6}" data-height="${height - AXIS_PX + 6}">${ticksOf({
    ...view,
    px: TICKS_PX,
  }).map(({ at, text }) => {
    const x = round(placeOf(at, at, view)?.x ?? 0)
    return markup`<rect x="${x}%" y="${AXIS_PX - 6}" width="1" height="${height - AXIS_PX + 6}"/><text x="${x}%" y="14">${text}</text>`
  })}</g>`
}

function whoOf({ process, top }: Lane): Markup {
  return markup`<text y="${top + 13}">${cut(process)}<title>${process}</title></text>`
}

/** What a lane stands on: a line, and where its process stood still. */
function groundOf({ pen, history }: Scene, { process, top }: Lane): Markup {
  const pauses = history.pauses.get(process) ?? []
  return markup`<rect class="ground" y="${top + LANE_PX - 6}" width="100%" height="1"/>${pauses.map(
    ({ at, until, asleep }) =>
      markup`${pen.bar('pause', at, until, top - 5, LANE_PX - 1)}<g class="still">${pen.inside(at, until, top + LANE_PX - 9, asleep ? 'asleep' : 'stands still')}</g>`,
  )}`
}

function headingOf(pen: Pen, { name, top, overlaps }: Block): Markup {
  const texts = overlaps.map(({ from, until, beliefs }) => ({
    at: from,
    text: `${listed(beliefs.map(({ hold }) => String(hold.granted!.fence)))} at once, ${ms(until - from)}`,
  }))
  return markup`<text class="name" x="4" y="${top + 19}">${cut(name, 40)}<title>${name}</title></text>${
    texts.length > 0 && pen.texts('overlap', top + NAME_PX + 11, 1, texts)
  }`
}

function holdOf({ pen, history, beliefs: all, accesses, lefts }: Scene, hold: Hold, top: number): Markup {
  const { id, ask, granted, gaveUp, released, lost } = hold
  const middle = top + BAR_PX / 2
  const crash = history.crashes.get(hold.process)
  const over = Math.min(endOf(hold), crash?.at ?? Infinity, history.endedAt)
  const beliefs = all.get(id) ?? []
  const [first] = beliefs
  const left = granted && lefts.get(entryKey(granted))
  return markup`<g class="hold" data-hold="${id}"><title>${titleOf(hold)}</title>${[
    ask && pen.bar('waits', ask.at, Math.min((granted ?? gaveUp)?.at ?? over, over), middle - 2, 4),
    granted && gapsOf(granted.at, over, beliefs).map(([from, until]) => pen.bar('late', from, until, top, BAR_PX)),
    beliefs.map(({ mode, from, until }) => pen.bar(mode, from, until, top, BAR_PX)),
    granted && first && pen.inside(first.from, first.until, top + 13, labelOf(granted)),
    gaveUp && pen.mark('gave-up', gaveUp.at, middle),
    released && !lost && pen.mark('released', released.at, middle),
    lost && pen.mark('lost', lost.at, middle),
    crash && crash.at === over && pen.mark('crash', crash.at, middle),
    left && !released && pen.mark('left', left.at, top + BAR_PX + 6),
    accesses.get(id)?.map(({ at, accepted }) => pen.mark(accepted ? 'accepted' : 'refused', at, top + BAR_PX + 6)),
  ]}</g>`
}

/** Where its user had no right to believe any more, and had not been told. */
function gapsOf(from: number, until: number, beliefs: readonly Belief[]): [from: number, until: number][] {
  const edges = [from, ...beliefs.flatMap((belief) => [belief.from, belief.until]), until]
  const gaps: [number, number][] = []
  for (let index = 0; index < edges.length; index += 2) {
    const [start, end] = [edges[index]!, edges[index + 1]!]
    if (start < end) gaps.push([start, end])
  }
  return gaps
}

function labelOf({ fence, mode, weight, capacity }: NonNullable<Hold['granted']>): string {
  return mode === 'permits' ? `${fence} (${weight} of ${capacity})` : String(fence)
}

function titleOf({ id, process, ask, granted, gaveUp, released, lost }: Hold): string {
  const ends = granted ? (lost ?? released) : gaveUp
  const from = (granted ?? ask)?.at ?? 0
  const what = granted ? wordsOf(granted, from) : ask ? wordsOf(ask, from) : 'does something'
  return `${process}, ${id}: ${what}${ends ? `; after ${ms(ends.at - from)} it ${wordsOf(ends, from)}` : ''}`
}

/** The name with the overlap next to the middle first, then in the order of names. */
function blocksOf(history: History, at: number, top: number): Block[] {
  const overlaps = byName(overlapsOf(history), ({ name }) => name)
  const distances = new Map(
    [...overlaps].map(([name, all]) => [name, Math.min(...all.map(({ from }) => Math.abs(from - at)))]),
  )
  const named = [...history.holds.values()].filter(({ ask, granted }) => granted ?? ask)
  const names = [...byName(named, ({ ask, granted }) => (granted ?? ask)!.name)]
  names.sort(([a], [b]) => (distances.get(a) ?? Infinity) - (distances.get(b) ?? Infinity) || inOrder.compare(a, b))
  const blocks: Block[] = []
  for (const [name, holds] of names) {
    const own = overlaps.get(name) ?? []
    const start = blocks.at(-1)?.bottom ?? top
    const first = start + NAME_PX + (own.length > 0 ? ROW_PX : 0) + 4
    const lanes = lanesOf(history, holds).map((lane, index) => ({ ...lane, top: first + index * LANE_PX }))
    blocks.push({ name, top: start, lanes, bottom: first + lanes.length * LANE_PX, overlaps: own })
  }
  return blocks
}

const inOrder = new Intl.Collator('en', { numeric: true })

/** One for each process, and another one for what a process does at the same time. */
function lanesOf(history: History, holds: readonly Hold[]): Omit<Lane, 'top'>[] {
  const processes = [...byName(holds, ({ process }) => process)].sort(([a], [b]) => inOrder.compare(a, b))
  return processes.flatMap(([process, own]) => {
    const lanes: { readonly holds: Hold[]; until: number }[] = []
    for (const hold of own.sort((a, b) => startOf(a) - startOf(b))) {
      const until = Math.min(endOf(hold), hold.gaveUp?.at ?? Infinity, history.crashes.get(process)?.at ?? Infinity)
      const free = lanes.find((lane) => lane.until <= startOf(hold))
      if (free) {
        free.holds.push(hold)
        free.until = until
      } else lanes.push({ holds: [hold], until })
    }
    return lanes.map((lane) => ({ process, holds: lane.holds }))
  })
}

function startOf({ ask, granted }: Hold): number {
  return (ask ?? granted)?.at ?? 0
}

/**
 * So far to either side that those who believe in the middle can be seen from their grant to their end, or the two next to
 * it; and so can those to whom something happens there.
 */
function halfOf({ beliefs, holds, events }: History, at: number): number {
  const byDistance = beliefs
    .map(({ from, until }) => ({ from, until, distance: Math.max(0, from - at, at - until) }))
    .sort((a, b) => a.distance - b.distance)
  const near = byDistance.filter(({ distance }, index) => distance === 0 || index < 2)
  const times = near.flatMap(({ from, until }) => [from, until])
  for (const event of events) {
    const hold = event.at === at && 'hold' in event && event.hold !== undefined ? holds.get(event.hold) : undefined
    if (hold?.granted) times.push(hold.granted.at, Math.min(endOf(hold), events.at(-1)!.at))
  }
  const reach = Math.max(1, ...times.map((time) => Math.abs(time - at)))
  return round(reach * 1.25)
}

/** A time to a microsecond, or a place to a thousandth of a percent. */
function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
