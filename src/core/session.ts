/** What all locks of one `connect()` share: the coordinator, the clock, the keeper, and what must be given back at the end. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Backend, BackendErrorCode, Claim } from '../backend.ts'
import { BackendError } from '../backend.ts'
import { FleetingSet } from '../fleeting.ts'
import type { Runtime } from '../runtime.ts'
import { Agenda } from './agenda.ts'
import { ElapsedClock } from '../elapsed.ts'
import { ClosedError, UnreachableError } from './errors.ts'
import { seconds } from './text.ts'
import { Keeper } from './keeper.ts'
import { encodeWho } from './who.ts'

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

  readonly #open = new FleetingSet<Closable>()
  /** How many entries are being left, and whom to tell when none is. */
  #leaving = 0
  #left = (): void => {}
  readonly #home = AsyncLocalStorage.snapshot()
  #closed = false
  #closing: Promise<void> | undefined
  #usualInfo: { readonly label: string | undefined; readonly text: string } | undefined

  constructor(backend: Backend, runtime: Runtime, options: SessionOptions) {
    this.backend = backend
    this.runtime = runtime
    this.options = options
    this.clock = new ElapsedClock(runtime)
    this.agenda = new Agenda(runtime, this.clock)
    this.keeper = new Keeper(backend, this.clock, this.agenda, options.requestTimeoutMs)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** What an entry of this process says of itself. The usual one is made once: it would be a tenth of an acquisition. */
  info(label: string | undefined, value?: string): string {
    if (value === undefined && this.#usualInfo && this.#usualInfo.label === label) return this.#usualInfo.text
    const optional = { ...(label === undefined ? {} : { label }), ...(value === undefined ? {} : { value }) }
    const text = encodeWho({ ...this.runtime.identity, ...optional })
    if (value === undefined) this.#usualInfo = { label, text }
    return text
  }

  enter(member: Closable): void {
    this.#open.add(member)
  }

  exit(member: Closable): void {
    this.#open.delete(member)
  }

  /**
   * Call user code that hears of something, as code that holds nothing: a timer or an answer of the coordinator goes on in
   * the context of whoever asked, who may be inside of `run`, and would lend its holds.
   */
  outside(listener: () => void): void {
    this.#home(listener)
  }

  /** Ask the coordinator for something that may take `requestTimeoutMs`, and no longer. */
  ask<T>(lock: string | undefined, verb: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.closed) return Promise.reject(new ClosedError(lock))
    const controller = new AbortController()
    return this.#bounded(
      lock,
      this.clock.now(),
      () => verb(controller.signal),
      (error) => controller.abort(error),
    )
  }

  /**
   * Leave. If that is not answered, go on trying in the background until it is, or the entry must have ended by itself.
   *
   * The caller's signal has no say in this: whoever gives up must not leave a ghost that others line up behind.
   *
   * @returns whether the entry was there; `undefined` when nobody answered within the request timeout
   */
  leave(claim: Claim, ttlMs: number, lingerMs = 0, now: number = this.clock.now()): Promise<boolean | undefined> {
    const options = lingerMs > 0 ? { lingerMs } : undefined
    const leave = (at: number): Promise<boolean> =>
      this.#bounded(claim.name, at, () => this.backend.leave(claim, options))
    this.#leaving += 1
    return leave(now).then(
      (there) => {
        this.#hasLeft()
        return there
      },
      (error: unknown) => {
        if (isFinal(error)) this.#hasLeft()
        else void this.#leaveAgain(leave, now + ttlMs).then(() => this.#hasLeft())
        return undefined
      },
    )
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
    // First: what is closed down calls user code, which may ask for more.
    this.#closed = true
    for (const member of this.#open.all()) member.closeDown(new ClosedError())
    await this.#atMost(this.#allLeft())
    await this.#atMost(this.backend.close())
  }

  /** What could not be done in time is not waited for: leases end by themselves, and a coordinator may be out of reach. */
  async #atMost(work: Promise<unknown>): Promise<void> {
    await this.#bounded(undefined, this.clock.now(), () => work).catch(() => {})
  }

  #hasLeft(): void {
    this.#leaving -= 1
    if (this.#leaving === 0) this.#left()
  }

  #allLeft(): Promise<void> {
    return new Promise((resolve) => {
      this.#left = resolve
      if (this.#leaving === 0) resolve()
    })
  }

  async #leaveAgain(leave: (at: number) => Promise<boolean>, until: number): Promise<void> {
    for (let pauseMs = RETRY_FIRST_MS; ; pauseMs = Math.min(2 * pauseMs, RETRY_LONGEST_MS)) {
      if (this.closed || this.clock.now() + pauseMs >= until) return
      await this.#sleep(pauseMs * (0.5 + this.runtime.random() / 2))
      try {
        await leave(this.clock.now())
        return
      } catch (error) {
        // Unknown: it may be gone or not. Leaving twice does no harm, so ask again until the lease must be over.
        if (isFinal(error)) return
      }
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.agenda.at(this.clock.now() + ms, resolve))
  }

  #bounded<T>(
    lock: string | undefined,
    now: number,
    verb: () => Promise<T>,
    late?: (error: Error) => void,
  ): Promise<T> {
    const { requestTimeoutMs } = this.options
    return new Promise((resolve, reject) => {
      const limit = this.agenda.at(now + requestTimeoutMs, () => {
        const text = `the coordinator (${this.backend.kind}) did not answer within ${seconds(requestTimeoutMs)}`
        const error = new UnreachableError(lock, text)
        alive()
        late?.(error)
        reject(error)
      })
      // Whoever awaits the answer must hear of its absence: a program must not end in the middle of `close`.
      const alive = this.agenda.keepAlive()
      const answered = (): void => {
        alive()
        limit.cancel()
      }
      verb().then(
        (value) => {
          answered()
          resolve(value)
        },
        (error: unknown) => {
          answered()
          reject(error)
        },
      )
    })
  }
}

const MAY_PASS: ReadonlySet<string> = new Set<BackendErrorCode>(['UNAVAILABLE', 'NOT_REPLICATED', 'STORE_FULL'])

/** A coordinator that says why it cannot, and that time will not mend it. */
export function isFinal(error: unknown): boolean {
  return error instanceof BackendError && !MAY_PASS.has(error.code)
}
