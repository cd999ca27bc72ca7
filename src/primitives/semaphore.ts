/** So many at a time. */
import type { InnerLease } from '../core/lease.ts'
import type { AcquireOptions, Shape } from '../core/request.ts'
import { OPTIONS, checkName, checkSharing, count, request } from '../core/request.ts'
import { ArgumentRangeError } from '../core/errors.ts'
import type { Desk, Lockable } from './lockable.ts'
import { lockable, obtain } from './lockable.ts'

export interface SemaphoreOptions extends AcquireOptions {
  /** How many to take. Default 1. */
  readonly permits?: number
}

const KNOWN = new Set(['permits', ...OPTIONS])

/** A number of permits, shared by all who use the name. All must agree on how many there are. */
export interface Semaphore extends Lockable<SemaphoreOptions> {
  readonly permits: number
}

export function semaphore(desk: Desk, name: string, permits: number): Semaphore {
  checkName(name)
  const capacity = count(permits, 'permits', 1)
  const one: Shape = { kind: 'permits', mode: 'permits', weight: 1, capacity }
  checkSharing(desk.session.backend, name, one)
  const take = (options: SemaphoreOptions): Promise<InnerLease> => {
    const asked = request(name, one, options, desk.defaults, KNOWN)
    const weight = options.permits === undefined ? 1 : count(options.permits, 'permits', 1)
    if (weight > capacity)
      throw new ArgumentRangeError(
        `permits is ${weight}, but "${name}" has ${capacity}; nobody could ever be granted that`,
      )
    return obtain(desk.session, { ...asked, weight })
  }
  return { permits: capacity, ...lockable<SemaphoreOptions, InnerLease>(desk, take, (lease) => [lease]) }
}
