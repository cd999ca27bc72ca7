/**
 * What is done to the keys: read, put in, written, deleted; gathered by two lanes, and tried again while it may pass.
 *
 * Everything here may be asked for twice, and may arrive once more when it is long over: a join finds its key, and what is
 * written and deleted is the entry that drew a ticket, whoever has its key by now.
 */
import type { ElapsedClock } from '../../elapsed.ts'
import type { EtcdClient } from './client.ts'
import type { Place, Snapshot } from './copy.ts'
import { isUnknown, mayPass } from './errors.ts'
import { deletion, snapshotOf, wasDeleted } from './joining.ts'
import type { Naming } from './keys.ts'
import type { Answer, Question } from './lane.ts'
import { Lane } from './lane.ts'
import type { Leases } from './leases.ts'
import type { Compare, KeyValue, Operation, PutRequest } from './messages.ts'
import { BY, ORDER } from './messages.ts'
import { owned, ticket, unchanged } from './record.ts'

/** What may pass is tried again for this long, within a request. */
const PERSIST_MS = 4000
/** The pause before it is tried again grows from the first to the second. */
const [AGAIN_FIRST_MS, AGAIN_LONGEST_MS] = [20, 400]

/** What stands under a key, if anything does. */
export interface Found {
  readonly kv: KeyValue | undefined
}

export class Store {
  readonly #client: EtcdClient
  readonly #naming: Naming
  readonly #clock: ElapsedClock
  readonly #joins: Lane
  /** What frees or keeps: never behind a join that hangs, and without a put it passes when the store is full. */
  readonly #others: Lane
  #closed = false

  constructor(client: EtcdClient, naming: Naming, leases: Leases, clock: ElapsedClock) {
    this.#client = client
    this.#naming = naming
    this.#clock = clock
    this.#joins = new Lane(client, leases)
    this.#others = new Lane(client, leases)
  }

  /** One try. @throws EtcdError */
  join(question: Question): Promise<Answer> {
    return this.#joins.ask(question)
  }

  /** All places of a name. @throws EtcdError */
  async read(name: string): Promise<Snapshot> {
    const range = { ...this.#naming.all(name), order: ORDER.ascending, by: BY.create }
    const { outcome, revision } = await this.#ask([], { range })
    return snapshotOf(this.#naming, outcome.range!, revision, this.#client.runtime.monotonicMs())
  }

  /** The ticket of the first place of a name, and how many there are. @throws EtcdError */
  async peek(name: string): Promise<{ readonly first: number | undefined; readonly count: number }> {
    const range = { ...this.#naming.all(name), order: ORDER.ascending, by: BY.create, limit: 1, keysOnly: true }
    const { kvs, count } = (await this.#ask([], { range })).outcome.range!
    return { first: kvs[0]?.createRevision, count }
  }

  /**
   * Delete the key of an entry, on the condition that it is still this one's: the first time without, which is quicker, and after
   * that the key must not be used again.
   *
   * @param unsure it was not answered whether it is deleted
   * @returns whether it was there @throws EtcdError
   */
  async delete(seat: Parameters<typeof deletion>[0], unsure: () => void): Promise<boolean> {
    const { key, fence } = seat
    if (fence > 0) {
      try {
        return (await this.#ask([key], { delete: { key } })).outcome.delete!.deleted > 0
      } catch (error) {
        if (!isUnknown(error)) throw error
        unsure()
      }
    }
    return this.deleteOwn(seat)
  }

  /** The same, on that condition. @throws EtcdError */
  async deleteOwn(seat: Parameters<typeof deletion>[0]): Promise<boolean> {
    const operation = deletion(seat)
    return wasDeleted((await this.persist(() => this.#ask([seat.key], operation))).outcome)
  }

  /** Delete it if a condition is met. @returns whether it was @throws EtcdError */
  async deleteIf({ key }: Pick<Place, 'key'>, condition: Partial<Compare>): Promise<boolean> {
    return (await this.#if(key, [condition], { delete: { key } })) !== undefined
  }

  /**
   * Write into an entry that is there, and somebody's, and as it was left at a revision. Otherwise: 1. something is written, and not
   * answered;  2. something else is;  3. the first arrives, and takes that back.
   *
   * @returns at which revision; or the key, if it is another @throws EtcdError
   */
  async write(place: Pick<Place, 'key' | 'fence' | 'modRevision'>, put: Partial<PutRequest>): Promise<number | Found> {
    const { key } = place
    const compare = [ticket(place), owned(key), unchanged(place)]
    const transaction = { compare, success: [{ put: { key, ...put } }], failure: [{ range: { key } }] }
    const { outcome, revision } = await this.persist(() => this.#ask([key], { transaction }))
    const { succeeded, outcomes } = outcome.transaction!
    return succeeded ? revision : { kv: outcomes[0]!.range!.kvs[0] }
  }

  /** Try again what may pass, while it is wanted. @throws EtcdError */
  async persist<T>(work: () => Promise<T>, wanted: () => boolean = () => true): Promise<T> {
    const until = this.#clock.now() + PERSIST_MS
    for (let pauseMs = AGAIN_FIRST_MS; ; pauseMs = Math.min(2 * pauseMs, AGAIN_LONGEST_MS)) {
      try {
        return await work()
      } catch (error) {
        if (!mayPass(error) || !wanted() || this.#closed || this.#clock.now() + pauseMs >= until) throw error
      }
      await new Promise<void>((go) => this.#client.runtime.after(pauseMs, go).keepAlive(true))
    }
  }

  /** Nothing is tried again any more. */
  close(): void {
    this.#closed = true
  }

  async #if(key: Buffer, compare: readonly Partial<Compare>[], operation: Operation): Promise<number | undefined> {
    const transaction = { compare, success: [operation], failure: [] }
    const { outcome, revision } = await this.persist(() => this.#ask([key], { transaction }))
    return outcome.transaction!.succeeded ? revision : undefined
  }

  #ask(keys: readonly Buffer[], operation: Operation): Promise<Answer> {
    return this.#others.ask({ apart: keys.map((key) => key.toString('latin1')), words: () => ({ operation }) })
  }
}
