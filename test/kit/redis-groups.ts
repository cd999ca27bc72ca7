/** Several Redis servers that belong together: a primary with replicas, alone or under sentinels, and a cluster. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { Proxy } from '../../src/verify/torture/wire.ts'
import type { ServerSetting } from './redis.ts'
import { RedisServer, freePort } from './redis.ts'

const SLOTS = 16_384

/** How long a failover may take on a busy machine. */
const PATIENCE_MS = 30_000

/** A primary, and replicas that follow it, each over a wire that can be silenced. */
export class ReplicaGroup {
  readonly primary: RedisServer
  readonly replicas: readonly RedisServer[]
  readonly wires: readonly Proxy[]

  private constructor(primary: RedisServer, replicas: readonly RedisServer[], wires: readonly Proxy[]) {
    this.primary = primary
    this.replicas = replicas
    this.wires = wires
  }

  static async start(count = 1): Promise<ReplicaGroup> {
    const primary = await RedisServer.start('--repl-diskless-sync-delay', '0')
    const wires: Proxy[] = []
    const replicas: RedisServer[] = []
    for (let n = 0; n < count; n += 1) {
      const wire = await Proxy.start(primary.port)
      wires.push(wire)
      replicas.push(await RedisServer.start('--replicaof', '127.0.0.1', String(wire.port)))
    }
    const group = new ReplicaGroup(primary, replicas, wires)
    await eventually('a primary whose replicas follow', () => group.#followed())
    return group
  }

  /** As in the beginning: everybody runs, and the replicas follow. */
  async heal(): Promise<void> {
    for (const wire of this.wires) wire.heal()
    for (const replica of this.replicas) replica.thaw()
    await eventually('a primary whose replicas follow', () => this.#followed())
  }

  /** The primary dies, and the first replica takes over with what it has. */
  async failOver(): Promise<RedisServer> {
    const [next] = this.replicas
    await this.primary.kill()
    await ask(next!.port, 'REPLICAOF', 'NO', 'ONE')
    return next!
  }

  async end(): Promise<void> {
    await Promise.all([this.primary, ...this.replicas].map((server) => server.end()))
    await Promise.all(this.wires.map((wire) => wire.end()))
  }

  async #followed(): Promise<boolean> {
    const [, , followers] = (await ask(this.primary.port, 'ROLE')) as [string, number, unknown[]]
    // Of a connection that has written nothing, WAIT would count replicas that are still loading.
    const client = new Redis(this.primary.port)
    await client.set('followed', 'yes', 'PX', 1)
    const acknowledged = await client.wait(this.replicas.length, 1000)
    client.disconnect()
    return followers.length === this.replicas.length && acknowledged === this.replicas.length
  }
}

/** One server that holds everything, and how it is found. */
export interface Topology {
  readonly server: RedisServer
  readonly url: string
  end(): Promise<void>
}

/** A primary without replicas under one sentinel. */
export async function behindSentinel(setting: ServerSetting = {}, ...words: string[]): Promise<Topology> {
  const server = await RedisServer.startWith(setting, ...words)
  const sentinel = await RedisServer.sentinel('main', server.port)
  const end = async (): Promise<void> => void (await Promise.all([sentinel.end(), server.end()]))
  return { server, url: `redis+sentinel://127.0.0.1:${sentinel.port}/main`, end }
}

/** A cluster whose only node has all slots. */
export async function clusterOfOne(setting: ServerSetting = {}, ...words: string[]): Promise<Topology> {
  const bus = String(await freePort())
  const clustered = ['--cluster-enabled', 'yes', '--cluster-port', bus, '--cluster-announce-ip', '127.0.0.1']
  const server = await RedisServer.startWith(setting, ...clustered, ...words)
  await ask(server.port, 'CLUSTER', 'ADDSLOTSRANGE', '0', String(SLOTS - 1))
  const serves = async (): Promise<boolean> =>
    String(await ask(server.port, 'CLUSTER', 'INFO')).includes('cluster_state:ok')
  await eventually('cluster of one', serves)
  return { server, url: `redis+cluster://127.0.0.1:${server.port}`, end: () => server.end() }
}

/** After how long a silence a server counts as gone. On a busy machine a short one takes over from those who live. */
interface GroupSetting {
  readonly downMs?: number
}

interface SentinelSetting extends GroupSetting {
  readonly password?: string
}

/** One primary, two replicas, three sentinels that know it as `main`. */
export class SentinelGroup {
  readonly #servers: readonly RedisServer[]
  readonly #sentinels: readonly RedisServer[]

  private constructor(servers: readonly RedisServer[], sentinels: readonly RedisServer[]) {
    this.#servers = servers
    this.#sentinels = sentinels
  }

  /** @param password of the servers; the sentinels have none of their own */
  static async start({ password, downMs }: SentinelSetting = {}): Promise<SentinelGroup> {
    const login = password === undefined ? [] : ['--requirepass', password, '--masterauth', password]
    const primary = await RedisServer.start('--repl-diskless-sync-delay', '0', ...login)
    const follow = ['--replicaof', '127.0.0.1', String(primary.port)]
    const replica = (): Promise<RedisServer> => RedisServer.start(...follow, ...login)
    const replicas = [await replica(), await replica()]
    const sentinels: RedisServer[] = []
    for (let n = 0; n < 3; n += 1) sentinels.push(await RedisServer.sentinel('main', primary.port, password, downMs))
    const group = new SentinelGroup([primary, ...replicas], sentinels)
    await group.#settled()
    return group
  }

  get url(): string {
    return `redis+sentinel://${this.#sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/main`
  }

  /** The port of the one that leads. */
  async leading(): Promise<number[]> {
    return [await this.#primaryPort()]
  }

  async primary(): Promise<RedisServer> {
    const port = await this.#primaryPort()
    return this.#servers.find((server) => server.port === port)!
  }

  /** The primary dies, and one of its replicas is made primary. */
  async failOver(): Promise<void> {
    const old = await this.primary()
    await old.kill()
    await eventually('another primary', async () => (await this.#primaryPort()) !== old.port)
  }

  /** Whoever was killed starts again, empty, and follows the one that leads now. */
  async heal(): Promise<void> {
    const primary = await this.primary()
    for (const server of this.#servers.filter(({ ended }) => ended)) {
      await server.start()
      await ask(server.port, 'REPLICAOF', '127.0.0.1', String(primary.port))
    }
    await this.#settled()
  }

  async end(): Promise<void> {
    await Promise.all([...this.#sentinels, ...this.#servers].map((server) => server.end()))
  }

  /** Whoever leads by now: on a busy machine a sentinel may have thought that somebody else is gone. */
  async #settled(): Promise<void> {
    const told = async (): Promise<boolean> => {
      const port = await this.#primaryPort()
      const views = await Promise.all(
        this.#sentinels.map(({ port: sentinel }) => ask(sentinel, 'SENTINEL', 'MASTER', 'main')),
      )
      return views.every((view) => {
        const fields = view as string[]
        const of = (name: string): string | undefined => fields[fields.indexOf(name) + 1]
        return of('num-slaves') === '2' && of('num-other-sentinels') === '2' && of('port') === String(port)
      })
    }
    await eventually('sentinels that know each other and the replicas', told)
  }

  async #primaryPort(): Promise<number> {
    const [, port] = (await ask(this.#sentinels[0]!.port, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main')) as string[]
    return Number(port)
  }
}

/** Three primaries with a replica each. */
export class ClusterGroup {
  readonly servers: readonly RedisServer[]

  private constructor(servers: readonly RedisServer[]) {
    this.servers = servers
  }

  static async start({ downMs = 1000 }: GroupSetting = {}): Promise<ClusterGroup> {
    const ports = await Promise.all(Array.from({ length: 6 }, () => freePort()))
    const servers: RedisServer[] = []
    for (const bus of ports) {
      const clustered = ['--cluster-enabled', 'yes', '--cluster-port', String(bus)]
      clustered.push('--cluster-node-timeout', String(downMs))
      servers.push(await RedisServer.start(...clustered))
    }
    const group = new ClusterGroup(servers)
    await group.#form(ports)
    return group
  }

  get url(): string {
    return `redis+cluster://${this.servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}`
  }

  get addresses(): readonly { readonly host: string; readonly port: number }[] {
    return this.servers.map(({ port }) => ({ host: '127.0.0.1', port }))
  }

  /** The primary of the slot of `key` dies, and its replica is made primary. */
  async failOver(key: string): Promise<void> {
    const old = await this.#primaryOf(key)
    await old.kill()
    await eventually('another primary', async () => {
      const alive = this.servers.find((server) => server !== old)!
      return (await portOf(alive.port, key)) !== old.port
    })
  }

  /** The ports of those that lead. */
  async leading(): Promise<number[]> {
    return (await this.#primaries()).map(({ port }) => port)
  }

  /** Whoever was killed starts again, empty, and follows the one that took its place. */
  async heal(): Promise<void> {
    for (const server of this.servers.filter(({ ended }) => ended)) await server.start()
    await this.#serves()
  }

  /** The slot of `key` moves to another primary, key by key, while it is in use. */
  async migrate(key: string): Promise<void> {
    const from = await this.#primaryOf(key)
    const slot = String(await ask(from.port, 'CLUSTER', 'KEYSLOT', key))
    const primaries = await this.#primaries()
    const to = primaries.find((server) => server !== from)!
    const [fromId, toId] = [await ask(from.port, 'CLUSTER', 'MYID'), await ask(to.port, 'CLUSTER', 'MYID')] as string[]
    await ask(to.port, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId!)
    await ask(from.port, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId!)
    for (;;) {
      const keys = (await ask(from.port, 'CLUSTER', 'GETKEYSINSLOT', slot, '1')) as string[]
      if (keys.length === 0) break
      await sleep(50)
      await ask(from.port, 'MIGRATE', '127.0.0.1', String(to.port), '', '0', '5000', 'KEYS', ...keys)
    }
    for (const server of primaries) await ask(server.port, 'CLUSTER', 'SETSLOT', slot, 'NODE', toId!)
  }

  async end(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.end()))
  }

  async #form(buses: readonly number[]): Promise<void> {
    const [first] = this.servers
    for (const { port } of this.servers.slice(1)) {
      await ask(port, 'CLUSTER', 'MEET', '127.0.0.1', String(first!.port), String(buses[0]))
    }
    for (const [n, { port }] of this.servers.slice(0, 3).entries()) {
      const [from, to] = [Math.floor((SLOTS * n) / 3), Math.floor((SLOTS * (n + 1)) / 3) - 1]
      await ask(port, 'CLUSTER', 'ADDSLOTSRANGE', String(from), String(to))
    }
    await eventually('nodes that know each other', async () => {
      const views = await Promise.all(this.servers.map(({ port }) => ask(port, 'CLUSTER', 'NODES')))
      return views.every((view) => String(view).trim().split('\n').length === 6)
    })
    for (const [n, { port }] of this.servers.slice(3).entries()) {
      await ask(port, 'CLUSTER', 'REPLICATE', String(await ask(this.servers[n]!.port, 'CLUSTER', 'MYID')))
    }
    await this.#serves()
  }

  async #serves(): Promise<void> {
    await eventually('a cluster that serves all slots, with replicas that follow', async () => {
      const infos = await Promise.all(this.servers.map(({ port }) => ask(port, 'CLUSTER', 'INFO')))
      const roles = await Promise.all(this.servers.map(({ port }) => ask(port, 'ROLE')))
      const followers = (roles as unknown[][]).filter(([role]) => role === 'slave')
      return (
        infos.every((info) => String(info).includes('cluster_state:ok')) &&
        followers.length === 3 &&
        followers.every((role) => role[3] === 'connected')
      )
    })
  }

  async #primaries(): Promise<RedisServer[]> {
    const roles = await Promise.all(
      this.servers.map(async (server) => {
        const role = await ask(server.port, 'ROLE').catch(() => ['dead'])
        return [server, (role as string[])[0]] as const
      }),
    )
    return roles.flatMap(([server, role]) => (role === 'master' ? [server] : []))
  }

  async #primaryOf(key: string): Promise<RedisServer> {
    const port = await portOf(this.servers[0]!.port, key)
    return this.servers.find((server) => server.port === port)!
  }
}

/** Which server has the slot of `key`, as the one at `port` sees it. */
async function portOf(port: number, key: string): Promise<number | undefined> {
  const slot = Number(await ask(port, 'CLUSTER', 'KEYSLOT', key))
  const ranges = (await ask(port, 'CLUSTER', 'SLOTS')) as [number, number, [string, number]][]
  return ranges.find(([from, to]) => from <= slot && slot <= to)?.[2][1]
}

/** One command, on a connection of its own. */
async function ask(port: number, command: string, ...args: string[]): Promise<unknown> {
  const client = new Redis(port, { maxRetriesPerRequest: 0, retryStrategy: () => null, lazyConnect: true })
  client.on('error', () => {})
  try {
    return await client.call(command, ...args)
  } finally {
    client.disconnect()
  }
}

async function eventually(what: string, check: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!(await check().catch(() => false))) {
    if (performance.now() > end) throw new Error(`there is no ${what} after ${PATIENCE_MS} ms`)
    await sleep(50)
  }
}
