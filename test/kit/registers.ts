/**
 * Two registers that worker processes visit under a lock: one looks at fences, the other takes everything. They live in the
 * process of the test, which nobody stops or kills, and are served over a socket.
 */
import { once } from 'node:events'
import type { Server, Socket } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Event } from '../../src/verify/history.ts'
import { MemoryRecorder } from '../../src/verify/history.ts'
import type { Visitor } from '../../src/verify/register.ts'
import { Register } from '../../src/verify/register.ts'
import type { Visit, Visited } from './visits.ts'
import { machineNow } from './worker.ts'

export class Registers {
  /** Where workers visit them. */
  readonly path: string
  /** Refuses whoever comes too late. */
  readonly fenced: Register
  /** Shows what would have been lost without fences. */
  readonly open: Register
  readonly #recorder = new MemoryRecorder(machineNow)
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(path: string) {
    this.path = path
    this.fenced = new Register('fenced', true, this.#recorder)
    this.open = new Register('open', false, this.#recorder)
    this.#server = createServer((socket) => this.#serve(socket))
  }

  static async start(directory: string): Promise<Registers> {
    const registers = new Registers(join(directory, 'registers'))
    registers.#server.listen(registers.path)
    await once(registers.#server, 'listening')
    return registers
  }

  get events(): readonly Event[] {
    return this.#recorder.events
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

  #admit({ visitor, bases }: Visit): Visited {
    return [visit(this.fenced, visitor, bases?.[0]), visit(this.open, visitor, bases?.[1])]
  }
}

/** Reads, or writes what was made from version `base`. */
function visit(register: Register, visitor: Visitor, base: number | undefined): Visited[number] {
  if (base === undefined) return register.read(visitor)
  return { accepted: register.write(visitor, base), version: base }
}
