/**
 * The other processes at the same store: to wake them, and to hear of their end at once.
 *
 * Each process listens on a socket in the store, named after its random instance id. Whoever waits keeps a connection to
 * the process ahead of it, and says who it is. A poke is a byte, in either direction, that says "read the log"; what it
 * means stands there.
 *
 * Death is only what the kernel says: a refused connection, which means that no process has this socket open any more.
 * The end of a connection is a reason to ask, nothing else; a missing socket file, a full backlog or a connection that
 * nobody accepts prove nothing, and then the ttl decides. A socket with a path is reached from other containers as well,
 * and its descriptor may be inherited: the socket, and all that depends on it, lives as long as anybody has it.
 */
import { chmodSync, closeSync, constants, openSync, readdirSync, renameSync, statSync, unlinkSync } from 'node:fs'
import type { Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import type { Timer } from '../../runtime.ts'
import { realRuntime } from '../../runtime.ts'

/** Beyond this many sockets of the dead in the store, one who opens it clears them away. */
const LITTER_MAX = 16
const LITTER_AGE_MS = 60_000
/** A connection that ends again and again without a refusal is asked for again after this, and then twice as long. */
const ASK_AGAIN_FIRST_MS = 2
const ASK_AGAIN_LONGEST_MS = 1000
/** What is said has no meaning, so all that arrives is read into the same few bytes. */
const HEARD = Buffer.alloc(64)
/** sun_path has 108 bytes, one of which ends it; some systems have 104. */
const PATH_BYTES_MAX = 103

export interface NeighbourEvents {
  /** Somebody says that there is something to read. */
  poked(): void
  /** No process has the socket of this instance any more. */
  died(instance: string): void
}

type Asked = 'alive' | 'dead' | 'unknown'

interface Neighbour {
  socket: Socket | undefined
  /** Whether somebody ahead of us runs there: then its end matters. */
  watched: boolean
  askAgainMs: number
  retry: Timer | undefined
}

export class Neighbours {
  readonly #instance: string
  readonly #directory: string
  readonly #directoryFd: number
  readonly #mode: number
  readonly #events: NeighbourEvents
  readonly #neighbours = new Map<string, Neighbour>()
  readonly #guests = new Set<Socket>()
  /** The guests that have said who they are. */
  readonly #known = new Map<string, Socket>()
  #server: Server | undefined
  #watching = false
  #closed = false

  constructor(storeDirectory: string, instance: string, mode: number, events: NeighbourEvents) {
    this.#instance = instance
    this.#directory = join(storeDirectory, 's')
    this.#directoryFd = openSync(this.#directory, constants.O_RDONLY)
    this.#mode = mode
    this.#events = events
  }

  /** Be reachable, and known to live. Done once, before the first entry joins. */
  listen(): void {
    if (this.#server) return
    this.#clearLitter()
    const server = createServer((guest) => this.#welcome(guest))
    // Losing the socket later is no reason to end the process: without pokes, timers ask.
    server.on('error', () => {})
    // Exclusive: in a cluster, the primary process would listen in our place, and outlive us.
    // Bound under another name: 1. until it listens, a socket refuses as the dead do;  2. Node removes the name that it has
    // bound when a thread is terminated or a program comes to its end, and a missing file proves no death.
    const path = this.#path(`${this.#instance}~`)
    server.listen({ path, backlog: 4096, exclusive: true })
    server.unref()
    chmodSync(path, this.#mode)
    renameSync(path, this.#path(this.#instance))
    this.#server = server
  }

  /** The descriptor of the listening socket. A process that inherits it keeps this instance from being taken for dead. */
  lifeline(): number {
    this.listen()
    const { _handle: handle } = this.#server as Server & { readonly _handle?: { readonly fd: number } }
    return handle?.fd ?? -1
  }

  poke(instance: string): void {
    if (this.#closed || instance === this.#instance) return
    const socket = this.#known.get(instance) ?? this.#connected(instance).socket
    // What could not be sent yet will be read after now, and one byte says all.
    if (socket?.writableLength === 0) socket.write('.')
  }

  /** Whether anybody's end matters. */
  get watching(): boolean {
    return this.#watching
  }

  /** From now on, the ends of exactly these matter. */
  watch(instances: ReadonlySet<string>): void {
    this.#watching = instances.size > 0
    for (const [instance, neighbour] of this.#neighbours) {
      neighbour.watched = instances.has(instance)
      if (!neighbour.watched && this.#neighbours.size > 2 * instances.size + LITTER_MAX) this.#drop(instance, neighbour)
    }
    for (const instance of instances) if (instance !== this.#instance) this.#connected(instance).watched = true
  }

  /** Ask the kernel whether anybody has the socket of this instance. */
  ask(instance: string): Promise<Asked> {
    if (instance === this.#instance) return Promise.resolve('alive')
    return new Promise((resolve) => {
      const socket = connect(this.#path(instance))
      socket.once('connect', () => {
        socket.destroy()
        resolve('alive')
      })
      socket.once('error', (error) => resolve(isRefusal(error) ? 'dead' : 'unknown'))
    })
  }

  /** The instance is gone for good: its socket file is litter. */
  bury(instance: string): void {
    const neighbour = this.#neighbours.get(instance)
    if (neighbour) this.#drop(instance, neighbour)
    removeFile(join(this.#directory, instance))
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const [instance, neighbour] of this.#neighbours) this.#drop(instance, neighbour)
    for (const guest of this.#guests) guest.destroy()
    // The file goes first: a socket that is there but refuses would say that we died, and what lingers is not ours.
    if (this.#server) removeFile(join(this.#directory, this.#instance))
    this.#server?.close()
    closeSync(this.#directoryFd)
  }

  #welcome(guest: Socket): void {
    guest.unref()
    this.#guests.add(guest)
    let instance: string | undefined
    guest.on('data', (bytes) => {
      if (instance === undefined) {
        instance = bytes.toString('latin1', 0, this.#instance.length)
        this.#known.set(instance, guest)
      }
      this.#events.poked()
    })
    guest.on('error', () => {})
    guest.on('close', () => {
      this.#guests.delete(guest)
      if (instance !== undefined && this.#known.get(instance) === guest) this.#known.delete(instance)
    })
  }

  #connected(instance: string): Neighbour {
    let neighbour = this.#neighbours.get(instance)
    if (!neighbour) {
      neighbour = { socket: undefined, watched: false, askAgainMs: ASK_AGAIN_FIRST_MS, retry: undefined }
      this.#neighbours.set(instance, neighbour)
    }
    if (!neighbour.socket && !neighbour.retry) this.#connect(instance, neighbour)
    return neighbour
  }

  #connect(instance: string, neighbour: Neighbour): void {
    const heard = { buffer: HEARD, callback: () => (this.#events.poked(), true) }
    const socket = connect({ path: this.#path(instance), onread: heard })
    let refused = false
    let connectedAt: number | undefined
    neighbour.socket = socket
    socket.unref()
    socket.once('connect', () => (connectedAt = realRuntime.monotonicMs()))
    socket.write(this.#instance)
    socket.on('error', (error) => (refused ||= isRefusal(error)))
    socket.on('close', () => {
      if (neighbour.socket !== socket) return
      neighbour.socket = undefined
      if (refused) {
        this.#neighbours.delete(instance)
        this.#events.died(instance)
      } else if (neighbour.watched) {
        // It may have left the queue and ended before its poke could leave.
        this.#events.poked()
        const stood = connectedAt !== undefined && realRuntime.monotonicMs() - connectedAt > ASK_AGAIN_LONGEST_MS
        this.#askAgain(instance, neighbour, stood)
      } else {
        this.#neighbours.delete(instance)
      }
    })
  }

  /** The connection has ended without a refusal: ask again, at once if it had stood for some time. */
  #askAgain(instance: string, neighbour: Neighbour, stood: boolean): void {
    neighbour.askAgainMs = stood ? ASK_AGAIN_FIRST_MS : Math.min(2 * neighbour.askAgainMs, ASK_AGAIN_LONGEST_MS)
    neighbour.retry = realRuntime.after(stood ? 0 : neighbour.askAgainMs, () => {
      neighbour.retry = undefined
      if (neighbour.watched) this.#connect(instance, neighbour)
      else this.#neighbours.delete(instance)
    })
  }

  #drop(instance: string, neighbour: Neighbour): void {
    this.#neighbours.delete(instance)
    neighbour.retry?.cancel()
    const { socket } = neighbour
    neighbour.socket = undefined
    // What was written may not have left yet: the end comes after it.
    socket?.end()
    socket?.unref()
  }

  #clearLitter(): void {
    const names = readdirSync(this.#directory)
    if (names.length <= LITTER_MAX) return
    for (const instance of names) {
      // One that was just bound does not listen yet, and would refuse as the dead do.
      const madeAt = statSync(join(this.#directory, instance), { throwIfNoEntry: false })?.mtimeMs ?? Infinity
      if (realRuntime.wallMs() - madeAt < LITTER_AGE_MS) continue
      void this.ask(instance).then((answer) => {
        if (answer === 'dead' && !this.#closed) this.#events.died(instance)
      })
    }
  }

  /** Where a socket is. A long path does not fit into an address; the kernel takes one through our descriptor instead. */
  #path(instance: string): string {
    const path = join(this.#directory, instance)
    const short = process.platform !== 'linux' || Buffer.byteLength(path) <= PATH_BYTES_MAX
    return short ? path : `/proc/self/fd/${this.#directoryFd}/${instance}`
  }
}

function isRefusal(error: Error): boolean {
  return 'code' in error && error.code === 'ECONNREFUSED'
}

function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // It is litter: whoever comes next may clear it away.
  }
}
