// Sockets between processes that share a directory: wake-up and death detection for `table` and `log`.
//
// Every process listens on `i.<instance>`. A connection stays open once made and serves both directions, so that a
// hand-over is one small write on a warm socket.
//
// Death is what the kernel says, nothing weaker: a connection that ended proves little (a full buffer, a clean close),
// so a new connection is tried, and only ECONNREFUSED means that no process holds the listening socket any more. A
// process in the middle of dying may still accept: its backlog is reset a moment later and the question is asked again.
import net from 'node:net'
import { renameSync, unlinkSync } from 'node:fs'

export const socketPath = (dir, instance) => `${dir}/i.${instance}`

export function forget(path) {
  try {
    unlinkSync(path)
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
}

// Between bind() and listen() a socket refuses like a dead one, so it gets its real name only when it listens.
export async function listen(server, dir, instance) {
  const temporary = `${dir}/t.${instance}`
  await new Promise((resolve, reject) => server.once('error', reject).listen(temporary, resolve))
  renameSync(temporary, socketPath(dir, instance))
}

// Calls `onLine` for every complete line; a stream may cut them anywhere.
export function readLines(socket, onLine) {
  let rest = ''
  socket.setEncoding('utf8')
  socket.on('data', (chunk) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()
    for (const line of lines) onLine(line)
  })
}

export async function openNeighbours(dir, instance, { onPoke, onDeath }) {
  const links = new Map() // instance -> the connection to it, whoever opened it
  const watched = new Set()
  const sockets = new Set()
  let closed = false

  function serve(socket, peer) {
    let failure
    sockets.add(socket)
    readLines(socket, (line) => {
      const [word, value] = line.split(' ')
      if (word === 'poke') return onPoke(Number(value))
      peer = value // hello
      if (!links.has(peer)) links.set(peer, socket)
    })
    socket.on('error', (error) => (failure = error.code))
    socket.on('close', () => {
      sockets.delete(socket)
      if (links.get(peer) === socket) links.delete(peer)
      if (closed || !watched.has(peer) || links.has(peer)) return
      if (failure === 'ECONNREFUSED') {
        watched.delete(peer)
        onDeath(peer)
      } else if (failure === 'ENOENT') {
        watched.delete(peer) // closed in order, or buried by someone else; if not, its entries run into their ttl
      } else if (failure === 'EAGAIN') {
        setTimeout(connect, 20, peer) // a full backlog: alive or frozen, not dead
      } else {
        connect(peer)
      }
    })
  }

  function connect(peer) {
    if (closed || links.has(peer)) return
    const socket = net.connect(socketPath(dir, peer))
    links.set(peer, socket)
    socket.write(`hello ${instance}\n`)
    serve(socket, peer)
  }

  const server = net.createServer((socket) => serve(socket))
  await listen(server, dir, instance)

  return {
    poke(peer, ticket) {
      if (!links.has(peer)) connect(peer)
      links.get(peer).write(`poke ${ticket}\n`)
    },
    watch(peer) {
      watched.add(peer)
      if (!links.has(peer)) connect(peer)
    },
    close() {
      closed = true
      server.close()
      forget(socketPath(dir, instance))
      for (const socket of sockets) socket.destroy()
    },
  }
}
