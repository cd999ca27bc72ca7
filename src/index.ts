/**
 * holdfast: locks that hold across processes and machines.
 *
 * `connect` is the door. The words: a *lease* is the right to hold a *name* for a while; its *fence* grows with every
 * grant, so that a resource can refuse an old holder.
 */
export { connect } from './connect.ts'
export type { ConnectOptions } from './connect.ts'
export { Locks } from './locks.ts'
export type { Inspected, Inspection } from './locks.ts'
export * from './core/errors.ts'
export { EVENTS } from './core/events.ts'
export type { HoldfastEvents } from './core/events.ts'
export type { Duration } from './core/duration.ts'
export type { Held, Lease, LeaseState, WriteLease } from './core/lease.ts'
export type { AcquireOptions, LeaseOptions, Mode, QueueKind, WaitOptions } from './core/request.ts'
export type { Who } from './core/who.ts'
export type { Election, ElectionOptions, Leader, Term } from './primitives/election.ts'
export type { Lockable, TryOptions } from './primitives/lockable.ts'
export type { ReadWriteLock } from './primitives/mutex.ts'
export type { OnceOptions, OnceResult } from './primitives/once.ts'
export type { Semaphore, SemaphoreOptions } from './primitives/semaphore.ts'
export type { LeaseSet } from './primitives/several.ts'
export type { Flight } from './primitives/single-flight.ts'
export type {
  Backend,
  Claim,
  Entry,
  EntryView,
  Finding,
  QueueView,
  Refused,
  Renewal,
  Standing,
  Supports,
  Wake,
} from './backend.ts'
export { WHOLE } from './backend.ts'
export type { Clocks, Identity, Runtime, Timer } from './runtime.ts'
