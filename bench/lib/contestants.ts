/**
 * Everybody who takes part, behind one door: take a name, give it back.
 *
 * Each is given its best case: locks that are objects are made once and kept, and what can be tuned is tuned (a note says
 * how). holdfast is used as any user does, with queue, fence, lease and renewal; none of it can be switched off.
 */
import { fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { connect } from 'holdfast'
import type { Contestant, Place } from './contestant.ts'
import { holdfast, peers } from './contestant.ts'
import { ETCD_CONTESTANTS } from './etcd.ts'
import { REDIS_CONTESTANTS } from './redis.ts'

export const CONTESTANTS: Readonly<Record<string, (place: Place) => Contestant | Promise<Contestant>>> = {
  'memory:': () => holdfast(connect('memory:')),
  'file:': ({ directory }) => holdfast(connect(`file:${directory}`)),
  'async-mutex': asyncMutex,
  'proper-lockfile': properLockfile,
  'live-mutex': liveMutex,
  'bare log': bareLog,
  'bare node:sqlite': ({ directory }) => bareSqlite(directory, false),
  'bare node:sqlite, together': ({ directory }) => bareSqlite(directory, true),
  ...REDIS_CONTESTANTS,
  ...ETCD_CONTESTANTS,
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

/** Of workload W2. */
export function manyNames(): string[] {
  return Array.from({ length: 64 }, (_, index) => `name-${index}`)
}
