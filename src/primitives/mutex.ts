/** One at a time. */
import type { InnerLease, WriteLease } from '../core/lease.ts'
import type { AcquireOptions, Shape } from '../core/request.ts'
import { EXCLUSIVE, SHARED, checkSharing, request } from '../core/request.ts'
import type { Desk, Lockable } from './lockable.ts'
import { lockable, obtain } from './lockable.ts'

/** A lock of one shape on one name. */
function lockOf(desk: Desk, name: string, shape: Shape): Lockable<AcquireOptions, InnerLease> {
  const take = (options: AcquireOptions): Promise<InnerLease> =>
    obtain(desk.session, request(name, shape, options, desk.defaults))
  return lockable(desk, take, (lease) => [lease])
}

export function mutex(desk: Desk, name: string): Lockable<AcquireOptions, InnerLease> {
  return lockOf(desk, name, EXCLUSIVE)
}

/**
 * Many readers or one writer. A waiting writer stops later readers, so writers do not starve. A mutex of the same name is
 * its write side.
 */
export interface ReadWriteLock {
  /** The shared side. */
  read(): Lockable
  /** The exclusive side. A writer can `downgrade()` to a reader without letting go. */
  write(): Lockable<AcquireOptions, WriteLease>
}

export function readWriteLock(desk: Desk, name: string): ReadWriteLock {
  return {
    read: () => {
      checkSharing(desk.session.backend, name, SHARED)
      return lockOf(desk, name, SHARED)
    },
    write: () => lockOf(desk, name, EXCLUSIVE),
  }
}
