/** A wire between a client and a server that can be cut, slowed and silenced: each fault is one word. */
import { once } from 'node:events'
import type { Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'

/** `up`: from the client to the server; `down`: back. */
export type Way = 'up' | 'down' | 'both'

interface Wire {
  readonly client: Socket
  readonly server: Socket
}

export class Proxy {
  readonly port: number
  readonly #listener: Server
  readonly #wires: Set<Wire>
  /** Whether what is said in this direction arrives. */
  readonly #silent = { up: false, down: false }
  readonly #delayMs = { up: 0, down: 0 }
  /** What was said while it was silent, in order; it arrives when it is healed, as after a lost route. */
  readonly #kept: (() => void)[] = []

  private constructor(port: number, listener: Server, wires: Set<Wire>) {
    this.port = port
    this.#listener = listener
    this.#wires = wires
  }

  static async start(targetPort: number): Promise<Proxy> {
    const wires = new Set<Wire>()
    const listener = createServer((client) => {
      const server = connect(targetPort, '127.0.0.1')
      const wire = { client, server }
      wires.add(wire)
      const end = (): void => {
        wires.delete(wire)
        client.destroy()
        server.destroy()
      }
      for (const socket of [client, server]) socket.on('error', end).on('close', end).setNoDelay(true)
      client.on('data', (bytes) => proxy.#pass('up', server, bytes))
      server.on('data', (bytes) => proxy.#pass('down', client, bytes))
    })
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const proxy = new Proxy((listener.address() as { port: number }).port, listener, wires)
    return proxy
  }

  /** Nothing arrives any more, and nobody is told: no end, no reset. */
  silence(way: Way = 'both'): void {
    if (way !== 'down') this.#silent.up = true
    if (way !== 'up') this.#silent.down = true
  }

  /** Every piece takes so much longer. */
  slow(ms: number, way: Way = 'both'): void {
    if (way !== 'down') this.#delayMs.up = ms
    if (way !== 'up') this.#delayMs.down = ms
  }

  /** As before; what was kept back arrives. */
  heal(): void {
    this.#silent.up = this.#silent.down = false
    this.#delayMs.up = this.#delayMs.down = 0
    for (const arrive of this.#kept.splice(0)) arrive()
  }

  /** All connections end with a reset; new ones are taken. */
  reset(): void {
    for (const { client, server } of this.#wires) {
      client.resetAndDestroy()
      server.destroy()
    }
  }

  async end(): Promise<void> {
    this.#listener.close()
    for (const { client, server } of this.#wires) {
      client.destroy()
      server.destroy()
    }
    await once(this.#listener, 'close')
  }

  #pass(way: 'up' | 'down', to: Socket, bytes: Buffer): void {
    const arrive = (): void => void (to.writable && to.write(bytes))
    if (this.#silent[way]) this.#kept.push(arrive)
    else if (this.#delayMs[way] > 0) setTimeout(arrive, this.#delayMs[way])
    else arrive()
  }
}
