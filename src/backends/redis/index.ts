/**
 * One Redis, with or without replicas, Sentinel or Cluster: the queue as a script (`script.ts`), sent by a client that the
 * user has already (`client.ts`), in as few requests as there are turns of the event loop (`lane.ts`), with news over one
 * connection a process (`inbox.ts`).
 */
import type { Backend, Claim, Entry, Finding, QueueView, Renewal, Standing, Supports, Wake } from '../../backend.ts'
import { BackendError } from '../../backend.ts'
import type { Timer } from '../../runtime.ts'
import { realRuntime } from '../../runtime.ts'
import type { Client, RedisLike, Script } from './client.ts'
import { clientOf, isRedisLike, scriptOf } from './client.ts'
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
  if (!isRedisLike(client))
    throw new BackendError('MISCONFIGURED', 'redis() got no client; give one of ioredis or of node-redis')
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

/** How long a name says when it changes, after somebody has asked for it, and how soon it is asked for again. */
const FOLLOWED_MS = 3_600_000
const FOLLOW_AGAIN_MS = FOLLOWED_MS / 3

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
    this.#inbox = new Inbox(client, this.#naming)
    this.#joins = new Lane(client, scripts.joins, this.#naming)
    this.#others = new Lane(client, scripts.others, this.#naming)
  }

  async join(entry: Entry): Promise<Standing> {
    const { name, id, weight, capacity, ttlMs, waitTtlMs, wait, waitersMax, lockDelayMs = 0, info = '' } = entry
    const tag = this.#inbox.tagOf(id)
    const times = [micros(ttlMs), micros(waitTtlMs)]
    const patience = [wait ? 1 : 0, waitersMax ?? -1, micros(lockDelayMs)]
    const inbox = tag === undefined ? ['', ''] : [this.#inbox.channel, tag]
    const words = [id, weight, capacity, ...times, ...patience, ...inbox, info]
    return standing(await this.#ask(this.#joins, name, 'join', ...words)) as Standing
  }

  async renew(claim: Claim, ttlMs: number): Promise<Renewal> {
    return standing(await this.#ask(this.#others, claim.name, 'renew', claim.id, micros(ttlMs))) as Renewal
  }

  renewAll(claims: readonly Claim[], ttlMs: number): Promise<Renewal[]> {
    return Promise.all(claims.map((claim) => this.renew(claim, ttlMs)))
  }

  async leave({ name, id }: Claim, { lingerMs = 0 }: { readonly lingerMs?: number } = {}): Promise<boolean> {
    return done(await this.#ask(this.#others, name, 'leave', id, micros(lingerMs)))
  }

  async lighten({ name, id }: Claim, weight: number): Promise<Renewal> {
    return standing(await this.#ask(this.#others, name, 'lighten', id, weight)) as Renewal
  }

  async describe({ name, id }: Claim, info: string): Promise<boolean> {
    return done(await this.#ask(this.#joins, name, 'describe', id, info))
  }

  async evict(name: string, fence: bigint): Promise<boolean> {
    return done(await this.#ask(this.#others, name, 'evict', String(fence)))
  }

  watch(claim: Claim, wake: Wake): Promise<() => void> {
    return this.#inbox.watch(claim.id, wake)
  }

  async follow(name: string, wake: () => void): Promise<() => void> {
    const unfollow = await this.#inbox.follow(name, wake)
    let timer: Timer | undefined
    let done = false
    const ask = async (): Promise<void> => {
      timer = realRuntime.after(FOLLOW_AGAIN_MS, () => void ask())
      // A hint: if it is not taken, those who follow have their own timers.
      await this.#ask(this.#joins, name, 'follow', micros(FOLLOWED_MS)).catch(() => {})
      if (done) timer.cancel()
    }
    await ask()
    return () => {
      done = true
      timer?.cancel()
      unfollow()
    }
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
    const views = await Promise.all(sorted.map((name) => this.#ask(this.#others, name, 'look')))
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

  #ask(lane: Lane, name: string, ...words: Words): Promise<unknown> {
    if (this.#closed) return Promise.reject(closed())
    return lane.ask(name, ...words)
  }
}

function closed(): BackendError {
  return new BackendError('CLOSED', 'this redis backend was closed')
}

function millis(micros: Numeric): number {
  return Number(micros) / 1000
}

function done(answer: unknown): boolean {
  return Number(answer) === 1
}

function micros(ms: number): number {
  return Math.ceil(ms * 1000)
}

/** A client may be set to answer numbers as text. */
type Numeric = number | string

type Answer =
  | readonly ['held', fence: Numeric, ttl: Numeric]
  | readonly ['waiting', fence: Numeric, ttl: Numeric, ahead: Numeric, retryAfter: Numeric]
  | readonly ['refused', reason: 'held' | 'full' | 'capacity', retryAfter: Numeric, capacity: Numeric, holder: string]
  | readonly ['lost']

function standing(said: unknown): Standing | Renewal {
  const answer = said as Answer
  switch (answer[0]) {
    case 'held':
      return { state: 'held', fence: BigInt(answer[1]), ttlMs: millis(answer[2]) }
    case 'waiting': {
      const [, fence, ttl, ahead, retryAfter] = answer
      return {
        state: 'waiting',
        fence: BigInt(fence),
        ttlMs: millis(ttl),
        ahead: Number(ahead),
        retryAfterMs: millis(retryAfter),
      }
    }
    case 'refused': {
      const [, reason, retryAfter, capacity, holder] = answer
      return {
        state: 'refused',
        reason,
        retryAfterMs: Number(retryAfter) < 0 ? Infinity : millis(retryAfter),
        ...(holder === '' ? {} : { holder }),
        ...(reason === 'capacity' ? { capacity: Number(capacity) } : {}),
      }
    }
    case 'lost':
      return { state: 'lost' }
  }
}

type Looked = readonly [capacity: Numeric, holders: Numeric, entries: readonly LookedEntry[]]
type LookedEntry = readonly [
  fence: Numeric,
  weight: Numeric,
  age: Numeric,
  held: Numeric,
  ttl: Numeric,
  lingering: Numeric,
  info: string,
]

function viewOf(name: string, [capacity, holders, entries]: Looked): QueueView | undefined {
  if (entries.length === 0) return undefined
  const seats = entries.map(([fence, weight, age, held, ttl, lingering, info]) => ({
    fence: BigInt(fence),
    weight: Number(weight),
    ageMs: millis(age),
    ttlMs: millis(ttl),
    lingering: done(lingering),
    ...(Number(held) < 0 ? {} : { heldMs: millis(held) }),
    ...(info === '' ? {} : { info }),
  }))
  return {
    name,
    capacity: Number(capacity),
    holders: seats.slice(0, Number(holders)),
    waiters: seats.slice(Number(holders)),
  }
}
