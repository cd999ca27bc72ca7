/**
 * What the running code holds already, so that it is told of a self-deadlock instead of waiting for itself.
 *
 * Only what runs inside of `run` is known: a lease from `acquire` belongs to whoever has it. The context follows async
 * calls, also into work that is started and not awaited.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { HeldError, SelfDeadlockError } from './errors.ts'
import type { CoreLease, InnerLease } from './lease.ts'
import { SharedHold } from './lease.ts'
import type { Request } from './request.ts'
import type { Session } from './session.ts'

interface Holding {
  readonly session: Session
  readonly lease: CoreLease
  readonly outer: Holding | undefined
}

const context = new AsyncLocalStorage<Holding>()

/** Call `fn` as code that holds `leases`. */
export function holding<T>(session: Session, leases: readonly InnerLease[], fn: () => T): T {
  const inner = leases.reduce<Holding | undefined>(
    (outer, { core }) => ({ session, lease: core, outer }),
    context.getStore(),
  )
  return inner ? context.run(inner, fn) : fn()
}

/**
 * Whether the running code holds what it asks for.
 *
 * @returns the lease it has, held once more, when it asked for that
 * @throws SelfDeadlockError when it would wait for itself, HeldError when it would not wait
 */
export function heldAlready(session: Session, request: Request): InnerLease | undefined {
  const own = ownOf(session, request.queue)
  const lease = own[0]
  if (!lease) return undefined
  const weight = own.reduce((sum, each) => sum + each.weight, 0)
  // A second reader would fit, but behind a waiting writer, who waits for the first.
  const deadlock = request.kind !== 'permits' || weight + request.weight > request.capacity
  const covering = own.find((each) => each.weight >= request.weight)
  if (request.reentrant && covering) return new SharedHold(covering)
  if (!deadlock) return undefined
  if (request.waitMs === 0) throw new HeldError(request.name, 'the code that asks for it')
  throw new SelfDeadlockError(request.name, fix(request, covering))
}

/** Whether the running code holds anything of this queue. */
export function holdsAny(session: Session, queue: string): boolean {
  return ownOf(session, queue).length > 0
}

/** The leases of the running code on this queue, the innermost first. */
function ownOf(session: Session, queue: string): CoreLease[] {
  const own: CoreLease[] = []
  for (let each = context.getStore(); each; each = each.outer)
    if (each.session === session && isHeld(each.lease, queue)) own.push(each.lease)
  return own
}

function isHeld(lease: CoreLease, queue: string): boolean {
  return lease.request.queue === queue && (lease.state === 'held' || lease.state === 'doubtful')
}

function fix(request: Request, covering: CoreLease | undefined): string {
  if (request.kind === 'permits') return 'Take all permits that are needed at once, with { permits }.'
  if (!covering) return 'A reader cannot become a writer; acquire the write side first and downgrade it.'
  return 'Hand the lease on to where it is needed, or set reentrant: true to hold it twice.'
}
