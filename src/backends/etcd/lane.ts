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
import type { Compare, DeleteRequest, Operation, Outcome, Transaction } from './messages.ts'
import { DELETE, IS, OF, TXN } from './messages.ts'

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
  /** Asked before it is sent, each time; if not, it is not sent any more. */
  readonly wanted?: () => boolean
}

export interface Words {
  readonly operation: Operation
  /** What it may attach a key to: nothing is done when their epochs are over. */
  readonly leases?: readonly Lease[]
}

interface Asked extends Question {
  /** Not with others again: one of them failed for all. */
  alone: boolean
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

export class Lane {
  readonly #client: EtcdClient
  readonly #leases: Leases
  readonly #flushLater = (): void => this.#flush()
  #waiting: Asked[] = []
  /** It is flushed at the end of this turn. */
  #isDue = false
  #flying = 0
  /** What the questions that are on their way keep apart. */
  readonly #busy = new FleetingSet<string>()

  constructor(client: EtcdClient, leases: Leases) {
    this.#client = client
    this.#leases = leases
  }

  /** @throws EtcdError `unavailable`: nobody knows what was done; else nothing was */
  ask(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...question, alone: false, resolve, reject })
      if (this.#isDue) return
      this.#isDue = true
      process.nextTick(this.#flushLater)
    })
  }

  #flush(): void {
    this.#isDue = false
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
      const { apart, alone, wanted } = asked
      if (wanted?.() === false) {
        asked.reject(new EtcdError(GRPC.failedPrecondition, 'it was given up before it was sent'))
        continue
      }
      const full = batch.length === QUESTIONS_MAX || (batch.length > 0 && (alone || batch[0]!.alone))
      if (full || apart.some((word) => this.#busy.has(word))) {
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
    const leases = all.length === 1 ? (all[0]!.leases ?? []) : [...new Set(all.flatMap((each) => each.leases ?? []))]
    const operations = all.map(({ operation }) => operation)
    try {
      const { outcomes, revision } = await this.#ask(operations, leases)
      if (outcomes) for (const [index, { resolve }] of batch.entries()) resolve({ outcome: outcomes[index]!, revision })
      // An epoch is over, and nothing was done.
      else this.#waiting.unshift(...batch)
    } catch (error) {
      // One of the leases is gone: nothing was done, and each finds out whether it was its own.
      if (error instanceof EtcdError && error.grpc === GRPC.notFound) {
        await Promise.allSettled(leases.map((lease) => this.#leases.beat(lease)))
        if (batch.length > 1) {
          for (const asked of batch) asked.alone = true
          this.#waiting.unshift(...batch)
          return
        }
      }
      for (const { reject } of batch) reject(error)
    }
  }

  #ask(operations: readonly Operation[], leases: readonly Lease[]): Promise<Done> {
    const [first] = operations as readonly [Operation]
    if (operations.length > 1) return this.#together(operations, leases)
    if (first.transaction) return this.#transact(first.transaction, leases)
    return first.delete ? this.#delete(first.delete) : this.#together(operations, leases)
  }

  /** A deletion on no condition needs no transaction. */
  async #delete(request: Partial<DeleteRequest>): Promise<Done> {
    const answer = await this.#client.call(DELETE, request)
    return { outcomes: [{ delete: answer }], revision: answer.header!.revision }
  }

  /** Many questions, one inside of another; nothing is done, and there are no outcomes, when an epoch is over. */
  async #together(success: readonly Operation[], leases: readonly Lease[]): Promise<Done> {
    const { compare, failure } = this.#epochsOf(leases)
    const { succeeded, outcomes, header } = await this.#client.call(TXN, { compare, success, failure })
    if (!succeeded) takeEpochs(leases, outcomes)
    return { outcomes: succeeded ? outcomes : undefined, revision: header!.revision }
  }

  /** One question that is a transaction, as it is: a tenth less for the server. */
  async #transact(
    { compare = [], success = [], failure = [] }: Partial<Transaction>,
    leases: readonly Lease[],
  ): Promise<Done> {
    const epochs = this.#epochsOf(leases)
    const otherwise = { transaction: { compare: epochs.compare, success: failure, failure: [] } }
    const { succeeded, outcomes, header } = await this.#client.call(TXN, {
      compare: [...epochs.compare, ...compare],
      success,
      // What failed may have been an epoch.
      failure: leases.length === 0 ? failure : [...epochs.failure, otherwise],
    })
    const { revision } = header!
    if (succeeded || leases.length === 0) return { outcomes: [{ transaction: { succeeded, outcomes } }], revision }
    const last = outcomes.at(-1)!.transaction!
    if (last.succeeded) return { outcomes: [{ transaction: { succeeded, outcomes: last.outcomes } }], revision }
    takeEpochs(leases, outcomes)
    return { outcomes: undefined, revision }
  }

  /** Conditions that none is over, and what to read if one is. */
  #epochsOf(leases: readonly Lease[]): { compare: Partial<Compare>[]; failure: Operation[] } {
    const keys = leases.map(({ epochKey }) => epochKey)
    const compare = keys.map((key, index): Partial<Compare> => {
      return { key, of: OF.version, is: IS.equal, version: leases[index]!.epoch }
    })
    return { compare, failure: keys.map((key): Operation => ({ range: { key } })) }
  }
}

interface Done {
  readonly outcomes: readonly Outcome[] | undefined
  readonly revision: number
}

function takeEpochs(leases: readonly Lease[], outcomes: readonly Outcome[]): void {
  for (const [index, lease] of leases.entries()) lease.epoch = versionOf(outcomes[index])
}

function versionOf(outcome: Outcome | undefined): number {
  return outcome?.range?.kvs[0]?.version ?? 0
}
