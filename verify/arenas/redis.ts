/** One Redis server; a replica is at hand when it is to fail over. */
import { Redis } from 'ioredis'
import { eventually, sleep } from '../../src/verify/torture/clock.ts'
import type { Line } from '../../src/verify/torture/crew.ts'
import type { Fault, Scene } from '../../src/verify/torture/faults.ts'
import { inside } from '../../src/verify/torture/faults.ts'
import { askedInVain, struckAmidst } from '../../src/verify/torture/felt.ts'
import { layerOf } from '../../src/verify/torture/lines.ts'
import { pick } from '../../src/verify/torture/random.ts'
import type { Arena, Place } from '../../src/verify/torture/trial.ts'
import type { Cable } from '../../src/verify/torture/wire.ts'
import { WORKLOADS, allNames, exclusiveNames } from '../../src/verify/torture/workloads.ts'
import { Dial } from '../../test/kit/clocks.ts'
import { RedisServer } from '../../test/kit/redis.ts'
import type { SmallDisk } from '../../test/kit/small-disk.ts'
import { RedisLog } from '../logs/redis.ts'
import { diskFor, fill } from './full-disk.ts'
import { SLOW_CLOCKS } from './slow-clocks.ts'

class RedisPlace implements Place {
  readonly #cables: Cable[] = []
  #server: RedisServer
  #admin: Redis

  /** Where clocks can be turned. */
  readonly #dial: Dial | undefined
  /** What it writes to, where that can be filled. */
  readonly disk: SmallDisk | undefined

  private constructor(server: RedisServer, dial: Dial | undefined, disk: SmallDisk | undefined) {
    this.#server = server
    this.#admin = adminOf(server)
    this.#dial = dial
    this.disk = disk
  }

  static async open(disk: SmallDisk | undefined): Promise<RedisPlace> {
    const dial = Dial.make()
    const setting = { env: dial?.env ?? {}, ...(disk && { directory: disk.directory }) }
    return new RedisPlace(await RedisServer.startWith(setting), dial, disk)
  }

  /** The wall clock of the server leaps so far. */
  leap(ms: number): void {
    this.#dial!.leap(ms)
  }

  get url(): string {
    return this.#server.url
  }

  get server(): RedisServer {
    return this.#server
  }

  get admin(): Redis {
    return this.#admin
  }

  async lay(): Promise<Line> {
    const line = await layerOf(this.url)!()
    this.#cables.push(line.wire)
    return line
  }

  /** A server that follows this one, and has all that it has, and its clock: one behind it would take back fences. */
  async replica(): Promise<RedisServer> {
    const env = this.#dial?.env ?? {}
    const replica = await RedisServer.startWith({ env })
    const admin = adminOf(replica)
    // Told, and not started so: in the place of that one, and started again, it would follow the dead.
    await admin.replicaof('127.0.0.1', this.#server.port)
    await eventually(async () => (await admin.info('replication')).includes('master_link_status:up'), 'a replica')
    admin.disconnect()
    return replica
  }

  /** From now on it writes down what it does, so often. */
  async persists(fsync: 'always' | 'everysec'): Promise<void> {
    await this.#admin.config('SET', 'appendfsync', fsync, 'auto-aof-rewrite-percentage', '0', 'appendonly', 'yes')
    await eventually(async () => !/aof_rewrite_\w+:1/.test(await this.#admin.info('persistence')), 'a log on the disk')
  }

  /** No more, and what it has written is worth nothing. */
  async forgetsWritten(): Promise<void> {
    await this.#admin.config('SET', 'appendonly', 'no')
  }

  /** Whether it takes what is written. */
  writes(): Promise<boolean> {
    return this.#admin.set('verify', 'x'.repeat(5000)).then(
      () => true,
      () => false,
    )
  }

  /** Of everybody, but not that of the log. */
  async endConnections(type: string): Promise<void> {
    const all = (await this.#admin.call('CLIENT', 'LIST', 'TYPE', type)) as string
    for (const [, id, flags] of all.matchAll(/^id=(\d+) .* flags=(\S+)/gm))
      if (!flags!.includes('O')) await this.#admin.call('CLIENT', 'KILL', 'ID', id!, 'SKIPME', 'yes')
  }

  /** The server dies, and this one takes its place with what it has. */
  async failOver(replica: RedisServer): Promise<void> {
    await this.#server.kill()
    replica.thaw()
    const admin = adminOf(replica)
    await admin.replicaof('NO', 'ONE')
    this.#admin.disconnect()
    await this.#server.end()
    this.#server = replica
    this.#admin = admin
    for (const cable of this.#cables) cable.leadTo([replica.port])
  }

  listen(): Promise<RedisLog> {
    return RedisLog.open([this.#server.port])
  }

  async recovers(): Promise<void> {
    this.disk?.free()
    this.#server.thaw()
    if (this.#server.ended) await this.#server.start()
    const answers = (): Promise<boolean> =>
      this.#admin.ping().then(
        () => true,
        () => false,
      )
    await eventually(answers, 'an answer of the server')
  }

  async end(): Promise<void> {
    this.#admin.disconnect()
    await this.#server.end()
    this.#dial?.end()
    this.disk?.end()
  }
}

function adminOf({ port }: RedisServer): Redis {
  const admin = new Redis(port, { maxRetriesPerRequest: null })
  admin.on('error', () => {})
  return admin
}

const LOSES = 'the server keeps what it has acknowledged'

/** What the server forgets, while somebody holds. */
async function forgets({ crew, ...rest }: Scene<RedisPlace>, what: string, act: () => Promise<unknown>): Promise<void> {
  await inside({ crew, ...rest }, async () => {
    crew.note(what)
    await crew.forgets(allNames(crew.prefix), act)
    // Whoever held is still inside when the next one comes.
    await sleep(crew.ttlMs / 4)
  })
}

const faults: readonly Fault<RedisPlace>[] = [
  {
    name: 'server-frozen',
    about: 'the server stands still for longer than a lease',
    strike: async ({ crew, random, place }) => {
      crew.note('freeze the server')
      place.server.freeze()
      await sleep(crew.ttlMs * (0.5 + random()))
      crew.note('thaw the server')
      place.server.thaw()
    },
    felt: struckAmidst('freeze the server'),
  },
  {
    name: 'writes-paused',
    about: 'the server takes no writes for longer than a lease',
    strike: async ({ crew, random, place }) => {
      const ms = Math.round(crew.ttlMs * (0.5 + random()))
      crew.note(`pause writes for ${ms} ms`)
      await place.admin.call('CLIENT', 'PAUSE', String(ms), 'WRITE')
      await sleep(ms)
    },
    felt: struckAmidst('pause writes'),
  },
  {
    name: 'scripts-flushed',
    about: 'the server forgets all scripts',
    strike: async ({ crew, place }) => {
      crew.note('flush the scripts')
      await place.admin.script('FLUSH')
    },
    felt: struckAmidst('flush the scripts'),
  },
  {
    name: 'connections-ended',
    about: 'the server ends all connections, or those that carry messages',
    strike: async ({ crew, random, place }) => {
      const type = pick(random, ['normal', 'pubsub'])
      crew.note(`end connections: ${type}`)
      await place.endConnections(type)
    },
    felt: struckAmidst('end connections'),
  },
  {
    name: 'memory-full',
    about: 'the server has no memory left, and may evict nothing',
    strike: async ({ crew, place }) => {
      crew.note('memory full')
      await place.admin.config('SET', 'maxmemory', '1')
      await sleep(crew.ttlMs)
      crew.note('memory free')
      await place.admin.config('SET', 'maxmemory', '0')
    },
    felt: struckAmidst('memory full'),
  },
  {
    name: 'restarted',
    about:
      'the server is killed while somebody holds, and starts again from its disk, with all that it has acknowledged',
    strike: async (scene) => {
      const { crew, place } = scene
      await place.persists('always')
      await inside(scene, async () => {
        crew.note('restart from the disk')
        await place.server.kill()
        await place.server.start('--appendonly', 'yes', '--appendfsync', 'always')
        await place.recovers()
      })
      await place.forgetsWritten()
    },
    felt: struckAmidst('restart from the disk'),
  },
  {
    name: 'disk-full',
    about: 'there is no room for the log that the server writes, for longer than a lease',
    needs: 'small disk',
    strike: async (scene) => {
      const { place } = scene
      await place.persists('everysec')
      // It notices when the last page is full, and looks once a second whether there is room again.
      await fill(scene, (room) => eventually(async () => (await place.writes()) === room, 'a server that has noticed'))
      await place.forgetsWritten()
    },
    felt: askedInVain('UNAVAILABLE'),
  },
  {
    name: 'demoted',
    about: 'the server is made a replica of one that does not answer, for longer than a lease: it refuses all writes',
    strike: async ({ crew, random, place }) => {
      crew.note('demote the server')
      await place.admin.replicaof('127.0.0.1', 1)
      await sleep(crew.ttlMs * (0.5 + random()))
      crew.note('promote the server')
      await place.admin.replicaof('NO', 'ONE')
    },
    felt: struckAmidst('demote the server'),
  },
  {
    name: 'clock-back',
    about: 'the wall clock of the server leaps back by up to two leases, and stays there',
    needs: 'clock',
    strike: async (scene) => {
      const { crew, place, random } = scene
      await inside(scene, async () => {
        crew.note('the clock of the server goes back')
        place.leap(-crew.ttlMs * (0.3 + 1.7 * random()))
      })
    },
    felt: struckAmidst('the clock of the server'),
  },
  {
    name: 'clock-ahead',
    about: 'the wall clock of the server leaps ahead by a lease or two while somebody holds',
    needs: 'clock',
    breaks: 'the clock of the server does not leap ahead',
    strike: (scene) =>
      forgets(scene, 'the clock of the server goes ahead', async () =>
        scene.place.leap(scene.crew.ttlMs * (1 + scene.random())),
      ),
    felt: struckAmidst('the clock of the server'),
  },
  {
    name: 'evicted',
    about: 'the server evicts keys, those of locks among them, while somebody holds',
    breaks: LOSES,
    strike: (scene) =>
      forgets(scene, 'evict', async () => {
        const { admin } = scene.place
        await admin.config('SET', 'maxmemory-policy', 'allkeys-lru', 'maxmemory', '1')
        // It evicts when it is written to.
        await admin.set('verify', 'a stranger').catch(() => {})
        await admin.config('SET', 'maxmemory-policy', 'noeviction', 'maxmemory', '0')
      }),
    felt: struckAmidst('evict'),
  },
  {
    name: 'restarted-empty',
    about: 'the server is killed, and starts again without its data, while somebody holds',
    breaks: LOSES,
    strike: (scene) =>
      forgets(scene, 'restart', async () => {
        await scene.place.server.kill()
        await scene.place.server.start()
        await scene.place.recovers()
      }),
    felt: struckAmidst('restart'),
  },
  {
    name: 'flushed',
    about: 'all keys are deleted while somebody holds',
    breaks: LOSES,
    strike: (scene) => forgets(scene, 'flush', () => scene.place.admin.flushall()),
    felt: struckAmidst('flush'),
  },
  {
    name: 'keys-deleted',
    about: 'the keys of a lock are deleted by a stranger while somebody holds',
    breaks: LOSES,
    strike: (scene) =>
      forgets(scene, 'delete keys', async () => {
        const heads = exclusiveNames(scene.crew.prefix).map((name) => `holdfast:{lock:${name}}`)
        await scene.place.admin.del(
          ...heads.flatMap((head) => [head, `${head}:order`, `${head}:ends`, `${head}:seats`]),
        )
      }),
    felt: struckAmidst('delete keys'),
  },
  {
    name: 'failover',
    about: 'a replica takes over that has not heard of the last grants',
    breaks: LOSES,
    strike: async (scene) => {
      const { crew, place } = scene
      const replica = await place.replica()
      replica.freeze()
      await inside(scene, async () => {
        crew.note('failover')
        await crew.forgets(allNames(crew.prefix), () => place.failOver(replica))
        await sleep(crew.ttlMs / 2)
      })
    },
    felt: struckAmidst('failover'),
  },
]

export const redis: Arena<RedisPlace> = {
  name: 'redis',
  ttlMs: 1000,
  workloads: WORKLOADS,
  has: new Set(['wire']),
  faults: [...SLOW_CLOCKS, ...faults],
  open: (fault) => RedisPlace.open(diskFor(fault)),
}
