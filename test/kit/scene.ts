/**
 * A coordinator, worker processes with a wire each, two registers, a nemesis; and in the end a verdict: the checkers over the
 * whole history, and nothing left over. What belongs to one kind of coordinator is in `redis-scene.ts` and `etcd-scene.ts`.
 */
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import type { ConnectOptions, Locks } from '../../src/index.ts'
import { check } from '../../src/verify/checkers/index.ts'
import type { Event, History, Residue } from '../../src/verify/history.ts'
import { Hand, NAME } from './hand.ts'
import type { Nemesis } from './nemesis.ts'
import type { Wire } from '../../src/verify/torture/wire.ts'
import { Registers } from '../../src/verify/torture/registers.ts'
import { machineNow } from '../../src/verify/torture/clock.ts'
import type { WorkerOptions } from './workers.ts'
import { Crew } from './workers.ts'
import { eventually } from '../../src/verify/torture/clock.ts'

/** Wide: two cores are shared by all processes and whatever else runs on the machine. */
const BOUNDS = {
  guarded: new Set([`${NAME} fenced`]),
  turnMs: 1000,
  afterSleepMs: 2000,
  answerMs: 30_000,
  noticeMs: 5000,
  leaveMs: 5000,
} as const

export interface Verdict {
  readonly history: History
  /** How often two believed at once; where nothing promises the opposite. */
  readonly overlaps: number
  /** In the register that looks at no fences. */
  readonly lostUpdates: number
}

/** How a hand finds the coordinator. */
export interface Line {
  readonly wire: Wire
  readonly worker: WorkerOptions
}

export abstract class Scene<N extends Nemesis = Nemesis> {
  readonly #hands: Hand[] = []
  readonly #connect: Omit<ConnectOptions, 'runtime'>
  readonly #endings: (() => unknown)[] = []
  #registers!: Registers
  #crew!: Crew

  constructor(connect: Omit<ConnectOptions, 'runtime'>) {
    this.#connect = connect
  }

  /** Straight at the coordinator, for those who look. */
  abstract get locks(): Locks
  abstract get nemesis(): N

  /** Start the coordinator. */
  protected abstract start(): Promise<void>
  /** A new wire, and who speaks through it. */
  protected abstract lay(): Promise<Line>
  /**
   * What the coordinator keeps for those who have left: how many connections and subscriptions. What it remembers beside
   * must be forgotten in time.
   */
  protected abstract kept(rememberedMs: number | undefined): Promise<number>

  /** Whatever must come after the last one for the dead to be forgotten. */
  protected async tidied(): Promise<void> {}

  async set(count: number): Promise<void> {
    await this.start()
    this.#crew = new Crew('', { requestTimeout: '3s', ...this.#connect })
    this.endWith(() => this.#crew.end())
    this.#registers = await Registers.start(join(this.#crew.directory, 'registers'))
    this.endWith(() => this.#registers.end())
    await Promise.all(Array.from({ length: count }, () => this.hire()))
    this.#hands.sort((one, other) => (one.worker.name < other.worker.name ? -1 : 1))
  }

  /** As many as were asked for; the type has four, so that a test can name them. */
  get hands(): readonly [Hand, Hand, Hand, Hand, ...Hand[]] {
    return this.#hands as [Hand, Hand, Hand, Hand]
  }

  get registers(): Registers {
    return this.#registers
  }

  async hire(options: WorkerOptions = {}): Promise<Hand> {
    const { wire, worker: own } = await this.lay()
    this.#endings.unshift(() => wire.end())
    const worker = await this.#crew.start({ ...own, ...options })
    const waiters = async (): Promise<(number | undefined)[]> =>
      (await this.locks.inspect(NAME))?.waiters.map(({ who }) => who.pid) ?? []
    // Whatever a test limits, it is not the time that a process takes to load its client and to connect.
    const warm = (): Promise<true> => worker.do(({ locks }) => locks.run('warm', () => true as const))
    await eventually(() => warm().catch(() => false), 'a connection')
    const hand = new Hand(worker, wire, this.#registers.path, waiters)
    this.#hands.push(hand)
    return hand
  }

  /** The fence of whoever holds, as the coordinator says. */
  async holder(): Promise<number | undefined> {
    const [holder] = (await this.locks.inspect(NAME))?.holders ?? []
    return holder && Number(holder.fence)
  }

  /** All is well again, everybody is answered, and everybody who works gets on with it. */
  async recovers(): Promise<void> {
    await this.nemesis.heal()
    const alive = this.#hands.filter((hand) => hand.alive)
    await Promise.all(alive.map((hand) => hand.isAnswered()))
    const busy = this.#hands.filter((hand) => hand.busy)
    await Promise.all(busy.map((hand) => hand.writes()))
    this.nemesis.healed()
    await Promise.all(busy.map((hand) => hand.writes()))
  }

  /**
   * Everybody rests and leaves; then what the checkers say of the history, which must be nothing.
   *
   * @param overlaps `'counted'`: a fault broke an assumption, so two may have believed at once; all the rest must be right
   * @param rememberedMs how long the coordinator may remember what nobody uses
   */
  async verdict(overlaps: 'none' | 'counted' = 'none', rememberedMs?: number): Promise<Verdict> {
    const alive = this.#hands.filter((hand) => hand.alive)
    await Promise.all(alive.map((hand) => hand.rests()))
    const left = await Promise.all(alive.map((hand) => hand.worker.letGo()))
    expect(left.flatMap(({ warnings }) => warnings)).toEqual([])
    const residue = await this.#residue(
      left.reduce((sum, { timers }) => sum + timers, 0),
      rememberedMs,
    )
    await Promise.all(alive.map((hand) => hand.worker.leave()))
    const events: readonly Event[] = [...this.#registers.events, ...this.nemesis.events, residue]
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
      lostUpdates: this.#registers.lostUpdates,
    }
  }

  async end(): Promise<void> {
    for (const end of this.#endings.splice(0).toReversed()) await end()
  }

  /** What ends with the scene, before what was there already. */
  protected endWith(end: () => unknown): void {
    this.#endings.push(end)
  }

  /** What the coordinator still knows when all have left. */
  async #residue(timers: number, rememberedMs: number | undefined): Promise<Residue> {
    let entries = NaN
    const queues = async (): Promise<number> => {
      let count = 0
      for await (const { holders, waiters } of this.locks.list()) count += holders.length + waiters.length
      return (entries = count)
    }
    await this.tidied()
    await eventually(async () => (await queues()) === 0, 'an empty queue')
    await this.locks.close()
    let subscriptions = NaN
    const others = async (): Promise<number> => (subscriptions = await this.kept(rememberedMs))
    await eventually(async () => (await others()) === 0, 'the end of all connections')
    return { kind: 'residue', process: 'test', at: machineNow(), entries, timers, subscriptions }
  }
}

/** What a test that has scenes says: `scene(3, { ttl: '1s' })` sets one with three hands. */
export type SetScene<S, O> = (hands: number, options?: O) => Promise<S>

/** A test with scenes of one kind. */
export function testWith<S extends Scene, O extends object>(make: (options: O) => S) {
  return base.extend<{ scene: SetScene<S, O> }>({
    // oxlint-disable-next-line no-empty-pattern -- what a fixture needs is read from this pattern
    scene: async ({}, use) => {
      const scenes: S[] = []
      await use(async (hands, options = {} as O) => {
        const scene = make(options)
        scenes.push(scene)
        await scene.set(hands)
        return scene
      })
      for (const scene of scenes) await scene.end()
    },
  })
}
