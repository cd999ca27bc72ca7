/**
 * What the server says without being asked: one connection and one channel a process, for all who wait, and one channel for
 * each name that is followed.
 *
 * A message is a hint. When the connection was away, everybody asks again.
 */
import type { Wake } from '../../backend.ts'
import { FleetingMap } from '../../fleeting.ts'
import { Wakes } from '../../queue/wakes.ts'
import type { Runtime, Timer } from '../../runtime.ts'
import type { Client, Subscriber } from './client.ts'
import type { Naming } from './keys.ts'

/** A subscription that is not confirmed by then is not waited for: wakes will come late, and timers ask meanwhile. */
const PATIENCE_MS = 1000
/** How long a name says when it changes, after somebody has asked for it, and how soon it is asked for again. */
const FOLLOWED_MS = 60_000
const FOLLOW_AGAIN_MS = FOLLOWED_MS / 3

export class Inbox {
  /** The channel that is put down with an entry. */
  readonly channel: string
  readonly #client: Client
  readonly #naming: Naming
  readonly #runtime: Runtime
  readonly #askToTell: (name: string, lastingMs: number) => Promise<unknown>
  readonly #wakes = new Wakes()
  readonly #tags = new FleetingMap<string, string>()
  readonly #followed = new Map<string, { followers: number; timer: Timer | undefined }>()
  /** Channels that were asked for, until it fails; and those that stand. */
  readonly #asked = new Map<string, Promise<void>>()
  readonly #standing = new Set<string>()
  #lastTag = 0
  #subscriber: Promise<Subscriber> | undefined
  readonly #end = new AbortController()

  /** @param askToTell ask the server to say for so long when the holders of a name change */
  constructor(
    client: Client,
    naming: Naming,
    runtime: Runtime,
    askToTell: (name: string, lastingMs: number) => Promise<unknown>,
  ) {
    this.#client = client
    this.#naming = naming
    this.#runtime = runtime
    this.#askToTell = askToTell
    this.channel = naming.inbox(runtime.token())
  }

  /** What a message about this entry begins with; nothing if nobody watches it. */
  tagOf(id: string): string | undefined {
    return this.#tags.get(id)
  }

  watch(id: string, wake: Wake): (() => void) | Promise<() => void> {
    if (this.#end.signal.aborted) return () => {}
    const tag = this.#tags.get(id) ?? String((this.#lastTag += 1))
    this.#tags.set(id, tag)
    const unwatch = this.#wakes.watch(tag, wake)
    const end = (): void => {
      unwatch()
      if (!this.#wakes.isWatched(tag)) this.#tags.delete(id)
    }
    return this.#standing.has(this.channel) ? end : this.#hearOn(this.channel).then(() => end)
  }

  async follow(name: string, wake: () => void): Promise<() => void> {
    if (this.#end.signal.aborted) return () => {}
    const channel = this.#naming.changes(name)
    const unfollow = this.#wakes.follow(channel, wake)
    const followed = this.#followed.get(name) ?? { followers: 0, timer: undefined }
    this.#followed.set(name, followed)
    followed.followers += 1
    await this.#hearOn(channel)
    if (!followed.timer) await this.#keepTelling(name)
    return once(() => {
      unfollow()
      followed.followers -= 1
      if (followed.followers > 0) return
      followed.timer?.cancel()
      this.#followed.delete(name)
      this.#asked.delete(channel)
      this.#standing.delete(channel)
      void this.#subscriber?.then((subscriber) => subscriber.unsubscribe(channel)).catch(() => {})
    })
  }

  async close(): Promise<void> {
    this.#end.abort()
    this.#wakes.clear()
    for (const { timer } of this.#followed.values()) timer?.cancel()
    this.#followed.clear()
    await this.#subscriber?.then((subscriber) => subscriber.close()).catch(() => {})
  }

  /** Once now, and again while somebody follows. A hint: where it is not taken, those who follow have their timers. */
  async #keepTelling(name: string): Promise<void> {
    const followed = this.#followed.get(name)
    if (!followed) return
    followed.timer?.cancel()
    followed.timer = this.#runtime.after(FOLLOW_AGAIN_MS, () => void this.#keepTelling(name))
    await this.#askToTell(name, FOLLOWED_MS).catch(() => {})
  }

  /** Subscribe to a channel, unless that was done. Waits for it, but not for ever; what stands later is news. */
  async #hearOn(channel: string): Promise<void> {
    if (this.#standing.has(channel)) return
    let late = false
    const subscription = this.#subscribed(channel).then(
      () => late && this.#wakes.wakeAll(),
      () => {},
    )
    let timer: Timer | undefined
    const patience = new Promise<void>((resolve) => {
      timer = this.#runtime.after(PATIENCE_MS, resolve)
      timer.keepAlive(true)
    })
    await Promise.race([subscription, patience.then(() => (late = true))])
    timer?.cancel()
  }

  #subscribed(channel: string): Promise<void> {
    const known = this.#asked.get(channel)
    if (known) return known
    const asked = this.#connected()
      .then((subscriber) => subscriber.subscribe(channel))
      .then(() => {
        if (this.#asked.get(channel) === asked) this.#standing.add(channel)
      })
      .catch((error: unknown) => {
        // Whoever comes next tries again.
        this.#asked.delete(channel)
        throw error
      })
    this.#asked.set(channel, asked)
    return asked
  }

  #connected(): Promise<Subscriber> {
    this.#subscriber ??= this.#client
      .subscriber(
        {
          message: (channel, message) => this.#hear(channel, message),
          reconnected: () => this.#reconnected(),
        },
        this.#end.signal,
      )
      .then(async (subscriber) => {
        if (this.#end.signal.aborted) await subscriber.close()
        return subscriber
      })
      .catch((error: unknown) => {
        this.#subscriber = undefined
        throw error
      })
    return this.#subscriber
  }

  #reconnected(): void {
    this.#wakes.wakeAll()
    // Perhaps to a server that does not know who follows what.
    for (const name of this.#followed.keys()) void this.#keepTelling(name)
  }

  #hear(channel: string, message: string): void {
    if (channel !== this.channel) return this.#wakes.change(channel)
    const [tag = '', fence] = message.split(' ')
    this.#wakes.wake(tag, fence === undefined ? undefined : { held: BigInt(fence) })
  }
}

function once(act: () => void): () => void {
  let done = false
  return () => {
    if (!done) act()
    done = true
  }
}
