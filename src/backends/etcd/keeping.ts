/** What keeps an entry, as the option `lease` says: a lease that others are on, too, one of its own, or none. */
import type { Place } from './copy.ts'
import type { Joining } from './joining.ts'
import type { Lease, Leases } from './leases.ts'
import { secondsOf } from './leases.ts'
import type { Seat } from './seats.ts'
import { waitMsOf } from './seats.ts'
import type { Store } from './store.ts'

export const MODES = ['process', 'entry', 'observed'] as const
export type Mode = (typeof MODES)[number]

export class Keeping {
  readonly mode: Mode
  readonly #leases: Leases
  readonly #store: Store

  constructor(mode: Mode, leases: Leases, store: Store) {
    this.mode = mode
    this.#leases = leases
    this.#store = store
  }

  /** `undefined`: it has none. @throws EtcdError */
  async leaseFor(seat: Seat, ms: number): Promise<Lease | undefined> {
    switch (this.mode) {
      case 'process':
        return this.alive(ms) ?? this.#store.persist(() => this.#leases.shared(ms))
      case 'entry':
        seat.ownsLease = true
        return this.#store.persist(() => this.#leases.own(ms))
      case 'observed':
        return undefined
    }
  }

  /** The same, if it costs nothing. */
  alive(ms: number): Lease | undefined {
    return this.mode === 'process' ? this.#leases.alive(ms) : undefined
  }

  /**
   * One that lasts until then, before an entry is put on it. Otherwise: 1. a lease that nobody has needed for a while has a moment
   * left;  2. an entry is put on it, which is not answered;  3. it ends with that moment, though its holder was promised more.
   *
   * @throws EtcdError
   */
  async lasting(seat: Seat, ms: number, until: number): Promise<Lease> {
    for (;;) {
      const lease = (await this.leaseFor(seat, ms))!
      try {
        if (lease.until < until) await this.#leases.beat(lease)
        return lease
      } catch (error) {
        if (!lease.gone) throw error
      }
    }
  }

  /** What a waiter is kept by. @param known what it was given before @throws EtcdError */
  async waitLeaseFor(seat: Seat, known: Joining['waitLease']): Promise<Joining['waitLease']> {
    const alive = this.#waitLease(seat)
    if (alive) return alive
    const ms = waitMsOf(seat.entry)
    if (this.mode === 'process') return this.#store.persist(() => this.#leases.shared(ms))
    return typeof known === 'object' && !known.gone ? known : this.#store.persist(() => this.#leases.own(ms))
  }

  /** The same, if it costs nothing; `undefined`: look first. */
  aliveWaitLease(seat: Seat): Joining['waitLease'] {
    return seat.entry.wait ? this.#waitLease(seat) : undefined
  }

  #waitLease({ entry, lease }: Seat): Joining['waitLease'] {
    if (this.mode === 'observed') return 'none'
    const ms = waitMsOf(entry)
    if (this.mode === 'process') return this.alive(ms)
    // A key has one lease, and who waits is kept for less.
    return lease!.ms <= secondsOf(ms) * 1000 ? lease : undefined
  }

  /** What a place is attached to, among these or another one. */
  leaseOf({ lease: id, record }: Place, known: readonly Lease[] = []): Lease | undefined {
    if (id === 0n) return undefined
    return known.find((lease) => lease.id === id) ?? this.#leases.foreign(id, record.keptMs)
  }
}
