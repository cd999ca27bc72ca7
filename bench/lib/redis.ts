/** Those who take part on a Redis server: holdfast, its peers, and what the bare clients can do at most. */
import { connect } from 'holdfast'
import { redis } from 'holdfast/redis'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { Naming } from '../../src/backends/redis/keys.ts'
import QUEUE from '../../src/backends/redis/script.ts'
import type { Contestant, Place } from './contestant.ts'
import { holdfast, peers } from './contestant.ts'

const TTL_MS = 30_000
/** How often those ask again who can be told; and how long others wait, who give up by themselves. */
const TUNED_MS = 10
const PATIENCE_MS = 600_000

type Make = (place: Place) => Promise<Contestant>

/** Peers that ask again every 10 ms. */
const TUNED: Readonly<Record<string, Make>> = {
  'redlock 4': redlock4(TUNED_MS, 0),
  'redlock 5': redlock5(TUNED_MS, 0),
  'redis-semaphore': redisSemaphore,
  'redlock-universal': redlockUniversal(TUNED_MS),
  verrou: verrou(TUNED_MS),
}

/** The same peers as they come, but that they wait for ever. redis-semaphore comes with 10 ms. */
const UNTUNED: Readonly<Record<string, Make>> = {
  'untuned redlock 4': redlock4(200, 100),
  'untuned redlock 5': redlock5(200, 100),
  'untuned redlock-universal': redlockUniversal(100),
  'untuned verrou': verrou(250),
}

export const TUNED_PEERS: readonly string[] = Object.keys(TUNED)
export const UNTUNED_PEERS: readonly string[] = [...Object.keys(UNTUNED), 'redis-semaphore']

export const REDIS_CONTESTANTS: Readonly<Record<string, Make>> = {
  'redis:': holdfastIoRedis,
  'redis: node-redis': holdfastNodeRedis,
  'bare ioredis': bareIoRedis,
  'bare node-redis': bareNodeRedis,
  'bare script': bareScript,
  ...TUNED,
  ...UNTUNED,
}

async function holdfastIoRedis({ port }: Place): Promise<Contestant> {
  const client = await ioRedis(port)
  const locks = connect(redis(client))
  return {
    ...closing(holdfast(locks), () => client.disconnect()),
    keep: (name, ttl) => locks.acquire(name, { ttl }),
    leftMs: async (name) => {
      const seen = await locks.inspect(name)
      return seen?.holders[0]?.remainingMs ?? 0
    },
  }
}

async function holdfastNodeRedis({ port }: Place): Promise<Contestant> {
  const client = await nodeRedis(port)
  return closing(holdfast(connect(redis(client))), () => client.destroy())
}

function closing(contestant: Contestant, end: () => void): Contestant {
  return {
    ...contestant,
    close: async () => {
      await contestant.close()
      end()
    },
  }
}

async function ioRedis(port: number): Promise<Redis> {
  const client = new Redis(port, { lazyConnect: true })
  await client.connect()
  return client
}

async function nodeRedis(port: number) {
  const client = createClient({ url: `redis://127.0.0.1:${port}` })
  await client.connect()
  return client
}

const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end`

/** What a pair of requests costs by itself: `SET name token NX PX ttl`, and a delete that compares. No queue, no fence. */
async function bareIoRedis({ port }: Place): Promise<Contestant> {
  const client = await ioRedis(port)
  const sha = String(await client.script('LOAD', RELEASE))
  return bare(
    (key, token) => client.set(key, token, 'PX', TTL_MS, 'NX'),
    (key, token) => client.evalsha(sha, 1, key, token),
    () => client.disconnect(),
  )
}

async function bareNodeRedis({ port }: Place): Promise<Contestant> {
  const client = await nodeRedis(port)
  const sha = await client.scriptLoad(RELEASE)
  return bare(
    (key, token) => client.set(key, token, { condition: 'NX', expiration: { type: 'PX', value: TTL_MS } }),
    (key, token) => client.evalSha(sha, { keys: [key], arguments: [token] }),
    () => client.destroy(),
  )
}

/**
 * What the script of holdfast and the client cost by themselves, in two calls of half of the names, each with its reply before the
 * next: fences and owner tokens, but no lease that anybody could hold, renew, or lose.
 */
async function bareScript({ port }: Place): Promise<Contestant> {
  const client = await ioRedis(port)
  const sha = String(await client.script('LOAD', QUEUE))
  const naming = new Naming('holdfast')
  const terms = [String(TTL_MS * 1000), '0', JSON.stringify([1, 1, 5_000_000, 1, -1, '', '{"host":"localhost"}'])]
  const ask = (names: readonly string[], listOf: (first: number, index: number) => unknown[]): Promise<unknown> => {
    const heads = names.map((name) => naming.of(`lock:${name}`).keys[0])
    const list = names.flatMap((_, index) => listOf(index + 1, index))
    return client.evalsha(sha, heads.length, ...heads, JSON.stringify(list), ...terms)
  }
  let count = 0
  const pairs = async (names: readonly string[]): Promise<void> => {
    const ids = names.map(() => `${process.pid}.${(count += 1)}`)
    await ask(names, (first, index) => ['join', first, ids[index], '', 2])
    await ask(names, (first, index) => ['leave', first, ids[index], 0, 0])
  }
  return {
    locker: () => ({ acquire: () => undefined, release: () => undefined }),
    burst: (names) => Promise.all([pairs(names.slice(0, names.length / 2)), pairs(names.slice(names.length / 2))]),
    close: () => client.disconnect(),
  }
}

/** Keys of its own for everybody who takes part: a store, not a lock. */
function bare(
  take: (key: string, token: string) => unknown,
  give: (key: string, token: string) => unknown,
  close: () => void,
): Contestant {
  let count = 0
  return {
    locker(name) {
      const key = `${name}.${process.pid}.${(count += 1)}`
      return {
        acquire: async () => {
          const token = `${process.pid}.${(count += 1)}`
          await take(key, token)
          return token
        },
        release: (held) => give(key, held as string),
      }
    },
    close,
  }
}

function redlock4(retryDelay: number, retryJitter: number): Make {
  interface Lock {
    unlock(): PromiseLike<unknown>
  }
  type Redlock4 = new (
    clients: unknown[],
    options: object,
  ) => { lock(name: string, ttl: number): PromiseLike<Lock>; on(event: string, listener: () => void): void }
  return async ({ port }) => {
    const Redlock = peers('redlock4') as Redlock4
    const client = await ioRedis(port)
    const locks = new Redlock([client], { retryCount: -1, retryDelay, retryJitter })
    locks.on('clientError', () => {})
    return {
      locker: (name) => ({
        acquire: () => locks.lock(name, TTL_MS),
        release: (held) => (held as Lock).unlock(),
      }),
      leftMs: (name) => client.pttl(name),
      close: () => client.disconnect(),
    }
  }
}

function redlock5(retryDelay: number, retryJitter: number): Make {
  interface Lock {
    release(): Promise<unknown>
  }
  type Redlock5 = new (
    clients: unknown[],
    options: object,
  ) => {
    acquire(names: string[], ttl: number): Promise<Lock>
    using(names: string[], ttl: number, use: () => Promise<unknown>): Promise<unknown>
    on(event: string, listener: () => void): void
  }
  return async ({ port }) => {
    const { default: Redlock } = peers('redlock') as { default: Redlock5 }
    const client = await ioRedis(port)
    const locks = new Redlock([client], { retryCount: -1, retryDelay, retryJitter })
    locks.on('error', () => {})
    return {
      locker: (name) => ({
        acquire: () => locks.acquire([name], TTL_MS),
        release: (held) => (held as Lock).release(),
      }),
      keep: (name, ttlMs) => within((use) => locks.using([name], ttlMs, use)),
      leftMs: (name) => client.pttl(name),
      close: () => client.disconnect(),
    }
  }
}

async function redisSemaphore({ port }: Place): Promise<Contestant> {
  interface Mutex {
    acquire(): Promise<void>
    release(): Promise<void>
  }
  const { Mutex } = peers('redis-semaphore') as { Mutex: new (client: unknown, key: string, options: object) => Mutex }
  const client = await ioRedis(port)
  const acquire = async (name: string, lockTimeout: number): Promise<Mutex> => {
    // Whoever loses one would end with an unhandled rejection.
    const mutex = new Mutex(client, name, { lockTimeout, acquireTimeout: PATIENCE_MS, onLockLost() {} })
    await mutex.acquire()
    return mutex
  }
  return {
    locker: (name) => ({
      acquire: () => acquire(name, TTL_MS),
      release: (held) => (held as Mutex).release(),
    }),
    keep: acquire,
    leftMs: (name) => client.pttl(`mutex:${name}`),
    close: () => client.disconnect(),
  }
}

/** `lean` is its quickest mode; what renews by itself is the standard one. */
function redlockUniversal(retryDelay: number): Make {
  interface Lock {
    acquire(): Promise<unknown>
    release(handle: unknown): Promise<unknown>
    using(use: () => Promise<unknown>): Promise<unknown>
  }
  interface Universal {
    createLock: (options: object) => Lock
    IoredisAdapter: new (client: unknown) => unknown
  }
  return async ({ port }) => {
    const { createLock, IoredisAdapter } = peers('redlock-universal') as Universal
    const client = await ioRedis(port)
    const adapter = new IoredisAdapter(client)
    const make = (key: string, ttl: number, performance: string): Lock =>
      createLock({ adapter, key, ttl, retryAttempts: PATIENCE_MS / retryDelay, retryDelay, performance })
    return {
      locker(name) {
        const lock = make(name, TTL_MS, 'lean')
        return { acquire: () => lock.acquire(), release: (held) => lock.release(held) }
      },
      keep: (name, ttlMs) => within((use) => make(name, ttlMs, 'standard').using(use)),
      leftMs: (name) => client.pttl(name),
      close: () => client.disconnect(),
    }
  }
}

function verrou(delay: number): Make {
  interface Lock {
    acquire(): Promise<boolean>
    release(): Promise<void>
  }
  interface Core {
    LockFactory: new (store: unknown, options: object) => { createLock(name: string, ttl: number): Lock }
  }
  interface Store {
    RedisStore: new (options: object) => unknown
  }
  return async ({ port }) => {
    const { LockFactory } = (await import(peers.resolve('@verrou/core'))) as Core
    const { RedisStore } = (await import(peers.resolve('@verrou/core/drivers/redis'))) as Store
    const client = await ioRedis(port)
    const locks = new LockFactory(new RedisStore({ connection: client }), { retry: { delay } })
    return {
      locker: (name) => ({
        acquire: async () => {
          const lock = locks.createLock(name, TTL_MS)
          await lock.acquire()
          return lock
        },
        release: (held) => (held as Lock).release(),
      }),
      leftMs: (name) => client.pttl(name),
      close: () => client.disconnect(),
    }
  }
}

/** What renews only while something runs: let it run for ever, and go on when it has begun. */
function within(using: (use: () => Promise<unknown>) => Promise<unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    using(() => {
      resolve(undefined)
      return new Promise(() => {})
    }).catch(reject)
  })
}
