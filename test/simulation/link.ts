/** A backend whose every call travels over a wire, to the coordinator or one node of a quorum, and back. */
import type { Backend, Claim, Entry, Finding, QueueView, Renewal, Standing, Supports, Wake } from '../../src/backend.ts'
import type { Memory, Node } from '../../src/quorum/node.ts'
import type { Verb } from './plan.ts'
import type { Far, Subscriber, Wire } from './wire.ts'

/** What a link leads to. */
export interface FarNode extends Far {
  readonly backend: Node
  apply<T>(name: string, verb: (backend: Node) => Promise<T>): Promise<T>
  watch(process: string, name: string, id: string, wake: Wake): Promise<() => void>
  follow(process: string, name: string, wake: () => void): Promise<() => void>
}

export class Link implements Node {
  readonly kind = 'simulated'
  readonly supports: Supports
  readonly renewAll?: NonNullable<Backend['renewAll']>

  readonly #wire: Wire
  readonly #far: FarNode

  constructor(wire: Wire, far: FarNode, renewsInBulk: boolean) {
    if (renewsInBulk) this.renewAll = (claims, ttlMs) => this.#renewAll(claims, ttlMs)
    this.#wire = wire
    this.#far = far
    this.supports = far.backend.supports
  }

  join(entry: Entry, proposed?: bigint): Promise<Standing> {
    return this.#call('join', entry.name, (node) => node.join(entry, proposed))
  }

  renew(claim: Claim, ttlMs: number): Promise<Renewal> {
    return this.#call('renew', claim.name, (backend) => backend.renew(claim, ttlMs))
  }

  /** One message there and one back, whatever it carries. */
  #renewAll(claims: readonly Claim[], ttlMs: number): Promise<readonly Renewal[]> {
    const renew = (claim: Claim): Promise<Renewal> =>
      this.#far.apply(claim.name, (backend) => backend.renew(claim, ttlMs))
    return this.#wire.send('renew', this.#far, claims[0]!.name, () => Promise.all(claims.map(renew)))
  }

  leave(claim: Claim, options?: { readonly lingerMs?: number }): Promise<boolean> {
    return this.#call('leave', claim.name, (backend) => backend.leave(claim, options))
  }

  lighten(claim: Claim, weight: number): Promise<Renewal> {
    return this.#call('lighten', claim.name, (backend) => backend.lighten(claim, weight))
  }

  describe(claim: Claim, info: string): Promise<boolean> {
    return this.#call('lighten', claim.name, (backend) => backend.describe(claim, info))
  }

  evict(name: string, fence: bigint): Promise<boolean> {
    return this.#call('leave', name, (backend) => backend.evict(name, fence))
  }

  confirm(claim: Claim, drawn: bigint, fence: bigint): Promise<Renewal> {
    return this.#call('confirm', claim.name, (node) => node.confirm(claim, drawn, fence))
  }

  seed(entry: Entry, fence: bigint): Promise<Standing> {
    return this.#call('seed', entry.name, (node) => node.seed(entry, fence))
  }

  recall(): Promise<Memory> {
    return this.#call('recall', '', (node) => node.recall())
  }

  admit(incarnation: string, top: bigint): Promise<boolean> {
    return this.#call('admit', '', (node) => node.admit(incarnation, top))
  }

  async watch(claim: Claim, wake: Wake): Promise<() => void> {
    const wire = this.#wire
    const { subscribers } = wire.world
    const hear = (news: unknown): void => wake(news as Parameters<Wake>[0])
    const subscriber: Subscriber = { name: claim.name, wire, hear }
    subscribers.add(subscriber)
    const unwatch = await this.#far.watch(wire.inbox.process, claim.name, claim.id, (news) =>
      wire.tell(subscriber, news, String(news?.held ?? '')),
    )
    return () => {
      subscribers.delete(subscriber)
      unwatch()
    }
  }

  /** It stands when it could be asked for. */
  async follow(name: string, wake: () => void): Promise<() => void> {
    const { world, inbox, cutUntil } = this.#wire
    const cut = (): boolean => this.#far.away !== undefined || world.now() < cutUntil.requests
    do await new Promise<void>((resolve) => this.#wire.later(2 * this.#wire.delay(), resolve))
    while (cut() && !inbox.dead)
    return this.#far.follow(inbox.process, name, () => this.#wire.tellNews(wake))
  }

  async *inspect(prefix: string): AsyncIterable<QueueView> {
    yield* this.#far.backend.inspect(prefix)
  }

  diagnose(): Promise<readonly Finding[]> {
    return this.#far.backend.diagnose()
  }

  async close(): Promise<void> {}

  #call<T>(verb: Verb, name: string, act: (node: Node) => Promise<T>): Promise<T> {
    return this.#wire.send(verb, this.#far, name, () => this.#far.apply(name, act))
  }
}
