/** A client of our own, for an address: ioredis, imported at the first use and not before. */
import type { Cluster, Redis } from 'ioredis'
import { BackendError } from '../../backend.ts'
import type { Client, Script, Subscriber, SubscriberEvents } from './client.ts'
import { clientOf } from './client.ts'
import { Losses } from './losses.ts'
import type { Location } from './url.ts'

/**
 * Never send again by itself what was on its way when a connection broke: it may have been carried out, and who asked
 * decides. Never wait for ever.
 */
const CAREFUL = {
  lazyConnect: true,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 1,
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
  /** Of one connection; a cluster has many, and its client sees to them. */
  #losses: Losses | undefined
  /** Sockets and pauses before the next one, and how many requests are on their way: only those keep the process alive. */
  readonly #handles = new Set<Handle>()
  #asking = 0

  constructor(location: Location) {
    this.#location = location
    this.cluster = location.kind === 'cluster'
  }

  script(script: Script, keys: readonly string[], args: readonly string[], sent?: () => void): Promise<unknown> {
    return this.#explained((client) => client.script(script, keys, args, sent))
  }

  everywhere(...command: string[]): Promise<unknown[]> {
    return this.#explained((client) => client.everywhere(...command))
  }

  async *scan(pattern: string): AsyncGenerator<readonly string[]> {
    yield* (await this.#open()).scan(pattern)
  }

  async subscriber(events: SubscriberEvents, signal: AbortSignal): Promise<Subscriber> {
    return (await this.#open()).subscriber(events, signal)
  }

  async own(): Promise<Client> {
    return new Driver(this.#location)
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => {})
    this.#close()
  }

  /** The client says that it gave up; why, it has said before. */
  async #explained<T>(ask: (client: Client) => Promise<T>): Promise<T> {
    this.#count(1)
    try {
      const client = await this.#open()
      return await (this.#losses ? this.#losses.orLost(ask(client)) : ask(client))
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
    if (this.#asking === 0) for (const handle of this.#handles) handle.unref()
    else if (this.#asking === 1) for (const handle of this.#handles) handle.ref()
  }

  #adopt(connection: Redis): void {
    const hold = (handle: Handle): void => {
      this.#handles.add(handle)
      connection.once('close', () => this.#handles.delete(handle))
      if (this.#asking === 0) handle.unref()
    }
    connection.on('connect', () => hold(connection.stream))
    connection.on('reconnecting', () => {
      // No part of what ioredis documents; without it, a program whose server is gone for good ends only by close().
      const { reconnectTimeout: pause } = connection as unknown as { readonly reconnectTimeout?: Handle | null }
      if (pause) hold(pause)
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
    if (client instanceof driver.Redis) {
      this.#adopt(client)
      this.#losses = new Losses(client, 'close')
    } else client.on('+node', (node: Redis) => this.#adopt(node))
    this.#close = () => client.disconnect()
    return clientOf(client)
  }
}

/** A socket or a timer. */
interface Handle {
  ref(): unknown
  unref(): unknown
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
