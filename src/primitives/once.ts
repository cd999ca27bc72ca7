/** One run per period, for schedulers that fire on several machines. */
import type { Duration } from '../core/duration.ts'
import type { Lease } from '../core/lease.ts'
import type { LeaseOptions } from '../core/request.ts'
import { checkFunction, checkKnown, finite, positive } from '../core/request.ts'
import { mutex } from './mutex.ts'
import type { Desk } from './lockable.ts'
import { runHolding } from './lockable.ts'

export interface OnceOptions extends Omit<LeaseOptions, 'minHold' | 'reentrant'> {
  /**
   * Others do not run within this time from the grant, however quickly the run ends; that covers clocks that differ.
   * Give a little less than the period of the schedule: `'55m'` for an hourly job.
   */
  readonly every: Duration
}

/** It never waits, and holds for `every`: what speaks of waiting, and `minHold`, would mean nothing here. */
const KNOWN = new Set(['every', 'ttl', 'margin', 'maxHold', 'lockDelay', 'label'])

/** Whether it ran here. It did not when somebody else runs it, or has run it within the period. */
export type OnceResult<T> = { readonly ran: true; readonly value: T } | { readonly ran: false }

/**
 * Run `fn` unless somebody else does, or has done so within the period. Never waits. A run that throws counts as a run;
 * one whose process died does not.
 */
export async function once<T>(
  desk: Desk,
  name: string,
  options: OnceOptions,
  fn: (lease: Lease) => T | Promise<T>,
): Promise<OnceResult<T>> {
  // Checked first: a lease that was taken for nothing would linger for the whole period.
  checkFunction(fn, 'once')
  checkKnown(options, KNOWN)
  const { every, ...rest } = options
  positive(every, 'every', finite)
  const lease = await mutex(desk, name).tryAcquire({ ...rest, minHold: every })
  if (!lease) return { ran: false }
  return { ran: true, value: await runHolding(desk.session, lease, [lease], fn) }
}
