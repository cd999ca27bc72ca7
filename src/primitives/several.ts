/**
 * Several names at once, all or nothing.
 *
 * One after the other, in the order of their names: whoever takes several takes them in the same order, so two never wait
 * for each other. What is held already is kept alive while the rest is waited for; if one of it is lost meanwhile, all is
 * given back and taken anew, within the same deadline.
 *
 * That is a round trip for each name. Where nobody is in the way, and the coordinator can decide about several queues in one
 * step, it is one for all of them.
 */
import { acquireTogether } from '../core/acquire.ts'
import { holding, holdsAny } from '../core/context.ts'
import type { Duration } from '../core/duration.ts'
import { ArgumentTypeError, LeaseLostError, WaitTimeoutError } from '../core/errors.ts'
import type { Held, InnerLease } from '../core/lease.ts'
import type { AcquireOptions, Request } from '../core/request.ts'
import { EXCLUSIVE, request } from '../core/request.ts'
import type { Desk, Lockable } from './lockable.ts'
import { lockable, obtain } from './lockable.ts'

/** Leases on several names that are held, lost and released together. */
export interface LeaseSet extends Held {
  /** The names, sorted. */
  readonly names: readonly string[]
  /** The fence of each name. */
  readonly fences: ReadonlyMap<string, bigint>
}

export function several(desk: Desk, names: readonly string[]): Lockable<AcquireOptions, LeaseSet> {
  if (names.length === 0) throw new ArgumentTypeError('there are no names; give at least one')
  if (new Set(names).size < names.length) throw new ArgumentTypeError('a name is given twice; one lease holds it once')
  return lockable<AcquireOptions, LeaseSet>(
    desk,
    (options) => takeAll(desk, names, options),
    (set) => (set as Leases).leases,
  )
}

async function takeAll(desk: Desk, names: readonly string[], options: AcquireOptions): Promise<Leases> {
  const { clock } = desk.session
  const requests = names.map((name) => request(name, EXCLUSIVE, options, desk.defaults))
  requests.sort((a, b) => (a.queue < b.queue ? -1 : 1))
  const since = clock.now()
  const together = await takeTogether(desk, requests)
  if (together) return new Leases(together, clock.now() - since)
  for (;;) {
    const leases = await takeRound(desk, requests, since)
    if (leases) return new Leases(leases, clock.now() - since)
  }
}

/** All of them at once; `undefined`: somebody is in the way, or the coordinator cannot. */
async function takeTogether({ session }: Desk, requests: readonly Request[]): Promise<InnerLease[] | undefined> {
  const [{ signal }] = requests as readonly [Request]
  // What the running code holds already is for the rounds to say.
  if (signal?.aborted || requests.some((each) => holdsAny(session, each.queue))) return undefined
  return acquireTogether(session, requests, ({ label }) => session.info(label))
}

/** One round over all names; `undefined` when one was lost while others were waited for. */
async function takeRound(desk: Desk, requests: readonly Request[], since: number): Promise<InnerLease[] | undefined> {
  const { session } = desk
  const leases: InnerLease[] = []
  const lost = new AbortController()
  try {
    for (const each of requests) {
      const waitMs = each.waitMs === 0 ? 0 : since + each.waitMs - session.clock.now()
      // What is left of a wait is no try: at its end the answer is that the time is up, not that somebody holds.
      if (each.waitMs > 0 && waitMs <= 0) throw new WaitTimeoutError(each.name, session.clock.now() - since, undefined)
      const signal = each.signal ? AbortSignal.any([each.signal, lost.signal]) : lost.signal
      // The code that waits for the next name holds the earlier ones: were they asked for again, it would be a self-deadlock.
      const lease = await holding(session, leases, () => obtain(session, { ...each, waitMs, signal }))
      leases.push(lease)
      lease.on('lost', () => lost.abort(lease.loss))
    }
    for (const lease of leases) lease.assertHeld()
    return leases
  } catch (error) {
    await Promise.all(leases.map((lease) => lease.release()))
    if (!(error instanceof LeaseLostError) || !leases.some((lease) => lease.loss === error)) throw error
    // Closing ends what is held and what is waited for; the caller had nothing yet, so it hears why it gets nothing.
    if (error.reason === 'closed') throw error.cause
    return undefined
  }
}

class Leases implements LeaseSet {
  readonly names: readonly string[]
  readonly fences: ReadonlyMap<string, bigint>
  readonly signal: AbortSignal
  readonly waitedMs: number
  readonly leases: readonly InnerLease[]

  constructor(leases: readonly InnerLease[], waitedMs: number) {
    this.leases = leases
    this.waitedMs = waitedMs
    this.names = leases.map(({ name }) => name)
    this.fences = new Map(leases.map(({ name, fence }) => [name, fence]))
    this.signal = AbortSignal.any(leases.map(({ signal }) => signal))
  }

  get remainingMs(): number {
    return Math.min(...this.leases.map(({ remainingMs }) => remainingMs))
  }

  get waited(): boolean {
    return this.leases.some(({ waited }) => waited)
  }

  assertHeld(): void {
    for (const lease of this.leases) lease.assertHeld()
  }

  async renew(ttl?: Duration): Promise<void> {
    await Promise.all(this.leases.map((lease) => lease.renew(ttl)))
  }

  async release(): Promise<'released' | 'gone'> {
    const outcomes = await Promise.all(this.leases.map((lease) => lease.release()))
    return outcomes.every((outcome) => outcome === 'released') ? 'released' : 'gone'
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release()
  }
}
