/**
 * The client of one process, in the shape that the backend wants it: connections that go over the wire of that process.
 *
 * What this makes true of the way to a server is what the two clients of Redis make true: a request goes to the server that is
 * the primary when it is sent, and is never sent again; who listens connects anew by itself, and is told so.
 */
import type { Client, Script, Subscriber, SubscriberEvents } from '../../../src/backends/redis/client.ts'
import type { Subscriber as Hearer, Wire } from '../wire.ts'
import type { Verb } from '../plan.ts'
import type { Call, Message } from './queues.ts'
import type { Server } from './server.ts'
import type { Servers } from './servers.ts'
import { answerOf, callsOf, wordsOf } from './words.ts'

/** The pause before somebody who listens tries to connect again. */
const AGAIN_MS = 20

/** Where in what a server wrote the last script of a connection stands. */
type Written = { readonly server: Server; readonly position: number }

export class Connection implements Client {
  readonly cluster = false
  readonly #servers: Servers
  readonly #wire: Wire
  #written: Promise<Written> | undefined

  constructor(servers: Servers, wire: Wire) {
    this.#servers = servers
    this.#wire = wire
  }

  script(_: Script, keys: readonly string[], args: readonly string[], sent?: () => void): Promise<unknown> {
    const calls = callsOf(keys, args)
    const server = this.#home()
    let written!: (position: Written) => void
    const putDown = new Promise<Written>((resolve) => (written = resolve))
    const answer = this.#wire.send(verbOf(calls), server, calls[0]!.name, async () => {
      const { said, position } = this.#servers.carryOut(server, calls)
      written({ server, position })
      return answerOf(args, said.map(wordsOf))
    })
    // What follows on this connection comes after it, or is lost with it.
    this.#written = Promise.race([putDown, answer.then(() => putDown)])
    this.#written.catch(() => {})
    sent?.()
    return answer
  }

  everywhere(command: string, ...args: string[]): Promise<unknown[]> {
    if (command !== 'WAIT') throw new Error(`the model knows no command ${command}`)
    const [count, timeoutMs] = args.map(Number) as [number, number]
    const written = this.#written
    const server = this.#home()
    return this.#wire.send('wait', server, '', async () => [
      await this.#servers.wait(server, (await written)?.position ?? 0, count, timeoutMs),
    ])
  }

  // oxlint-disable-next-line require-yield -- nobody lists queues here
  async *scan(): AsyncGenerator<readonly string[]> {
    throw new Error('the model does not list its keys')
  }

  async subscriber(events: SubscriberEvents): Promise<Subscriber> {
    return new Listener(this.#servers, this.#wire, events)
  }

  async own(): Promise<Client> {
    return new Connection(this.#servers, this.#wire)
  }

  async close(): Promise<void> {}

  #home(): Server {
    return this.#servers.homeOf(this.#wire.inbox.process)
  }
}

/** The connection of a process that listens. */
export class Listener implements Subscriber {
  readonly #servers: Servers
  readonly #wire: Wire
  readonly #events: SubscriberEvents
  readonly #end: () => void
  readonly #asked = new Set<string>()
  readonly #hearers = new Map<string, Hearer>()
  #server: Server | undefined
  #closed = false

  constructor(servers: Servers, wire: Wire, events: SubscriberEvents) {
    this.#servers = servers
    this.#wire = wire
    this.#events = events
    this.#end = servers.subscriptions.counted(wire.inbox.process, () => {})
    const server = servers.homeOf(wire.inbox.process)
    if (server.away) this.#connectLater()
    else this.#listenTo(server)
  }

  get process(): string {
    return this.#wire.inbox.process
  }

  async subscribe(channel: string): Promise<void> {
    this.#asked.add(channel)
    const server = this.#server
    if (!server) throw new Error('the connection that listens is lost')
    await this.#wire.send('watch', server, '', async () => this.#listen(channel))
  }

  async unsubscribe(channel: string): Promise<void> {
    this.#asked.delete(channel)
    this.#ignore(channel)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#server?.listeners.delete(this)
    for (const channel of this.#hearers.keys()) this.#ignore(channel)
    this.#end()
  }

  /** Something was published at the server that it listens to. */
  hear(channel: string, { address, held }: Message): void {
    const hearer = this.#hearers.get(channel)
    if (!hearer) return
    const text = address ? (held === undefined ? address.tag : `${address.tag} ${held}`) : ''
    this.#wire.tell(hearer, text, text)
  }

  /** The connection is lost. It connects anew, which is told when all that it listened to is subscribed to again. */
  disconnected(): void {
    this.#server = undefined
    for (const channel of this.#hearers.keys()) this.#ignore(channel)
    this.#connectLater()
  }

  #connectLater(): void {
    this.#wire.later(AGAIN_MS, () => {
      if (this.#closed || this.#wire.inbox.dead) return
      const server = this.#servers.homeOf(this.#wire.inbox.process)
      const listen = async (): Promise<void> => {
        for (const channel of this.#asked) this.#listen(channel)
      }
      this.#wire.send('watch', server, '', listen).then(
        () => {
          if (this.#closed) return
          this.#listenTo(server)
          this.#events.reconnected()
        },
        () => this.#connectLater(),
      )
    })
  }

  #listenTo(server: Server): void {
    this.#server = server
    server.listeners.add(this)
  }

  #listen(channel: string): void {
    if (this.#closed || this.#hearers.has(channel)) return
    const hearer: Hearer = {
      // What goes astray goes to another process, which has entries under the same tags.
      name: this.#servers.isInbox(channel) ? 'inbox' : channel,
      wire: this.#wire,
      hear: (text) => {
        if (!this.#closed) this.#events.message(channel, String(text))
      },
    }
    this.#hearers.set(channel, hearer)
    this.#wire.world.subscribers.add(hearer)
  }

  #ignore(channel: string): void {
    const hearer = this.#hearers.get(channel)
    if (!hearer) return
    this.#hearers.delete(channel)
    this.#wire.world.subscribers.delete(hearer)
  }
}

/** By what a message is told from others, it is what it asks for first. */
function verbOf([first]: readonly Call[]): Verb {
  switch (first!.verb) {
    case 'join':
    case 'renew':
    case 'leave':
    case 'lighten':
      return first!.verb
    default:
      return 'watch'
  }
}
