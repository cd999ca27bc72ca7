/** What no queue can ever serve. */
import type { Entry, Refused } from '../backend.ts'

/**
 * The refusal of an entry that weighs more than its capacity: without room for it, nobody could ever be served behind it. The core
 * refuses such a weight with a better message. `undefined`: it fits.
 */
export function tooHeavy({ weight, capacity }: Entry): Refused | undefined {
  if (weight <= capacity) return undefined
  return { state: 'refused', reason: 'capacity', retryAfterMs: Infinity, capacity }
}
