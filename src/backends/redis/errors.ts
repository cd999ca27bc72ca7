/** What a Redis server or its client says, in the words of the contract. */
import type { BackendErrorCode } from '../../backend.ts'
import { BackendError } from '../../backend.ts'

const SIGNS: readonly (readonly [sign: RegExp, code: BackendErrorCode, text: string])[] = [
  [/HOLDFASTVERSION/, 'STORE_VERSION', 'its queues were made by another version of holdfast'],
  [/\b(?:NOAUTH|WRONGPASS|NOPERM)\b|invalid password/, 'DENIED', 'it refuses this user'],
  [/\bOOM\b/, 'STORE_FULL', 'its memory is full (maxmemory)'],
  [/\bWRONGTYPE\b/, 'STORE_DAMAGED', 'a key of a lock was overwritten with something else'],
]

/** An error of a client as one of the contract; our own pass through. Anything that may pass is `UNAVAILABLE`. */
export function redisError(cause: unknown): BackendError {
  if (cause instanceof BackendError) return cause
  const said = cause instanceof Error ? cause.message : String(cause)
  const [, code, text] = SIGNS.find(([sign]) => sign.test(said)) ?? ([undefined, 'UNAVAILABLE', undefined] as const)
  return new BackendError(code, `redis: ${text === undefined ? said : `${text}: ${said}`}`, { cause })
}
