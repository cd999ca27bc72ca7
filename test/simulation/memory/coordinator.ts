/** The one coordinator of a schedule: a memory backend on a clock of its own, and its diary. */
import type { QueueView, Wake } from '../../../src/backend.ts'
import type { Node } from '../../../src/quorum/node.ts'
import type { SimulatedRuntime } from '../../../src/testing/simulated.ts'
import type { Recorder } from '../../../src/verify/history.ts'
import { Diary, lookAt } from '../diary.ts'
import type { Library } from '../library.ts'
import type { FarNode } from '../link.ts'
import { Link } from '../link.ts'
import type { SiteFault } from '../plan.ts'
import type { Caller, Site, Ways } from '../site.ts'
import { Subscriptions } from '../site.ts'
import type { World } from '../wire.ts'
import { Wire } from '../wire.ts'

type Word = readonly [name: string, fence: bigint]

export class Coordinator implements Site, FarNode {
  readonly label = 'the coordinator'
  readonly backend: Node
  readonly away = undefined
  readonly slowMs = 0
  readonly epoch = 0
  readonly subscriptions: Subscriptions = new Subscriptions()
  readonly violations: [] = []
  readonly excuses: [] = []
  readonly fencesUntil: number = Infinity

  readonly #world: World
  readonly #recorder: Recorder
  readonly #diary: Diary
  readonly #rate: number
  readonly #names = new Set<string>()
  #looking: Promise<void> = Promise.resolve()
  #words: Word[] | undefined

  constructor(library: Library, clocks: SimulatedRuntime, drift: number, world: World, recorder: Recorder) {
    this.backend = library.memory({ clocks })
    this.#world = world
    this.#recorder = recorder
    this.#diary = new Diary('coordinator', recorder)
    this.#rate = 1 + drift
  }

  connect({ inbox, random, faults, renewsInBulk }: Caller): Ways {
    const wire = new Wire(inbox, this.#world, random(3), faults)
    return { backend: new Link(wire, this, renewsInBulk), wires: [wire] }
  }

  strike(fault: SiteFault): void {
    if (fault.kind !== 'evict') return
    this.#recorder.note('operator', { kind: 'fault', what: `evict from ${fault.name}` })
    void this.#evictNth(`lock:${fault.name}`, fault.atMs % 2 < 1 ? 0 : 1)
  }

  /** It never does here: fences of a single coordinator are those of its memory. */
  async forget(): Promise<void> {}

  /** Carry out one verb of the contract, and log what it changed. */
  async apply<T>(name: string, verb: (backend: Node) => Promise<T>): Promise<T> {
    // Wakes are sent within the verb; the log tells first what the queue looks like after it.
    const words: Word[] = (this.#words = [])
    const answer = verb(this.backend)
    this.#words = undefined
    this.#look(name)
    for (const [of, fence] of words) this.#told(of, fence)
    const value = await answer
    const said = value as { state?: string; fence?: bigint } | undefined
    if (said?.fence !== undefined) this.#told(name, said.fence, said.state === 'waiting')
    return value
  }

  async watch(process: string, name: string, id: string, wake: Wake): Promise<() => void> {
    const unwatch = await this.backend.watch({ name, id }, (news) => {
      if (news) this.#told(name, news.held)
      wake(news)
    })
    return this.subscriptions.counted(process, unwatch)
  }

  async follow(process: string, name: string, wake: () => void): Promise<() => void> {
    return this.subscriptions.counted(process, await this.backend.follow(name, wake))
  }

  /** An operator removes whoever is `nth` in the queue. */
  async #evictNth(name: string, nth: number): Promise<void> {
    const seen = this.#diary.entries(name)[nth]
    if (seen) await this.evict(name, seen.fence)
  }

  async evict(name: string, fence: bigint): Promise<void> {
    const seen = this.#diary.entries(name).find((each) => each.fence === fence)
    if (!seen) return
    await this.apply(name, async (backend) => {
      const evicting = backend.evict(name, fence)
      this.#diary.evicted(name, seen)
      return evicting
    })
  }

  /** How many entries there are at this time. */
  async entries(): Promise<number> {
    let count = 0
    for await (const { holders, waiters } of this.backend.inspect('')) count += holders.length + waiters.length
    for (const name of this.#names) this.#look(name)
    await this.#looking
    return count
  }

  #told(name: string, fence: bigint, waits = false): void {
    if (this.#words) return void this.#words.push([name, fence])
    this.#looking = this.#looking.then(() => this.#diary.told(name, fence, waits))
  }

  /** A verb changes the queue of its own name only. */
  #look(name: string): void {
    this.#names.add(name)
    const view = snapshot(this.backend, name)
    this.#looking = this.#looking.then(async () =>
      this.#diary.look(name, lookAt(await view, this.#world.now(), this.#rate)),
    )
  }
}

/** The body of `inspect` looks at the queues when the first view is asked for, at once; only the answer takes its time. */
async function snapshot(backend: Node, name: string): Promise<QueueView | undefined> {
  for await (const view of backend.inspect(name)) if (view.name === name) return view
  return undefined
}
