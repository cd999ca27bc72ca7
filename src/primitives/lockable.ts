/** `run`, `acquire` and `tryAcquire`: the three ways to hold something, the same for every primitive. */
import { acquire } from '../core/acquire.ts'
import { heldAlready, holding } from '../core/context.ts'
import type { LeaseLostError } from '../core/errors.ts'
import { ArgumentTypeError, HeldError } from '../core/errors.ts'
import type { Held, InnerLease, Lease } from '../core/lease.ts'
import { promised } from '../core/promised.ts'
import type { AcquireOptions, Defaults, Request } from '../core/request.ts'
import { checkFunction, checkObject } from '../core/request.ts'
import type { Session } from '../core/session.ts'

/** What every primitive is made from: the connection, and what holds where a caller says nothing. */
export interface Desk {
  readonly session: Session
  readonly defaults: Defaults
}

/** Everything but how long to wait: a try does not. */
export type TryOptions<O extends AcquireOptions = AcquireOptions> = Omit<O, 'wait' | 'maxWaiters'>

/** What can be held. */
export interface Lockable<O extends AcquireOptions = AcquireOptions, L extends Held = Lease> {
  /**
   * Hold it while `fn` runs, and give it back when `fn` is done.
   *
   * @returns what `fn` returned
   * @throws what `fn` threw (a loss is attached to it as `leaseLost`); LeaseLostError when the lease was lost, even if
   *   `fn` resolved; what `acquire` throws
   */
  run<T>(fn: (lease: L) => T | Promise<T>): Promise<T>
  run<T>(options: O, fn: (lease: L) => T | Promise<T>): Promise<T>
  /** Wait for it. Rejects when it was not granted; the error's `code` says why. */
  acquire(options?: O): Promise<L>
  /** Take it if nobody holds it, and nobody waits for it. `undefined` if somebody does. */
  tryAcquire(options?: TryOptions<O>): Promise<L | undefined>
}

/** Make the three from one: how to acquire with options. `inner` names the leases behind what the user gets. */
export function lockable<O extends AcquireOptions, L extends Held>(
  desk: Desk,
  take: (options: O) => Promise<L>,
  inner: (lease: L) => readonly InnerLease[],
): Lockable<O, L> {
  return {
    async run<T>(
      ...args: [fn: (lease: L) => T | Promise<T>] | [options: O, fn: (lease: L) => T | Promise<T>]
    ): Promise<T> {
      const [options, fn] = args.length === 1 ? [{} as O, args[0]] : args
      checkFunction(fn, 'run')
      const lease = await take(options)
      return runHolding(desk.session, lease, inner(lease), fn)
    },
    acquire: (options = {} as O) => promised(() => take(options)),
    tryAcquire: async (options = {} as O) => {
      checkTry(options)
      return attempt(() => take({ ...options, wait: 0 } as O))
    },
  }
}

/** Checked before they are copied: a copy of `null` is an object. */
function checkTry(options: unknown): void {
  checkObject(options)
  for (const key of ['wait', 'maxWaiters'])
    if (key in options) throw new ArgumentTypeError(`tryAcquire has no option '${key}': it never waits`)
}

/** Being held by another is an answer, not an error, for those who try. */
async function attempt<T>(take: () => Promise<T>): Promise<T | undefined> {
  try {
    return await take()
  } catch (error) {
    if (error instanceof HeldError) return undefined
    throw error
  }
}

/** Hold one name, again if the running code holds it already and asked for that. */
export function obtain(session: Session, request: Request, value?: string): Promise<InnerLease> {
  // Whoever was told to stop gets nothing, not even what it holds; `acquire` rejects with the reason.
  const own = request.signal?.aborted ? undefined : heldAlready(session, request)
  return own ? Promise.resolve(own) : acquire(session, request, session.info(request.label, value))
}

/** Run `fn` under leases that are held, give them back, and tell of a loss. */
export async function runHolding<L extends Held, T>(
  session: Session,
  lease: L,
  inner: readonly InnerLease[],
  fn: (lease: L) => T | Promise<T>,
): Promise<T> {
  const lossOf = (): LeaseLostError | undefined => inner.map((each) => each.loss).find((loss) => loss !== undefined)
  try {
    const value = await unlessAbandoned(session, inner, lossOf, async () => holding(session, inner, () => fn(lease)))
    const loss = lossOf()
    if (loss) throw loss
    return value
  } catch (error) {
    const loss = lossOf()
    // The function's own error says more about what it did; but whoever handles it must know of the loss.
    if (loss && error !== loss && error instanceof Error && Object.isExtensible(error)) {
      Object.defineProperty(error, 'leaseLost', { value: loss, configurable: true })
    }
    throw error
  } finally {
    await lease.release()
  }
}

/** Await `work`; but when the lease is lost and `work` does not heed the signal within the grace, go on without it. */
function unlessAbandoned<T>(
  session: Session,
  inner: readonly InnerLease[],
  lossOf: () => LeaseLostError | undefined,
  work: () => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const { agenda, clock, options } = session
    const undo: (() => void)[] = []
    const end = (settle: () => void): void => {
      for (const each of undo) each()
      settle()
    }
    const lost = (): void => {
      const limit = agenda.at(clock.now() + options.graceMs, () => end(() => reject(lossOf())))
      undo.push(agenda.keepAlive(), () => limit.cancel())
    }
    for (const each of inner) undo.push(each.on('lost', lost))
    if (lossOf()) lost()
    work().then(
      (value) => end(() => resolve(value)),
      (error: unknown) => end(() => reject(error)),
    )
  })
}
