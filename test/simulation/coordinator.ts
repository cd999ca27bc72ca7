/**
 * The one coordinator of a schedule: a memory backend on a clock of its own, and its log of what it did.
 *
 * The log is read from outside, after each verb, so that it is the same for whatever the queue does inside: an entry is in
 * the queue when `inspect` shows it, and it holds when its position says so or when the coordinator has told anybody that
 * it does.
 */
import type { EntryView, QueueView, Wake } from '../../src/backend.ts'
import type { Node } from '../../src/quorum/node.ts'
import type { SimulatedRuntime } from '../../src/testing/simulated.ts'
import type { Recorder } from '../../src/verify/history.ts'
import type { Library } from './library.ts'
import type { Far, World } from './link.ts'
import { Link } from './link.ts'
import type { SiteFault } from './plan.ts'
import type { Caller, Site, Ways } from './site.ts'
import { Subscriptions } from './site.ts'

const PROCESS = 'coordinator'

interface Known {
  readonly view: EntryView
  readonly capacity: number
  readonly hold: string | undefined
  holds: boolean
}

type Word = readonly [name: string, fence: bigint]

export class Coordinator implements Site, Far {
  readonly label = 'the coordinator'
  readonly backend: Node
  readonly away = undefined
  readonly slowMs = 0
  readonly subscriptions: Subscriptions = new Subscriptions()
  readonly violations: [] = []

  readonly #world: World
  readonly #recorder: Recorder
  readonly #now: () => number
  readonly #rate: number
  #known = new Map<string, Map<bigint, Known>>()
  #looking: Promise<void> = Promise.resolve()
  #words: Word[] | undefined

  constructor(library: Library, clocks: SimulatedRuntime, drift: number, world: World, recorder: Recorder) {
    this.backend = library.memory({ clocks })
    this.#world = world
    this.#recorder = recorder
    this.#now = world.now
    this.#rate = 1 + drift
  }

  connect({ inbox, random, faults, renewsInBulk }: Caller): Ways {
    const link = new Link(inbox, this, this.#world, random(3), faults, renewsInBulk)
    return { backend: link, links: [link] }
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
    const fence = [...(this.#known.get(name)?.keys() ?? [])][nth]
    if (fence !== undefined) await this.evict(name, fence)
  }

  async evict(name: string, fence: bigint): Promise<void> {
    const known = this.#known.get(name)?.get(fence)
    if (!known) return
    const { hold } = known
    await this.apply(name, async (backend) => {
      const evicting = backend.evict(name, fence)
      this.#recorder.note(PROCESS, { kind: 'evicted', name, fence: Number(fence), hold })
      return evicting
    })
  }

  /** How many entries there are at this time. */
  async entries(): Promise<number> {
    let count = 0
    for await (const { holders, waiters } of this.backend.inspect('')) count += holders.length + waiters.length
    for (const name of this.#known.keys()) this.#look(name)
    await this.#looking
    return count
  }

  #told(name: string, fence: bigint, waits = false): void {
    if (this.#words) return void this.#words.push([name, fence])
    this.#looking = this.#looking.then(() => {
      const known = this.#known.get(name)?.get(fence)
      if (waits) return this.#recorder.note(PROCESS, { kind: 'waits', name, fence: Number(fence), hold: known?.hold })
      if (known?.holds) return
      if (known) known.holds = true
      this.#recorder.note(PROCESS, { kind: 'holds', name, fence: Number(fence), hold: known?.hold })
    })
  }

  /** A verb changes the queue of its own name only. */
  #look(name: string): void {
    const view = snapshot(this.backend, name)
    this.#looking = this.#looking.then(async () => this.#compare(name, await view))
  }

  #compare(name: string, queue: QueueView | undefined): void {
    const entries = this.#known.get(name) ?? new Map<bigint, Known>()
    this.#known.set(name, entries)
    const { holders = [], waiters = [], capacity = 0 } = queue ?? {}
    const all = [...holders, ...waiters]
    for (const [fence, { hold }] of entries) {
      if (all.some((view) => view.fence === fence)) continue
      entries.delete(fence)
      this.#recorder.note(PROCESS, { kind: 'left', name, fence: Number(fence), hold })
    }
    for (const view of all) this.#compareEntry(name, capacity, entries, view)
    for (const { fence } of holders) {
      const known = entries.get(fence)!
      if (known.holds) continue
      known.holds = true
      this.#recorder.note(PROCESS, { kind: 'holds', name, fence: Number(fence), hold: known.hold })
    }
  }

  #compareEntry(name: string, capacity: number, entries: Map<bigint, Known>, view: EntryView): void {
    const before = entries.get(view.fence)
    const hold = before ? before.hold : labelOf(view.info)
    const about = { name, fence: Number(view.fence), hold }
    if (!before) this.#recorder.note(PROCESS, { kind: 'entered', ...about, weight: view.weight, capacity })
    else if (view.weight < before.view.weight)
      this.#recorder.note(PROCESS, { kind: 'lightened', ...about, weight: view.weight })
    if (view.lingering) {
      const until = this.#now() + view.ttlMs / this.#rate
      if (!before?.view.lingering || until > this.#now() + before.view.ttlMs / this.#rate)
        this.#recorder.note(PROCESS, { kind: 'lingers', ...about, until })
    }
    entries.set(view.fence, { view, capacity, hold, holds: before?.holds ?? false })
  }
}

/** The body of `inspect` looks at the queues when the first view is asked for, at once; only the answer takes its time. */
async function snapshot(backend: Node, name: string): Promise<QueueView | undefined> {
  for await (const view of backend.inspect(name)) if (view.name === name) return view
  return undefined
}

/** Entries say which hold they belong to, in the place where people put a label. */
function labelOf(info: string | undefined): string | undefined {
  return info === undefined ? undefined : (JSON.parse(info) as { label?: string }).label
}
