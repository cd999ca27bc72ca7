/** A wire between a client and a server that can be cut, slowed and silenced: each fault is one word. */
import { once } from 'node:events'
import type { Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'

/** `up`: from the client to the server; `down`: back. */
export type Way = 'up' | 'down' | 'both'
type OneWay = 'up' | 'down'

interface Wire {
  readonly client: Socket
  readonly server: Socket
  /** Whether what is said on it in this direction is kept back. */
  readonly silent: Record<OneWay, boolean>
  /** When what was said last arrives: a later piece never overtakes it. */
  readonly arrivesAt: Record<OneWay, number>
  /** The client has hung up; what it had said before is still on its way. */
  orphan: boolean
}

export class Proxy {
  readonly port: number
  readonly #listener: Server
  readonly #wires = new Set<Wire>()
  #target: number
  /** Whether what is said in this direction arrives. */
  readonly #silent = { up: false, down: false }
  readonly #delayMs = { up: 0, down: 0 }
  #jitter = 0
  /** What is said in this direction and matches is the first that does not arrive on its wire. */
  #stalls: { readonly way: OneWay; readonly sign: RegExp; readonly met: () => void } | undefined
  /** What was said while it was silent, in order; it arrives when it is healed, as after a lost route. */
  readonly #kept: (() => void)[] = []

  private constructor(target: number, listener: Server) {
    this.port = (listener.address() as { port: number }).port
    this.#target = target
    this.#listener = listener
    listener.on('connection', (client) => this.#take(client))
  }

  static async start(targetPort: number): Promise<Proxy> {
    const listener = createServer()
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    return new Proxy(targetPort, listener)
  }

  /** Nothing arrives any more, and nobody is told: no end, no reset. */
  silence(way: Way = 'both'): void {
    if (way !== 'down') this.#silent.up = true
    if (way !== 'up') this.#silent.down = true
  }

  /**
   * The next piece that matches, and all that follows it on its wire, does not arrive before it is healed. Other wires, also
   * those that are made later, are as they were.
   *
   * @returns resolves when there was such a piece
   */
  stall(sign: RegExp, way: OneWay): Promise<void> {
    return new Promise((met) => (this.#stalls = { way, sign, met }))
  }

  /** The client's side of stalled wires ends, so it connects anew; what it had said is still on its way. */
  hangUp(): void {
    for (const wire of this.#wires) {
      if (!wire.silent.up && !wire.silent.down) continue
      wire.orphan = true
      wire.client.resetAndDestroy()
    }
  }

  /** Every piece takes so much longer, give or take `jitter`: 0.5 for up to a half more or less. */
  slow(ms: number, way: Way = 'both', jitter = 0): void {
    this.#jitter = jitter
    if (way !== 'down') this.#delayMs.up = ms
    if (way !== 'up') this.#delayMs.down = ms
  }

  /** As before; what was kept back arrives. */
  heal(): void {
    this.#silent.up = this.#silent.down = false
    this.#delayMs.up = this.#delayMs.down = 0
    this.#stalls = undefined
    for (const { silent } of this.#wires) silent.up = silent.down = false
    for (const arrive of this.#kept.splice(0)) arrive()
    for (const { orphan, server } of this.#wires) if (orphan) server.end()
  }

  /** All connections end with a reset; new ones are taken. */
  reset(): void {
    for (const { client, server } of this.#wires) {
      client.resetAndDestroy()
      server.destroy()
    }
  }

  /** From now on it leads to another server. */
  leadTo(targetPort: number): void {
    this.#target = targetPort
    this.reset()
  }

  async end(): Promise<void> {
    this.#listener.close()
    for (const { client, server } of this.#wires) {
      client.destroy()
      server.destroy()
    }
    await once(this.#listener, 'close')
  }

  #take(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1')
    const wire: Wire = {
      client,
      server,
      silent: { up: false, down: false },
      arrivesAt: { up: 0, down: 0 },
      orphan: false,
    }
    this.#wires.add(wire)
    const end = (): void => {
      this.#wires.delete(wire)
      client.destroy()
      server.destroy()
    }
    const hungUp = (): void => void (wire.orphan || end())
    client.on('error', hungUp).on('close', hungUp).setNoDelay(true)
    server.on('error', end).on('close', end).setNoDelay(true)
    client.on('data', (bytes) => this.#pass('up', wire, bytes))
    server.on('data', (bytes) => this.#pass('down', wire, bytes))
  }

  #pass(way: OneWay, wire: Wire, bytes: Buffer): void {
    const to = way === 'up' ? wire.server : wire.client
    const arrive = (): void => void (to.writable && to.write(bytes))
    if (this.#stalls?.way === way && this.#stalls.sign.test(bytes.toString('latin1'))) {
      wire.silent[way] = true
      this.#stalls.met()
      this.#stalls = undefined
    }
    if (this.#silent[way] || wire.silent[way]) return void this.#kept.push(arrive)
    const now = performance.now()
    const delayMs = this.#delayMs[way] * (1 + this.#jitter * (2 * Math.random() - 1))
    wire.arrivesAt[way] = Math.max(wire.arrivesAt[way], now + delayMs)
    if (wire.arrivesAt[way] > now) setTimeout(arrive, wire.arrivesAt[way] - now)
    else arrive()
  }
}
