/**
 * What a coordinator did, as seen from outside: after each verb somebody looks at the queue, and what has changed since the
 * last look is written down. So it is the same for whatever a coordinator does inside: an entry is in the queue when it is
 * shown there, and it holds when its position says so or when anybody was told that it does.
 */
import type { EntryView, QueueView, Renewal, Standing } from '../../src/backend.ts'
import type { Recorder } from '../../src/verify/history.ts'

/** An entry as it stands in the queue. */
export interface Seen {
  readonly fence: bigint
  readonly weight: number
  /** The hold that it belongs to. */
  readonly hold: string | undefined
  /** It is nobody's, and stands until then, on the scale of the history. */
  readonly lingersUntil: number | undefined
}

/** A queue at one moment. */
export interface Look {
  readonly capacity: number
  readonly holders: readonly Seen[]
  readonly waiters: readonly Seen[]
}

interface Known {
  readonly seen: Seen
  holds: boolean
}

/** What rounding may add to the end of an entry that lingers. */
const ROUNDING_MS = 1

export class Diary {
  readonly #process: string
  readonly #recorder: Recorder
  readonly #queues = new Map<string, Map<bigint, Known>>()

  constructor(process: string, recorder: Recorder) {
    this.#process = process
    this.#recorder = recorder
  }

  /** The entries of a queue at the last look, in their order. */
  entries(name: string): Seen[] {
    return [...(this.#queues.get(name)?.values() ?? [])].map(({ seen }) => seen)
  }

  /** This is the queue now. */
  look(name: string, look: Look | undefined): void {
    const known = this.#queues.get(name) ?? new Map<bigint, Known>()
    this.#queues.set(name, known)
    const { holders = [], waiters = [], capacity = 0 } = look ?? {}
    const all = [...holders, ...waiters]
    for (const { seen } of known.values()) {
      if (all.some(({ fence }) => fence === seen.fence)) continue
      known.delete(seen.fence)
      this.left(name, seen)
    }
    for (const seen of all) this.#see(name, capacity, known, seen)
    for (const { fence } of holders) this.#holds(name, fence)
  }

  /** Somebody was told that this entry holds, or waits. */
  told(name: string, fence: bigint, waits = false): void {
    if (!waits) return this.#holds(name, fence)
    const hold = this.#queues.get(name)?.get(fence)?.seen.hold
    this.#recorder.note(this.#process, { kind: 'waits', name, fence: Number(fence), hold })
  }

  /** Somebody was told this; what says nothing of an entry leaves no trace. */
  answered(name: string, said: Standing | Renewal | boolean): void {
    if (typeof said === 'object' && 'fence' in said) this.told(name, said.fence, said.state === 'waiting')
  }

  left(name: string, { fence, hold }: Pick<Seen, 'fence' | 'hold'>): void {
    this.#recorder.note(this.#process, { kind: 'left', name, fence: Number(fence), hold })
  }

  evicted(name: string, { fence, hold }: Pick<Seen, 'fence' | 'hold'>): void {
    this.#recorder.note(this.#process, { kind: 'evicted', name, fence: Number(fence), hold })
  }

  /**
   * It has lost entries that were alive, or will have by then; what is there is written down anew.
   *
   * @returns those that are not there any more; when they left is for whoever knows to say
   */
  forgot(name: string, until: number, look: Look | undefined): Seen[] {
    const before = this.entries(name)
    this.#recorder.note(this.#process, { kind: 'forgotten', name, until })
    this.#queues.delete(name)
    this.look(name, look)
    const there = this.#queues.get(name)!
    return before.filter(({ fence }) => !there.has(fence))
  }

  /** The coordinator's clock was set back: what lingers does so for so much longer. */
  clockSetBack(byMs: number): void {
    for (const known of this.#queues.values()) {
      for (const [fence, { seen, holds }] of known) {
        const { lingersUntil } = seen
        if (lingersUntil !== undefined)
          known.set(fence, { seen: { ...seen, lingersUntil: lingersUntil + byMs }, holds })
      }
    }
  }

  #holds(name: string, fence: bigint): void {
    const known = this.#queues.get(name)?.get(fence)
    if (known?.holds) return
    if (known) known.holds = true
    this.#recorder.note(this.#process, { kind: 'holds', name, fence: Number(fence), hold: known?.seen.hold })
  }

  #see(name: string, capacity: number, known: Map<bigint, Known>, now: Seen): void {
    const { fence, weight, lingersUntil } = now
    const before = known.get(fence)
    const seen = before ? { ...now, hold: before.seen.hold } : now
    const about = { name, fence: Number(fence), hold: seen.hold }
    if (!before) this.#recorder.note(this.#process, { kind: 'entered', ...about, weight, capacity })
    else if (weight < before.seen.weight) this.#recorder.note(this.#process, { kind: 'lightened', ...about, weight })
    if (lingersUntil !== undefined && lingersUntil > (before?.seen.lingersUntil ?? -Infinity) + ROUNDING_MS)
      this.#recorder.note(this.#process, { kind: 'lingers', ...about, until: lingersUntil })
    known.set(fence, { seen, holds: before?.holds ?? false })
  }
}

/** @param rate of the coordinator's clock, by the scale of the history */
export function lookAt(view: QueueView | undefined, now: number, rate: number): Look | undefined {
  if (!view) return undefined
  const seen = ({ fence, weight, info, lingering, ttlMs }: EntryView): Seen => ({
    fence,
    weight,
    hold: labelOf(info),
    lingersUntil: lingering ? now + ttlMs / rate : undefined,
  })
  return { capacity: view.capacity, holders: view.holders.map(seen), waiters: view.waiters.map(seen) }
}

/** Entries say which hold they belong to, in the place where people put a label. Those of a diagnosis say nothing. */
export function labelOf(info: string | undefined): string | undefined {
  return info === undefined || info === '' ? undefined : (JSON.parse(info) as { label?: string }).label
}
