/**
 * Registers that worker processes visit under their locks, two for each name: one looks at fences, the other takes everything.
 * They live in a process that nobody stops or kills, and are served over a socket.
 */
import { once } from 'node:events'
import type { Server, Socket } from 'node:net'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import type { Event } from '../history.ts'
import { MemoryRecorder } from '../history.ts'
import { Register } from '../register.ts'
import { machineNow } from './clock.ts'
import type { Visit, Visited } from './visits.ts'

interface Pair {
  /** Refuses whoever comes too late. */
  readonly fenced: Register
  /** Shows what would have been lost without fences. */
  readonly open: Register
}

export class Registers {
  /** Where workers visit them. */
  readonly path: string
  readonly #pairs = new Map<string, Pair>()
  readonly #recorder = new MemoryRecorder(machineNow)
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(path: string) {
    this.path = path
    this.#server = createServer((socket) => this.#serve(socket))
  }

  /** @param path of a socket that is not there yet */
  static async start(path: string): Promise<Registers> {
    const registers = new Registers(path)
    registers.#server.listen(path)
    await once(registers.#server, 'listening')
    return registers
  }

  get events(): readonly Event[] {
    return this.#recorder.events
  }

  /** The names of those that look at fences. */
  get guarded(): ReadonlySet<string> {
    return new Set([...this.#pairs.values()].map(({ fenced }) => fenced.name))
  }

  /** Of those that take everything. */
  get lostUpdates(): number {
    return [...this.#pairs.values()].reduce((sum, { open }) => sum + open.lostUpdates, 0)
  }

  /** Those that are visited under this name. */
  of(name: string): Pair {
    let pair = this.#pairs.get(name)
    if (!pair) {
      pair = {
        fenced: new Register(`${name} fenced`, true, this.#recorder),
        open: new Register(`${name} open`, false, this.#recorder),
      }
      this.#pairs.set(name, pair)
    }
    return pair
  }

  async end(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket)).on('error', () => {})
    const lines = createInterface({ input: socket })
    lines.on('line', (line) => {
      socket.write(`${JSON.stringify(this.#admit(JSON.parse(line) as Visit))}\n`)
    })
    // A process that is killed before it has read its answer resets the connection, and a reader of lines says so once more.
    lines.on('error', () => {})
  }

  #admit({ name, visitor, bases, stale }: Visit): Visited {
    const { fenced, open } = this.of(name)
    const first = visit(fenced, visitor, bases?.[0])
    return [first, stale ? { accepted: false, version: 0 } : visit(open, visitor, bases?.[1])]
  }
}

/** Reads, or writes what was made from version `base`. */
function visit(register: Register, visitor: Visit['visitor'], base: number | undefined): Visited[number] {
  if (base === undefined) return register.read(visitor)
  return { accepted: register.write(visitor, base), version: base }
}
