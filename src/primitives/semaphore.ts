/** So many at a time. */
import type { InnerLease, Lease } from '../core/lease.ts'
import type { AcquireOptions } from '../core/request.ts'
import { checkName, count, request } from '../core/request.ts'
import { ArgumentRangeError } from '../core/errors.ts'
import type { Desk, Lockable } from './lockable.ts'
import { lockable, obtain } from './lockable.ts'

export interface SemaphoreOptions extends AcquireOptions {
  /** How many to take. Default 1. */
  readonly permits?: number
}

/** A number of permits, shared by all who use the name. All must agree on how many there are. */
export interface Semaphore extends Lockable<SemaphoreOptions> {
  readonly permits: number
}

export function semaphore(desk: Desk, name: string, permits: number): Semaphore {
  checkName(name)
  const capacity = count(permits, 'permits', 1)
  const take = (options: SemaphoreOptions): Promise<InnerLease> => {
    const weight = count(options.permits ?? 1, 'permits', 1)
    if (weight > capacity)
      throw new ArgumentRangeError(
        `permits is ${weight}, but "${name}" has ${capacity}; nobody could ever be granted that`,
      )
    const asked = request(name, { kind: 'permits', mode: 'permits', weight, capacity }, options, desk.defaults, [
      'permits',
    ])
    return obtain(desk.session, asked)
  }
  return { permits: capacity, ...lockable<SemaphoreOptions, Lease>(desk, take, (lease) => [lease as InnerLease]) }
}
