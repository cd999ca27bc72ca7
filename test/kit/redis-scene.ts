/**
 * A scene at a Redis server.
 *
 * `HOLDFAST_REDIS_CLIENT` (`ioredis5`, `redis`, `redis5`) has the workers hand in a client instead of a URL;
 * `HOLDFAST_REDIS_TOPOLOGY` (`sentinel`, `cluster`) puts the server behind sentinels, or makes it a cluster of one node.
 */
import { Redis } from 'ioredis'
import { expect } from 'vitest'
import type { ConnectOptions, Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { Proxy } from '../../src/verify/torture/wire.ts'
import type { Topology } from './redis-groups.ts'
import { behindSentinel, clusterOfOne } from './redis-groups.ts'
import { RedisNemesis } from './redis-nemesis.ts'
import type { ServerSetting } from './redis.ts'
import { RedisServer } from './redis.ts'
import type { Line } from './scene.ts'
import { Scene, testWith } from './scene.ts'

/** For a test that must be skipped. */
export const NO_WIRE = 'behind sentinels and in a cluster there is no wire of ours on the way'

/** A name that nobody uses is forgotten after this; with some for rounding. */
const FORGOTTEN_MS = 121_000

export interface RedisSceneOptions extends Omit<ConnectOptions, 'runtime'> {
  /** Of the server. */
  readonly server?: readonly string[]
  readonly serverEnv?: NodeJS.ProcessEnv
  readonly serverDirectory?: string
  /** Servers that the test has started, and the URL that leads to them; by no wire of ours. */
  readonly at?: Place
}

interface Place {
  readonly server: RedisServer
  readonly url: string
}

export class RedisScene extends Scene<RedisNemesis> {
  readonly #setting: ServerSetting
  readonly #words: readonly string[]
  readonly #at: Place | undefined
  #server!: RedisServer
  /** Of all hands, if it is no wire of ours that they speak through. */
  #url: string | undefined
  #admin!: Redis
  #locks!: Locks
  #nemesis!: RedisNemesis

  constructor(options: RedisSceneOptions) {
    const { server = [], serverEnv = {}, serverDirectory, at, ...connectOptions } = options
    super(connectOptions)
    this.#setting = { env: serverEnv, ...(serverDirectory === undefined ? {} : { directory: serverDirectory }) }
    this.#words = server
    this.#at = at
  }

  get server(): RedisServer {
    return this.#server
  }

  get admin(): Redis {
    return this.#admin
  }

  override get locks(): Locks {
    return this.#locks
  }

  override get nemesis(): RedisNemesis {
    return this.#nemesis
  }

  /** Whether what is done to a wire is felt. */
  get wired(): boolean {
    return this.#url === undefined
  }

  /** From now on another server is the one, for the hands and for those who look. */
  async leadTo(server: RedisServer): Promise<void> {
    for (const { wire } of this.hands) (wire as Proxy).leadTo(server.port)
    this.#admin.disconnect()
    await this.#locks.close()
    this.#server = server
    this.#look()
    this.#nemesis.turnTo(server, this.#admin)
  }

  protected override async start(): Promise<void> {
    if (this.#at) {
      this.#server = this.#at.server
      this.#url = this.#at.url
    } else {
      const { server, url, end } = await start(this.#setting, this.#words)
      this.endWith(end)
      this.#server = server
      this.#url = url
    }
    this.#look()
    this.#nemesis = new RedisNemesis(this.#server, this.#admin, this.hands)
  }

  protected override async lay(): Promise<Line> {
    const wire = await Proxy.start(this.#server.port)
    const client = process.env['HOLDFAST_REDIS_CLIENT']
    const url = this.#url ?? `redis://127.0.0.1:${wire.port}`
    return { wire, worker: { url, ...(client === undefined ? {} : { client }) } }
  }

  protected override async kept(forgottenMs: number = FORGOTTEN_MS): Promise<number> {
    const channels = (await this.#admin.call('PUBSUB', 'CHANNELS')) as string[]
    const clients = (await this.#admin.call('CLIENT', 'LIST')) as string
    // Neither is the one that asks, nor what replicas, sentinels and other nodes keep.
    const users = clients.split('\n').filter((line) => / flags=[NP] /.test(line) && !/ name=sentinel-/.test(line))
    for (const key of await this.#admin.keys('holdfast:*')) {
      const leftMs = await this.#admin.pttl(key)
      // It ends in this very moment.
      if (leftMs === -2) continue
      expect(leftMs, key).toBeGreaterThan(0)
      expect(leftMs, key).toBeLessThanOrEqual(forgottenMs)
    }
    return channels.filter((each) => each.startsWith('holdfast')).length + users.length - 1
  }

  #look(): void {
    const admin = new Redis(this.#server.port, { maxRetriesPerRequest: null })
    admin.on('error', () => {})
    const locks = connect(this.#url?.startsWith('redis+cluster') ? this.#url : this.#server.url)
    this.endWith(() => admin.disconnect())
    this.endWith(() => locks.close())
    this.#admin = admin
    this.#locks = locks
  }
}

/** The server, and how the hands find it, if not by a wire of ours. */
async function start(
  setting: ServerSetting,
  words: readonly string[],
): Promise<Omit<Topology, 'url'> & { readonly url?: string }> {
  switch (process.env['HOLDFAST_REDIS_TOPOLOGY']) {
    case 'cluster':
      return clusterOfOne(setting, ...words)
    case 'sentinel':
      return behindSentinel(setting, ...words)
    default: {
      const server = await RedisServer.startWith(setting, ...words)
      return { server, end: () => server.end() }
    }
  }
}

export const test = testWith<RedisScene, RedisSceneOptions>((options) => new RedisScene(options))
