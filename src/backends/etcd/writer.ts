/** What is known of an entry is written into its key: one thing after the other, and with what was not answered before. */
import type { Copies } from './copies.ts'
import type { Lease } from './leases.ts'
import type { PutRequest } from './messages.ts'
import type { Record } from './record.ts'
import { decode, encode } from './record.ts'
import type { Seat } from './seats.ts'
import type { Store } from './store.ts'

export class Writer {
  readonly #store: Store
  readonly #copies: Copies
  readonly #onGone: (seat: Seat) => void

  constructor(store: Store, copies: Copies, onGone: (seat: Seat) => void) {
    this.#store = store
    this.#copies = copies
    this.#onGone = onGone
  }

  /**
   * After what is being written there.
   *
   * @param change asked for when its turn has come
   * @param lease one that it is put on
   * @returns at which revision; `undefined`: it is gone @throws EtcdError
   */
  write(seat: Seat, change: () => Partial<Record>, lease?: Lease): Promise<number | undefined> {
    const write = async (): Promise<number | undefined> => {
      // With what was not answered. Otherwise: 1. a writer becomes a reader, which is not answered;  2. others come in;  3. its
      // next renewal makes it a writer again.
      seat.unwritten = { ...seat.unwritten, ...change() }
      const record = { ...seat.record, ...seat.unwritten }
      const keeps = lease ? { lease: lease.id } : seat.lease ? { ignoreLease: true } : {}
      const revision = await this.#writeOver(seat, { value: encode(record), ...keeps })
      if (revision === undefined) {
        this.#onGone(seat)
        return undefined
      }
      seat.record = record
      seat.unwritten = {}
      if (lease) seat.lease = lease
      this.#copies.get(seat.name)?.amend(seat.fence, revision, record)
      return revision
    }
    const written = seat.writing.then(write, write)
    seat.writing = written.catch(() => {})
    return written
  }

  /** Over what it has written itself since, unanswered. @returns at which revision; `undefined`: it is gone @throws EtcdError */
  async #writeOver(seat: Seat, put: Partial<PutRequest>): Promise<number | undefined> {
    for (;;) {
      const written = await this.#store.write(seat, put)
      if (typeof written === 'number') return (seat.modRevision = written)
      const { kv } = written
      if (kv?.createRevision !== seat.fence || decode(kv.value).lingering) return undefined
      seat.modRevision = kv.modRevision
    }
  }
}
