/**
 * The leases of a cluster, as its leader keeps them: by the leader's clock, which nobody else knows.
 *
 * A new leader gives all of them a whole new ttl, and the time that an election may have taken. What the old one knew of their
 * ends it keeps, and if it stood still meanwhile, it acts by that when it goes on.
 */
import type { Member } from './member.ts'

interface Lease {
  readonly ms: number
  /** By the leader's clock. */
  endsAt: number
}

export class Leases {
  readonly #electionMs: number
  readonly #leases = new Map<bigint, Lease>()
  /** Ids are random numbers; these are as good. */
  #last = 0x1000n

  constructor(electionMs: number) {
    this.#electionMs = electionMs
  }

  get size(): number {
    return this.#leases.size
  }

  has(id: bigint): boolean {
    return this.#leases.has(id)
  }

  /** etcd silently raises a shorter ttl to its own minimum. @returns the id, and how long it lasts in seconds */
  grant(seconds: number, leader: Member): { readonly id: bigint; readonly ttl: number } {
    const ttl = Math.max(seconds, Math.ceil((1.5 * this.#electionMs) / 1000))
    const id = (this.#last += 1n)
    this.#leases.set(id, { ms: ttl * 1000, endsAt: leader.now() + ttl * 1000 })
    return { id, ttl }
  }

  /** @returns how long it lasts, in seconds; 0: it is gone, or over */
  renew(id: bigint, leader: Member): number {
    const lease = this.#leases.get(id)
    if (!lease || lease.endsAt <= leader.now()) return 0
    lease.endsAt = leader.now() + lease.ms
    return lease.ms / 1000
  }

  remove(id: bigint): boolean {
    return this.#leases.delete(id)
  }

  /** When the first of them ends, by the leader's clock. */
  firstEnd(): number {
    return Math.min(...[...this.#leases.values()].map(({ endsAt }) => endsAt))
  }

  over(leader: Member): bigint[] {
    return [...this.#leases].flatMap(([id, { endsAt }]) => (endsAt <= leader.now() ? [id] : []))
  }

  /** What this leader knows of their ends, whatever becomes of them: a list of those that are over when it is asked. */
  remembered(leader: Member): () => bigint[] {
    const ends = [...this.#leases].map(([id, { endsAt }]) => [id, endsAt] as const)
    return () => ends.flatMap(([id, endsAt]) => (endsAt <= leader.now() ? [id] : []))
  }

  /** There is a new leader. */
  promote(leader: Member): void {
    for (const lease of this.#leases.values()) lease.endsAt = leader.now() + this.#electionMs + lease.ms
  }
}
