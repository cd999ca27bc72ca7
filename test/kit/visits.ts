/** How a worker visits the two registers of `registers.ts`. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import type { Visitor } from '../../dist/verify/register.js'

export interface Visit {
  readonly visitor: Visitor
  /** Of a write: the versions that were read, of the fenced register and of the open one. */
  readonly bases?: readonly [number, number]
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

  read(visitor: Visitor): Promise<Visited> {
    return this.#visit({ visitor })
  }

  write(visitor: Visitor, [fenced, open]: Visited): Promise<Visited> {
    return this.#visit({ visitor, bases: [fenced.version, open.version] })
  }

  end(): void {
    this.#socket.destroy()
  }

  #visit(visit: Visit): Promise<Visited> {
    this.#socket.write(`${JSON.stringify(visit)}\n`)
    return new Promise((resolve) => void this.#waiting.push(resolve))
  }
}
