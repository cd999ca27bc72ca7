/**
 * What a run recorded, and what can be said about it without judging.
 *
 * A history is a list of events on one monotonic time scale, one JSON object a line when it is stored. Workers write what
 * user code saw, the nemesis writes what it did, and where a coordinator can tell, its own log stands beside them. Times
 * are taken so that they never accuse the innocent: a grant is recorded after user code has it, a release before it is
 * called.
 *
 * A *hold* is one ask and what came of it. Its *beliefs* are the stretches of time in which user code may believe that it
 * holds: from the grant to the earliest of release called, loss seen, deadline passed, process dead. A renewal moves the
 * deadline; one that comes after the deadline has passed begins a new belief and fills no gap.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

export type Mode = 'exclusive' | 'shared' | 'permits'

interface About {
  /** Milliseconds on the scale of the history. */
  readonly at: number
  readonly process: string
}

interface OfHold extends About {
  /** Names one ask in the whole history. */
  readonly hold: string
}

interface OfEntry extends About {
  /** The queue. Two queues of one name (a lock, permits) are two names here. */
  readonly name: string
  readonly fence: number
  /** What the entry says of itself, if the coordinator keeps that: the hold it belongs to. */
  readonly hold?: string | undefined
}

/** User code asks, and waits unless `waits` is false. */
export interface Ask extends OfHold {
  readonly kind: 'ask'
  readonly name: string
  readonly waits: boolean
}

/** User code has it. `until` is its deadline, here as everywhere on the scale of the history. */
export interface Granted extends OfHold {
  readonly kind: 'granted'
  readonly name: string
  readonly fence: number
  readonly mode: Mode
  readonly weight: number
  readonly capacity: number
  /** How long the lease was asked for, if that is known. A deadline is never further away than this. */
  readonly ttlMs?: number
  readonly until: number
}

/** A renewal moved the deadline. */
export interface Deadline extends OfHold {
  readonly kind: 'deadline'
  readonly until: number
}

/** It takes less from now on, or says that it takes more: a downgrade, as its user believes it. */
export interface Reshaped extends OfHold {
  readonly kind: 'reshaped'
  readonly mode: Mode
  readonly weight: number
}

/** `assertHeld()` returned. */
export interface Checked extends OfHold {
  readonly kind: 'checked'
}

/** Release was called. */
export interface Released extends OfHold {
  readonly kind: 'released'
}

/** User code learns of the loss: its signal fired, or a check threw. */
export interface Lost extends OfHold {
  readonly kind: 'lost'
  readonly by: 'signal' | 'check'
  readonly reason: string
}

/** The ask failed: held by another, waited too long, aborted, coordinator silent. */
export interface GaveUp extends OfHold {
  readonly kind: 'gave-up'
  readonly code: string
}

/** An access to a register, as the register itself saw it, in the order in which it happened there. */
export interface Access extends OfHold {
  readonly kind: 'access'
  readonly register: string
  readonly does: 'read' | 'write'
  readonly fence: number
  readonly mode: 'exclusive' | 'shared'
  readonly accepted: boolean
  /** The version in the register before this access. */
  readonly version: number
  /** For a write: the version it puts there, and the one that its writer had read. */
  readonly puts?: number | undefined
  readonly base?: number | undefined
}

/** The process of this event is gone for good. */
export interface Crash extends About {
  readonly kind: 'crash'
}

/** The process of this event stood still until then. Asleep: its monotonic clock and its timers did, too. */
export interface Pause extends About {
  readonly kind: 'pause'
  readonly until: number
  readonly asleep: boolean
}

/** The nemesis did something. */
export interface Fault extends About {
  readonly kind: 'fault'
  readonly what: string
}

/** The last fault is over, and what it had delayed has arrived. */
export interface Healed extends About {
  readonly kind: 'healed'
}

/** The coordinator put an entry into its queue. */
export interface Entered extends OfEntry {
  readonly kind: 'entered'
  readonly weight: number
  readonly capacity: number
}

/** The coordinator lets an entry hold. */
export interface Holds extends OfEntry {
  readonly kind: 'holds'
}

/** The coordinator tells an entry that it waits. */
export interface Waits extends OfEntry {
  readonly kind: 'waits'
}

/** An entry became lighter. */
export interface Lightened extends OfEntry {
  readonly kind: 'lightened'
  readonly weight: number
}

/** An entry is nobody's any more, and stands until its time has run out. */
export interface Lingers extends OfEntry {
  readonly kind: 'lingers'
  readonly until: number
}

/** An operator removed an entry. What its holder believes from here on, nobody promised. */
export interface Evicted extends OfEntry {
  readonly kind: 'evicted'
}

/**
 * The coordinator ended entries that were alive: a stranger deleted them, or it lost its memory. What whoever stood there
 * believes from then on, nobody promised.
 */
export interface Forgotten extends About {
  readonly kind: 'forgotten'
  readonly name: string
  /** The last of them was ended by then. */
  readonly until: number
}

/** An entry is gone. */
export interface Left extends OfEntry {
  readonly kind: 'left'
}

/** What is left when everything was closed and the longest ttl has passed. */
export interface Residue extends About {
  readonly kind: 'residue'
  readonly entries: number
  readonly timers: number
  readonly subscriptions: number
}

/** The recording ends. What had not happened by now did not happen. */
export interface End extends About {
  readonly kind: 'end'
}

export type Event =
  | Ask
  | Granted
  | Deadline
  | Reshaped
  | Checked
  | Released
  | Lost
  | GaveUp
  | Access
  | Crash
  | Pause
  | Fault
  | Healed
  | Entered
  | Holds
  | Waits
  | Lightened
  | Lingers
  | Evicted
  | Forgotten
  | Left
  | Residue
  | End

/** An event without what the recorder adds. */
export type Note = Event extends infer E ? (E extends Event ? Omit<E, 'at' | 'process'> : never) : never

/** What a checker objects to, with the events that show it. */
export interface Violation {
  readonly checker: string
  readonly text: string
  readonly events: readonly Event[]
}

/** A stretch of time in which user code may believe that it holds, and as what. */
export interface Belief {
  readonly hold: Hold
  readonly mode: Mode
  readonly weight: number
  readonly from: number
  readonly until: number
}

/** One ask and what came of it. */
export interface Hold {
  readonly id: string
  readonly process: string
  readonly ask: Ask | undefined
  readonly granted: Granted | undefined
  readonly gaveUp: GaveUp | undefined
  readonly released: Released | undefined
  readonly lost: Lost | undefined
  /** In the order of the history. */
  readonly deadlines: readonly Deadline[]
  readonly reshaped: readonly Reshaped[]
  readonly checked: readonly Checked[]
}

export interface History {
  readonly events: readonly Event[]
  readonly holds: ReadonlyMap<string, Hold>
  /** When each dead process died. */
  readonly crashes: ReadonlyMap<string, Crash>
  readonly pauses: ReadonlyMap<string, readonly Pause[]>
  /** By `entryKey`. */
  readonly evictions: ReadonlyMap<string, Evicted>
  readonly forgettings: readonly Forgotten[]
  readonly beliefs: readonly Belief[]
  /** The end of the recording. */
  readonly endedAt: number
}

/** Writes down what happens in one process, or in a whole simulation. */
export interface Recorder {
  /** @param at if it did not happen right now */
  note(process: string, note: Note, at?: number): void
}

/** Keep a history in memory. `now` reads the scale of the history. */
export class MemoryRecorder implements Recorder {
  readonly events: Event[] = []
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  note(process: string, note: Note, at: number = this.#now()): void {
    this.events.push({ at, process, ...note })
  }
}

/** Append a history to a file. Each line is with the kernel before `note` returns, so it survives a kill -9. */
export class FileRecorder implements Recorder {
  readonly #now: () => number
  readonly #file: number

  /** `now` must be one clock for all processes that record: the machine's monotonic one. */
  constructor(path: string, now: () => number) {
    this.#file = openSync(path, 'a')
    this.#now = now
  }

  note(process: string, note: Note, at: number = this.#now()): void {
    writeSync(this.#file, `${JSON.stringify({ at, process, ...note })}\n`)
  }

  close(): void {
    closeSync(this.#file)
  }
}

/** Read what several recorders wrote, as one list in the order of time. */
export function readEvents(paths: readonly string[]): Event[] {
  return paths.flatMap((path) => parseEvents(readFileSync(path, 'utf8'), path)).sort((a, b) => a.at - b.at)
}

/** @throws SyntaxError for a broken line. A last line without its end is dropped: its writer died in the middle of it. */
export function parseEvents(text: string, source = 'history'): Event[] {
  const lines = text.split('\n')
  lines.pop()
  return lines.map((line, index) => {
    try {
      return JSON.parse(line) as Event
    } catch (error) {
      throw new SyntaxError(`${source}:${index + 1} is no event: ${line.slice(0, 80)}`, { cause: error })
    }
  })
}

/** Put together what belongs together. Events must be in the order of time. */
export function historyOf(events: readonly Event[]): History {
  const holds = new Map<string, MutableHold>()
  const crashes = new Map<string, Crash>()
  const paused: Pause[] = []
  const evictions = new Map<string, Evicted>()
  const forgettings: Forgotten[] = []
  for (const event of events) {
    switch (event.kind) {
      case 'ask':
        holdOf(holds, event).ask ??= event
        break
      case 'granted':
        holdOf(holds, event).granted ??= event
        break
      case 'gave-up':
        holdOf(holds, event).gaveUp ??= event
        break
      case 'released':
        holdOf(holds, event).released ??= event
        break
      case 'lost':
        holdOf(holds, event).lost ??= event
        break
      case 'deadline':
        holdOf(holds, event).deadlines.push(event)
        break
      case 'reshaped':
        holdOf(holds, event).reshaped.push(event)
        break
      case 'checked':
        holdOf(holds, event).checked.push(event)
        break
      case 'crash':
        crashes.set(event.process, event)
        break
      case 'pause':
        paused.push(event)
        break
      case 'evicted':
        if (!evictions.has(entryKey(event))) evictions.set(entryKey(event), event)
        break
      case 'forgotten':
        forgettings.push(event)
        break
      default:
        // What the others say belongs to no hold.
        break
    }
  }
  const beliefs: Belief[] = []
  for (const hold of holds.values()) {
    if (!hold.granted) continue
    const crashedAt = crashes.get(hold.process)?.at ?? Infinity
    const evictedAt = evictions.size === 0 ? undefined : evictions.get(entryKey(hold.granted))?.at
    addBeliefs(beliefs, hold, hold.granted, Math.min(endOf(hold), crashedAt, evictedAt ?? Infinity))
  }
  const pauses = byName(paused, ({ process }) => process)
  return { events, holds, crashes, pauses, evictions, forgettings, beliefs, endedAt: events.at(-1)?.at ?? 0 }
}

/** When the hold ended for its user, deadlines aside; `Infinity` if it did not. */
export function endOf(hold: Hold): number {
  return Math.min(hold.released?.at ?? Infinity, hold.lost?.at ?? Infinity)
}

/** What the coordinator was losing of a name at that time: part of it may have known an entry until the end of that. */
export function forgettingsAt({ forgettings }: History, of: string, time: number): readonly Forgotten[] {
  return forgettings.filter(({ name, at, until }) => name === of && at <= time && time <= until)
}

/** The events of these holds that a reader of a violation wants to see. */
export function evidence(...holds: readonly Hold[]): Event[] {
  return holds
    .flatMap(({ ask, granted, deadlines, reshaped, lost, released, gaveUp }) => {
      const last = deadlines.at(-1)
      return [ask, granted, ...(last ? [last] : []), ...reshaped, lost, released, gaveUp]
    })
    .filter((event) => event !== undefined)
    .sort((a, b) => a.at - b.at)
}

/** Names an entry of the coordinator. */
export function entryKey({ name, fence }: { readonly name: string; readonly fence: number }): string {
  return `${fence} ${name}`
}

export function byName<T>(items: Iterable<T>, nameOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const name = nameOf(item)
    const group = groups.get(name)
    if (group) group.push(item)
    else groups.set(name, [item])
  }
  return groups
}

type MutableHold = { -readonly [K in keyof Hold]: Hold[K] extends readonly (infer T)[] ? T[] : Hold[K] }

function holdOf(holds: Map<string, MutableHold>, event: OfHold): MutableHold {
  let hold = holds.get(event.hold)
  if (!hold) {
    hold = {
      id: event.hold,
      process: event.process,
      ask: undefined,
      granted: undefined,
      gaveUp: undefined,
      released: undefined,
      lost: undefined,
      deadlines: [],
      reshaped: [],
      checked: [],
    }
    holds.set(event.hold, hold)
  }
  return hold
}

function addBeliefs(beliefs: Belief[], hold: Hold, granted: Granted, end: number): void {
  let { mode, weight, until } = granted
  let from = granted.at
  const cut = (at: number): void => {
    const last = Math.min(at, until, end)
    if (last > from) beliefs.push({ hold, mode, weight, from, until: last })
    from = Math.max(from, at)
  }
  for (const change of changes(hold)) {
    if (change.kind === 'deadline') {
      // Whoever renews after the deadline has passed was without the lease in between. A deadline that is moved into the
      // past ends the belief now: until now its holder did not know.
      if (change.at > until || change.until < change.at) cut(change.at)
      until = change.until
    } else {
      cut(change.at)
      mode = change.mode
      weight = change.weight
    }
  }
  cut(end)
}

function changes({ deadlines, reshaped }: Hold): readonly (Deadline | Reshaped)[] {
  return reshaped.length === 0 ? deadlines : [...deadlines, ...reshaped].sort((a, b) => a.at - b.at)
}
