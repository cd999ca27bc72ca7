/**
 * One at a time across processes, and one for all within this one: for work whose result the others can use, such as
 * refreshing a token that all of them read.
 */
import type { Lease } from '../core/lease.ts'
import type { AcquireOptions } from '../core/request.ts'
import { holdsAny } from '../core/context.ts'
import { EXCLUSIVE, checkFunction, request } from '../core/request.ts'
import { mutex } from './mutex.ts'
import type { Desk } from './lockable.ts'

export interface Flight {
  /**
   * Somebody else was first: what is to be made may be there already. Read it again before making it, also when this is
   * false: somebody may have come and gone between your first look and the grant.
   */
  readonly waited: boolean
}

interface Running<T = unknown> {
  readonly result: Promise<T>
  readonly stop: AbortController
  passengers: number
}

/** The flights of one connection. */
export class SingleFlights {
  readonly #desk: Desk
  readonly #running = new Map<string, Running>()

  constructor(desk: Desk) {
    this.#desk = desk
  }

  /**
   * Callers of this process share one call of `fn` and its result; those of other processes come one after the other.
   * A caller whose signal aborts leaves alone; the last one to leave ends the waiting.
   */
  async run<T>(
    name: string,
    options: AcquireOptions,
    fn: (lease: Lease, flight: Flight) => T | Promise<T>,
  ): Promise<T> {
    checkFunction(fn, 'singleFlight')
    const { session, defaults } = this.#desk
    // Of passengers, too, whose options are used by nobody: a mistake must not depend on who came first.
    const { queue, signal } = request(name, EXCLUSIVE, options, defaults)
    signal?.throwIfAborted()
    // From inside of the flight its landing cannot be waited for. The lock says so, or is held again.
    if (holdsAny(session, queue)) return this.#fly(name, options, fn)
    const flight = this.#running.get(name) ?? this.#start(name, options, fn)
    flight.passengers += 1
    return board(flight as Running<T>, signal)
  }

  #start<T>(name: string, options: AcquireOptions, fn: (lease: Lease, flight: Flight) => T | Promise<T>): Running {
    const stop = new AbortController()
    const result = this.#fly(name, { ...options, signal: stop.signal }, fn).finally(() => {
      if (this.#running.get(name) === flight) this.#running.delete(name)
    })
    const flight: Running = { result, stop, passengers: 0 }
    this.#running.set(name, flight)
    // When nobody lands no new passenger may board: the flight is over as soon as the last one has left.
    stop.signal.addEventListener('abort', () => this.#running.delete(name), { once: true })
    return flight
  }

  #fly<T>(name: string, options: AcquireOptions, fn: (lease: Lease, flight: Flight) => T | Promise<T>): Promise<T> {
    return mutex(this.#desk, name).run(options, (lease) => fn(lease, { waited: lease.waited }))
  }
}

/** Share the result of a flight, unless the passenger's own signal aborts before. */
function board<T>(flight: Running<T>, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      reject(signal!.reason)
      flight.passengers -= 1
      if (flight.passengers === 0) flight.stop.abort(signal!.reason)
    }
    signal?.addEventListener('abort', leave, { once: true })
    flight.result.finally(() => signal?.removeEventListener('abort', leave)).then(resolve, reject)
  })
}
