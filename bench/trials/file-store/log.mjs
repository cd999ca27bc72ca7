// Design C: a replicated state machine on one append-only file.
//
// Every verb is a line, appended by one write(2) on an O_APPEND descriptor; the kernel orders the lines. Every process
// applies all lines in that order to the same deterministic queues, so all of them agree on what each line did: its
// position is its outcome. There is no lock that a stopped process could keep.
//
// A line is "\n" crc32 " " json "\n". The leading newline ends whatever fragment a killed writer left before it; a
// fragment fails its checksum and is skipped by everybody alike.
//
// The first line of a segment is a snapshot. The first `seal` ends a segment: what follows it there is void, and its
// writers append it again to the next one.
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import zlib from 'node:zlib'
import { forget, openNeighbours, socketPath } from './neighbours.mjs'

const TTL = 10_000_000 // microseconds
const SEGMENT = 256 * 1024
const NEWLINE = 10

const clock = () => {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e6 + Math.floor(nanoseconds / 1e3)
}

const encode = (verb) => {
  const json = JSON.stringify(verb)
  return `\n${zlib.crc32(json).toString(16).padStart(8, '0')} ${json}\n`
}

// What `buffer` says between two newlines, or undefined for a fragment.
function decode(buffer, from, to) {
  if (to - from < 10) return undefined
  const crc = Number.parseInt(buffer.latin1Slice(from, from + 8), 16)
  if (zlib.crc32(buffer.subarray(from + 9, to)) !== crc) return undefined
  return JSON.parse(buffer.utf8Slice(from + 9, to))
}

// The state machine. It may depend on nothing but the lines: no clock, no randomness, no environment. Time is the
// largest clock that any line has carried so far, so a line that was delayed cannot turn it back.
class Queues {
  names = new Map() // name -> entries { ticket, instance, expiry } in ticket order; the first one holds
  last = 0
  time = 0
  moved = new Set() // names whose first entry may be another one now

  apply([verb, instance, mono, wall, , name, argument]) {
    this.time = Math.max(this.time, mono)
    if (verb === 'join') {
      this.keep(name, (entry) => entry.expiry >= this.time)
      this.last = Math.max(this.last + 1, wall)
      const entry = { ticket: this.last, instance, expiry: this.time + TTL }
      if (this.names.has(name)) this.names.get(name).push(entry)
      else this.names.set(name, [entry])
      return entry.ticket
    }
    if (verb === 'leave') this.keep(name, (entry) => entry.ticket !== argument)
    if (verb === 'bury') for (const key of this.names.keys()) this.keep(key, (entry) => entry.instance !== argument)
    if (verb === 'renew') {
      for (const entries of this.names.values()) {
        for (const entry of entries) if (entry.instance === instance) entry.expiry = this.time + TTL
      }
      for (const key of this.names.keys()) this.keep(key, (entry) => entry.expiry >= this.time)
    }
    return true
  }

  keep(name, predicate) {
    const entries = this.names.get(name)
    if (!entries || entries.every(predicate)) return
    const rest = entries.filter(predicate)
    if (rest.length > 0) this.names.set(name, rest)
    else this.names.delete(name)
    this.moved.add(name)
  }

  knows = (instance) => [...this.names.values()].some((entries) => entries.some((e) => e.instance === instance))
  save = () => ['snapshot', [...this.names], this.last, this.time]
  load([, names, last, time]) {
    this.names = new Map(names)
    this.last = last
    this.time = time
    for (const name of this.names.keys()) this.moved.add(name)
  }
}

// The file: appends verbs, applies what everybody appended, moves from segment to segment.
class Log {
  queues = new Queues()
  stats = { writes: 0, torn: 0, fast: 0, voided: 0, segments: 0 }
  #buffer = Buffer.allocUnsafe(64 * 1024)
  #fd
  #number = 0
  #offset = 0
  #sealed = false
  #expected // the snapshot that the next segment must begin with

  constructor(dir, instance) {
    this.dir = `${dir}/log`
    this.instance = instance
    fs.mkdirSync(this.dir, { recursive: true })
    this.#openHighest()
    this.#read()
    this.queues.moved.clear()
  }

  // Appends `verbs` in one write and returns their results. `onApplied(own)` runs after every line.
  commit(verbs, onApplied) {
    for (;;) {
      const bytes = Buffer.from(verbs.map(encode).join(''))
      fs.writeSync(this.#fd, bytes) // a short write leaves a fragment: the line is then missing below
      this.stats.writes++
      const results = this.#read(bytes, verbs, onApplied)
      if (results.length === verbs.length) {
        if (this.#offset > SEGMENT && !this.#sealed) this.#seal(onApplied)
        return results
      }
      if (!this.#sealed) throw new Error('an appended line is not in the file')
      this.stats.voided++
      this.#nextSegment()
    }
  }

  #seal(onApplied) {
    fs.writeSync(this.#fd, encode(['seal', this.instance, 0, 0]))
    this.#read(undefined, undefined, onApplied)
    this.#nextSegment()
  }

  // Applies everything from the last offset to the end, or to the first seal. Own results come in file order, which
  // is the order of `verbs`: this process has at most one write in flight.
  #read(bytes, verbs, onApplied = () => {}) {
    const results = []
    for (;;) {
      let length = fs.readSync(this.#fd, this.#buffer, 0, this.#buffer.length, this.#offset)
      if (length === 0) return results
      // The usual case without contention: nobody wrote in between.
      if (bytes && length === bytes.length && bytes.equals(this.#buffer.subarray(0, length))) {
        this.#offset += length
        this.stats.fast++
        for (const verb of verbs) {
          results.push(this.queues.apply(verb))
          onApplied(true)
        }
        return results
      }
      const end = this.#buffer.lastIndexOf(NEWLINE, length - 1)
      if (length === this.#buffer.length && end <= 0) {
        this.#buffer = Buffer.allocUnsafe(length * 2) // one line longer than the buffer: a snapshot
        continue
      }
      if (end < 0) return results // a fragment, or a write in progress: its end may still come
      for (let from = 0; from <= end;) {
        const to = this.#buffer.indexOf(NEWLINE, from)
        if (to > from) {
          const verb = decode(this.#buffer, from, to)
          if (verb === undefined) this.stats.torn++
          else if (verb[0] === 'snapshot') {
            // Whoever came here line by line must have arrived at the same state.
            const divergence = this.#expected && this.#expected !== JSON.stringify(verb)
            if (divergence) throw new Error(`diverged: ${this.#expected} is not ${JSON.stringify(verb)}`)
            this.#expected = undefined
            this.queues.load(verb)
            onApplied(false)
          } else if (verb[0] === 'seal') {
            this.#sealed = true
            this.#offset += from // what came before it is applied and must not be applied again
            return results
          } else {
            const own = verb[1] === this.instance
            const result = this.queues.apply(verb)
            if (own) results.push(result)
            onApplied(own)
          }
        }
        from = to + 1
      }
      this.#offset += end + 1
      if (length < this.#buffer.length) return results
    }
  }

  #path = (number) => `${this.dir}/${number}`

  #tryOpen(number) {
    try {
      return fs.openSync(this.#path(number), fs.constants.O_RDWR | fs.constants.O_APPEND)
    } catch (error) {
      if (error.code !== 'ENOENT') throw error
      return undefined
    }
  }

  // link() is the one atomic "create, unless it exists" that brings the content along.
  #create(number, queues) {
    const temporary = `${this.dir}/t.${this.instance}`
    fs.writeFileSync(temporary, encode(queues.save()))
    try {
      fs.linkSync(temporary, this.#path(number))
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    fs.unlinkSync(temporary)
  }

  #numbers = () =>
    fs
      .readdirSync(this.dir)
      .map(Number)
      .filter((number) => number > 0)
      .sort((a, b) => a - b)

  #use(number, fd) {
    if (this.#fd !== undefined) fs.closeSync(this.#fd)
    this.#fd = fd
    this.#number = number
    this.#offset = 0
    this.#sealed = false
    this.stats.segments++
  }

  #openHighest() {
    for (;;) {
      const number = this.#numbers().at(-1)
      if (number === undefined) {
        this.#create(1, new Queues()) // then look again: a late creation may be a ghost, see below
        continue
      }
      const fd = this.#tryOpen(number)
      if (fd !== undefined) return this.#use(number, fd)
    }
  }

  // A process that was stopped just before its link() may create a successor long after the real one has come and
  // gone: a ghost in which it would be alone. Segments are removed in ascending order, so as long as the sealed
  // segment still has a name, its successor cannot have been removed and what we opened is the real one. Otherwise
  // start over from the highest segment, which is never a ghost.
  #nextSegment() {
    const number = this.#number + 1
    const named = () => fs.fstatSync(this.#fd).nlink > 0
    let fd = this.#tryOpen(number)
    if (fd === undefined && named()) {
      this.#create(number, this.queues)
      fd = this.#tryOpen(number)
    }
    if (fd !== undefined && named()) {
      this.#use(number, fd)
      this.#expected = JSON.stringify(this.queues.save())
    } else {
      if (fd !== undefined) fs.closeSync(fd)
      this.#openHighest()
    }
    // One old segment stays, so that a process that is a little late finds its way without starting over.
    for (const old of this.#numbers()) if (old < this.#number - 1) forget(this.#path(old))
  }

  close() {
    fs.closeSync(this.#fd)
  }
}

export async function open(dir) {
  const instance = randomBytes(6).toString('hex')
  const waiting = new Map() // ticket -> { name, sentAt, resolve }
  const held = new Map() // name -> ticket
  let queue = []
  let renewedAt = 0

  const neighbours = await openNeighbours(dir, instance, { onPoke, onDeath })
  const log = new Log(dir, instance)
  const { queues } = log

  // What one turn of the event loop asks for shares a write.
  function append(verb, name = '', argument = 0) {
    return new Promise((resolve) => {
      if (queue.push({ verb, name, argument, resolve }) === 1) queueMicrotask(flush)
    })
  }

  function flush() {
    const batch = queue
    queue = []
    const mono = clock()
    const wall = Date.now() * 1000
    const verbs = batch.map(({ verb, name, argument }, i) => [verb, instance, mono, wall, i, name, argument])
    log.commit(verbs, wake).forEach((result, i) => batch[i].resolve(result))
  }

  // After a line: our own waiters see their turn by themselves, others are told by the writer of the line.
  function wake(own) {
    if (queues.moved.size === 0) return
    for (const name of queues.moved) {
      const head = queues.names.get(name)?.[0]
      if (head?.instance === instance) grant(head.ticket)
      else if (head && own) neighbours.poke(head.instance, head.ticket)
    }
    queues.moved.clear()
  }

  function grant(ticket) {
    const waiter = waiting.get(ticket)
    if (!waiter) return
    waiting.delete(ticket)
    held.set(waiter.name, ticket)
    waiter.resolve(ticket)
  }

  function onPoke(ticket) {
    const waiter = waiting.get(ticket)
    if (!waiter) return
    if (Math.max(waiter.sentAt, renewedAt) + TTL * 0.9 > clock()) grant(ticket)
    else void renew()
  }

  async function onDeath(peer) {
    if (queues.knows(peer)) await append('bury', '', peer)
    forget(socketPath(dir, peer)) // after its entries: a missing file is no proof of death
    lookAhead()
  }

  function lookAhead() {
    for (const [ticket, { name }] of waiting) watchAhead(name, ticket)
  }

  function watchAhead(name, ticket) {
    const entries = queues.names.get(name) ?? []
    const ahead = entries[entries.findIndex((entry) => entry.ticket === ticket) - 1]
    if (ahead && ahead.instance !== instance) neighbours.watch(ahead.instance)
  }

  async function renew() {
    if (waiting.size + held.size === 0) return
    const sentAt = clock()
    await append('renew')
    renewedAt = sentAt
    lookAhead()
  }
  const keeper = setInterval(renew, TTL / 3000)

  return {
    stats: log.stats,
    async acquire(name) {
      const sentAt = clock()
      const ticket = await append('join', name)
      // Later lines of the same read may already have made us first.
      if (queues.names.get(name)?.[0].ticket === ticket) {
        held.set(name, ticket)
        return ticket
      }
      watchAhead(name, ticket)
      return new Promise((resolve) => waiting.set(ticket, { name, sentAt, resolve }))
    },
    async release(name) {
      const ticket = held.get(name)
      held.delete(name)
      await append('leave', name, ticket)
    },
    async close() {
      clearInterval(keeper)
      await append('bury', '', instance)
      neighbours.close()
      log.close()
    },
  }
}

// For the trial: is the store sound, and is it empty?
export async function inspect(dir) {
  const log = new Log(dir, 'inspector')
  const left = [...log.queues.names.values()].flat().length
  log.close()
  return { intact: true, left, note: `${log.stats.torn} fragments in the last segment` }
}
