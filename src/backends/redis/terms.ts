/**
 * The terms of an entry: what its join says that most other joins of the same process say, too.
 *
 * Within one request, terms that are one object are sent once. Alone, they are sent as they are.
 */
import type { Entry } from '../../backend.ts'
import { micros } from './answer.ts'

/** weight, capacity, ttl, ttl of a waiter, 1 if it waits or 0, most waiters or -1, lock delay, inbox, info. */
type Values = readonly [number, number, number, number, 0 | 1, number, number, string, string]

export class Terms {
  readonly words: readonly string[]
  readonly #values: Values
  #json: string | undefined

  constructor(values: Values) {
    this.#values = values
    this.words = values.map(String)
  }

  get json(): string {
    return (this.#json ??= JSON.stringify(this.#values))
  }
}

/** Whoever asks next is likely to ask on the same terms. */
export class LastTerms {
  #entry: Entry | undefined
  #inbox = ''
  #terms!: Terms

  of(entry: Entry, inbox: string): Terms {
    if (!this.#entry || inbox !== this.#inbox || !agree(entry, this.#entry)) {
      const { weight, capacity, ttlMs, waitTtlMs, wait, waitersMax = -1, lockDelayMs = 0, info = '' } = entry
      const times = [micros(ttlMs), micros(waitTtlMs)] as const
      this.#terms = new Terms([weight, capacity, ...times, wait ? 1 : 0, waitersMax, micros(lockDelayMs), inbox, info])
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
