/**
 * What can go wrong, one class and one stable `code` each. Expected outcomes are values (`tryAcquire` answers
 * `undefined`, `release` answers `'gone'`); these are the rest. Tell them apart by `code`, which survives two copies of
 * the package in one process; `instanceof` works within one.
 */
import { seconds } from './text.ts'

export { BackendError } from '../backend.ts'
export type { BackendErrorCode } from '../backend.ts'

/** Everything that holdfast throws by itself has a `code`; most of it has the `lock` it is about. */
export class HoldfastError extends Error {
  override readonly name: string = 'HoldfastError'
  readonly code: string
  /** The name that the error is about. */
  readonly lock: string | undefined

  constructor(code: string, lock: string | undefined, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.lock = lock
  }
}

/** `HELD`: somebody else holds the name, and the caller would not wait. */
export class HeldError extends HoldfastError {
  override readonly name = 'HeldError'
  /** What the holder says of itself, if it is known. */
  readonly holder: string | undefined

  constructor(lock: string, holder: string | undefined) {
    super('HELD', lock, `"${lock}" is held${by(holder)}. Set wait to stand in the queue.`)
    this.holder = holder
  }
}

/** `WAIT_TIMEOUT`: the caller's `wait` ran out while it stood in the queue. */
export class WaitTimeoutError extends HoldfastError {
  override readonly name = 'WaitTimeoutError'
  readonly waitedMs: number
  /** How many stood before it at the end, holders included; `undefined` where the coordinator keeps no queue. */
  readonly ahead: number | undefined

  constructor(lock: string, waitedMs: number, ahead: number | undefined) {
    const place = ahead === undefined ? '' : ` with ${ahead} ahead`
    super(
      'WAIT_TIMEOUT',
      lock,
      `"${lock}" was not granted within ${seconds(waitedMs)}${place}; the place in the queue is given up.`,
    )
    this.waitedMs = waitedMs
    this.ahead = ahead
  }
}

/** `QUEUE_FULL`: `maxWaiters` others wait already. */
export class QueueFullError extends HoldfastError {
  override readonly name = 'QueueFullError'

  constructor(lock: string, maxWaiters: number) {
    super('QUEUE_FULL', lock, `"${lock}" has ${maxWaiters} waiters already, and maxWaiters is ${maxWaiters}.`)
  }
}

/** Why a lease ended before it was released. */
export type LossReason =
  /** No renewal was answered in time: by the local clock somebody else may hold from now on. */
  | 'expired'
  /** The coordinator said that the entry is gone: evicted, flushed, or ended by its clock. */
  | 'gone'
  /** It was held for `maxHold`. */
  | 'max-hold'
  /** The `Locks` it came from were closed. */
  | 'closed'
  /** Not lost at all: its holder had released it, and then used it. */
  | 'released'

/** `LEASE_LOST`: the lease ended before it was released. Work done since then is not protected. */
export class LeaseLostError extends HoldfastError {
  override readonly name = 'LeaseLostError'
  readonly reason: LossReason
  readonly fence: bigint

  constructor(lock: string, reason: LossReason, fence: bigint, detail: string, options?: ErrorOptions) {
    const advice =
      reason === 'released'
        ? 'Acquire it again.'
        : `Work done since then is not protected; check it with fence ${fence}.`
    super('LEASE_LOST', lock, `the lease on "${lock}" ${detail} ${advice}`, options)
    this.reason = reason
    this.fence = fence
  }
}

/** `STALE_FENCE`: a resource refused an access, because it has seen a holder that came later. Nothing was read or written. */
export class StaleFenceError extends HoldfastError {
  override readonly name = 'StaleFenceError'
  /** The fence that was refused. */
  readonly fence: bigint
  /** The fence that it is older than. */
  readonly newest: bigint

  constructor(lock: string, fence: bigint, newest: bigint, options?: ErrorOptions) {
    super(
      'STALE_FENCE',
      lock,
      `fence ${fence} of "${lock}" is refused: the resource has seen fence ${newest}. Stop: somebody else holds, or held.`,
      options,
    )
    this.fence = fence
    this.newest = newest
  }
}

/** `SELF_DEADLOCK`: the same async context holds the name already and would wait for itself. */
export class SelfDeadlockError extends HoldfastError {
  override readonly name = 'SelfDeadlockError'

  constructor(lock: string, fix: string) {
    super(
      'SELF_DEADLOCK',
      lock,
      `"${lock}" is already held by the code that asks for it, which would wait for itself. ${fix}`,
    )
  }
}

/** `CAPACITY_MISMATCH`: others use this semaphore with another number of permits right now. */
export class CapacityMismatchError extends HoldfastError {
  override readonly name = 'CapacityMismatchError'

  constructor(lock: string, asked: number, inUse: number) {
    super(
      'CAPACITY_MISMATCH',
      lock,
      `"${lock}" is in use with ${inUse} permits, and this asks for one of ${asked}; all must agree.`,
    )
  }
}

/** `UNREACHABLE`: the coordinator did not answer in time, or could not. `cause` is what it said. */
export class UnreachableError extends HoldfastError {
  override readonly name = 'UnreachableError'

  constructor(lock: string | undefined, what: string, options?: ErrorOptions) {
    super('UNREACHABLE', lock, what, options)
  }
}

/** `CLOSED`: `close()` was called on these locks. */
export class ClosedError extends HoldfastError {
  override readonly name = 'ClosedError'

  constructor(lock?: string) {
    super('CLOSED', lock, 'these locks are closed; connect() anew to go on.')
  }
}

/** `NOT_SUPPORTED`: this coordinator cannot do that. */
export class NotSupportedError extends HoldfastError {
  override readonly name = 'NotSupportedError'

  constructor(lock: string | undefined, message: string) {
    super('NOT_SUPPORTED', lock, message)
  }
}

/** `BAD_URL`: what was given to `connect` names no coordinator that we know. */
export class BadUrlError extends HoldfastError {
  override readonly name = 'BadUrlError'

  constructor(message: string, options?: ErrorOptions) {
    super('BAD_URL', undefined, message, options)
  }
}

/** `BAD_ARGUMENT`: an argument of the wrong type or form. */
export class ArgumentTypeError extends TypeError {
  override readonly name = 'ArgumentTypeError'
  readonly code = 'BAD_ARGUMENT'
}

/** `BAD_ARGUMENT`: an argument outside of its range. */
export class ArgumentRangeError extends RangeError {
  override readonly name = 'ArgumentRangeError'
  readonly code = 'BAD_ARGUMENT'
}

function by(holder: string | undefined): string {
  return holder === undefined ? ' by another' : ` by ${holder}`
}
