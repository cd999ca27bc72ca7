/**
 * Where things stand on an axis of time.
 *
 * These functions are also sent to the page as their own source, where they move things when a reader zooms. So none of
 * them may use anything but its parameters.
 */

/** What can be seen: so many milliseconds, on so many pixels. */
export interface View {
  readonly from: number
  readonly span: number
  readonly px: number
}

export interface Place {
  /** In percent of the width. */
  readonly x: number
  readonly width: number
}

/** Cut to what can be seen. `undefined`: nothing of it can. */
export function placeOf(from: number, until: number, view: View): Place | undefined {
  const left = ((from - view.from) / view.span) * 100
  const right = ((until - view.from) / view.span) * 100
  if (right < 0 || left > 100) return undefined
  // A little beyond the edges, so that what goes on there does not look as if it ended there.
  const x = Math.max(left, -1)
  return { x, width: Math.min(right, 101) - x }
}

export interface Tick {
  readonly at: number
  /** Empty at the edges, where it would be cut. */
  readonly text: string
}

/** Where the axis has its marks: at round numbers, seventy pixels apart or more. */
export function ticksOf(view: View): Tick[] {
  const rough = (view.span * 70) / view.px
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10)
  const first = Math.ceil(view.from / step)
  const last = Math.floor((view.from + view.span) / step)
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const at = Number(((first + index) * step).toPrecision(12))
    const sign = at < 0 ? '−' : at > 0 ? '+' : ''
    const text = `${sign}${Math.abs(at).toLocaleString('en', { maximumFractionDigits: 6 })}${at === 0 ? ' ms' : ''}`
    const x = ((at - view.from) / view.span) * view.px
    const half = text.length * 3.9
    return { at, text: x < half || x > view.px - half ? '' : text }
  })
}

/** Whether a text of this length can be read on what can be seen of something. */
export function fits(length: number, { x, width }: Place, view: View): boolean {
  const seen = Math.min(x + width, 100) - Math.max(x, 0)
  return (seen * view.px) / 100 >= length * 7.7 + 7
}

export interface Label {
  readonly at: number
  readonly length: number
}

export interface Seat {
  readonly row: number
  /** As SVG anchors a text: it begins at its time, ends there, or has it in its middle. */
  readonly anchor: 'start' | 'end' | 'middle'
}

/**
 * Seats for texts that each stand beside their time, in so many rows, so that none covers another. Those next to the middle
 * come first; `undefined`: no seat is free, or its time is out of sight.
 */
export function seatsOf(labels: readonly Label[], rows: number, view: View): (Seat | undefined)[] {
  const taken = Array.from({ length: rows }, () => [] as { readonly from: number; readonly until: number }[])
  const middle = view.from + view.span / 2
  const seats = labels.map((): Seat | undefined => undefined)
  const order = labels.map((_, index) => index)
  order.sort((a, b) => Math.abs(labels[a]!.at - middle) - Math.abs(labels[b]!.at - middle))
  for (const index of order) {
    const { at, length } = labels[index]!
    const x = ((at - view.from) / view.span) * view.px
    if (x < 0 || x > view.px) continue
    const width = length * 7.7 + 8
    const sides = [
      { anchor: 'start' as const, from: x },
      { anchor: 'end' as const, from: x - width },
      { anchor: 'middle' as const, from: x - width / 2 },
    ]
    const side = sides.find(({ from }) => from >= 0 && from + width <= view.px)
    if (!side) continue
    const { from, anchor } = side
    const row = taken.findIndex((texts) => texts.every((text) => from >= text.until || from + width <= text.from))
    if (row < 0) continue
    taken[row]!.push({ from, until: from + width })
    seats[index] = { row, anchor }
  }
  return seats
}
