/**
 * Everybody who takes part, behind one door: take a name, give it back.
 *
 * Each is given its best case: locks that are objects are made once and kept, and what can be tuned is tuned (a note says
 * how). holdfast is used as any user does, with queue, fence, lease and renewal; none of it can be switched off.
 */
import { fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Lease, Locks } from 'holdfast'
import { connect } from 'holdfast'
import { redis } from 'holdfast/redis'
import { Redis } from 'ioredis'
import { createClient } from 'redis'

export interface Locker {
  /** What it gives is handed to `release`. */
  acquire(): unknown
  release(held: unknown): unknown
}

export interface Contestant {
  locker(name: string): Locker
  /** Take all of `names` at once and give them back, where that is not the same as one after the other. */
  burst?(names: readonly string[]): void
  close(): unknown
}

/** Where those who share something find it. */
export interface Place {
  readonly directory: string
  /** Of the broker, for those who have one. */
  readonly socket: string
  /** Of the Redis server, for those who need one. */
  readonly port: number
}

const peers = createRequire(new URL('../peers/package.json', import.meta.url))

export const CONTESTANTS: Readonly<Record<string, (place: Place) => Contestant | Promise<Contestant>>> = {
  'memory:': () => holdfast(connect('memory:')),
  'file:': ({ directory }) => holdfast(connect(`file:${directory}`)),
  'async-mutex': asyncMutex,
  'proper-lockfile': properLockfile,
  'live-mutex': liveMutex,
  'bare log': bareLog,
  'bare node:sqlite': ({ directory }) => bareSqlite(directory, false),
  'bare node:sqlite, together': ({ directory }) => bareSqlite(directory, true),
  'redis:': holdfastIoRedis,
  'redis: node-redis': holdfastNodeRedis,
  'bare ioredis': bareIoRedis,
  'bare node-redis': bareNodeRedis,
  redlock,
  'redis-semaphore': redisSemaphore,
}

/** Those who need a Redis server. */
export const ON_REDIS: readonly string[] = [
  'redis:',
  'redis: node-redis',
  'bare ioredis',
  'bare node-redis',
  'redlock',
  'redis-semaphore',
]

function holdfast(locks: Locks): Contestant {
  return {
    locker(name) {
      const mutex = locks.mutex(name)
      return { acquire: () => mutex.acquire(), release: (held) => (held as Lease).release() }
    },
    close: () => locks.close(),
  }
}

function asyncMutex(): Contestant {
  const { Mutex } = peers('async-mutex') as { Mutex: new () => { acquire(): Promise<() => void> } }
  return {
    locker() {
      const mutex = new Mutex()
      return { acquire: () => mutex.acquire(), release: (held) => (held as () => void)() }
    },
    close() {},
  }
}

/** By default it does not wait at all, and its waiting begins with a second; every 10 ms serves it best here. */
function properLockfile({ directory }: Place): Contestant {
  type Lock = (path: string, options: object) => Promise<() => Promise<void>>
  const { lock } = peers('proper-lockfile') as { lock: Lock }
  const options = { realpath: false, retries: { forever: true, factor: 1, minTimeout: 10, maxTimeout: 10 } }
  return {
    locker(name) {
      const path = join(directory, name)
      return { acquire: () => lock(path, options), release: (held) => (held as () => Promise<void>)() }
    },
    close() {},
  }
}

/** Through a unix socket, which is quicker than its default port; its timeouts are out of the way. */
async function liveMutex({ socket }: Place): Promise<Contestant> {
  interface Client {
    ensure(): Promise<unknown>
    acquire(name: string, options: object): Promise<{ id: string }>
    release(name: string, options: object): Promise<unknown>
    close(): void
  }
  const { Client } = peers('live-mutex') as { Client: new (options: object) => Client }
  const client = new Client({ udsPath: socket })
  await client.ensure()
  return {
    locker: (name) => ({
      // It writes into its options, so they cannot be shared.
      acquire: () => client.acquire(name, { ttl: 120_000, lockRequestTimeout: 120_000 }),
      release: (held) => client.release(name, { id: (held as { id: string }).id }),
    }),
    close: () => client.close(),
  }
}

/**
 * What a log of lines costs by itself: append a line, read what was appended. The lines are as long as those of `file:`
 * for the same work; there is no queue, no fence, no lock in it.
 */
async function bareLog({ directory }: Place): Promise<Contestant> {
  const probe = connect(`file:${join(directory, `probe.${process.pid}`)}`)
  const log = join(directory, `probe.${process.pid}`, 'log.1')
  const pair = async (name: string): Promise<void> => void (await (await probe.acquire(name)).release())
  const alone = await linesOf(log, pair, ['bench'])
  const together = await linesOf(log, pair, manyNames())
  await probe.close()

  const fd = openSync(join(directory, 'bare.log'), 'a+')
  const line = Buffer.alloc(64 * 1024, 'x')
  const buffer = Buffer.alloc(64 * 1024)
  let offset = 0
  const say = (length: number): void => {
    writeSync(fd, line, 0, length)
    for (;;) {
      const read = readSync(fd, buffer, 0, buffer.length, offset)
      offset += read
      if (read < buffer.length) return
    }
  }
  return {
    locker: () => ({ acquire: () => say(alone[0]!), release: () => say(alone[1]!) }),
    burst: () => together.forEach(say),
    close() {},
  }
}

/** The lengths of the lines that a pair on each of `names`, all at once, appends to the log of holdfast. */
async function linesOf(
  path: string,
  pair: (name: string) => Promise<void>,
  names: readonly string[],
): Promise<number[]> {
  // The first pair also opens the store and reserves fences.
  await pair('first')
  const fd = openSync(path, 'r')
  const from = fstatSync(fd).size
  await Promise.all(names.map(pair))
  const bytes = Buffer.alloc(fstatSync(fd).size - from)
  readSync(fd, bytes, 0, bytes.length, from)
  const lines = bytes.toString('latin1').split('\n\n')
  return lines.map((line) => line.replaceAll('\n', '').length + 2)
}

/**
 * What a table costs by itself: a row is inserted and deleted, each in a transaction. It survives kill -9 as `file:` does,
 * and like `file:` it may lose the last moments to a power failure: WAL, synchronous NORMAL. `together`: many rows share
 * a transaction, as many names share a line of `file:`.
 */
function bareSqlite(directory: string, together: boolean): Contestant {
  const db = new DatabaseSync(join(directory, 'bare.db'))
  db.exec(`
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS locks (name TEXT PRIMARY KEY, id TEXT, until REAL, info TEXT) WITHOUT ROWID;
  `)
  const insert = db.prepare('INSERT INTO locks VALUES (?, ?, ?, ?)')
  const remove = db.prepare('DELETE FROM locks WHERE name = ? AND id = ?')
  const id = 'qbTn-tgdojSKVrGpgmDL5w'
  const info = JSON.stringify({ host: 'localhost', pid: process.pid, user: 'somebody' })
  const burst = (names: readonly string[]): void => {
    db.exec('BEGIN IMMEDIATE')
    for (const name of names) insert.run(name, id, performance.now() + 30_000, info)
    db.exec('COMMIT; BEGIN IMMEDIATE')
    for (const name of names) remove.run(name, id)
    db.exec('COMMIT')
  }
  let count = 0
  return {
    // Rows of its own for everybody who takes part: a store, not a lock.
    locker(name) {
      const row = `${name}.${process.pid}.${(count += 1)}`
      return {
        acquire: () => insert.run(row, id, performance.now() + 30_000, info),
        release: () => remove.run(row, id),
      }
    },
    ...(together ? { burst } : {}),
    close: () => db.close(),
  }
}

async function holdfastIoRedis({ port }: Place): Promise<Contestant> {
  const client = await ioRedis(port)
  return closing(holdfast(connect(redis(client))), () => client.disconnect())
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
    (key, token) => client.set(key, token, 'PX', 30_000, 'NX'),
    (key, token) => client.evalsha(sha, 1, key, token),
    () => client.disconnect(),
  )
}

async function bareNodeRedis({ port }: Place): Promise<Contestant> {
  const client = await nodeRedis(port)
  const sha = await client.scriptLoad(RELEASE)
  return bare(
    (key, token) => client.set(key, token, { condition: 'NX', expiration: { type: 'PX', value: 30_000 } }),
    (key, token) => client.evalSha(sha, { keys: [key], arguments: [token] }),
    () => client.destroy(),
  )
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

/** Asks again every 10 ms, for ever; by default it gives up after two seconds. */
async function redlock({ port }: Place): Promise<Contestant> {
  interface Lock {
    release(): Promise<unknown>
  }
  type Redlock = new (
    clients: unknown[],
    options: object,
  ) => { acquire(names: string[], ttl: number): Promise<Lock>; on(event: string, listener: () => void): void }
  const { default: Redlock } = peers('redlock') as { default: Redlock }
  const client = await ioRedis(port)
  const locks = new Redlock([client], { retryCount: -1, retryDelay: 10, retryJitter: 0 })
  locks.on('error', () => {})
  return {
    locker: (name) => ({
      acquire: () => locks.acquire([name], 30_000),
      release: (held) => (held as Lock).release(),
    }),
    close: () => client.disconnect(),
  }
}

/** It asks again every 10 ms by default. */
async function redisSemaphore({ port }: Place): Promise<Contestant> {
  interface Mutex {
    acquire(): Promise<void>
    release(): Promise<void>
  }
  const { Mutex } = peers('redis-semaphore') as { Mutex: new (client: unknown, key: string, options: object) => Mutex }
  const client = await ioRedis(port)
  return {
    locker: (name) => ({
      acquire: async () => {
        const mutex = new Mutex(client, name, { lockTimeout: 30_000, acquireTimeout: 120_000 })
        await mutex.acquire()
        return mutex
      },
      release: (held) => (held as Mutex).release(),
    }),
    close: () => client.disconnect(),
  }
}

/** Of workload W2. */
export function manyNames(): string[] {
  return Array.from({ length: 64 }, (_, index) => `name-${index}`)
}
