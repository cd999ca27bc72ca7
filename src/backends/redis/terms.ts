/**
 * The terms of an entry: what its join says that most other joins of the same process say, too.
 *
 * Within one request, terms that are one object are sent once. What a queue of one entry has to know stands apart; the rest the
 * server keeps as it is.
 */
import type { Entry } from '../../backend.ts'
import { micros } from './answer.ts'

/** ttl, lock delay, and a list in JSON: weight, capacity, ttl of a waiter, 1 if it waits or 0, most waiters or -1, inbox, info. */
export type Terms = readonly [ttl: string, lockDelay: string, others: string]

/** Whoever asks next is likely to ask on the same terms. */
export class LastTerms {
  #entry: Entry | undefined
  #inbox = ''
  #terms!: Terms

  of(entry: Entry, inbox: string): Terms {
    if (!this.#entry || inbox !== this.#inbox || !agree(entry, this.#entry)) {
      const { weight, capacity, ttlMs, waitTtlMs, wait, waitersMax = -1, lockDelayMs = 0, info = '' } = entry
      const others = [weight, capacity, micros(waitTtlMs), wait ? 1 : 0, waitersMax, inbox, info]
      this.#terms = [String(micros(ttlMs)), String(micros(lockDelayMs)), JSON.stringify(others)]
      this.#entry = entry
      this.#inbox = inbox
    }
    return this.#terms
  }
}

function agree(one: Entry, other: Entry): boolean {
  return (
    one.info === other.info &&
    one.ttlMs === other.ttlMs &&
    one.waitTtlMs === other.waitTtlMs &&
    one.wait === other.wait &&
    one.weight === other.weight &&
    one.capacity === other.capacity &&
    one.waitersMax === other.waitersMax &&
    one.lockDelayMs === other.lockDelayMs
  )
}
