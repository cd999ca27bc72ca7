/** How a worker visits the registers of `registers.ts`. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import type { Visitor } from '../register.ts'

export interface Visit {
  readonly name: string
  readonly visitor: Visitor
  /** Of a write: the versions that were read, of the fenced register and of the open one. */
  readonly bases?: readonly [number, number]
  /** It knows that it is late, and does not visit the open one. */
  readonly stale?: boolean
}

interface Seen {
  readonly accepted: boolean
  readonly version: number
}

/** What the fenced register and the open one answered. */
export type Visited = readonly [fenced: Seen, open: Seen]

export class Visits {
  readonly #socket: Socket
  readonly #waiting: ((visited: Visited) => void)[] = []

  private constructor(socket: Socket) {
    this.#socket = socket
    createInterface({ input: socket }).on('line', (line) => this.#waiting.shift()?.(JSON.parse(line) as Visited))
  }

  static async open(path: string): Promise<Visits> {
    const socket = connect(path)
    await once(socket, 'connect')
    return new Visits(socket)
  }

  read(name: string, visitor: Visitor): Promise<Visited> {
    return this.#visit({ name, visitor })
  }

  write(name: string, visitor: Visitor, [fenced, open]: Visited): Promise<Visited> {
    return this.#visit({ name, visitor, bases: [fenced.version, open.version] })
  }

  /** As somebody does who was stopped and does not know how late it is: the fenced register must say so. */
  readLate(name: string, visitor: Visitor): Promise<Visited> {
    return this.#visit({ name, visitor, stale: true })
  }

  writeLate(name: string, visitor: Visitor, version: number): Promise<Visited> {
    return this.#visit({ name, visitor, bases: [version, 0], stale: true })
  }

  end(): void {
    this.#socket.destroy()
  }

  #visit(visit: Visit): Promise<Visited> {
    this.#socket.write(`${JSON.stringify(visit)}\n`)
    return new Promise((resolve) => void this.#waiting.push(resolve))
  }
}
