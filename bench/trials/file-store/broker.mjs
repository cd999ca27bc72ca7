// Design B: one process serves the queue from memory, the others are its clients over a unix socket.
//
// Every process listens on `i.<instance>`. Broker of term N is whoever hard-links its listening socket as `b.<N>`:
// link() is exclusive, survives no half-way state (a lock file would go stale with its owner), and the name appears
// only when the socket already listens. Names of past terms stay, so a process that was stopped before its link()
// cannot win an old election.
//
// A successor knows nothing. Before it serves, every process in the directory must have announced its holds and places
// again, or be dead (its own socket refuses), or be silent for a ttl.
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { forget, listen, readLines, socketPath } from './neighbours.mjs'

const TTL = 10_000 // milliseconds

// A stream of JSON messages; what one turn of the event loop sends shares a write.
function messages(socket, onMessage) {
  let out = ''
  readLines(socket, (line) => onMessage(JSON.parse(line)))
  return (message) => {
    if (out === '') queueMicrotask(() => (socket.write(out), (out = '')))
    out += `${JSON.stringify(message)}\n`
  }
}

const dial = (path) =>
  new Promise((resolve) => {
    const socket = net.connect(path)
    socket.once('connect', () => resolve({ socket }))
    socket.on('error', ({ code }) => resolve({ code }))
  })

// The server's side: the queues of all names, and who is behind them.
class Broker {
  queues = new Map() // name -> entries { ticket, peer, id, expiry, granted } in ticket order; the first one holds
  peers = new Map() // instance -> send(message)
  last = 0
  ready = false
  backlog = [] // verbs that came during the recovery

  constructor(dir, instance) {
    this.dir = dir
    this.instance = instance
    this.missing = new Set(fs.readdirSync(dir).flatMap((file) => (file.startsWith('i.') ? [file.slice(2)] : [])))
    for (const peer of this.missing) if (peer !== instance) void this.probe(peer)
    setTimeout(() => this.serve(), TTL).unref()
  }

  // Asks the kernel whether a process is dead: again and again while it lives and has not said hello.
  async probe(peer) {
    for (;;) {
      const { socket, code } = await dial(socketPath(this.dir, peer))
      if (code === 'ECONNREFUSED') {
        forget(socketPath(this.dir, peer))
        this.bury(peer)
      }
      if (code === 'ECONNREFUSED' || code === 'ENOENT') return this.present(peer)
      if (socket) {
        await new Promise((resolve) => socket.once('close', resolve))
        if (this.peers.has(peer)) return
      }
      await delay(5)
    }
  }

  present(peer) {
    this.missing.delete(peer)
    if (this.missing.size === 0) this.serve()
  }

  serve() {
    if (this.ready) return
    this.ready = true
    for (const name of this.queues.keys()) this.settle(name)
    for (const [peer, message] of this.backlog) this.handle(peer, message)
  }

  handle(peer, message) {
    const [verb, id, name, ticket, granted] = message
    if (verb === 'announce') {
      this.last = Math.max(this.last, ticket)
      const entries = this.queues.get(name) ?? []
      entries.push({ ticket, peer, id, expiry: Date.now() + TTL, granted })
      this.queues.set(
        name,
        entries.sort((a, b) => a.ticket - b.ticket),
      )
      return
    }
    if (verb === 'present') return this.present(peer)
    if (!this.ready) return void this.backlog.push([peer, message])
    if (verb === 'join') {
      this.last = Math.max(this.last + 1, Date.now() * 1000)
      const entry = { ticket: this.last, peer, id, expiry: Date.now() + TTL, granted: false }
      if (this.queues.has(name)) this.queues.get(name).push(entry)
      else this.queues.set(name, [entry])
      if (this.queues.get(name)[0] !== entry) this.peers.get(peer)?.(['place', id, this.last])
      this.settle(name)
    }
    if (verb === 'leave') {
      this.keep(name, (entry) => entry.ticket !== ticket)
      this.peers.get(peer)?.(['left', id])
    }
    if (verb === 'renew') {
      for (const [key, entries] of this.queues) {
        for (const entry of entries) if (entry.peer === peer) entry.expiry = Date.now() + TTL
        this.keep(key, (entry) => entry.expiry >= Date.now())
      }
    }
  }

  bury(peer) {
    for (const name of this.queues.keys()) this.keep(name, (entry) => entry.peer !== peer)
  }

  keep(name, predicate) {
    const rest = (this.queues.get(name) ?? []).filter(predicate)
    if (rest.length > 0) this.queues.set(name, rest)
    else this.queues.delete(name)
    if (this.ready) this.settle(name)
  }

  settle(name) {
    const head = this.queues.get(name)?.[0]
    if (!head || head.granted) return
    head.granted = true
    this.peers.get(head.peer)?.(['grant', head.id, head.ticket])
  }

  // A connection to the broker. Its end is a reason to ask whether the process is dead, not the answer.
  accept(socket) {
    let peer
    socket.on('error', () => {})
    const send = messages(socket, (message) => {
      if (message[0] !== 'hello') return this.handle(peer, message)
      peer = message[1]
      this.bury(peer) // its announcements are the truth now
      this.peers.set(peer, send)
    })
    socket.on('close', () => {
      if (this.peers.get(peer) === send) this.peers.delete(peer)
      if (peer) void this.probe(peer)
    })
  }
}

export async function open(dir) {
  const instance = randomBytes(6).toString('hex')
  const stats = { writes: 0, elections: 0, broker: false }
  const wishes = new Map() // id -> { name, state: asked | waiting | held | leaving, ticket, resolve }
  const held = new Map() // name -> id
  const sockets = new Set()
  let broker
  let send // to the broker; undefined between two terms
  let lastId = 0
  let closed = false

  const server = net.createServer((socket) => {
    sockets.add(socket)
    if (broker) broker.accept(socket)
    else socket.on('error', () => {}).resume() // somebody who asks whether we live
  })
  await listen(server, dir, instance)

  function receive([verb, id, ticket]) {
    const wish = wishes.get(id)
    if (!wish) return
    if (verb === 'place') Object.assign(wish, { state: 'waiting', ticket })
    if (verb === 'grant' && wish.state !== 'leaving') {
      Object.assign(wish, { state: 'held', ticket })
      held.set(wish.name, id)
      wish.resolve(ticket)
    }
    if (verb === 'left') {
      wishes.delete(id)
      wish.resolve()
    }
  }

  function request(message) {
    stats.writes++
    send?.(message)
  }

  // Finds the broker or becomes it, then tells it everything this process has or waits for.
  async function enroll() {
    send = undefined
    while (!closed) {
      const terms = fs.readdirSync(dir).flatMap((file) => (file.startsWith('b.') ? [Number(file.slice(2))] : []))
      const term = Math.max(0, ...terms)
      const { socket, code } = term > 0 ? await dial(`${dir}/b.${term}`) : { code: 'ECONNREFUSED' }
      if (socket) {
        sockets.add(socket)
        socket.on('close', () => (sockets.delete(socket), enroll()))
        send = messages(socket, receive)
        send(['hello', instance])
        break
      }
      if (code !== 'ECONNREFUSED') {
        await delay(10)
        continue
      }
      try {
        fs.linkSync(socketPath(dir, instance), `${dir}/b.${term + 1}`)
      } catch (error) {
        if (error.code === 'EEXIST') continue
        throw error
      }
      stats.elections++
      stats.broker = true
      broker = new Broker(dir, instance)
      broker.peers.set(instance, receive)
      // Not in the same turn: a loop of microtasks would starve the sockets, and with them all other processes.
      send = (message) => setImmediate(() => broker.handle(instance, message))
      break
    }
    if (closed) return
    for (const [id, wish] of wishes) {
      if (wish.state === 'leaving') receive(['left', id]) // the new broker has never heard of it
      if (wish.state === 'held' || wish.state === 'waiting') {
        send(['announce', id, wish.name, wish.ticket, wish.state === 'held'])
      }
    }
    send(['present'])
    for (const [id, wish] of wishes) if (wish.state === 'asked') send(['join', id, wish.name])
  }
  await enroll()
  const keeper = setInterval(() => wishes.size > 0 && request(['renew']), TTL / 3)

  return {
    stats,
    acquire(name) {
      return new Promise((resolve) => {
        const id = ++lastId
        wishes.set(id, { name, state: 'asked', resolve })
        request(['join', id, name])
      })
    },
    release(name) {
      const id = held.get(name)
      const wish = wishes.get(id)
      held.delete(name)
      return new Promise((resolve) => {
        wish.state = 'leaving'
        wish.resolve = resolve
        request(['leave', id, name, wish.ticket])
      })
    },
    async close() {
      closed = true
      clearInterval(keeper)
      server.close()
      for (const socket of sockets) socket.destroy()
      forget(socketPath(dir, instance))
    },
  }
}

// For the trial: the queue dies with the processes; what stays are the names of past terms.
export async function inspect(dir) {
  const terms = fs.readdirSync(dir).filter((file) => file.startsWith('b.')).length
  return { intact: true, left: 0, note: `${terms} terms` }
}
