/** The copies of queues that somebody in this process needs, each once, and for a while after nobody does. */
import { FleetingMap } from '../../fleeting.ts'
import type { CopyEvents, CopyParts, Snapshot } from './copy.ts'
import { Copy } from './copy.ts'
import type { Tick } from './tick.ts'

/** Whoever locked a name is likely to lock it again. */
const IDLE_MS = 3000
/** And not for longer than this, whatever the entries in it say. */
const IDLE_MAX_MS = 600_000

export class Copies {
  readonly #parts: CopyParts
  readonly #tick: Tick
  readonly #eventsOf: (name: string) => CopyEvents
  /** Without leases a copy remembers since when entries have not changed, for whoever tries again. */
  readonly #remembers: boolean
  readonly #copies = new FleetingMap<string, Copy>()
  /** Those that nobody needs, and until when they are kept. */
  readonly #idle = new Map<Copy, number>()

  constructor(parts: CopyParts, tick: Tick, eventsOf: (name: string) => CopyEvents, remembers: boolean) {
    this.#parts = parts
    this.#tick = tick
    this.#eventsOf = eventsOf
    this.#remembers = remembers
  }

  get(name: string): Copy | undefined {
    return this.#copies.get(name)
  }

  /** One that is needed until it is released. @param known, since as of `Copy` */
  use(name: string, known?: Snapshot, since = false): Copy {
    let copy = this.#copies.get(name)
    if (!copy) {
      copy = new Copy(name, this.#parts, this.#eventsOf(name), known, since)
      this.#copies.set(name, copy)
    }
    copy.users += 1
    this.#idle.delete(copy)
    return copy
  }

  release(copy: Copy): void {
    copy.users -= 1
    if (copy.users > 0) return
    const longest = this.#remembers ? Math.max(0, ...copy.places.map(({ record }) => record.keptMs)) : 0
    const until = this.#parts.clock.now() + Math.min(Math.max(IDLE_MS, 2 * longest), IDLE_MAX_MS)
    this.#idle.set(copy, until)
    this.#tick.at(until)
  }

  /** End those that nobody has needed for a while. @returns when to look again */
  tidy(now: number): number {
    let next = Infinity
    for (const [copy, until] of this.#idle) {
      if (until > now) {
        next = Math.min(next, until)
        continue
      }
      copy.close()
      this.#idle.delete(copy)
      this.#copies.delete(copy.name)
    }
    return next
  }

  close(): void {
    for (const copy of this.#copies.values()) copy.close()
    this.#copies.clear()
    this.#idle.clear()
  }
}
