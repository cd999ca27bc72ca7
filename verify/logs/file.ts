/**
 * What a store says: its lines, as all who use it read them, and what became of each entry by them.
 *
 * A time is that of the log: the largest that a line has brought until then. So an end is told late, by the next line, and never
 * early.
 */
import { closeSync, existsSync, openSync, readSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Renewal, Standing } from '../../src/backend.ts'
import type { Line } from '../../src/backends/file/line.ts'
import { decodeLine, decodeText, eachLine } from '../../src/backends/file/line.ts'
import type { ReplicaState } from '../../src/backends/file/replica.ts'
import { Replica } from '../../src/backends/file/replica.ts'
import { realRuntime } from '../../src/runtime.ts'
import type { Event } from '../../src/verify/history.ts'
import { MemoryRecorder } from '../../src/verify/history.ts'
import type { CoordinatorLog } from '../../src/verify/torture/trial.ts'
import { Diary, lookAt } from '../../test/simulation/diary.ts'
import { userNameOf } from './names.ts'

/** A segment is there for some seconds at least, whatever is written. */
const LOOKS_EVERY_MS = 50
const CHUNK_BYTES = 1 << 20

interface Segment {
  readonly number: number
  readonly file: number
  offset: number
  /** What it begins with, as far as that was read: a header and a state. */
  readonly head: string[]
  sealed: boolean
}

export class FileLog implements CoordinatorLog {
  readonly #directory: string
  readonly #lines: Line[] = []
  readonly #chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  #segment: Segment | undefined
  /** Under which clock it is written. */
  #header: string | undefined
  /** What it began with. */
  #state: ReplicaState | undefined
  #isCut = false
  #ended = false

  private constructor(directory: string) {
    this.#directory = directory
    this.#look()
  }

  /** @param directory of a store that nobody has used yet */
  static open(directory: string): FileLog {
    return new FileLog(directory)
  }

  async events(): Promise<Event[] | undefined> {
    this.#readAll()
    return this.#isCut ? undefined : this.#replay()
  }

  end(): void {
    this.#ended = true
    if (this.#segment) closeSync(this.#segment.file)
    this.#segment = undefined
  }

  #look(): void {
    if (this.#ended) return
    this.#readAll()
    realRuntime.after(LOOKS_EVERY_MS, () => this.#look())
  }

  #readAll(): void {
    for (;;) {
      if (!this.#segment || this.#segment.sealed) {
        const next = this.#next()
        if (!next) return
        if (this.#segment) closeSync(this.#segment.file)
        this.#segment = next
      }
      if (!this.#readOn(this.#segment)) return
    }
  }

  #next(): Segment | undefined {
    const number = (this.#segment?.number ?? 0) + 1
    const there = existsSync(this.#directory) ? readdirSync(this.#directory) : []
    if (there.includes(`log.${number}`))
      return { number, file: openSync(join(this.#directory, `log.${number}`), 'r'), offset: 0, head: [], sealed: false }
    // It was there, and is gone.
    this.#isCut ||= there.some((name) => Number(/^log\.(\d+)$/.exec(name)?.[1]) > number)
    return undefined
  }

  /** Whether there may be more. */
  #readOn(segment: Segment): boolean {
    const length = readSync(segment.file, this.#chunk, 0, CHUNK_BYTES, segment.offset)
    const read = eachLine(this.#chunk.subarray(0, length), (bytes) => {
      if (segment.head.length < 2) this.#begin(segment, bytes)
      else this.#take(segment, bytes)
      return !segment.sealed
    })
    segment.offset += read
    return segment.sealed || (read > 0 && length === CHUNK_BYTES)
  }

  #begin({ head }: Segment, bytes: Buffer): void {
    const text = decodeText(bytes)!
    head.push(text)
    if (head.length === 2) return void (this.#state ??= JSON.parse(text) as ReplicaState)
    this.#header ??= text
    // Behind another clock nothing it said has a time.
    this.#isCut ||= text !== this.#header
  }

  #take(segment: Segment, bytes: Buffer): void {
    const line = decodeLine(bytes)
    // Torn, it counts for nobody.
    if (!line) return
    this.#lines.push(line)
    segment.sealed = line.verbs.some(([word]) => word === 'seal')
  }

  #replay(): Event[] {
    const replica = new Replica(this.#state)
    const recorder = new MemoryRecorder(() => replica.now.monotonicMs)
    const diary = new Diary('file', recorder)
    const known = new Set<string>()
    const look = (): void => {
      const { monotonicMs } = replica.now
      const views = [...replica.table.view('', replica.now)].map((view) => [userNameOf(view.name), view] as const)
      const byName = new Map(views)
      for (const name of byName.keys()) known.add(name)
      for (const name of known) diary.look(name, lookAt(byName.get(name), monotonicMs, 1))
    }
    for (const { verbs, ...line } of this.#lines) {
      for (const verb of verbs) {
        const [answer] = replica.apply({ ...line, verbs: [verb] })
        look()
        if (verb[0] === 'join' || verb[0] === 'renew') diary.answered(userNameOf(verb[1].name), answer as Standing)
        if (verb[0] === 'renewals')
          for (const each of answer as readonly Renewal[]) diary.answered(userNameOf(verb[1]), each)
      }
    }
    return recorder.events
  }
}
