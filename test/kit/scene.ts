/**
 * A Redis server, worker processes with a wire each, two registers, a nemesis; and in the end a verdict: the checkers over
 * the whole history, and nothing left over.
 *
 * `HOLDFAST_REDIS_CLIENT` (`ioredis5`, `redis`, `redis5`) has the workers hand in a client instead of a URL;
 * `HOLDFAST_REDIS_TOPOLOGY` (`sentinel`, `cluster`) puts the server behind sentinels, or makes it a cluster of one node.
 */
import { Redis } from 'ioredis'
import { test as base, expect } from 'vitest'
import type { ConnectOptions, Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { check } from '../../src/verify/checkers/index.ts'
import type { Event, History, Residue } from '../../src/verify/history.ts'
import { Hand, NAME } from './hand.ts'
import { Nemesis } from './nemesis.ts'
import { Proxy } from './proxy.ts'
import type { Topology } from './redis-groups.ts'
import { behindSentinel, clusterOfOne } from './redis-groups.ts'
import type { ServerSetting } from './redis.ts'
import { RedisServer } from './redis.ts'
import { Registers } from './registers.ts'
import { machineNow } from './worker.ts'
import type { WorkerOptions } from './workers.ts'
import { Crew, eventually } from './workers.ts'

/** Wide: two cores are shared by all processes and whatever else runs on the machine. */
const BOUNDS = {
  guarded: new Set(['fenced']),
  turnMs: 1000,
  afterSleepMs: 2000,
  answerMs: 30_000,
  noticeMs: 5000,
  leaveMs: 5000,
} as const

/** For a test that must be skipped. */
export const NO_WIRE = 'behind sentinels and in a cluster there is no wire of ours on the way'

/** A name that nobody uses is forgotten after this; with some for rounding. */
const FORGOTTEN_MS = 121_000

export interface SceneOptions extends Omit<ConnectOptions, 'runtime'> {
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

export interface Verdict {
  readonly history: History
  /** How often two believed at once; where nothing promises the opposite. */
  readonly overlaps: number
  /** In the register that looks at no fences. */
  readonly lostUpdates: number
}

export class Scene {
  readonly #hands: Hand[] = []
  readonly #options: SceneOptions
  readonly #endings: (() => unknown)[] = []
  #server!: RedisServer
  /** Of all hands, if it is no wire of ours that they speak through. */
  #url: string | undefined
  #admin!: Redis
  #locks!: Locks
  #registers!: Registers
  #crew!: Crew
  #nemesis!: Nemesis

  constructor(options: SceneOptions) {
    this.#options = options
  }

  async set(count: number): Promise<void> {
    const { server: words = [], serverEnv = {}, serverDirectory, at, ...connectOptions } = this.#options
    if (at) {
      this.#server = at.server
      this.#url = at.url
    } else {
      const directory = serverDirectory === undefined ? {} : { directory: serverDirectory }
      const { server, url, end } = await start({ env: serverEnv, ...directory }, words)
      this.#endings.push(end)
      this.#server = server
      this.#url = url
    }
    this.#look()
    this.#crew = new Crew('', { requestTimeout: '3s', ...connectOptions })
    this.#endings.push(() => this.#crew.end())
    this.#registers = await Registers.start(this.#crew.directory)
    this.#endings.push(() => this.#registers.end())
    this.#nemesis = new Nemesis(this.#server, this.#admin, this.#hands)
    await Promise.all(Array.from({ length: count }, () => this.hire()))
    this.#hands.sort((one, other) => (one.worker.name < other.worker.name ? -1 : 1))
  }

  /** As many as were asked for; the type has four, so that a test can name them. */
  get hands(): readonly [Hand, Hand, Hand, Hand, ...Hand[]] {
    return this.#hands as [Hand, Hand, Hand, Hand]
  }

  get server(): RedisServer {
    return this.#server
  }

  get admin(): Redis {
    return this.#admin
  }

  /** Straight at the server, for those who look. */
  get locks(): Locks {
    return this.#locks
  }

  get nemesis(): Nemesis {
    return this.#nemesis
  }

  get registers(): Registers {
    return this.#registers
  }

  /** Whether what is done to a wire is felt. */
  get wired(): boolean {
    return this.#url === undefined
  }

  /** From now on another server is the one, for the hands and for those who look. */
  async leadTo(server: RedisServer): Promise<void> {
    for (const { wire } of this.#hands) wire.leadTo(server.port)
    this.#admin.disconnect()
    await this.#locks.close()
    this.#server = server
    this.#look()
    this.#nemesis.turnTo(server, this.#admin)
  }

  async hire(options: WorkerOptions = {}): Promise<Hand> {
    const wire = await Proxy.start(this.#server.port)
    this.#endings.unshift(() => wire.end())
    const client = process.env['HOLDFAST_REDIS_CLIENT']
    const url = this.#url ?? `redis://127.0.0.1:${wire.port}`
    const own = { url, ...(client === undefined ? {} : { client }) }
    const worker = await this.#crew.start({ ...own, ...options })
    const waiters = async (): Promise<(number | undefined)[]> =>
      (await this.#locks.inspect(NAME))?.waiters.map(({ who }) => who.pid) ?? []
    // Whatever a test limits, it is not the time that a process takes to load its client and to connect.
    const warm = (): Promise<true> => worker.do(({ locks }) => locks.run('warm', () => true as const))
    await eventually(() => warm().catch(() => false), 'a connection')
    const hand = new Hand(worker, wire, this.#registers.path, waiters)
    this.#hands.push(hand)
    return hand
  }

  /** The fence of whoever holds, as the server says. */
  async holder(): Promise<number | undefined> {
    const [holder] = (await this.#locks.inspect(NAME))?.holders ?? []
    return holder && Number(holder.fence)
  }

  /** All is well again, and everybody who works gets on with it. */
  async recovers(): Promise<void> {
    this.#nemesis.heal()
    const busy = this.#hands.filter((hand) => hand.busy)
    await Promise.all(busy.map((hand) => hand.writes()))
    this.#nemesis.healed()
    await Promise.all(busy.map((hand) => hand.writes()))
  }

  /**
   * Everybody rests and leaves; then what the checkers say of the history, which must be nothing.
   *
   * @param overlaps `'counted'`: a fault broke an assumption, so two may have believed at once; all the rest must be right
   * @param forgottenMs how long a name may be remembered that nobody uses
   */
  async verdict(overlaps: 'none' | 'counted' = 'none', forgottenMs = FORGOTTEN_MS): Promise<Verdict> {
    const alive = this.#hands.filter((hand) => hand.alive)
    await Promise.all(alive.map((hand) => hand.rests()))
    const left = await Promise.all(alive.map((hand) => hand.worker.letGo()))
    expect(left.flatMap(({ warnings }) => warnings)).toEqual([])
    const residue = await this.#residue(
      left.reduce((sum, { timers }) => sum + timers, 0),
      forgottenMs,
    )
    await Promise.all(alive.map((hand) => hand.worker.leave()))
    const events: readonly Event[] = [...this.#registers.events, ...this.#nemesis.events, residue]
    const history = this.#crew.history(events)
    const violations = check(history, BOUNDS)
    const isOverlap = ({ checker }: { readonly checker: string }): boolean =>
      checker === 'exclusion' || checker === 'readers-writers'
    const grave = overlaps === 'counted' ? violations.filter((each) => !isOverlap(each)) : violations
    expect(grave).toEqual([])
    expect(history.beliefs.length).toBeGreaterThan(0)
    return {
      history,
      overlaps: violations.filter(isOverlap).length,
      lostUpdates: this.#registers.open.lostUpdates,
    }
  }

  async end(): Promise<void> {
    for (const end of this.#endings.splice(0).toReversed()) await end()
  }

  #look(): void {
    const admin = new Redis(this.#server.port, { maxRetriesPerRequest: null })
    admin.on('error', () => {})
    const locks = connect(this.#url?.startsWith('redis+cluster') ? this.#url : this.#server.url)
    this.#endings.push(() => admin.disconnect())
    this.#endings.push(() => locks.close())
    this.#admin = admin
    this.#locks = locks
  }

  /** What the server still knows when all have left and the longest lease has ended. */
  async #residue(timers: number, forgottenMs: number): Promise<Residue> {
    let entries = NaN
    const queues = async (): Promise<number> => {
      let count = 0
      for await (const { holders, waiters } of this.#locks.list()) count += holders.length + waiters.length
      return (entries = count)
    }
    await eventually(async () => (await queues()) === 0, 'an empty queue')
    await this.#locks.close()
    let subscriptions = NaN
    const others = async (): Promise<number> => {
      const channels = (await this.#admin.call('PUBSUB', 'CHANNELS')) as string[]
      const clients = (await this.#admin.call('CLIENT', 'LIST')) as string
      // Neither is the one that asks, nor what replicas, sentinels and other nodes keep.
      const users = clients.split('\n').filter((line) => / flags=[NP] /.test(line) && !/ name=sentinel-/.test(line))
      return (subscriptions = channels.filter((each) => each.startsWith('holdfast')).length + users.length - 1)
    }
    await eventually(async () => (await others()) === 0, 'the end of all connections')
    for (const key of await this.#admin.keys('holdfast:*')) {
      const leftMs = await this.#admin.pttl(key)
      expect(leftMs, key).toBeGreaterThan(0)
      expect(leftMs, key).toBeLessThanOrEqual(forgottenMs)
    }
    return { kind: 'residue', process: 'test', at: machineNow(), entries, timers, subscriptions }
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

/** A test with scenes: `scene(3, { ttl: '1s' })` sets one with three hands. */
export const test = base.extend<{ scene: (hands: number, options?: SceneOptions) => Promise<Scene> }>({
  // oxlint-disable-next-line no-empty-pattern -- what a fixture needs is read from this pattern
  scene: async ({}, use) => {
    const scenes: Scene[] = []
    await use(async (hands, options = {}) => {
      const scene = new Scene(options)
      scenes.push(scene)
      await scene.set(hands)
      return scene
    })
    for (const scene of scenes) await scene.end()
  },
})
