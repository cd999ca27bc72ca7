/** A client of our own, for an address: ioredis, imported at the first use and not before. */
import type { Socket } from 'node:net'
import type { Cluster, Redis } from 'ioredis'
import { BackendError } from '../../backend.ts'
import type { Client, Script, Subscriber, SubscriberEvents } from './client.ts'
import { clientOf } from './client.ts'
import type { Location } from './url.ts'

/**
 * Never send again by itself what was on its way when a connection broke: it may have been carried out, and who asked
 * decides. Never wait for ever. With more than 0 retries a request, what was on its way would be forgotten in silence: it
 * is neither sent again nor rejected, and whoever asked would wait for its time limit.
 */
const CAREFUL = {
  lazyConnect: true,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  connectTimeout: 5000,
  retryStrategy: (tries: number): number => Math.min(20 * 2 ** tries, 1000),
} as const

export class Driver implements Client {
  readonly cluster: boolean
  readonly #location: Location
  #opening: Promise<Client> | undefined
  /** What went wrong with the connection last. */
  #trouble: Error | undefined
  #close = (): void => {}
  /** The sockets, and how many requests are on their way: only those keep the process alive. */
  readonly #sockets = new Set<Socket>()
  #asking = 0

  constructor(location: Location) {
    this.#location = location
    this.cluster = location.kind === 'cluster'
  }

  script(script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return this.#explained((client) => client.script(script, keys, args))
  }

  everywhere(...command: string[]): Promise<unknown[]> {
    return this.#explained((client) => client.everywhere(...command))
  }

  async *scan(pattern: string): AsyncGenerator<readonly string[]> {
    yield* (await this.#open()).scan(pattern)
  }

  async subscriber(events: SubscriberEvents): Promise<Subscriber> {
    return (await this.#open()).subscriber(events)
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => {})
    this.#close()
  }

  /** The client says that it gave up; why, it has said before. */
  async #explained<T>(ask: (client: Client) => Promise<T>): Promise<T> {
    this.#count(1)
    try {
      return await ask(await this.#open())
    } catch (cause) {
      if (!(cause instanceof Error && cause.name === 'MaxRetriesPerRequestError')) throw cause
      const { host, port } = this.#location.addresses[0] ?? { host: this.#location.path ?? '', port: '' }
      const why = this.#trouble?.message ?? 'the connection was lost'
      throw new BackendError('UNAVAILABLE', `redis: ${host}:${port} cannot be reached: ${why}`, { cause })
    } finally {
      this.#count(-1)
    }
  }

  #count(more: 1 | -1): void {
    this.#asking += more
    if (this.#asking === 0) for (const socket of this.#sockets) socket.unref()
    else if (this.#asking === 1) for (const socket of this.#sockets) socket.ref()
  }

  #adopt(connection: Redis): void {
    connection.on('connect', () => {
      const socket = connection.stream
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      if (this.#asking === 0) socket.unref()
    })
  }

  #open(): Promise<Client> {
    this.#opening ??= this.#connect()
    return this.#opening
  }

  async #connect(): Promise<Client> {
    const driver = await load()
    const client = clientAt(driver, this.#location)
    // Without a listener it is printed.
    client.on('error', (error: Error) => (this.#trouble = error))
    client.on('ready', () => (this.#trouble = undefined))
    if (client instanceof driver.Redis) this.#adopt(client)
    else client.on('+node', (node: Redis) => this.#adopt(node))
    this.#close = () => client.disconnect()
    return clientOf(client)
  }
}

interface IoRedisModule {
  readonly Redis: typeof Redis
  readonly Cluster: typeof Cluster
}

function clientAt(driver: IoRedisModule, location: Location): Redis | Cluster {
  const { kind, tls, addresses, path, master, username, password, database: db } = location
  const login = { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }) }
  const own = { ...CAREFUL, ...(tls ? { tls: {} } : {}), ...login }
  switch (kind) {
    case 'single':
      return new driver.Redis({ ...own, db, ...addresses[0]! })
    case 'unix':
      return new driver.Redis({ ...own, db, path: path! })
    case 'sentinel':
      return new driver.Redis({ ...own, db, sentinels: [...addresses], name: master! })
    case 'cluster': {
      const { lazyConnect, retryStrategy } = CAREFUL
      return new driver.Cluster([...addresses], { lazyConnect, clusterRetryStrategy: retryStrategy, redisOptions: own })
    }
  }
}

async function load(): Promise<IoRedisModule> {
  try {
    return await import('ioredis')
  } catch (cause) {
    throw new BackendError('MISCONFIGURED', 'an address of Redis needs a client: npm install ioredis', { cause })
  }
}
