/**
 * What the server says without being asked: one connection and one channel a process, for all who wait, and one channel for
 * each name that is followed.
 *
 * A message is a hint. When the connection was away, everybody asks again.
 */
import type { Wake } from '../../backend.ts'
import { Wakes } from '../../queue/wakes.ts'
import { realRuntime } from '../../runtime.ts'
import type { Client, Subscriber } from './client.ts'
import type { Naming } from './keys.ts'

/** A subscription that is not confirmed by then is not waited for: wakes will come late, and timers ask meanwhile. */
const PATIENCE_MS = 1000

export class Inbox {
  /** The channel that is put down with an entry. */
  readonly channel: string
  readonly #client: Client
  readonly #naming: Naming
  readonly #wakes = new Wakes()
  readonly #tags = new Map<string, { readonly tag: string; watchers: number }>()
  readonly #follows = new Map<string, number>()
  #lastTag = 0
  #subscriber: Promise<Subscriber> | undefined
  #subscribed: Promise<void> | undefined
  #closed = false

  constructor(client: Client, naming: Naming) {
    this.#client = client
    this.#naming = naming
    this.channel = naming.inbox(realRuntime.token())
  }

  /** What a message about this entry begins with; nothing if nobody watches it. */
  tagOf(id: string): string | undefined {
    return this.#tags.get(id)?.tag
  }

  async watch(id: string, wake: Wake): Promise<() => void> {
    if (this.#closed) return () => {}
    const known = this.#tags.get(id)
    const { tag } = known ?? { tag: String((this.#lastTag += 1)) }
    this.#tags.set(id, { tag, watchers: (known?.watchers ?? 0) + 1 })
    const unwatch = this.#wakes.watch(tag, wake)
    let done = false
    await this.#ready()
    return () => {
      if (done) return
      done = true
      unwatch()
      const left = this.#tags.get(id)
      if (left && left.watchers > 1) left.watchers -= 1
      else this.#tags.delete(id)
    }
  }

  async follow(name: string, wake: () => void): Promise<() => void> {
    if (this.#closed) return () => {}
    const channel = this.#naming.changes(name)
    const unfollow = this.#wakes.follow(channel, wake)
    const followers = this.#follows.get(channel) ?? 0
    this.#follows.set(channel, followers + 1)
    if (followers === 0) await this.#patiently(this.#connect().then((subscriber) => subscriber.subscribe(channel)))
    let done = false
    return () => {
      if (done) return
      done = true
      unfollow()
      const left = (this.#follows.get(channel) ?? 1) - 1
      if (left > 0) return void this.#follows.set(channel, left)
      this.#follows.delete(channel)
      void this.#subscriber?.then((subscriber) => subscriber.unsubscribe(channel)).catch(() => {})
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#wakes.clear()
    await this.#subscriber?.then((subscriber) => subscriber.close()).catch(() => {})
  }

  /** The channel of this process is subscribed to, or there was no answer. */
  async #ready(): Promise<void> {
    this.#subscribed ??= this.#connect()
      .then((subscriber) => subscriber.subscribe(this.channel))
      .catch((error: unknown) => {
        this.#subscribed = undefined
        throw error
      })
    await this.#patiently(this.#subscribed)
  }

  #connect(): Promise<Subscriber> {
    this.#subscriber ??= this.#client
      .subscriber({
        message: (channel, message) => this.#hear(channel, message),
        reconnected: () => this.#wakes.wakeAll(),
      })
      .then(async (subscriber) => {
        if (this.#closed) await subscriber.close()
        return subscriber
      })
      .catch((error: unknown) => {
        this.#subscriber = undefined
        throw error
      })
    return this.#subscriber
  }

  /** Wait for a subscription, but not for ever; what comes later is news. */
  async #patiently(subscription: Promise<void>): Promise<void> {
    let late = false
    await new Promise<void>((resolve) => {
      const timer = realRuntime.after(PATIENCE_MS, () => {
        late = true
        resolve()
      })
      timer.keepAlive(true)
      subscription
        .then(() => late && this.#wakes.wakeAll())
        .catch(() => {})
        .finally(() => {
          timer.cancel()
          resolve()
        })
    })
  }

  #hear(channel: string, message: string): void {
    if (channel !== this.channel) return this.#wakes.change(channel)
    const [tag = '', fence] = message.split(' ')
    this.#wakes.wake(tag, fence === undefined ? undefined : { held: BigInt(fence) })
  }
}
