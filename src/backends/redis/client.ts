/**
 * What this backend needs of a Redis client, and how to get it from each of the two that people have.
 *
 * Only what is used is typed, so any client that has these methods will do. Nothing on a client that was handed in is
 * changed: no command is defined, no database selected, and messages come over a connection of our own.
 */
import { createHash } from 'node:crypto'
import { BackendError } from '../../backend.ts'

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
  script(script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown>
  /** A command without a key: to every primary of a cluster. One answer each. */
  everywhere(...command: string[]): Promise<unknown[]>
  /** The keys that match, in portions; some may come twice. */
  scan(pattern: string): AsyncIterable<readonly string[]>
  subscriber(events: SubscriberEvents): Promise<Subscriber>
  /** End what is ours of it. */
  close(): Promise<void>
}

/** @throws BackendError `MISCONFIGURED` if it is neither */
export function clientOf(client: RedisLike): Client {
  if (typeof client === 'object' && client !== null) {
    if ('defineCommand' in client) return new IoRedis(client)
    if ('evalSha' in client) return new NodeRedis(client)
  }
  throw new BackendError('MISCONFIGURED', 'redis() got no client; give one of ioredis or of node-redis')
}

/** Ask by name, and tell the script to the node that does not know it. */
async function ask<T>(bySha: () => Promise<T>, bySource: () => Promise<T>): Promise<T> {
  try {
    return await bySha()
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
    return bySource()
  }
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
  duplicate(options?: { readonly autoResubscribe: boolean }): unknown
  subscribe(...channels: string[]): Promise<unknown>
  unsubscribe(channel: string): Promise<unknown>
  disconnect(): void
  /** Of a single connection. */
  readonly stream?: { unref(): void }
  readonly options?: { readonly keyPrefix?: string }
  nodes?(role: 'master'): IoRedisLike[]
}

class IoRedis implements Client {
  readonly cluster: boolean
  readonly #client: IoRedisConnection

  constructor(client: IoRedisLike) {
    this.#client = client as IoRedisConnection
    this.cluster = client.isCluster === true
  }

  script({ sha, source }: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const client = this.#client
    return ask(
      () => client.evalsha(sha, keys.length, ...keys, ...args),
      () => client.eval(source, keys.length, ...keys, ...args),
    )
  }

  async everywhere(command: string, ...args: string[]): Promise<unknown[]> {
    const nodes = await this.#primaries()
    return Promise.all(nodes.map((node) => node.call(command, ...args)))
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
    // Whoever waits keeps the process alive; a connection that only listens does not.
    connection.on('connect', () => connection.stream?.unref())
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

  async close(): Promise<void> {}

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
  readonly #client: NodeRedisConnection

  constructor(client: NodeRedisLike) {
    this.#client = client as NodeRedisConnection
    this.cluster = this.#client.nodeClient !== undefined
  }

  script({ sha, source }: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const options = { keys: [...keys], arguments: [...args] }
    return ask(
      () => this.#client.evalSha(sha, options),
      () => this.#client.eval(source, options),
    )
  }

  async everywhere(...command: string[]): Promise<unknown[]> {
    return Promise.all((await this.#primaries()).map((node) => node.sendCommand!(command)))
  }

  async *scan(pattern: string): AsyncGenerator<readonly string[]> {
    for (const node of await this.#primaries()) yield* scanNode(pattern, (...words) => node.sendCommand!(words))
  }

  async subscriber(events: SubscriberEvents): Promise<Subscriber> {
    const connection = this.#client.duplicate() as NodeRedisConnection
    connection.on('error', () => {})
    connection.on(
      'ready',
      afterFirst(() => events.reconnected()),
    )
    const hear = (message: string, channel: string): void => events.message(channel, message)
    await connection.connect()
    // Whoever waits keeps the process alive; a connection that only listens does not.
    connection.unref?.()
    return {
      subscribe: (channel) => connection.subscribe(channel, hear),
      unsubscribe: (channel) => connection.unsubscribe(channel),
      close: async () => connection.destroy(),
    }
  }

  async close(): Promise<void> {}

  async #primaries(): Promise<NodeRedisConnection[]> {
    const { masters } = this.#client
    if (!masters || !this.#client.nodeClient) return [this.#client]
    return Promise.all(masters.map(async (node) => this.#client.nodeClient!(node)))
  }
}
