/**
 * What is said while somebody else holds: who, since when, and where we stand.
 *
 * On a terminal one line that rewrites itself, once a second; elsewhere a line at first and then one a minute. Silent for
 * the first 400 ms, in which most waits end. Without escape codes: spaces rub out what was there.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { WriteStream, isatty } from 'node:tty'
import type { HoldfastEvents } from '../core/events.ts'
import type { QueueKind } from '../core/request.ts'
import { clean } from '../core/text.ts'
import type { Inspection, Locks } from '../locks.ts'
import { realRuntime } from '../runtime.ts'
import { holderRows, nameOf, releaseCommand, showCommand, someone } from './people.ts'
import { columns, cut, ordinal, pageWidth, print, stopwatch, width } from './text.ts'
import type { Said } from './voice.ts'
import { say, speaksJson, tell } from './voice.ts'

const SILENT_MS = 400
const TERMINAL_MS = 1000
const LOG_MS = 60_000

export interface Queue {
  readonly name: string
  readonly kind: QueueKind
}

export class Waiting {
  readonly #locks: Locks
  readonly #queue: Queue
  readonly #since = realRuntime.monotonicMs()
  readonly #joined: (message: unknown) => void
  #fence: bigint | undefined
  #timer: NodeJS.Timeout | undefined
  #stream: WriteStream | undefined
  #drawn = 0
  #over = false

  /** @param joined called when we stand in the queue */
  constructor(locks: Locks, queue: Queue, quiet: boolean, joined: () => void) {
    this.#locks = locks
    this.#queue = queue
    this.#joined = (message) => {
      const event = message as HoldfastEvents['holdfast:wait']
      if (event.name !== queue.name || event.kind !== queue.kind) return
      this.#fence = event.fence
      joined()
    }
    subscribe('holdfast:wait', this.#joined)
    if (!quiet) this.#timer = setTimeout(() => void this.#tell(), SILENT_MS)
  }

  /** Nothing is said any more, and the line is rubbed out. */
  stop(): void {
    this.#over = true
    clearTimeout(this.#timer)
    unsubscribe('holdfast:wait', this.#joined)
    this.#draw('')
    this.#stream?.destroy()
  }

  /** Who stands in the way, and what can be done about it, below a line of those who gave up. */
  async report(ahead: number | undefined): Promise<string> {
    const view = await this.#inspect()
    if (!view) return ''
    const { name, holders } = view
    const waiters = view.waiters.length
    const place = ahead === undefined ? undefined : ahead - holders.length + 1
    const position = place === undefined || place < 1 ? undefined : place
    const elapsedMs = realRuntime.monotonicMs() - this.#since
    tell({ type: 'lock.not_acquired', name, elapsedMs, position, holders: holders.map(someone), waiters })
    const rows = holders.flatMap((holder) => holderRows('holder', holder, pageWidth(2)))
    const were = position === undefined ? '' : `, you were ${ordinal(position)}`
    if (waiters > 0 || were) rows.push(['queue', `${waiters} waiting${were && waiters === 0 ? ' now' : ''}${were}`])
    rows.push(['inspect', showCommand(view)])
    for (const { fence, lingering } of holders) if (!lingering) rows.push(['release', releaseCommand(view, fence)])
    return `\n${columns(rows, '  ').trimEnd()}`
  }

  async #tell(): Promise<void> {
    const view = await this.#inspect()
    if (this.#over) return
    const terminal = isatty(2)
    if (view) {
      const waitedMs = realRuntime.monotonicMs() - this.#since
      if (speaksJson()) tell(waitingSaid(view, this.#fence, waitedMs))
      else if (terminal) this.#draw(waitingText(view, this.#fence, waitedMs, this.#columns() - 1))
      else say(waitingText(view, this.#fence, waitedMs, Infinity))
    }
    this.#timer = setTimeout(() => void this.#tell(), terminal && !speaksJson() ? TERMINAL_MS : LOG_MS)
  }

  async #inspect(): Promise<Inspection | undefined> {
    try {
      return await this.#locks.inspect(this.#queue.name, { kind: this.#queue.kind })
    } catch {
      // It is only for people to read; whether the coordinator is out of reach is for the waiting itself to say.
      return undefined
    }
  }

  #draw(line: string): void {
    if (line === '' && this.#drawn === 0) return
    const columns = width(line)
    const rest = ' '.repeat(Math.max(0, this.#drawn - columns))
    print(2, `\r${line}${rest}${line === '' ? '\r' : ''}`)
    this.#drawn = columns
  }

  #columns(): number {
    // Only ever opened on a terminal, which is then opened anew: the command's own stderr stays as it is.
    this.#stream ??= new WriteStream(2)
    return this.#stream.columns || 80
  }
}

/** One line that fits into so many columns. What is long, a name or a label, is cut; the numbers are not. */
export function waitingText(view: Inspection, fence: bigint | undefined, waitedMs: number, columns: number): string {
  const [holder] = view.holders
  const others = view.holders.length > 1 ? ` and ${view.holders.length - 1} more` : ''
  const at = view.waiters.findIndex((waiter) => waiter.fence === fence)
  const place = at < 0 ? '' : `${ordinal(at + 1)} of ${view.waiters.length}, `
  const middle = `: ${place}${stopwatch(waitedMs)}${holder ? `; held ${stopwatch(holder.heldMs ?? holder.ageMs)} by ` : ''}`
  const tail = holder ? `${others}, lease ${stopwatch(holder.remainingMs)}` : ''
  const room = columns - width('waiting for ') - width(middle) - width(tail)
  const name = clean(view.name)
  const who = holder ? nameOf(holder) : ''
  // Each may have half; what one does not need is the other's.
  const forName = Math.max(room - width(who), Math.floor(room / 2))
  const shortName = cut(name, forName)
  const text = `waiting for ${shortName}${middle}${cut(who, room - width(shortName))}${tail}`
  return columns === Infinity ? text : cut(text, columns)
}

function waitingSaid(view: Inspection, fence: bigint | undefined, elapsedMs: number): Said {
  const [holder] = view.holders
  const at = view.waiters.findIndex((waiter) => waiter.fence === fence)
  return {
    type: 'lock.waiting',
    name: view.name,
    position: at < 0 ? undefined : at + 1,
    waiters: view.waiters.length,
    holder: holder && someone(holder),
    elapsedMs: Math.round(elapsedMs),
  }
}
