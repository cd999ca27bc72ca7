/**
 * All watches of a process on one stream: opened again when it is lost, each from where it had come to.
 *
 * A watch misses nothing and hears nothing twice, whatever becomes of streams and members; but what it would have to hear
 * may have been compacted away meanwhile, and then it ends, and whoever needs it reads anew.
 */
import type { Timer } from '../../runtime.ts'
import type { EtcdClient, MemberStream } from './client.ts'
import { EtcdError, GRPC } from './errors.ts'
import type { WatchEvent, WatchRequest, WatchResponse } from './messages.ts'
import { WATCH } from './messages.ts'

/** The pause before a lost stream is opened again grows from the first to the second. */
const [AGAIN_FIRST_MS, AGAIN_LONGEST_MS] = [20, 1000]

export interface KeyRange {
  readonly key: Buffer
  /** Behind the last key; empty for the one key. */
  readonly rangeEnd: Buffer
}

export interface WatcherEvents {
  /** It stands: what happens after this revision is heard. Once more each time that the stream had to be opened anew. */
  stands?(revision: number): void
  /** The stream is lost, and what happens is heard later. */
  lost?(): void
  /** What happened, in order. */
  heard(events: readonly WatchEvent[]): void
  /** It hears no more: `outOfRange`, it was compacted away; otherwise, the server does not let us. */
  ended(error: EtcdError): void
}

interface Watcher {
  readonly range: KeyRange
  readonly events: WatcherEvents
  /** The first revision that it has not heard of; 0: from when it stands. */
  next: number
  /** The stream on which it was refused: its token may have ended. */
  refusedOn?: MemberStream<WatchRequest>
}

export class Watches {
  readonly #client: EtcdClient
  readonly #watchers = new Map<number, Watcher>()
  #lastId = 0
  /** Those that this stream has not answered yet, in their order. */
  #asked: number[] = []
  #stream: MemberStream<WatchRequest> | undefined
  #opening = false
  #pauseMs = AGAIN_FIRST_MS
  #again: Timer | undefined
  #closed = false

  constructor(client: EtcdClient) {
    this.#client = client
  }

  /**
   * Hear of what happens in a range, from a revision on, or from now on.
   *
   * What has a revision behind it already is told with the next beat of a slow ticker of the server; what happens from now
   * on, at once.
   *
   * @param from a revision; 0: from when it stands, of which `stands` tells
   * @returns stop it
   */
  watch(range: KeyRange, from: number, events: WatcherEvents): () => void {
    const id = (this.#lastId += 1)
    const watcher: Watcher = { range, events, next: from }
    this.#watchers.set(id, watcher)
    if (this.#stream) this.#create(this.#stream, id, watcher)
    else void this.#open()
    return () => {
      if (!this.#watchers.delete(id)) return
      if (this.#watchers.size === 0) this.#end()
      else this.#stream?.send({ cancel: { watchId: id } })
    }
  }

  close(): void {
    this.#closed = true
    this.#watchers.clear()
    this.#end()
  }

  /** Nobody watches. */
  #end(): void {
    this.#again?.cancel()
    this.#stream?.end()
    this.#stream = undefined
  }

  async #open(): Promise<void> {
    if (this.#opening) return
    this.#opening = true
    try {
      const stream = await this.#client.stream(
        WATCH,
        { message: (response) => this.#hear(response), ended: () => this.#lost(stream) },
        { needsLeader: true },
      )
      if (this.#closed || this.#watchers.size === 0) return stream.end()
      this.#stream = stream
      this.#asked = []
      for (const [id, watcher] of this.#watchers) this.#create(stream, id, watcher)
    } catch (error) {
      if (mayPass(error)) this.#openLater()
      else for (const id of [...this.#watchers.keys()]) this.#finish(id, error as EtcdError)
    } finally {
      this.#opening = false
    }
  }

  #create(stream: MemberStream<WatchRequest>, watchId: number, { range, next }: Watcher): void {
    this.#asked.push(watchId)
    stream.send({ create: { ...range, startRevision: next, watchId } })
  }

  #lost(stream: MemberStream<WatchRequest>): void {
    if (this.#stream !== stream) return
    this.#stream = undefined
    for (const { events } of [...this.#watchers.values()]) events.lost?.()
    this.#openLater()
  }

  #openLater(): void {
    if (this.#closed || this.#watchers.size === 0) return
    const { runtime } = this.#client
    const pauseMs = this.#pauseMs * (0.5 + runtime.random() / 2)
    this.#pauseMs = Math.min(2 * this.#pauseMs, AGAIN_LONGEST_MS)
    this.#again?.cancel()
    this.#again = runtime.after(pauseMs, () => void this.#open())
  }

  #hear(response: WatchResponse): void {
    const { header, created, canceled, compactRevision, cancelReason, events } = response
    // Watches are made in the order in which they were asked for. One that is refused is not named.
    const asked = created ? this.#asked.shift() : undefined
    const watchId = asked ?? response.watchId
    const watcher = this.#watchers.get(watchId)
    if (!watcher) return
    if (canceled) {
      if (compactRevision > 0)
        return this.#finish(watchId, new EtcdError(GRPC.outOfRange, `compacted up to revision ${compactRevision}`))
      const stream = this.#stream!
      if (watcher.refusedOn && watcher.refusedOn !== stream)
        return this.#finish(watchId, new EtcdError(GRPC.permissionDenied, cancelReason || 'the watch was refused'))
      watcher.refusedOn = stream
      stream.refresh()
      return this.#lost(stream)
    }
    delete watcher.refusedOn
    if (created) {
      this.#pauseMs = AGAIN_FIRST_MS
      const { revision } = header!
      if (watcher.next === 0) watcher.next = revision + 1
      watcher.events.stands?.(revision)
    }
    const last = events.at(-1)
    if (!last) return
    // All that happened at one revision comes in one message.
    watcher.next = last.kv!.modRevision + 1
    watcher.events.heard(events)
  }

  #finish(id: number, error: EtcdError): void {
    const watcher = this.#watchers.get(id)
    this.#watchers.delete(id)
    if (this.#watchers.size === 0) this.#end()
    watcher?.events.ended(error)
  }
}

/** Whatever concerns the way to a member; a wrong password does not. */
function mayPass(error: unknown): boolean {
  return !(error instanceof EtcdError) || error.grpc === GRPC.unavailable
}
