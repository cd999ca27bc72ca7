// Design A: one table that all processes share, in node:sqlite.
//
// A queue is the rows of one name in ticket order; the first row holds. Every verb is part of a BEGIN IMMEDIATE
// transaction. busy_timeout is 0 because SQLite would wait on the event loop's thread: the retry is asynchronous.
import { randomBytes } from 'node:crypto'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import { forget, openNeighbours, socketPath } from './neighbours.mjs'

const { DatabaseSync } = process.getBuiltinModule('node:sqlite')

const TTL = 10_000_000 // microseconds
const BUSY = 5

const clock = () => {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e6 + Math.floor(nanoseconds / 1e3)
}

// Two quick turns first, because a transaction takes some tens of microseconds; then timers with jitter, because
// processes that collide would otherwise collide again.
const pause = (tries) => (tries < 2 ? nextTurn() : delay(1 + Math.random() * 3))

const isBusy = (error) => (error.errcode & 255) === BUSY

async function openDatabase(path) {
  for (let tries = 0; ; tries++) {
    const db = new DatabaseSync(path)
    try {
      db.exec('PRAGMA busy_timeout = 0') // before journal_mode, which needs a lock itself
      db.exec('PRAGMA journal_mode = WAL')
      db.exec('PRAGMA synchronous = NORMAL')
      db.exec(`BEGIN IMMEDIATE;
        CREATE TABLE IF NOT EXISTS entries (name TEXT, ticket INTEGER, instance TEXT, expiry INTEGER,
          PRIMARY KEY (name, ticket)) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS meta (last INTEGER);
        INSERT INTO meta SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM meta);
        COMMIT`)
      return db
    } catch (error) {
      db.close()
      if (!isBusy(error)) throw error
      await pause(tries + 2)
    }
  }
}

export async function open(dir) {
  const instance = randomBytes(6).toString('hex')
  const stats = { writes: 0, busy: 0 }
  const waiting = new Map() // ticket -> { name, sentAt, resolve }
  const held = new Map() // name -> ticket
  let queue = [] // verbs that wait for the next transaction
  let flushing = false
  let renewedAt = 0

  const neighbours = await openNeighbours(dir, instance, { onPoke, onDeath })
  const db = await openDatabase(`${dir}/table.db`)
  const sql = {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    draw: db.prepare('UPDATE meta SET last = max(last + 1, ?) RETURNING last'),
    prune: db.prepare('DELETE FROM entries WHERE name = ? AND expiry < ?'),
    insert: db.prepare('INSERT INTO entries VALUES (?, ?, ?, ?)'),
    ahead: db.prepare('SELECT instance FROM entries WHERE name = ? AND ticket < ? ORDER BY ticket DESC LIMIT 1'),
    head: db.prepare('SELECT ticket, instance FROM entries WHERE name = ? ORDER BY ticket LIMIT 1'),
    leave: db.prepare('DELETE FROM entries WHERE name = ? AND ticket = ?'),
    renew: db.prepare('UPDATE entries SET expiry = ? WHERE instance = ?'),
    namesOf: db.prepare('SELECT DISTINCT name FROM entries WHERE instance = ?'),
    bury: db.prepare('DELETE FROM entries WHERE instance = ?'),
  }

  // Runs `verb` inside the next transaction; what it returns runs after the commit. What one turn of the event loop
  // asks for shares a transaction.
  function transact(verb) {
    return new Promise((resolve, reject) => {
      queue.push({ verb, resolve, reject })
      if (!flushing) {
        flushing = true
        queueMicrotask(() => void flush())
      }
    })
  }

  async function flush() {
    while (queue.length > 0) {
      for (let tries = 0; !begin(); tries++) await pause(tries)
      const batch = queue
      queue = []
      const effects = batch.map(({ verb }) => verb())
      sql.commit.run()
      stats.writes++
      batch.forEach(({ resolve }, i) => resolve(effects[i]?.()))
    }
    flushing = false
  }

  function begin() {
    try {
      sql.begin.run()
      return true
    } catch (error) {
      if (!isBusy(error)) throw error
      stats.busy++
      return false
    }
  }

  // The first of the queue may have changed: tell whoever it is.
  function wake(head) {
    if (!head) return
    if (head.instance === instance) grant(head.ticket)
    else neighbours.poke(head.instance, head.ticket)
  }

  function grant(ticket) {
    const waiter = waiting.get(ticket)
    if (!waiter) return
    waiting.delete(ticket)
    held.set(waiter.name, ticket)
    waiter.resolve(ticket)
  }

  // A poke names a ticket, so it is a grant, as long as our own entry cannot have run out since we renewed it.
  function onPoke(ticket) {
    const waiter = waiting.get(ticket)
    if (!waiter) return
    if (Math.max(waiter.sentAt, renewedAt) + TTL * 0.9 > clock()) grant(ticket)
    else void renew()
  }

  async function onDeath(peer) {
    await transact(() => {
      const names = sql.namesOf.all(peer)
      if (names.length === 0) return
      sql.bury.run(peer)
      const heads = names.map(({ name }) => sql.head.get(name))
      return () => heads.forEach(wake)
    })
    forget(socketPath(dir, peer)) // after its rows: a missing file is no proof of death
    lookAhead()
  }

  // Every waiter watches the process in front of it.
  function lookAhead() {
    for (const [ticket, { name }] of waiting) {
      const ahead = sql.ahead.get(name, ticket)
      if (ahead && ahead.instance !== instance) neighbours.watch(ahead.instance)
    }
  }

  // Renews all entries of this process and looks for what a lost poke would have told.
  async function renew() {
    if (waiting.size + held.size === 0) return
    const sentAt = clock()
    await transact(() => {
      sql.renew.run(sentAt + TTL, instance)
      const heads = [...new Set([...waiting.values()].map(({ name }) => name))].map((name) => {
        sql.prune.run(name, sentAt)
        return sql.head.get(name)
      })
      return () => heads.forEach(wake)
    })
    renewedAt = sentAt
    lookAhead()
  }
  const keeper = setInterval(renew, TTL / 3000)

  return {
    stats,
    acquire(name) {
      const sentAt = clock()
      return transact(() => {
        const pruned = sql.prune.run(name, sentAt).changes
        const ticket = sql.draw.get(Date.now() * 1000).last
        const ahead = sql.ahead.get(name, ticket)
        sql.insert.run(name, ticket, instance, sentAt + TTL)
        const head = pruned > 0 ? sql.head.get(name) : undefined
        return () => {
          wake(head)
          if (!ahead) {
            held.set(name, ticket)
            return ticket
          }
          if (ahead.instance !== instance) neighbours.watch(ahead.instance)
          return new Promise((resolve) => waiting.set(ticket, { name, sentAt, resolve }))
        }
      })
    },
    release(name) {
      const ticket = held.get(name)
      held.delete(name)
      return transact(() => {
        sql.leave.run(name, ticket)
        const head = sql.head.get(name)
        return () => wake(head)
      })
    },
    async close() {
      clearInterval(keeper)
      await transact(() => void sql.bury.run(instance))
      neighbours.close()
      db.close()
    },
  }
}

// For the trial: is the store sound, and is it empty?
export async function inspect(dir) {
  const db = new DatabaseSync(`${dir}/table.db`)
  const { integrity_check: integrity } = db.prepare('PRAGMA integrity_check').get()
  const { left } = db.prepare('SELECT count(*) AS left FROM entries').get()
  db.close()
  return { intact: integrity === 'ok', left, note: '' }
}
