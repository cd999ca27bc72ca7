/**
 * The right to hold for a while, and the honest knowledge of when it ends.
 *
 * held → doubtful → held | lost, and held | doubtful → released. The deadline counts from before the request left, on a
 * clock that is on the side of caution. It is looked at by a timer, so that `signal` aborts without any I/O, and by
 * every question the user asks, because after a blocked event loop the next statement runs before the timer does.
 */
import type { Placed, Renewal } from '../backend.ts'
import type { Duration } from './duration.ts'
import { describe } from './duration.ts'
import type { ClosedError, LossReason } from './errors.ts'
import { ArgumentTypeError, LeaseLostError, NotSupportedError, UnreachableError } from './errors.ts'
import { seconds } from './text.ts'
import { emit } from './events.ts'
import type { Charge } from './keeper.ts'
import type { Mode, Request } from './request.ts'
import { SHARED, checkSharing, checkTtl, finite, marginOf } from './request.ts'
import type { Closable, Session } from './session.ts'

/** `doubtful`: a renewal was not answered; it may still hold. `lost` and `released` are final. */
export type LeaseState = 'held' | 'doubtful' | 'lost' | 'released'

const STATES: ReadonlySet<LeaseState> = new Set(['held', 'doubtful', 'lost', 'released'])

/** What every lease can do, on one name or on several. */
export interface Held extends AsyncDisposable {
  /** Aborted when the lease is lost, with a `LeaseLostError` as its reason; before anybody else can hold. */
  readonly signal: AbortSignal
  /** How long, by the local clock, it is certain to be held without a further renewal. 0 once it is over. */
  readonly remainingMs: number
  /** How long the caller waited for the grant. */
  readonly waitedMs: number
  /** Whether anybody else had to go first. What was read before waiting may be stale: read it again. */
  readonly waited: boolean
  /** Throws a `LeaseLostError` unless it is held at this instant. Synchronous: call it right before each side effect. */
  assertHeld(): void
  /** Make it last `ttl` from now on. Rejects with `LeaseLostError`, or `UnreachableError` when nobody answered. */
  renew(ttl?: Duration): Promise<void>
  /**
   * Give it back. Never rejects for a lease that has ended, pays no heed to signals, and takes a bounded time.
   * `'gone'`: it was not ours any more, or the coordinator could not be asked; then it ends by itself.
   */
  release(): Promise<'released' | 'gone'>
}

/**
 * A lease on one name.
 *
 * @example
 * ```ts
 * const lease = await locks.acquire('orders:42', { ttl: '30s', wait: '10s' })
 * try {
 *   lease.assertHeld()
 *   await store.write(order, { fence: lease.fence })
 * } finally {
 *   await lease.release()
 * }
 * ```
 */
export interface Lease extends Held {
  readonly name: string
  /** The fencing token: larger than that of every earlier exclusive holder. Let the resource refuse smaller ones. */
  readonly fence: bigint
  readonly mode: Mode
  readonly state: LeaseState
  /** Hear of each change of state. The answer unsubscribes. */
  on(state: LeaseState, listener: () => void): () => void
}

/** A lease that may take less than it has. */
export interface WriteLease extends Lease {
  /**
   * Become a reader without letting go: waiting readers join in, writers go on waiting. When it rejects, the lease counts
   * as a reader's all the same, and it may be asked for again.
   */
  downgrade(): Promise<void>
}

/** The grant as the acquire loop hands it over. Points in time are readings of the elapsed clock. */
export interface Grant {
  readonly claim: Placed
  readonly fence: bigint
  readonly at: number
  readonly validUntil: number
  readonly renewAt: number
  readonly waitedMs: number
  readonly waited: boolean
}

/** A lease as the primitives use it. */
export interface InnerLease extends WriteLease {
  /** Why it was lost, once it is. */
  readonly loss: LeaseLostError | undefined
  /** The one that speaks to the coordinator. */
  readonly core: CoreLease
}

export class CoreLease implements InnerLease, Charge, Closable {
  readonly fence: bigint
  readonly waitedMs: number
  readonly waited: boolean
  readonly claim: Placed
  readonly ttlMs: number
  readonly intervalMs: number
  renewAt: number

  readonly #session: Session
  readonly #request: Request
  readonly #heldSince: number
  readonly #maxHoldUntil: number
  /** The coordinator keeps the entry for at most this after anything that was asked for. */
  #longestTtlMs: number
  #state: LeaseState = 'held'
  #mode: Mode
  /** The coordinator is known to count it as a reader. */
  #lightened: boolean
  #validUntil: number
  #holds = 1
  #abort: AbortController | undefined
  #lost: LeaseLostError | undefined
  #doubt: unknown
  #releasing: Promise<'released' | 'gone'> | undefined
  readonly #unattend: (() => void) | undefined
  #listeners: Map<LeaseState, Set<() => void>> | undefined

  constructor(session: Session, request: Request, grant: Grant) {
    this.#session = session
    this.#request = request
    this.claim = grant.claim
    this.fence = grant.fence
    this.waitedMs = grant.waitedMs
    this.waited = grant.waited
    this.ttlMs = request.ttlMs
    this.#longestTtlMs = request.ttlMs
    this.intervalMs = request.ttlMs / 3
    this.#mode = request.mode
    this.#lightened = request.mode === 'shared'
    this.#heldSince = grant.at
    this.#maxHoldUntil = this.#heldSince + request.maxHoldMs
    this.#validUntil = grant.validUntil
    this.renewAt = this.#renewal(grant.renewAt)
    session.keeper.add(this)
    session.enter(this)
    this.#unattend = session.backend.attend?.(this.claim, () => this.#alarmed())
    emit('holdfast:acquire', () => ({ ...this.#about(), waitedMs: this.waitedMs }))
  }

  get name(): string {
    return this.#request.name
  }

  get request(): Request {
    return this.#request
  }

  get mode(): Mode {
    return this.#mode
  }

  get weight(): number {
    return this.#mode === 'shared' ? 1 : this.#request.weight
  }

  get state(): LeaseState {
    this.#look()
    return this.#state
  }

  get endsAt(): number {
    return Math.min(this.#validUntil, this.#maxHoldUntil)
  }

  get remainingMs(): number {
    this.#look()
    return this.#over() ? 0 : this.endsAt - this.#session.clock.now()
  }

  get signal(): AbortSignal {
    this.#look()
    if (!this.#abort) {
      this.#abort = new AbortController()
      if (this.#lost) this.#abort.abort(this.#lost)
    }
    return this.#abort.signal
  }

  get core(): CoreLease {
    return this
  }

  get loss(): LeaseLostError | undefined {
    this.#look()
    return this.#lost
  }

  assertHeld(): void {
    this.#look()
    if (this.#lost) throw this.#lost
    if (this.#state === 'released') {
      throw new LeaseLostError(this.name, 'released', this.fence, 'was released before this call.')
    }
  }

  on(state: LeaseState, listener: () => void): () => void {
    if (!STATES.has(state))
      throw new ArgumentTypeError(`there is no state ${describe(state)}; there are ${[...STATES].join(', ')}`)
    if (typeof listener !== 'function') throw new ArgumentTypeError('a listener is a function')
    this.#listeners ??= new Map()
    const listeners = this.#listeners.get(state) ?? new Set()
    this.#listeners.set(state, listeners.add(listener))
    return () => void listeners.delete(listener)
  }

  async renew(ttl?: Duration): Promise<void> {
    const ttlMs = ttl === undefined ? this.ttlMs : finite(ttl, 'ttl')
    checkTtl(ttlMs, this.#request.marginMs)
    this.assertHeld()
    this.#longestTtlMs = Math.max(this.#longestTtlMs, ttlMs)
    const sentAt = this.#session.clock.now()
    const renewal = await this.#ask((signal) => this.#session.backend.renew(this.claim, ttlMs, signal))
    this.answered(renewal, sentAt, this.#session.clock.now(), ttlMs)
    this.assertHeld()
  }

  async downgrade(): Promise<void> {
    if (this.#lightened) return
    if (this.#request.kind !== 'lock')
      throw new NotSupportedError(this.name, `a lease on ${this.#request.kind} cannot be downgraded`)
    checkSharing(this.#session.backend, this.name, SHARED)
    this.assertHeld()
    // A reader from here on, answered or not: once it is asked for, others may be let in at any moment.
    this.#mode = 'shared'
    const answer = await this.#ask((signal) => this.#session.backend.lighten(this.claim, 1, signal))
    // That is no new lease: the deadline and the next renewal stay where they were.
    if (this.#isOurs(answer)) this.#lightened = true
    else this.#gone()
    this.assertHeld()
  }

  /** The key of its entry, on a coordinator that is a store as well. */
  get key(): string | undefined {
    return this.#session.backend.keyOf?.(this.claim)
  }

  /** Give the entry new info: a leader's value. */
  async describe(info: string): Promise<void> {
    this.assertHeld()
    const there = await this.#ask((signal) => this.#session.backend.describe(this.claim, info, signal))
    if (!there) this.#gone()
    this.assertHeld()
  }

  /** One more user of this lease: the last release frees it. */
  hold(): void {
    this.#holds += 1
  }

  release(): Promise<'released' | 'gone'> {
    this.#releasing ??= this.drop()
    return this.#releasing
  }

  /** One user less; the last one gives it back. */
  drop(): Promise<'released' | 'gone'> {
    const now = this.#session.clock.now()
    this.#look(now)
    this.#holds -= 1
    return this.#holds > 0 && !this.#over() ? Promise.resolve('released') : this.#giveBack(now)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release()
  }

  answered(renewal: Renewal | undefined, sentAt: number, heardAt: number, askedMs: number = this.ttlMs): void {
    this.#look(heardAt)
    // Reported lost is lost, and released is released, whatever a late answer says.
    if (this.#over()) return
    if (renewal && !this.#isOurs(renewal)) return this.#gone()
    // A coordinator may keep it for less than was asked.
    const answeredMs = renewal ? renewal.ttlMs : askedMs
    this.#validUntil = Math.max(this.#validUntil, validity(sentAt, askedMs, answeredMs, this.#request.marginMs))
    this.renewAt = this.#renewal(sentAt + Math.min(this.intervalMs, askedMs / 3, answeredMs / 3))
    this.#session.keeper.plan(this)
    if (this.#state === 'doubtful') this.#become('held')
    this.#doubt = undefined
    emit('holdfast:renew', () => ({ ...this.#about(), remainingMs: this.endsAt - this.#session.clock.now() }))
  }

  unanswered(error: unknown): void {
    this.#look()
    if (this.#over()) return
    const left = this.endsAt - this.#session.clock.now()
    // Again soon, but never in a hot loop: the pauses are a share of the time that is left, with a floor.
    this.renewAt = this.#session.clock.now() + Math.max(10, (left / 8) * (0.5 + this.#session.runtime.random() / 2))
    this.#session.keeper.plan(this)
    this.#doubt = error
    emit('holdfast:doubt', () => ({ ...this.#about(), remainingMs: left, error }))
    if (this.#state === 'held') this.#become('doubtful')
  }

  ended(): void {
    this.#look()
  }

  closeDown(error: ClosedError): void {
    this.#look()
    if (this.#over()) return
    this.#lose('closed', 'ended because its locks were closed.', error)
    // However many hold it, and whoever has released it already.
    this.#releasing = this.#giveBack(this.#session.clock.now())
  }

  /**
   * It may have been ended by something else than its time, or that has come. What is asked now is asked alone, also if a renewal
   * is on its way, or none is needed: that answer may be older than the alarm, or wait for those of others.
   */
  #alarmed(): void {
    this.#look()
    // The lease tells what comes of it; if nobody answers, the next renewal asks again.
    if (!this.#over()) this.renew().catch(() => {})
  }

  /** Look at the clock, and draw the consequence. */
  #look(now: number = this.#session.clock.now()): void {
    if (this.#over()) return
    if (now >= this.#maxHoldUntil) {
      this.#lose('max-hold', `ended: it was held for its maxHold of ${seconds(this.#request.maxHoldMs)}.`)
      // Nobody renews it now; give those who heed the signal the margin to stop, then let the next one in.
      const graceMs = marginOf(this.ttlMs, this.#request.marginMs)
      void this.#session.leave(
        this.claim,
        this.#longestTtlMs,
        Math.max(graceMs, this.#request.minHoldMs - this.#heldMs(now)),
      )
    } else if (now >= this.#validUntil) {
      const since = seconds(now - this.#validUntil)
      this.#lose(
        'expired',
        `ended ${since} ago: no renewal was answered in time for its ttl of ${seconds(this.ttlMs)}.`,
        this.#doubt,
      )
    }
  }

  #over(): boolean {
    return this.#state === 'lost' || this.#state === 'released'
  }

  /**
   * Whether this lease is what the coordinator says is held: the same owner token, and the same ticket.
   * 1. An operator evicts our entry;  2. another one holds;  3. our join arrives once more, late or doubled, and draws a new
   * ticket;  4. that ticket holds. To go on with the old fence would be to have held beside the other one.
   */
  #isOurs(renewal: Renewal): renewal is Extract<Renewal, { state: 'held' }> {
    return renewal.state === 'held' && renewal.fence === this.fence
  }

  /** The coordinator does not know it any more. What has ended meanwhile has ended for its own reason. */
  #gone(): void {
    this.#look()
    if (!this.#over()) this.#lose('gone', 'is gone: the coordinator does not know it any more.')
  }

  #lose(reason: LossReason, detail: string, cause?: unknown): void {
    this.#lost = new LeaseLostError(this.name, reason, this.fence, detail, cause === undefined ? undefined : { cause })
    this.#stop()
    emit('holdfast:lost', () => ({ ...this.#about(), heldMs: this.#heldMs(this.#session.clock.now()), reason }))
    this.#become('lost')
    if (this.#abort) this.#session.outside(() => this.#abort?.abort(this.#lost))
  }

  async #giveBack(now: number): Promise<'released' | 'gone'> {
    const late = this.#over()
    const heldMs = this.#heldMs(now)
    this.#stop()
    if (!late) this.#become('released')
    // Also after a loss: its user is done now, so the next one need not wait for the coordinator's end of the lease.
    const lingerMs = Math.max(0, this.#request.minHoldMs - heldMs)
    const answer = await this.#session.leave(this.claim, this.#longestTtlMs, lingerMs, now)
    const outcome = answer === true && !late ? 'released' : 'gone'
    emit('holdfast:release', () => ({ ...this.#about(), heldMs, outcome }))
    return outcome
  }

  #stop(): void {
    this.#session.keeper.remove(this)
    this.#session.exit(this)
    this.#unattend?.()
  }

  #become(state: LeaseState): void {
    this.#state = state
    const listeners = this.#listeners?.get(state)
    if (listeners) this.#session.outside(() => tell(listeners))
  }

  async #ask<T>(verb: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      return await this.#session.ask(this.name, verb)
    } catch (error) {
      this.#look()
      if (this.#lost) throw this.#lost
      if (error instanceof UnreachableError) throw error
      throw new UnreachableError(
        this.name,
        `"${this.name}": the coordinator could not be asked; the lease stands until its deadline`,
        { cause: error },
      )
    }
  }

  /** When to renew: never, if it is certain to last until its `maxHold`. */
  #renewal(at: number): number {
    return this.#validUntil >= this.#maxHoldUntil ? Infinity : at
  }

  #heldMs(now: number): number {
    return now - this.#heldSince
  }

  #about(): { name: string; kind: string; fence: bigint } {
    return { name: this.name, kind: this.#request.kind, fence: this.fence }
  }
}

/** As with any event target: a listener that throws must not stop the others, nor whoever called us. */
function tell(listeners: Iterable<() => void>): void {
  for (const listener of listeners) {
    try {
      listener()
    } catch (error) {
      queueMicrotask(() => {
        throw error
      })
    }
  }
}

/** Until when a holder may believe in its lease: counted from before the request left, less the margin. */
export function validity(sentAt: number, askedMs: number, answeredMs: number, marginMs: number | undefined): number {
  const ttlMs = Math.min(askedMs, answeredMs)
  return sentAt + ttlMs - marginOf(ttlMs, marginMs)
}

/** The same lease in the hands of code that held it already: released by itself, lost together. */
export class SharedHold implements InnerLease {
  readonly #lease: CoreLease
  readonly #listeners = new Set<() => void>()
  #released: Promise<'released' | 'gone'> | undefined

  constructor(lease: CoreLease) {
    this.#lease = lease
    lease.hold()
  }

  get name(): string {
    return this.#lease.name
  }
  get fence(): bigint {
    return this.#lease.fence
  }
  get mode(): Mode {
    return this.#lease.mode
  }
  get state(): LeaseState {
    return this.#released && this.#lease.state !== 'lost' ? 'released' : this.#lease.state
  }
  get core(): CoreLease {
    return this.#lease
  }
  get loss(): LeaseLostError | undefined {
    return this.#lease.loss
  }
  get signal(): AbortSignal {
    return this.#lease.signal
  }
  get remainingMs(): number {
    return this.#released ? 0 : this.#lease.remainingMs
  }
  get waitedMs(): number {
    return 0
  }
  get waited(): boolean {
    return false
  }
  assertHeld(): void {
    if (this.#released) throw new LeaseLostError(this.name, 'released', this.fence, 'was released before this call.')
    this.#lease.assertHeld()
  }
  async renew(ttl?: Duration): Promise<void> {
    this.assertHeld()
    return this.#lease.renew(ttl)
  }
  downgrade(): Promise<void> {
    return Promise.reject(
      new NotSupportedError(this.name, `"${this.name}" is held by an outer call, which decides about a downgrade`),
    )
  }
  on(state: LeaseState, listener: () => void): () => void {
    const off = this.#lease.on(state, listener)
    if (state !== 'released') return off
    // Its own end, not that of the lease.
    off()
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
  release(): Promise<'released' | 'gone'> {
    if (this.#released) return this.#released
    this.#released = this.#lease.drop()
    tell(this.#listeners)
    return this.#released
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release()
  }
}
