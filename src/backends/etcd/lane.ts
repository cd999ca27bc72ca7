/**
 * Sends what is asked of the keys: what one turn of the event loop asks for leaves in as few transactions as can be, at its end.
 *
 * Two entries of one name never join in the same transaction: all that one transaction puts in has the same revision, and two
 * entries with the same ticket would both be first. Nor do they join in two that are on their way at a time, or they might
 * overtake each other. Nor can a key be written twice. A few transactions are on their way at a time; what is asked for meanwhile goes
 * with the next one. No question is answered by a transaction that left before it.
 */
import { FleetingSet } from '../../fleeting.ts'
import { EtcdError, GRPC } from './errors.ts'
import type { EtcdClient } from './client.ts'
import type { Lease, Leases } from './leases.ts'
import type { Naming } from './keys.ts'
import type { Compare, Operation, Outcome, TransactionResponse } from './messages.ts'
import { IS, OF, TXN } from './messages.ts'

/** Half of what a server allows by default, for a question may have as many operations inside. */
const QUESTIONS_MAX = 64
/** More are no quicker, and there is less in each. */
const FLYING_MAX = 4

/** The answer to one question, and the revision of its transaction. */
export interface Answer {
  readonly outcome: Outcome
  readonly revision: number
}

export interface Question {
  /** With the same word here, one is asked after the other. */
  readonly apart: readonly string[]
  /** Called when it is sent. */
  readonly words: () => Words
}

export interface Words {
  readonly operation: Operation
  /** What it may attach a key to: nothing is done when their epochs are over. */
  readonly leases?: readonly Lease[]
}

interface Asked extends Question {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

export class Lane {
  readonly #client: EtcdClient
  readonly #naming: Naming
  readonly #leases: Leases
  #waiting: Asked[] = []
  #flying = 0
  /** What the questions that are on their way keep apart. */
  readonly #busy = new FleetingSet<string>()

  constructor(client: EtcdClient, naming: Naming, leases: Leases) {
    this.#client = client
    this.#naming = naming
    this.#leases = leases
  }

  /** @throws EtcdError `unavailable`: nobody knows what was done; else nothing was */
  ask(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...question, resolve, reject })
      if (this.#waiting.length === 1) process.nextTick(() => this.#flush())
    })
  }

  #flush(): void {
    while (this.#flying < FLYING_MAX && this.#waiting.length > 0) {
      const batch = this.#next()
      if (batch.length === 0) return
      this.#flying += 1
      void this.#send(batch).finally(() => {
        this.#flying -= 1
        for (const { apart } of batch) for (const word of apart) this.#busy.delete(word)
        this.#flush()
      })
    }
  }

  /** As many as go into one transaction, in their order. */
  #next(): Asked[] {
    const batch: Asked[] = []
    const rest: Asked[] = []
    for (const asked of this.#waiting) {
      const { apart } = asked
      if (batch.length === QUESTIONS_MAX || apart.some((word) => this.#busy.has(word))) {
        rest.push(asked)
        continue
      }
      for (const word of apart) this.#busy.add(word)
      batch.push(asked)
    }
    this.#waiting = rest
    return batch
  }

  async #send(batch: readonly Asked[]): Promise<void> {
    const all = batch.map(({ words }) => words())
    const leases = [...new Set(all.flatMap((words) => words.leases ?? []))]
    try {
      const operations = all.map(({ operation }) => operation)
      const { succeeded, outcomes, header } = await this.#transact(operations, leases)
      const { revision } = header!
      if (succeeded) {
        for (const [index, { resolve }] of batch.entries()) resolve({ outcome: outcomes[index]!, revision })
        return
      }
      // An epoch is over, and nothing was done; what it is now has come with the answer.
      for (const [index, lease] of leases.entries()) lease.epoch = versionOf(outcomes[index])
      this.#waiting.unshift(...batch)
    } catch (error) {
      // One of the leases is gone: nothing was done, and each finds out whether it was its own.
      if (error instanceof EtcdError && error.grpc === GRPC.notFound)
        await Promise.allSettled(leases.map((lease) => this.#leases.beat(lease)))
      for (const { reject } of batch) reject(error)
    }
  }

  #transact(success: readonly Operation[], leases: readonly Lease[]): Promise<TransactionResponse> {
    const epochs = leases.map(({ id }) => this.#naming.epoch(id))
    const compare = epochs.map((key, index): Partial<Compare> => {
      return { key, of: OF.version, is: IS.equal, version: leases[index]!.epoch }
    })
    const failure = epochs.map((key): Operation => ({ range: { key } }))
    return this.#client.call(TXN, { compare, success, failure })
  }
}

function versionOf(outcome: Outcome | undefined): number {
  return outcome?.range?.kvs[0]?.version ?? 0
}
