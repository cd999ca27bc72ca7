/** A wire between a client and a server that can be cut, slowed and silenced: each fault is one word. */
import { once } from 'node:events'
import type { Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import type { Address } from '../../address.ts'

/** `up`: from the client to the server; `down`: back. */
export type Way = 'up' | 'down' | 'both'
type OneWay = 'up' | 'down'

interface Stall {
  readonly way: OneWay
  readonly sign: RegExp
  /** The client's side ends with it. */
  readonly orphaned: boolean
  readonly met: () => void
}

/** So long after it has arrived, what a client said that is gone is carried out: a server of HTTP/2 that sees the end gives it up. */
const CARRIED_OUT_MS = 500

interface Link {
  readonly client: Socket
  readonly server: Socket
  /** Whether what is said on it in this direction is kept back. */
  readonly silent: Record<OneWay, boolean>
  /** When what was said last arrives: a later piece never overtakes it. */
  readonly arrivesAt: Record<OneWay, number>
  /** What is on its way, in order. */
  readonly underway: Record<OneWay, (() => void)[]>
  /** The client has hung up; what it had said before is still on its way. */
  orphan: boolean
}

/** What can be done to it. */
export interface Wire {
  /** How many stand. */
  readonly connections: number

  /** Nothing arrives any more, and nobody is told: no end, no reset. */
  silence(way?: Way): void

  /** The same, on the connections that there are; those that are made later are well. */
  deaden(way?: Way): void

  /**
   * The next piece that matches, and all that follows it on its connection, does not arrive before it is healed. Other
   * connections, also those that are made later, are as they were.
   *
   * @param orphaned the client's side of the connection ends with it, as in `hangUp`
   * @returns resolves when there was such a piece
   */
  stall(sign: RegExp, way: OneWay, orphaned?: boolean): Promise<void>

  /** The client's side of stalled connections ends, so it connects anew; what it had said is still on its way. */
  hangUp(): void

  /** Every piece takes so much longer, give or take `jitter`: 0.5 for up to a half more or less. */
  slow(ms: number, way?: Way, jitter?: number): void

  /** As before; what was kept back arrives. */
  heal(): void

  /** All connections end with a reset; new ones are taken. */
  reset(): void

  end(): Promise<void>
}

export class Proxy implements Wire {
  readonly port: number
  readonly #listener: Server
  readonly #wires = new Set<Link>()
  #target: number
  readonly #host: string
  /** Whether what is said in this direction arrives. */
  readonly #silent = { up: false, down: false }
  readonly #delayMs = { up: 0, down: 0 }
  #jitter = 0
  /** What is said in this direction and matches is the first that does not arrive on its wire. */
  #stalls: Stall | undefined
  /** What was said while it was silent, in order; it arrives when it is healed, as after a lost route. */
  readonly #kept: (() => void)[] = []

  private constructor(target: number, host: string, listener: Server) {
    this.#host = host
    this.port = (listener.address() as { port: number }).port
    this.#target = target
    this.#listener = listener
    listener.on('connection', (client) => this.#take(client))
  }

  static async start(targetPort: number, targetHost = '127.0.0.1'): Promise<Proxy> {
    const listener = createServer()
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    return new Proxy(targetPort, targetHost, listener)
  }

  silence(way: Way = 'both'): void {
    if (way !== 'down') this.#silent.up = true
    if (way !== 'up') this.#silent.down = true
  }

  deaden(way: Way = 'both'): void {
    for (const { silent } of this.#wires) {
      if (way !== 'down') silent.up = true
      if (way !== 'up') silent.down = true
    }
  }

  stall(sign: RegExp, way: OneWay, orphaned = false): Promise<void> {
    return new Promise((met) => this.stalls({ way, sign, orphaned, met }))
  }

  /** The same, where it may be met on one of several wires. `undefined`: no more. */
  stalls(stall: Stall | undefined): void {
    this.#stalls = stall
  }

  hangUp(): void {
    for (const wire of this.#wires) {
      if (!wire.silent.up && !wire.silent.down) continue
      orphan(wire)
    }
  }

  slow(ms: number, way: Way = 'both', jitter = 0): void {
    this.#jitter = jitter
    if (way !== 'down') this.#delayMs.up = ms
    if (way !== 'up') this.#delayMs.down = ms
  }

  heal(): void {
    this.#silent.up = this.#silent.down = false
    this.#delayMs.up = this.#delayMs.down = 0
    this.#stalls = undefined
    for (const { silent } of this.#wires) silent.up = silent.down = false
    for (const arrive of this.#kept.splice(0)) arrive()
    for (const { orphan, server } of this.#wires) if (orphan) setTimeout(() => server.end(), CARRIED_OUT_MS).unref()
  }

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

  get connections(): number {
    return this.#wires.size
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
    const server = connect(this.#target, this.#host)
    const wire: Link = {
      client,
      server,
      silent: { up: false, down: false },
      arrivesAt: { up: 0, down: 0 },
      underway: { up: [], down: [] },
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

  #pass(way: OneWay, wire: Link, bytes: Buffer): void {
    const to = way === 'up' ? wire.server : wire.client
    const arrive = (): void => void (to.writable && to.write(bytes))
    if (this.#stalls?.way === way && this.#stalls.sign.test(bytes.toString('latin1'))) {
      const { orphaned, met } = this.#stalls
      wire.silent[way] = true
      this.#stalls = undefined
      if (orphaned) orphan(wire)
      met()
    }
    if (this.#silent[way] || wire.silent[way]) return void this.#kept.push(arrive)
    const now = performance.now()
    const delayMs = this.#delayMs[way] * (1 + this.#jitter * (2 * Math.random() - 1))
    wire.arrivesAt[way] = Math.max(wire.arrivesAt[way], now + delayMs)
    if (wire.arrivesAt[way] <= now && wire.underway[way].length === 0) return arrive()
    // Timers of different lengths that end together fire in any order; what is under way does not overtake.
    wire.underway[way].push(arrive)
    setTimeout(() => wire.underway[way].shift()!(), wire.arrivesAt[way] - now)
  }
}

function orphan(wire: Link): void {
  wire.orphan = true
  wire.client.resetAndDestroy()
}

/** Wires to several servers that one client speaks through: what happens to one happens to all. */
export class Cable implements Wire {
  readonly #proxies: readonly Proxy[]

  private constructor(proxies: readonly Proxy[]) {
    this.#proxies = proxies
  }

  static async start(targets: readonly Address[]): Promise<Cable> {
    return new Cable(await Promise.all(targets.map(({ port, host }) => Proxy.start(port, host))))
  }

  get ports(): readonly number[] {
    return this.#proxies.map(({ port }) => port)
  }

  /** From now on it leads to other servers, as many as before. */
  leadTo(targetPorts: readonly number[]): void {
    for (const [place, proxy] of this.#proxies.entries()) proxy.leadTo(targetPorts[place]!)
  }

  /** Those of the servers that it is connected to. */
  get places(): readonly number[] {
    return this.#proxies.flatMap(({ connections }, place) => (connections > 0 ? [place] : []))
  }

  get connections(): number {
    return this.#proxies.reduce((sum, { connections }) => sum + connections, 0)
  }

  silence(way?: Way): void {
    for (const proxy of this.#proxies) proxy.silence(way)
  }

  deaden(way?: Way): void {
    for (const proxy of this.#proxies) proxy.deaden(way)
  }

  stall(sign: RegExp, way: OneWay, orphaned = false): Promise<void> {
    return new Promise((resolve) => {
      const met = (): void => {
        for (const proxy of this.#proxies) proxy.stalls(undefined)
        resolve()
      }
      for (const proxy of this.#proxies) proxy.stalls({ way, sign, orphaned, met })
    })
  }

  hangUp(): void {
    for (const proxy of this.#proxies) proxy.hangUp()
  }

  slow(ms: number, way?: Way, jitter?: number): void {
    for (const proxy of this.#proxies) proxy.slow(ms, way, jitter)
  }

  heal(): void {
    for (const proxy of this.#proxies) proxy.heal()
  }

  reset(): void {
    for (const proxy of this.#proxies) proxy.reset()
  }

  async end(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.end()))
  }
}
