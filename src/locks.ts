/** What `connect` gives: every primitive over one coordinator. */
import type { Backend, EntryView, Finding, QueueView } from './backend.ts'
import { describe } from './core/duration.ts'
import { ArgumentTypeError } from './core/errors.ts'
import type { Held, Lease } from './core/lease.ts'
import { promised } from './core/promised.ts'
import type { AcquireOptions, Defaults, QueueKind } from './core/request.ts'
import { QUEUE_KINDS, checkKnown, checkName, queueName } from './core/request.ts'
import { Session } from './core/session.ts'
import type { SessionOptions } from './core/session.ts'
import type { Who } from './core/who.ts'
import { decodeWho } from './core/who.ts'
import type { Election, ElectionOptions, Term } from './primitives/election.ts'
import { election } from './primitives/election.ts'
import type { Desk, Lockable, TryOptions } from './primitives/lockable.ts'
import { look } from './primitives/look.ts'
import type { ReadWriteLock } from './primitives/mutex.ts'
import { mutex, readWriteLock } from './primitives/mutex.ts'
import type { OnceOptions, OnceResult } from './primitives/once.ts'
import { once } from './primitives/once.ts'
import type { Semaphore } from './primitives/semaphore.ts'
import { semaphore } from './primitives/semaphore.ts'
import type { LeaseSet } from './primitives/several.ts'
import { several } from './primitives/several.ts'
import type { Flight } from './primitives/single-flight.ts'
import { SingleFlights } from './primitives/single-flight.ts'
import type { Runtime } from './runtime.ts'

/** One name, or several that are held together. */
type Names = string | readonly string[]

/** What `run` is called with behind the name; the overloads say which kind of lease the function takes. */
type RunArguments<T, L> =
  | [fn: (lease: L) => T | Promise<T>]
  | [options: AcquireOptions, fn: (lease: L) => T | Promise<T>]

/** An option for those who look: which of the queues of a name. */
interface Which {
  readonly kind?: QueueKind
}

const KNOWN = new Set(['kind'])

/** Somebody in a queue, as people see it. Durations in milliseconds. */
export interface Inspected {
  readonly fence: bigint
  readonly who: Partial<Who>
  /** How much of the capacity: all of it for an exclusive holder. */
  readonly weight: number
  readonly exclusive: boolean
  /** Since it joined the queue, and, for a holder, since the grant. */
  readonly ageMs: number
  readonly heldMs: number | undefined
  /** How long the coordinator keeps it without renewal. */
  readonly remainingMs: number
  /** Released or dead; a minimum hold or a lock delay runs out. */
  readonly lingering: boolean
}

/** Who holds a name, and who waits for it, in order. For people to read; never for decisions. */
export interface Inspection {
  readonly name: string
  readonly kind: QueueKind
  readonly capacity: number
  readonly holders: readonly Inspected[]
  readonly waiters: readonly Inspected[]
}

export class Locks implements AsyncDisposable {
  readonly #session: Session
  readonly #desk: Desk
  readonly #flights: SingleFlights

  /** Use `connect`. */
  constructor(backend: Backend, runtime: Runtime, options: SessionOptions, defaults: Defaults) {
    this.#session = new Session(backend, runtime, options)
    this.#desk = { session: this.#session, defaults }
    this.#flights = new SingleFlights(this.#desk)
  }

  /** Which kind of coordinator this is: `memory`, `file`, … */
  get kind(): string {
    return this.#session.backend.kind
  }

  /** A lock as an object, for those who use one name in many places. */
  mutex(name: string): Lockable {
    checkName(name)
    return mutex(this.#desk, name)
  }

  /** Hold `name` while `fn` runs. @see Lockable.run */
  run<T>(name: string, fn: (lease: Lease) => T | Promise<T>): Promise<T>
  run<T>(name: string, options: AcquireOptions, fn: (lease: Lease) => T | Promise<T>): Promise<T>
  run<T>(names: readonly string[], fn: (lease: LeaseSet) => T | Promise<T>): Promise<T>
  run<T>(names: readonly string[], options: AcquireOptions, fn: (lease: LeaseSet) => T | Promise<T>): Promise<T>
  async run<T>(names: Names, ...rest: RunArguments<T, never>): Promise<T> {
    return this.#of(names).run(...(rest as [AcquireOptions, (lease: Held) => T | Promise<T>]))
  }

  /** Wait for `name`, or for all of several names. @see Lockable.acquire */
  acquire(name: string, options?: AcquireOptions): Promise<Lease>
  acquire(names: readonly string[], options?: AcquireOptions): Promise<LeaseSet>
  acquire(names: Names, options?: AcquireOptions): Promise<Held> {
    return promised(() => this.#of(names).acquire(options))
  }

  /** Take `name`, or all of several names, or answer `undefined`. @see Lockable.tryAcquire */
  tryAcquire(name: string, options?: TryOptions): Promise<Lease | undefined>
  tryAcquire(names: readonly string[], options?: TryOptions): Promise<LeaseSet | undefined>
  async tryAcquire(names: Names, options?: TryOptions): Promise<Held | undefined> {
    return this.#of(names).tryAcquire(options)
  }

  /** Many readers or one writer. */
  rw(name: string): ReadWriteLock {
    checkName(name)
    return readWriteLock(this.#desk, name)
  }

  /** So many at a time. */
  semaphore(name: string, permits: number): Semaphore {
    return semaphore(this.#desk, name, permits)
  }

  /** An election, to stand in it or to observe it. */
  election(name: string): Election {
    return election(this.#desk, name)
  }

  /** Campaign, and lead, again and again: `for await (const term of locks.elect('scheduler')) await lead(term)`. */
  elect(name: string, options?: ElectionOptions): AsyncIterableIterator<Term> {
    return election(this.#desk, name).terms(options)
  }

  /** Run `fn` unless somebody else does, or has done so within `options.every`. Never waits. */
  async once<T>(name: string, options: OnceOptions, fn: (lease: Lease) => T | Promise<T>): Promise<OnceResult<T>> {
    return once(this.#desk, name, options, fn)
  }

  /** One call of `fn` for all callers of this process; those of other processes come one after the other. */
  singleFlight<T>(name: string, fn: (lease: Lease, flight: Flight) => T | Promise<T>): Promise<T>
  singleFlight<T>(
    name: string,
    options: AcquireOptions,
    fn: (lease: Lease, flight: Flight) => T | Promise<T>,
  ): Promise<T>
  async singleFlight<T>(
    name: string,
    ...rest:
      | [options: AcquireOptions, fn: (lease: Lease, flight: Flight) => T | Promise<T>]
      | [fn: (lease: Lease, flight: Flight) => T | Promise<T>]
  ): Promise<T> {
    const [options, fn] = rest.length === 1 ? [{}, rest[0]] : rest
    return this.#flights.run(name, options, fn)
  }

  /** Who holds `name` and who waits for it; `undefined` when nobody does. */
  async inspect(name: string, options: Which = {}): Promise<Inspection | undefined> {
    const view = await look(this.#session, name, this.#queue(name, options))
    return view && this.#inspection(view)
  }

  /** All names that are held or waited for, of all kinds, that start with `start`. */
  list(start = ''): AsyncIterableIterator<Inspection> {
    if (typeof start !== 'string') throw new ArgumentTypeError(`start is ${describe(start)}; give a string`)
    return this.#list(start)
  }

  /**
   * For operators: end the lease or the wait of whoever drew `fence`, as `inspect` shows it. Its holder is told, at its
   * next renewal at the latest; what it does until then only its fence can stop.
   *
   * @returns false when that fence is not there any more
   */
  async evict(name: string, fence: bigint, options: Which = {}): Promise<boolean> {
    const queue = this.#queue(name, options)
    if (typeof fence !== 'bigint')
      throw new ArgumentTypeError(`fence is ${describe(fence)}; give a bigint, as inspect shows it`)
    return this.#session.ask(name, (signal) => this.#session.backend.evict(queue, fence, signal))
  }

  /** Look at the coordinator with the eyes of somebody who must trust it. */
  async diagnose(): Promise<readonly Finding[]> {
    return this.#session.ask(undefined, (signal) => this.#session.backend.diagnose(signal))
  }

  /**
   * Give up every place, release every lease (their holders see them lost, with the reason `'closed'`), and let go of the
   * coordinator. Takes a bounded time. Afterwards everything rejects with `CLOSED`.
   */
  close(): Promise<void> {
    return this.#session.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #of(names: Names): Lockable<AcquireOptions, Held> {
    return (Array.isArray(names) ? several(this.#desk, names) : mutex(this.#desk, names as string)) as Lockable<
      AcquireOptions,
      Held
    >
  }

  async *#list(start: string): AsyncGenerator<Inspection> {
    for (const kind of QUEUE_KINDS) {
      const prefix = queueName(kind, this.#desk.defaults.prefix, start)
      // As one request a kind, which a silent coordinator cannot draw out for ever.
      const views = await this.#session.ask(undefined, (signal) => all(this.#session.backend.inspect(prefix, signal)))
      for (const view of views) yield this.#inspection(view)
    }
  }

  /** The queue that somebody who looks at `name` means. */
  #queue(name: string, options: Which): string {
    checkName(name)
    checkKnown(options, KNOWN)
    const { kind = 'lock' } = options
    if (!QUEUE_KINDS.includes(kind))
      throw new ArgumentTypeError(`there is no kind ${describe(kind)}; there are ${QUEUE_KINDS.join(', ')}`)
    return queueName(kind, this.#desk.defaults.prefix, name)
  }

  #inspection(view: QueueView): Inspection {
    const colon = view.name.indexOf(':')
    return {
      name: view.name.slice(colon + 1 + this.#desk.defaults.prefix.length),
      kind: view.name.slice(0, colon) as QueueKind,
      capacity: view.capacity,
      holders: view.holders.map((entry) => inspected(entry, view.capacity)),
      waiters: view.waiters.map((entry) => inspected(entry, view.capacity)),
    }
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

function inspected(entry: EntryView, capacity: number): Inspected {
  return {
    fence: entry.fence,
    who: decodeWho(entry.info),
    weight: entry.weight,
    exclusive: entry.weight === capacity,
    ageMs: entry.ageMs,
    heldMs: entry.heldMs,
    remainingMs: entry.ttlMs,
    lingering: entry.lingering,
  }
}
