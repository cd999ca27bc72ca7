/**
 * The coordinator's own log of a `file:` store, as events of a history.
 *
 * The segments of a store are removed when they have been sealed, so the test opens each as soon as it is there, and reads
 * them at the end. Whoever holds the lock waits until the test has seen the newest one, so none comes and goes unseen. A
 * copy would miss what is appended later, and a link would change what the store itself looks at.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { onTestFinished } from 'vitest'
import { decodeLine, decodeText, eachLine } from '../../../src/backends/file/line.ts'
import type { ReplicaState } from '../../../src/backends/file/replica.ts'
import { Replica } from '../../../src/backends/file/replica.ts'
import { decodeWho } from '../../../src/core/who.ts'
import type { Seat } from '../../../src/queue/table.ts'
import type { Event } from '../../../src/verify/history.ts'
import type { Stage } from '../../kit/worker.ts'
import { scratchDirectory } from '../../kit/workers.ts'

/** Runs in a worker: in each section, wait until the test has opened the newest segment. */
export function showSegments(stage: Stage, { store, seen }: { store: string; seen: string }): void {
  const fs = process.getBuiltinModule('node:fs')
  const fd = fs.openSync(seen, 'r')
  const bytes = Buffer.alloc(8)
  const unseen = (): boolean => {
    const numbers = fs.readdirSync(store).map((name) => Number(/^log\.(\d+)$/.exec(name)?.[1] ?? 0))
    fs.readSync(fd, bytes, 0, 8, 0)
    return Math.max(...numbers) > bytes.readDoubleLE()
  }
  stage.inside = async () => {
    while (unseen()) await new Promise((resolve) => void setTimeout(resolve, 1))
  }
}

/** Opens every segment of a store from now on. */
export class Collector {
  readonly store: string
  /** A file with the number of the newest segment that was opened. */
  readonly seen: string
  readonly #seen: number
  readonly #segments = new Map<number, number>()
  #done = false

  constructor(store: string) {
    const scratch = scratchDirectory()
    this.store = store
    this.seen = join(scratch, 'seen')
    this.#seen = openSync(this.seen, 'w')
    void this.#collect()
    onTestFinished(() => {
      this.#done = true
      rmSync(scratch, { recursive: true })
      for (const fd of [this.#seen, ...this.#segments.values()]) closeSync(fd)
      this.#segments.clear()
    })
  }

  async #collect(): Promise<void> {
    for (; !this.#done; await sleep(1)) this.look()
  }

  look(): void {
    for (const name of readdirSync(this.store).filter((each) => each.startsWith('log.'))) {
      const number = Number(name.slice('log.'.length))
      if (this.#segments.has(number)) continue
      this.#segments.set(number, openSync(join(this.store, name), 'r'))
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleLE(Math.max(...this.#segments.keys()))
      writeSync(this.#seen, bytes, 0, 8, 0)
    }
  }

  /** In their order. Throws where one is missing. */
  segments(): Buffer[] {
    this.look()
    const numbers = [...this.#segments.keys()].sort((a, b) => a - b)
    return numbers.map((number, index) => {
      if (number !== index + 1) throw new Error(`log.${index + 1} was not seen; there were ${numbers.join()}`)
      const fd = this.#segments.get(number)!
      const bytes = Buffer.alloc(fstatSync(fd).size)
      return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0))
    })
  }
}

export interface Chronicle {
  readonly segments: number
  readonly lines: number
  readonly torn: number
  readonly events: readonly Event[]
}

/** Read what a store's segments say. Throws where one does not follow from the one before it. */
export function chronicle(collector: Collector): Chronicle {
  const segments = collector.segments()
  const observer = new Observer()
  let replica: Replica | undefined
  let lines = 0
  let torn = 0
  for (const [index, bytes] of segments.entries()) {
    const head: Buffer[] = []
    const start = eachLine(bytes, (line) => head.push(line) < 2)
    const state = JSON.parse(decodeText(head[1]!)!) as ReplicaState
    // A segment starts from what the one before it says, and whoever made it must have read the same.
    if (replica && !isDeepStrictEqual(replica.dump(), new Replica(state).dump()))
      throw new Error(`log.${index + 1} does not start from where log.${index} ended`)
    const now = (replica = new Replica(state))
    eachLine(bytes.subarray(start), (text) => {
      const line = decodeLine(text)
      if (line) {
        lines += 1
        now.apply(line)
        observer.look(now)
      } else {
        torn += 1
      }
      return !now.sealed
    })
    if (!now.sealed && index + 1 !== segments.length) throw new Error(`log.${index + 1} has no seal`)
  }
  return { segments: segments.length, lines, torn, events: observer.events }
}

interface Known {
  readonly name: string
  readonly fence: number
  readonly hold: string | undefined
  weight: number
  holds: boolean
  lingers: boolean
}

/** Compares a replica with what it was before. */
class Observer {
  readonly events: Event[] = []
  #known = new Map<string, Known>()

  look({ table, now: { monotonicMs: at } }: Replica): void {
    const before = this.#known
    this.#known = new Map()
    const say = (event: object, { name, fence, hold }: Known): void =>
      void this.events.push({ at, process: 'store', name, fence, hold, ...event } as Event)
    const rest = new Map(before)
    const fresh: Known[] = []
    const seats: [Seat, Known][] = []
    for (const { name, capacity, seats: all } of table.dump().queues) {
      for (const seat of all) {
        let known = before.get(seat.id)
        rest.delete(seat.id)
        if (!known) {
          const plain = name.replace(/^lock:/, '')
          const hold = decodeWho(seat.info).label
          known = { name: plain, fence: seat.fence, hold, weight: seat.weight, holds: false, lingers: false }
          fresh.push(known)
        }
        this.#known.set(seat.id, known)
        seats.push([{ ...seat, ttlMs: capacity }, known])
      }
    }
    for (const gone of rest.values()) say({ kind: 'left' }, gone)
    for (const [{ ttlMs: capacity }, known] of seats)
      if (fresh.includes(known)) say({ kind: 'entered', weight: known.weight, capacity }, known)
    for (const [seat, known] of seats) {
      if (seat.heldAt !== undefined && !known.holds) say({ kind: 'holds' }, known)
      if (seat.lingering && !known.lingers) say({ kind: 'lingers', until: seat.until }, known)
      if (seat.weight !== known.weight) say({ kind: 'lightened', weight: seat.weight }, known)
      known.holds = seat.heldAt !== undefined
      known.lingers = seat.lingering
      known.weight = seat.weight
    }
  }
}
