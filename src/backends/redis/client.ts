/**
 * What this backend needs of a Redis client, and how to get it from each of the two that people have.
 *
 * Only what is used is typed, so any client that has these methods will do. Nothing on a client that was handed in is
 * changed: no command is defined, no database selected, and messages come over a connection of our own.
 */
import { createHash } from 'node:crypto'
import { BackendError } from '../../backend.ts'
import { Losses } from './losses.ts'

/** A script, and the name under which a server keeps it. */
export interface Script {
  readonly source: string
  readonly sha: string
}

export function scriptOf(source: string): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex') }
}

/** ioredis 5 and 6, a `Redis` or a `Cluster`. */
export interface IoRedisLike {
  evalsha(sha: string, keys: number, ...args: string[]): Promise<unknown>
  eval(script: string, keys: number, ...args: string[]): Promise<unknown>
  call(command: string, ...args: string[]): Promise<unknown>
  duplicate(): unknown
  defineCommand: unknown
  readonly isCluster?: boolean
}

/** node-redis 5 and 6: what `createClient` or `createCluster` made. */
export interface NodeRedisLike {
  evalSha(sha: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>
  duplicate(): unknown
  readonly isOpen: boolean
}

export type RedisLike = IoRedisLike | NodeRedisLike

/** Messages, on a connection of their own. */
export interface Subscriber {
  subscribe(channel: string): Promise<void>
  unsubscribe(channel: string): Promise<void>
  close(): Promise<void>
}

export interface SubscriberEvents {
  message(channel: string, message: string): void
  /** The connection stands again: what was said while it did not is lost. */
  reconnected(): void
}

/** A client, in one shape. */
export interface Client {
  /** Whether keys of different names may lie on different nodes. */
  readonly cluster: boolean
  /** What it is given is written when the turn of the event loop is over, and not at once. */
  readonly writesLater?: true
  /** @param sent called whenever it has been sent: once, or once more if the server does not know the script */
  script(script: Script, keys: readonly string[], args: readonly string[], sent?: () => void): Promise<unknown>
  /** A command without a key: to every primary of a cluster. One answer each. */
  everywhere(...command: string[]): Promise<unknown[]>
  /** The keys that match, in portions; some may come twice. */
  scan(pattern: string): AsyncIterable<readonly string[]>
  /** @param signal aborted: whoever asked has no more use for it, also if it is not connected yet */
  subscriber(events: SubscriberEvents, signal: AbortSignal): Promise<Subscriber>
  /** The same server, on a connection of our own that may block. Of one server, not of a cluster. */
  own(): Promise<Client>
  /** End what is ours of it. */
  close(): Promise<void>
}

/** @throws BackendError `MISCONFIGURED` if it is neither */
export function clientOf(client: RedisLike): Client {
  if (typeof client === 'object' && client !== null) {
    if ('defineCommand' in client) return new IoRedis(client)
    if ('evalSha' in client) return new NodeRedis(client)
  }
  throw new BackendError('MISCONFIGURED', 'that is no client of Redis; give one of ioredis or of node-redis')
}

/** Ask by name, and tell the script to the node that does not know it. */
function ask<T>(bySha: () => Promise<T>, bySource: () => Promise<T>, sent?: () => void): Promise<T> {
  let answer: Promise<T>
  try {
    answer = bySha()
  } catch (error) {
    return Promise.reject(error)
  }
  sent?.()
  return answer.catch((error: unknown) => {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
    const again = bySource()
    sent?.()
    return again
  })
}

/** The keys of one node. */
async function* scanNode(
  pattern: string,
  command: (command: string, ...args: string[]) => Promise<unknown>,
): AsyncGenerator<readonly string[]> {
  let cursor = '0'
  do {
    const [next, keys] = (await command('SCAN', cursor, 'MATCH', pattern, 'COUNT', '1000')) as [string, string[]]
    yield keys
    cursor = next
  } while (cursor !== '0')
}

/** Whatever `act` does, but not the first time. */
function afterFirst(act: () => void): () => void {
  let first = true
  return () => {
    if (!first) act()
    first = false
  }
}

interface IoRedisConnection extends IoRedisLike {
  on(event: string, listener: (...args: never[]) => void): unknown
  subscribe(...channels: string[]): Promise<unknown>
  unsubscribe(channel: string): Promise<unknown>
  disconnect(): void
  duplicate(options?: object): unknown
  /** Of a single connection. The second is no part of what ioredis documents; without it, a program may end late. */
  readonly stream?: { unref(): void }
  readonly reconnectTimeout?: { unref(): void } | null
  readonly options?: { readonly keyPrefix?: string }
  nodes?(role: 'master'): IoRedisLike[]
}

/** Whoever waits keeps the process alive; a connection of ours does not, nor the pause before it is tried again. */
function keepNobodyAlive(connection: IoRedisConnection): void {
  connection.on('connect', () => connection.stream?.unref())
  connection.on('reconnecting', () => connection.reconnectTimeout?.unref())
}

class IoRedis implements Client {
  readonly cluster: boolean
  readonly #client: IoRedisConnection
  /** Of a connection of our own. */
  readonly #losses: Losses | undefined

  constructor(client: IoRedisLike, losses?: Losses) {
    this.#client = client as IoRedisConnection
    this.#losses = losses
    this.cluster = client.isCluster === true
  }

  script(
    { sha, source }: Script,
    keys: readonly string[],
    args: readonly string[],
    sent?: () => void,
  ): Promise<unknown> {
    const client = this.#client
    const answer = ask(
      () => client.evalsha(sha, keys.length, ...keys, ...args),
      () => client.eval(source, keys.length, ...keys, ...args),
      sent,
    )
    return this.#losses ? this.#losses.orLost(answer) : answer
  }

  async everywhere(command: string, ...args: string[]): Promise<unknown[]> {
    const nodes = await this.#primaries()
    const answers = Promise.all(nodes.map((node) => node.call(command, ...args)))
    return this.#losses ? this.#losses.orLost(answers) : answers
  }

  async *scan(pattern: string): AsyncGenerator<readonly string[]> {
    // A client may be set to put something before each key; it does not take it away from an answer.
    const { keyPrefix = '' } = this.#client.options ?? {}
    for (const node of await this.#primaries()) {
      for await (const keys of scanNode(keyPrefix + pattern, (command, ...args) => node.call(command, ...args)))
        yield keys.map((key) => key.slice(keyPrefix.length))
    }
  }

  async subscriber(events: SubscriberEvents): Promise<Subscriber> {
    // A single one subscribes anew by itself, too, but nobody hears of it when that fails: an unhandled rejection.
    const duplicate = this.cluster ? this.#client.duplicate() : this.#client.duplicate({ autoResubscribe: false })
    const connection = duplicate as IoRedisConnection
    const channels = new Set<string>()
    const subscribeAgain = async (): Promise<void> => {
      if (!this.cluster && channels.size > 0) await connection.subscribe(...channels)
      events.reconnected()
    }
    // Without a listener it is printed; what it means is that no messages come, for which there are timers.
    connection.on('error', () => {})
    connection.on('message', (channel: string, message: string) => events.message(channel, message))
    connection.on(
      'ready',
      // When it fails, the connection is lost once more, and the next one begins anew.
      afterFirst(() => void subscribeAgain().catch(() => {})),
    )
    keepNobodyAlive(connection)
    return {
      subscribe: async (channel) => {
        channels.add(channel)
        await connection.subscribe(channel)
      },
      unsubscribe: async (channel) => {
        channels.delete(channel)
        await connection.unsubscribe(channel)
      },
      close: async () => connection.disconnect(),
    }
  }

  async own(): Promise<Client> {
    // In the order in which it is asked for, and never once more by itself.
    const inOrder = { autoResendUnfulfilledCommands: false }
    const connection = this.#client.duplicate(inOrder) as IoRedisConnection
    connection.on('error', () => {})
    keepNobodyAlive(connection)
    return new IoRedis(connection, new Losses(connection, 'close'))
  }

  async close(): Promise<void> {
    if (this.#losses) this.#client.disconnect()
  }

  async #primaries(): Promise<readonly IoRedisLike[]> {
    if (!this.#client.nodes) return [this.#client]
    // Before anything was asked of it, a cluster knows no nodes.
    if (this.#client.nodes('master').length === 0) await this.#client.call('PING')
    return this.#client.nodes('master')
  }
}

interface NodeRedisConnection extends NodeRedisLike {
  on(event: string, listener: (...args: never[]) => void): unknown
  connect(): Promise<unknown>
  subscribe(channel: string, listener: (message: string, channel: string) => void): Promise<void>
  unsubscribe(channel: string): Promise<void>
  destroy(): void
  unref?(): void
  sendCommand?(args: string[]): Promise<unknown>
  readonly masters?: readonly unknown[]
  nodeClient?(node: unknown): NodeRedisConnection | Promise<NodeRedisConnection>
}

class NodeRedis implements Client {
  readonly cluster: boolean
  readonly writesLater = true
  readonly #client: NodeRedisConnection
  /** Of a connection of our own. */
  readonly #losses: Losses | undefined

  constructor(client: NodeRedisLike, losses?: Losses) {
    this.#client = client as NodeRedisConnection
    this.#losses = losses
    this.cluster = this.#client.nodeClient !== undefined
  }

  script(
    { sha, source }: Script,
    keys: readonly string[],
    args: readonly string[],
    sent?: () => void,
  ): Promise<unknown> {
    const options = { keys: [...keys], arguments: [...args] }
    const answer = ask(
      () => this.#client.evalSha(sha, options),
      () => this.#client.eval(source, options),
      sent,
    )
    return this.#losses ? this.#losses.orLost(answer) : answer
  }

  everywhere(...command: string[]): Promise<unknown[]> {
    const answers = this.#primaries().then((nodes) => Promise.all(nodes.map((node) => node.sendCommand!(command))))
    return this.#losses ? this.#losses.orLost(answers) : answers
  }

  async *scan(pattern: string): AsyncGenerator<readonly string[]> {
    for (const node of await this.#primaries()) yield* scanNode(pattern, (...words) => node.sendCommand!(words))
  }

  async subscriber(events: SubscriberEvents, signal: AbortSignal): Promise<Subscriber> {
    const connection = this.#client.duplicate() as NodeRedisConnection
    connection.on('error', () => {})
    // Otherwise it would try to reach a server that is away for ever.
    const giveUp = (): void => connection.destroy()
    signal.addEventListener('abort', giveUp, { once: true })
    connection.on(
      'ready',
      afterFirst(() => events.reconnected()),
    )
    const hear = (message: string, channel: string): void => events.message(channel, message)
    await connection.connect()
    signal.removeEventListener('abort', giveUp)
    // Whoever waits keeps the process alive; a connection that only listens does not.
    connection.unref?.()
    return {
      subscribe: (channel) => connection.subscribe(channel, hear),
      unsubscribe: (channel) => connection.unsubscribe(channel),
      close: async () => connection.destroy(),
    }
  }

  async own(): Promise<Client> {
    const connection = this.#client.duplicate() as NodeRedisConnection
    const own = new NodeRedis(connection, new Losses(connection, 'reconnecting'))
    connection.on('error', () => {})
    await connection.connect()
    connection.unref?.()
    return own
  }

  async close(): Promise<void> {
    if (this.#losses) this.#client.destroy()
  }

  async #primaries(): Promise<NodeRedisConnection[]> {
    const { masters } = this.#client
    if (!masters || !this.#client.nodeClient) return [this.#client]
    return Promise.all(masters.map(async (node) => this.#client.nodeClient!(node)))
  }
}
