/**
 * One Redis, with or without replicas, Sentinel or Cluster: the queue as a script (`script.ts`), sent by a client that the
 * user has already (`client.ts`), in as few requests as there are turns of the event loop (`lane.ts`), with news over one
 * connection a process (`inbox.ts`).
 */
import type { Backend, Claim, Entry, Finding, QueueView, Renewal, Standing, Supports, Wake } from '../../backend.ts'
import { BackendError } from '../../backend.ts'
import type { Looked } from './answer.ts'
import { done, standing, viewOf } from './answer.ts'
import type { Client, RedisLike, Script } from './client.ts'
import { clientOf, scriptOf } from './client.ts'
import { diagnose } from './diagnose.ts'
import { Driver } from './driver.ts'
import { redisError } from './errors.ts'
import { Inbox } from './inbox.ts'
import { Naming } from './keys.ts'
import type { Words } from './lane.ts'
import { Lane } from './lane.ts'
import QUEUE from './script.ts'
import { parseRedisUrl } from './url.ts'

export type { IoRedisLike, NodeRedisLike, RedisLike } from './client.ts'

export interface RedisOptions {
  /** What all keys and channels begin with. Default `'holdfast'`. */
  readonly keyPrefix?: string
}

/**
 * A coordinator on a Redis server.
 *
 * @param client a client that is connected: of ioredis, or of node-redis. It stays yours; nothing on it is changed, and
 *   `close()` leaves it open. Messages come over a duplicate of it, which is ours.
 * @throws BackendError `MISCONFIGURED` if `client` is something else
 * @example
 * ```ts
 * import { connect } from 'holdfast'
 * import { redis } from 'holdfast/redis'
 * import { Redis } from 'ioredis'
 *
 * const locks = connect(redis(new Redis()))
 * ```
 */
export function redis(client: RedisLike, options: RedisOptions = {}): RedisBackend {
  return new RedisBackend(clientOf(client), options)
}

/**
 * A coordinator at an address: `redis://user:password@host:6379/0` and the other schemes of Redis. The client is one of our
 * own, made with ioredis, which must be installed; `close()` ends it.
 *
 * @throws BackendError `MISCONFIGURED` if the address is wrong
 */
export function redisAt(url: string, options: RedisOptions = {}): RedisBackend {
  return new RedisBackend(new Driver(parseRedisUrl(url)), options)
}

interface Scripts {
  readonly joins: Script
  /** What frees or keeps must be possible when the server's memory is full. Since Redis 7.0. */
  readonly others: Script
}

const SCRIPTS: Scripts = { joins: scriptOf(QUEUE), others: scriptOf(`#!lua flags=allow-oom\n${QUEUE}`) }

export class RedisBackend implements Backend {
  readonly kind = 'redis'
  readonly supports: Supports = { queue: true, sharing: 'permits', fence: 'durable', wake: true }

  readonly #client: Client
  readonly #naming: Naming
  readonly #inbox: Inbox
  readonly #joins: Lane
  readonly #others: Lane
  #closed = false

  constructor(client: Client, { keyPrefix = 'holdfast' }: RedisOptions = {}, scripts: Scripts = SCRIPTS) {
    this.#client = client
    this.#naming = new Naming(keyPrefix)
    this.#inbox = new Inbox(client, this.#naming, (name, lastingMs) =>
      this.#ask(this.#joins, name, 'follow', [micros(lastingMs)]),
    )
    this.#joins = new Lane(client, scripts.joins, this.#naming)
    this.#others = new Lane(client, scripts.others, this.#naming)
  }

  async join(entry: Entry): Promise<Standing> {
    const { name, id, weight, capacity, ttlMs, waitTtlMs, wait, waitersMax, lockDelayMs = 0, info = '' } = entry
    const tag = this.#inbox.tagOf(id)
    const delay = micros(lockDelayMs)
    const words = [
      id,
      weight,
      capacity,
      micros(ttlMs),
      micros(waitTtlMs),
      wait ? 1 : 0,
      waitersMax ?? -1,
      delay,
      tag ?? '',
    ]
    const texts = [tag === undefined ? '' : this.#inbox.channel, info]
    return standing(await this.#ask(this.#joins, name, 'join', words, texts), ttlMs) as Standing
  }

  async renew(claim: Claim, ttlMs: number): Promise<Renewal> {
    return standing(await this.#ask(this.#others, claim.name, 'renew', [claim.id, micros(ttlMs)]), ttlMs) as Renewal
  }

  renewAll(claims: readonly Claim[], ttlMs: number): Promise<Renewal[]> {
    return Promise.all(claims.map((claim) => this.renew(claim, ttlMs)))
  }

  async leave({ name, id }: Claim, { lingerMs = 0 }: { readonly lingerMs?: number } = {}): Promise<boolean> {
    return done(await this.#ask(this.#others, name, 'leave', [id, micros(lingerMs)]))
  }

  async lighten({ name, id }: Claim, weight: number): Promise<Renewal> {
    return standing(await this.#ask(this.#others, name, 'lighten', [id, weight])) as Renewal
  }

  async describe({ name, id }: Claim, info: string): Promise<boolean> {
    return done(await this.#ask(this.#joins, name, 'describe', [id, info]))
  }

  async evict(name: string, fence: bigint): Promise<boolean> {
    return done(await this.#ask(this.#others, name, 'evict', [String(fence)]))
  }

  watch(claim: Claim, wake: Wake): Promise<() => void> {
    return this.#inbox.watch(claim.id, wake)
  }

  follow(name: string, wake: () => void): Promise<() => void> {
    return this.#inbox.follow(name, wake)
  }

  async *inspect(prefix: string): AsyncGenerator<QueueView> {
    if (this.#closed) throw closed()
    const names = new Set<string>()
    try {
      for await (const keys of this.#client.scan(this.#naming.heads(prefix))) {
        for (const key of keys) {
          const name = this.#naming.nameOf(key)
          if (name?.startsWith(prefix)) names.add(name)
        }
      }
    } catch (error) {
      throw redisError(error)
    }
    const sorted = [...names].sort()
    const views = await Promise.all(sorted.map((name) => this.#ask(this.#others, name, 'look', [])))
    for (const [index, answer] of views.entries()) {
      const view = viewOf(sorted[index]!, answer as Looked)
      if (view) yield view
    }
  }

  async diagnose(): Promise<readonly Finding[]> {
    if (this.#closed) throw closed()
    return diagnose(this.#client, this)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#inbox.close()
    await this.#client.close()
  }

  #ask(lane: Lane, name: string, verb: string, words: Words, texts?: readonly string[]): Promise<unknown> {
    if (this.#closed) return Promise.reject(closed())
    return lane.ask(name, verb, words, texts)
  }
}

function closed(): BackendError {
  return new BackendError('CLOSED', 'this redis backend was closed')
}

function micros(ms: number): number {
  return Math.ceil(ms * 1000)
}
