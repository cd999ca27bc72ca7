/** What the script answers, in the words of the contract. */
import type { Memory } from '../../quorum/node.ts'
import type { QueueView, Renewal, Standing } from '../../backend.ts'

/** A client may be set to answer numbers as text. */
type Numeric = number | string

type Answer =
  /** Holds, with this fence, for as long as was asked for. */
  | Numeric
  | readonly ['held', fence: Numeric, ttl: Numeric]
  | readonly ['waiting', fence: Numeric, ttl: Numeric, ahead: Numeric, retryAfter: Numeric]
  | readonly [
      'refused',
      reason: 'held' | 'full' | 'capacity' | 'quarantine',
      retryAfter: Numeric,
      capacity: Numeric,
      holder: string,
    ]
  | readonly ['lost']

/** @param askedMs what the lease was to last, where that was said */
export function standing(said: unknown, askedMs = 0): Standing | Renewal {
  const answer = said as Answer
  if (typeof answer !== 'object') return { state: 'held', fence: BigInt(answer), ttlMs: askedMs }
  switch (answer[0]) {
    case 'held':
      return { state: 'held', fence: BigInt(answer[1]), ttlMs: millis(answer[2]) }
    case 'waiting': {
      const [, fence, ttl, ahead, retryAfter] = answer
      return {
        state: 'waiting',
        fence: BigInt(fence),
        ttlMs: millis(ttl),
        ahead: Number(ahead),
        retryAfterMs: millis(retryAfter),
      }
    }
    case 'refused': {
      const [, reason, retryAfter, capacity, holder] = answer
      return {
        state: 'refused',
        reason,
        retryAfterMs: Number(retryAfter) < 0 ? Infinity : millis(retryAfter),
        ...(holder === '' ? {} : { holder }),
        ...(reason === 'capacity' ? { capacity: Number(capacity) } : {}),
      }
    }
    case 'lost':
      return { state: 'lost' }
  }
}

export type Looked = readonly [capacity: Numeric, holders: Numeric, entries: readonly LookedEntry[]]
type LookedEntry = readonly [
  fence: Numeric,
  weight: Numeric,
  age: Numeric,
  held: Numeric,
  ttl: Numeric,
  lingering: Numeric,
  info: string,
]

export function viewOf(name: string, [capacity, holders, entries]: Looked): QueueView | undefined {
  if (entries.length === 0) return undefined
  const seats = entries.map(([fence, weight, age, held, ttl, lingering, info]) => ({
    fence: BigInt(fence),
    weight: Number(weight),
    ageMs: millis(age),
    ttlMs: millis(ttl),
    lingering: yes(lingering),
    ...(Number(held) < 0 ? {} : { heldMs: millis(held) }),
    ...(info === '' ? {} : { info }),
  }))
  return {
    name,
    capacity: Number(capacity),
    holders: seats.slice(0, Number(holders)),
    waiters: seats.slice(Number(holders)),
  }
}

export type Recalled = readonly [incarnation: string, top: Numeric, quarantine: Numeric]

export function memoryOf([incarnation, top, quarantine]: Recalled): Memory {
  return { incarnation, top: BigInt(top), quarantineMs: Number(quarantine) < 0 ? undefined : millis(quarantine) }
}

/** Of one verb of many: nobody knows what became of it. */
export function failed(answer: unknown): answer is readonly ['error', unknown] {
  return Array.isArray(answer) && answer[0] === 'error'
}

/** Of one verb of many: nothing was done, for it takes more keys than were given. */
export function isCrowded(answer: unknown): boolean {
  return Array.isArray(answer) && answer[0] === 'crowded'
}

function millis(micros: Numeric): number {
  return Number(micros) / 1000
}

/** As the server counts: no lease is shorter than it was asked for. */
export function micros(ms: number): number {
  return Math.ceil(ms * 1000)
}

/** Of a verb that says whether it found what it was asked for. */
export function yes(answer: unknown): boolean {
  return Number(answer) === 1
}
