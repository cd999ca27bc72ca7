/** What all locks of one `connect()` share: the coordinator, the clock, the keeper, and what must be given back at the end. */
import type { Backend, Claim } from '../backend.ts'
import { BackendError } from '../backend.ts'
import type { Runtime } from '../runtime.ts'
import { Agenda } from './agenda.ts'
import { ElapsedClock } from './clock.ts'
import { ClosedError, UnreachableError, seconds } from './errors.ts'
import { Keeper } from './keeper.ts'

export interface SessionOptions {
  /** How long one request may take. */
  readonly requestTimeoutMs: number
  /** How long a waiter's place outlives its process. */
  readonly waitTtlMs: number
  /** How long `run` waits for its function after a loss. */
  readonly graceMs: number
}

/** Something that ends when the locks are closed: a lease that is held, a waiter in a queue. */
export interface Closable {
  closeDown(error: ClosedError): void
}

/** The pause after an unanswered `leave` grows from the first to the second. */
const RETRY_FIRST_MS = 50
const RETRY_LONGEST_MS = 2000

export class Session {
  readonly backend: Backend
  readonly runtime: Runtime
  readonly clock: ElapsedClock
  readonly agenda: Agenda
  readonly keeper: Keeper
  readonly options: SessionOptions

  readonly #open = new Set<Closable>()
  readonly #leaving = new Set<Promise<unknown>>()
  #closing: Promise<void> | undefined

  constructor(backend: Backend, runtime: Runtime, options: SessionOptions) {
    this.backend = backend
    this.runtime = runtime
    this.options = options
    this.clock = new ElapsedClock(runtime)
    this.agenda = new Agenda(runtime, this.clock)
    this.keeper = new Keeper(backend, this.clock, this.agenda, options.requestTimeoutMs)
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  enter(member: Closable): void {
    this.#open.add(member)
  }

  exit(member: Closable): void {
    this.#open.delete(member)
  }

  /** Ask the coordinator for something that may take `requestTimeoutMs`, and no longer. */
  ask<T>(lock: string | undefined, verb: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.closed) return Promise.reject(new ClosedError(lock))
    return this.#bounded(lock, verb, this.options.requestTimeoutMs)
  }

  /**
   * Leave, and go on trying until it is answered or the entry must have ended by itself.
   *
   * The caller's signal has no say in this: whoever gives up must not leave a ghost that others line up behind.
   *
   * @returns whether the entry was there; `undefined` when nobody answered in time
   */
  leave(claim: Claim, ttlMs: number, lingerMs = 0): Promise<boolean | undefined> {
    const leaving = this.#leaveUntil(claim, this.clock.now() + ttlMs, lingerMs)
    this.#leaving.add(leaving)
    void leaving.then(() => this.#leaving.delete(leaving))
    return leaving
  }

  /** What `work` brings within the request timeout; `undefined` if it fails or takes longer. For ends that must end. */
  async within<T>(work: Promise<T>): Promise<T | undefined> {
    try {
      return await this.#bounded(undefined, () => work, this.options.requestTimeoutMs)
    } catch {
      // What could not be given back ends with its lease, and the coordinator may be out of reach for good.
      return undefined
    }
  }

  /**
   * Resolve after `ms`; keeps the process alive meanwhile. Early when `waker` is called with the function that ends it.
   */
  pause(ms: number, waker?: (wake: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      const alive = this.agenda.keepAlive()
      const end = (): void => {
        alive()
        alarm.cancel()
        resolve()
      }
      const alarm = this.agenda.at(this.clock.now() + ms, end)
      waker?.(end)
    })
  }

  /** Give up every place, release every lease, let go of the coordinator. Bounded by the request timeout, twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    // The flag is set once this function has reached its first await, so nothing enters after this loop.
    for (const member of [...this.#open]) member.closeDown(new ClosedError())
    await this.within(Promise.all(this.#leaving))
    await this.within(this.backend.close())
  }

  async #leaveUntil(claim: Claim, until: number, lingerMs: number): Promise<boolean | undefined> {
    const options = lingerMs > 0 ? { lingerMs } : undefined
    for (let pauseMs = RETRY_FIRST_MS; ; pauseMs = Math.min(2 * pauseMs, RETRY_LONGEST_MS)) {
      try {
        return await this.#bounded(claim.name, () => this.backend.leave(claim, options), this.options.requestTimeoutMs)
      } catch (error) {
        // Unknown: it may be gone or not. Leaving twice does no harm, so ask again until the lease must be over.
        if (this.closed || isFinal(error) || this.clock.now() + pauseMs >= until) return undefined
        await this.#sleep(pauseMs * (0.5 + this.runtime.random() / 2))
      }
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.agenda.at(this.clock.now() + ms, resolve))
  }

  #bounded<T>(lock: string | undefined, verb: (signal: AbortSignal) => Promise<T>, timeoutMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const controller = new AbortController()
      const limit = this.agenda.at(this.clock.now() + timeoutMs, () => {
        const error = new UnreachableError(
          lock,
          `the coordinator (${this.backend.kind}) did not answer within ${seconds(timeoutMs)}`,
        )
        controller.abort(error)
        reject(error)
      })
      verb(controller.signal)
        .then(resolve, reject)
        .finally(() => limit.cancel())
    })
  }
}

/** A coordinator that says why it cannot, and that time will not mend it. */
function isFinal(error: unknown): boolean {
  return error instanceof BackendError && error.code !== 'UNAVAILABLE' && error.code !== 'STORE_FULL'
}
