/** One node of a quorum: a memory backend on clocks of its own, which may be away, be slow, and lose all it knew. */
import type { Claim, Wake } from '../../../src/backend.ts'
import { WHOLE } from '../../../src/backend.ts'
import type { Node } from '../../../src/quorum/node.ts'
import type { SimulatedRuntime } from '../../../src/testing/simulated.ts'
import type { Library } from '../library.ts'
import type { FarNode } from '../link.ts'
import type { NodePlan } from '../plan.ts'
import type { Subscriptions } from '../site.ts'

interface Follower {
  readonly name: string
  readonly wake: () => void
  unfollow: () => void
}

export class SimulatedNode implements FarNode {
  readonly label: string
  backend: Node
  slowMs = 0
  readonly epoch = 0
  away: FarNode['away']

  readonly #library: Library
  readonly #plan: NodePlan
  readonly #longestMs: number
  readonly #clocks: SimulatedRuntime
  readonly #subscriptions: Subscriptions
  readonly #mayForget: (node: SimulatedNode) => Promise<boolean>
  readonly #followers = new Set<Follower>()
  #forgotten = 0

  constructor(
    label: string,
    library: Library,
    plan: NodePlan,
    longestMs: number,
    clocks: SimulatedRuntime,
    subscriptions: Subscriptions,
    mayForget: (node: SimulatedNode) => Promise<boolean>,
  ) {
    this.label = label
    this.#library = library
    this.#plan = plan
    this.#longestMs = longestMs
    this.#clocks = clocks
    this.#subscriptions = subscriptions
    this.#mayForget = mayForget
    clocks.jumpWall(plan.wallOffsetsMs[0]!)
    this.backend = library.memory({ clocks })
  }

  apply<T>(_: string, verb: (node: Node) => Promise<T>): Promise<T> {
    return verb(this.backend)
  }

  async watch(process: string, name: string, id: string, wake: Wake): Promise<() => void> {
    return this.#subscriptions.counted(process, await this.backend.watch({ name, id }, wake))
  }

  async follow(process: string, name: string, wake: () => void): Promise<() => void> {
    const follower: Follower = { name, wake, unfollow: await this.backend.follow(name, wake) }
    this.#followers.add(follower)
    return this.#subscriptions.counted(process, () => {
      this.#followers.delete(follower)
      follower.unfollow()
    })
  }

  async evict(name: string, fence: bigint): Promise<void> {
    await this.backend.evict(name, fence)
  }

  /** It comes back with nothing, by the clock that its machine has now; connections are made anew, and hear of that. */
  async forget(): Promise<void> {
    if (!(await this.#mayForget(this))) return
    const { wallOffsetsMs } = this.#plan
    const before = wallOffsetsMs[this.#forgotten % wallOffsetsMs.length]!
    this.#forgotten += 1
    this.#clocks.jumpWall(wallOffsetsMs[this.#forgotten % wallOffsetsMs.length]! - before)
    this.backend = this.#library.memory({ clocks: this.#clocks, quarantineMs: this.#longestMs })
    for (const follower of this.#followers) {
      void this.backend.follow(follower.name, follower.wake).then((unfollow) => (follower.unfollow = unfollow))
      follower.wake()
    }
  }

  /** Whether this entry is there, and somebody's. */
  async has(claim: Claim): Promise<boolean> {
    // To take all of the room is no less than before, so this changes nothing.
    return (await this.backend.lighten(claim, WHOLE)).state !== 'lost'
  }

  /** Whether it has forgotten, and was not told since what it may have known. */
  async inQuarantine(): Promise<boolean> {
    return (await this.backend.recall()).quarantineMs !== undefined
  }

  async entries(): Promise<number> {
    let count = 0
    for await (const { holders, waiters } of this.backend.inspect('')) count += holders.length + waiters.length
    return count
  }
}
