/**
 * A copy of the queue of one name, kept up to date by a watch on its keys: who holds is read off it without asking.
 *
 * The places stand in the order of their create revisions, and the first ones hold: as many as fit. What is known of the
 * places before one's own only ever becomes less, so a copy that is late says "waits" too long and never "holds" too early;
 * but it must have heard of one's own place first, for whoever came before that is in it by then.
 */
import type { ElapsedClock } from '../../elapsed.ts'
import type { Runtime, Timer } from '../../runtime.ts'
import type { EtcdError } from './errors.ts'
import { GRPC } from './errors.ts'
import type { Class, Naming } from './keys.ts'
import type { KeyValue, WatchEvent } from './messages.ts'
import { EVENT } from './messages.ts'
import type { Record } from './record.ts'
import { decode } from './record.ts'
import type { Watches } from './watches.ts'

/** The pause before a watch that was refused is asked for again. */
const REFUSED_PAUSE_MS = 1000
/** How often to ask whether a watch has told everything. */
const VERIFY_MS = 1500

export interface Place {
  /** Its owner token; of what others have put in, nothing. */
  readonly id: string
  readonly key: Buffer
  readonly class: Class
  /** Its ticket: the revision at which it was made. */
  readonly fence: number
  /** The revision of its last change. */
  readonly modRevision: number
  readonly lease: bigint
  readonly record: Record
  /** By the monotonic clock, which never counts more than has passed: when its last change was heard of. */
  readonly seenAt: number
}

/** A queue as it was at one revision. */
export interface Snapshot {
  readonly revision: number
  readonly places: readonly Place[]
}

export interface CopyParts {
  readonly naming: Naming
  readonly runtime: Pick<Runtime, 'after' | 'monotonicMs'>
  readonly clock: ElapsedClock
  readonly watches: Pick<Watches, 'watch'>
  readonly read: (name: string) => Promise<Snapshot>
  /** The first place only, and how many there are. */
  readonly peek: (name: string) => Promise<{ readonly first: number | undefined; readonly count: number }>
}

export interface CopyEvents {
  /** This place holds. Said once. */
  holds(place: Place): void
  /** It was there, and is no more. */
  gone(place: Place): void
  /** This is all that there was at that revision. */
  read(snapshot: Snapshot): void
  /** Who holds has changed, or what they say of themselves. */
  changed(): void
}

export class Copy {
  readonly name: string
  /** Who needs it: entries that wait or hold, and followers. */
  users = 0

  readonly #parts: CopyParts
  readonly #events: CopyEvents
  #places: Place[] = []
  /** What has happened up to this revision is in it; 0: it was never read. */
  #seen = 0
  /** It has to be read at this revision or later, for before that the watch heard nothing. */
  #hearsFrom = Infinity
  #standing = false
  #wasLost = false
  #verifiedAt = 0
  /** What was heard while something between was missing. */
  #early: WatchEvent[] = []
  #reading: Promise<void> | undefined
  #stop = (): void => {}
  #again: Timer | undefined
  #closed = false
  /** Tickets of whom it was said that they hold. */
  #told: ReadonlySet<number> = new Set()
  #holders = ''

  /**
   * @param known the queue at some revision, if that is known already
   * @param since hear of all that has happened since, which takes the server a moment; otherwise of what happens from now on,
   *   and read what came between
   */
  constructor(name: string, parts: CopyParts, events: CopyEvents, known?: Snapshot, since = false) {
    this.name = name
    this.#parts = parts
    this.#events = events
    if (known) this.#take(known)
    if (known && since) this.#hearsFrom = known.revision
    this.#watch(known && since ? known.revision + 1 : 0)
  }

  /** Whether what happens is heard of at once; otherwise it may be old. */
  get standing(): boolean {
    return this.#standing && !this.#lacks
  }

  /** 1. It was read;  2. somebody came;  3. the watch stood: of that one it will never hear, and must be read anew. */
  get #lacks(): boolean {
    return this.#seen < this.#hearsFrom
  }

  get places(): readonly Place[] {
    return this.#places
  }

  get holders(): readonly Place[] {
    return holdersOf(this.#places)
  }

  /** Whether it has heard of all that happened up to a revision. */
  knows(revision: number): boolean {
    return this.#seen >= revision
  }

  /** How many stand before the place with this ticket; `undefined`: there is none. */
  ahead(fence: number): number | undefined {
    const index = indexFrom(this.#places, fence)
    return this.#places[index]?.fence === fence ? index : undefined
  }

  /** Read it anew: after this it is not older than this call. @throws EtcdError */
  async refresh(): Promise<void> {
    // What is being read already may be older.
    await this.#reading?.catch(() => {})
    this.#reading ??= this.#parts
      .read(this.name)
      .then((snapshot) => this.#take(snapshot))
      .finally(() => (this.#reading = undefined))
    return this.#reading
  }

  /**
   * The safety net of those who wait: whether it is what the server has, asked for once in a while. What it was not told of is
   * then read. @throws EtcdError
   */
  async verify(): Promise<void> {
    const now = this.#parts.clock.now()
    if (now - this.#verifiedAt < VERIFY_MS) return
    this.#verifiedAt = now
    const { first, count } = await this.#parts.peek(this.name)
    if (count !== this.#places.length || first !== this.#places[0]?.fence) await this.refresh()
  }

  /** This process has removed a place itself, and need not wait to hear of it. */
  remove(fence: number): void {
    const index = this.ahead(fence)
    if (index === undefined) return
    this.#places.splice(index, 1)
    this.#settle()
  }

  /** This process has changed what a place says. */
  amend(fence: number, modRevision: number, record: Record): void {
    const index = this.ahead(fence)
    if (index === undefined || this.#places[index]!.modRevision >= modRevision) return
    this.#places[index] = { ...this.#places[index]!, modRevision, record, seenAt: this.#parts.runtime.monotonicMs() }
    this.#settle()
  }

  close(): void {
    this.#closed = true
    this.#standing = false
    this.#again?.cancel()
    this.#stop()
  }

  #watch(from: number): void {
    this.#stop = this.#parts.watches.watch(this.#parts.naming.all(this.name), from, {
      stands: (revision) => this.#stands(revision),
      heard: (happened) => this.#hear(happened),
      lost: () => {
        this.#standing = false
        this.#wasLost = true
      },
      ended: (error) => this.#ended(error),
    })
  }

  #stands(revision: number): void {
    this.#standing = true
    // Servers before 3.4.36 and 3.5.18 do not tell of a deletion at the very revision from which a watch goes on, if that one
    // was just compacted (etcd-io/etcd#18089). So what a lost watch has to catch up with is read as well.
    if (this.#hearsFrom === Infinity || this.#wasLost) this.#hearsFrom = revision
    this.#wasLost = false
    if (this.#lacks) this.refresh().catch(() => {})
  }

  /** What it would have had to hear was compacted away, or the server does not let us. Everybody keeps their places. */
  #ended(error: EtcdError): void {
    this.#standing = false
    this.#hearsFrom = Infinity
    const pauseMs = error.grpc === GRPC.outOfRange ? 0 : REFUSED_PAUSE_MS
    this.#again = this.#parts.runtime.after(pauseMs, () => {
      if (!this.#closed) this.#watch(0)
    })
  }

  #take({ revision, places }: Snapshot): void {
    if (revision < this.#seen || this.#closed) return
    const before = new Map(this.#places.map((place) => [place.fence, place]))
    // What has not changed was seen before.
    const seen = (place: Place): Place => {
      const known = before.get(place.fence)
      return known?.modRevision === place.modRevision ? known : place
    }
    this.#places = places.map(seen).sort((a, b) => a.fence - b.fence)
    this.#seen = revision
    this.#verifiedAt = this.#parts.clock.now()
    this.#events.read({ revision, places })
    if (!this.#lacks) this.#apply(this.#early.splice(0))
    else if (this.#standing) this.refresh().catch(() => {})
    this.#settle()
  }

  #hear(happened: readonly WatchEvent[]): void {
    if (this.#lacks) {
      this.#early.push(...happened)
    } else {
      this.#apply(happened)
      this.#settle()
    }
  }

  #apply(happened: readonly WatchEvent[]): void {
    const seen = this.#seen
    for (const { type, kv } of happened) {
      const { key, modRevision } = kv!
      if (modRevision <= seen) continue
      this.#seen = modRevision
      if (type === EVENT.delete) this.#delete(key)
      else this.#put(placeOf(kv!, this.#parts.naming, this.#parts.runtime.monotonicMs()))
    }
  }

  #delete(key: Buffer): void {
    const index = this.#places.findIndex((place) => place.key.equals(key))
    const [gone] = index < 0 ? [] : this.#places.splice(index, 1)
    if (gone) this.#events.gone(gone)
  }

  #put(place: Place): void {
    const index = indexFrom(this.#places, place.fence)
    this.#places.splice(index, this.#places[index]?.fence === place.fence ? 1 : 0, place)
  }

  #settle(): void {
    const told = new Set<number>()
    let text = ''
    for (const place of this.holders) {
      told.add(place.fence)
      text += `${place.fence}:${place.modRevision},`
      if (!this.#told.has(place.fence)) this.#events.holds(place)
    }
    this.#told = told
    if (text === this.#holders) return
    this.#holders = text
    this.#events.changed()
  }
}

/** Where the place with this ticket is, or would be. */
function indexFrom(places: readonly Place[], fence: number): number {
  let [low, high] = [0, places.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (places[middle]!.fence < fence) low = middle + 1
    else high = middle
  }
  return low
}

/** The first places, as many as fit. */
export function holdersOf<P extends Pick<Place, 'record'>>(places: readonly P[]): readonly P[] {
  const capacity = places[0]?.record.capacity ?? 0
  let weight = 0
  let count = 0
  for (const { record } of places) {
    weight += record.weight
    if (weight > capacity) break
    count += 1
  }
  return places.slice(0, count)
}

export function placeOf(kv: KeyValue, naming: Naming, seenAt: number): Place {
  const { key, createRevision, modRevision, lease, value } = kv
  const record = decode(value)
  const known = { key, fence: createRevision, modRevision, lease, record, seenAt }
  return { ...known, id: record.id, class: naming.parse(key)?.class ?? '' }
}
