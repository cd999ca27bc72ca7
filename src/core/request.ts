/** What a caller asks for, checked: from here on every name is a name, and every duration a number of milliseconds. */
import type { Backend } from '../backend.ts'
import { WHOLE } from '../backend.ts'
import type { Duration } from './duration.ts'
import { describe, parseDuration } from './duration.ts'
import { ArgumentRangeError, ArgumentTypeError, NotSupportedError } from './errors.ts'

export interface LeaseOptions {
  /** How long the lease lasts without renewal; it is renewed every third of it. Default `'30s'`. */
  readonly ttl?: Duration
  /** How long before the coordinator's end of the lease it counts as lost here. Default: a tenth of ttl, at least 100 ms. */
  readonly margin?: Duration
  /** The longest time to hold; then the lease is lost, with that reason. Default: no end. */
  readonly maxHold?: Duration
  /** Others wait at least this long after the grant, however early it is released. Default 0. */
  readonly minHold?: Duration
  /** After a holder that ended without a release, others wait this much longer. Default 0. */
  readonly lockDelay?: Duration
  /** Shown to whoever looks at the queue: what this is for. */
  readonly label?: string
  /** Let code that holds the name already hold it again: same fence, and the last release frees it. Default false. */
  readonly reentrant?: boolean
}

export interface WaitOptions {
  /** How long to wait for the grant: 0, a duration, or `Infinity`. Default `Infinity`. */
  readonly wait?: Duration
  /** Do not wait behind so many others. Default: no limit. */
  readonly maxWaiters?: number
  /** Ends the waiting: the promise rejects with `signal.reason`. It has no effect on a lease that was granted. */
  readonly signal?: AbortSignal
}

export interface AcquireOptions extends LeaseOptions, WaitOptions {}

/** Which queue of the coordinator, and how much of it. */
export interface Shape {
  readonly kind: QueueKind
  readonly mode: Mode
  readonly weight: number
  readonly capacity: number
}

/** A lock and a read-write lock of one name share a queue; semaphores and elections have queues of their own. */
export const QUEUE_KINDS = ['lock', 'permits', 'election'] as const
export type QueueKind = (typeof QUEUE_KINDS)[number]
export type Mode = 'exclusive' | 'shared' | 'permits' | 'leader'

export const EXCLUSIVE: Shape = { kind: 'lock', mode: 'exclusive', weight: WHOLE, capacity: WHOLE }
export const SHARED: Shape = { kind: 'lock', mode: 'shared', weight: 1, capacity: WHOLE }

/** All durations in milliseconds. */
export interface Request extends Shape {
  /** As the user wrote it. */
  readonly name: string
  /** As the coordinator knows it. */
  readonly queue: string
  readonly ttlMs: number
  readonly marginMs: number | undefined
  readonly waitMs: number
  readonly maxHoldMs: number
  readonly minHoldMs: number
  readonly lockDelayMs: number
  readonly waitersMax: number | undefined
  readonly signal: AbortSignal | undefined
  readonly label: string | undefined
  readonly reentrant: boolean
}

/** What holds where a caller says nothing. */
export interface Defaults {
  readonly prefix: string
  readonly ttlMs: number
  readonly waitMs: number
  readonly marginMs: number | undefined
  readonly label: string | undefined
}

const NAME_BYTES_MAX = 512
/** Beyond this a duration is a mistake, and a timer could not be set. */
const LONGEST_MS = 366 * 86_400_000
/** The names of `AcquireOptions`. */
export const OPTIONS: readonly string[] = [
  'ttl',
  'margin',
  'maxHold',
  'minHold',
  'lockDelay',
  'label',
  'reentrant',
  'wait',
  'maxWaiters',
  'signal',
]
const KNOWN: ReadonlySet<string> = new Set(OPTIONS)

/** Check everything and fill in the defaults. `known` has more names than those when a primitive reads options itself. */
export function request(
  name: string,
  shape: Shape,
  options: AcquireOptions,
  defaults: Defaults,
  known: ReadonlySet<string> = KNOWN,
): Request {
  checkName(name)
  checkKnown(options, known)
  checkSignal(options.signal)
  checkText(options.label, 'label')
  if (options.reentrant !== undefined && typeof options.reentrant !== 'boolean')
    throw new ArgumentTypeError(`reentrant is ${describe(options.reentrant)}; give true or false`)
  const ttlMs = options.ttl === undefined ? defaults.ttlMs : finite(options.ttl, 'ttl')
  const marginMs = options.margin === undefined ? defaults.marginMs : finite(options.margin, 'margin')
  checkTtl(ttlMs, marginMs)
  return {
    ...shape,
    name,
    queue: queueName(shape.kind, defaults.prefix, name),
    ttlMs,
    marginMs,
    waitMs: options.wait === undefined ? defaults.waitMs : parseDuration(options.wait, 'wait'),
    maxHoldMs: options.maxHold === undefined ? Infinity : positive(options.maxHold, 'maxHold'),
    minHoldMs: options.minHold === undefined ? 0 : finite(options.minHold, 'minHold'),
    lockDelayMs: options.lockDelay === undefined ? 0 : finite(options.lockDelay, 'lockDelay'),
    waitersMax: options.maxWaiters === undefined ? undefined : count(options.maxWaiters, 'maxWaiters', 0),
    signal: options.signal,
    label: options.label ?? defaults.label,
    reentrant: options.reentrant ?? false,
  }
}

export function queueName(kind: QueueKind, prefix: string, name: string): string {
  return `${kind}:${prefix}${name}`
}

/** The margin between the end of a lease as the coordinator sees it and as its holder may believe in it. */
export function marginOf(ttlMs: number, marginMs: number | undefined): number {
  // A tenth is far above what clocks drift and what a reply takes; 100 ms is what a busy event loop needs to say so.
  return marginMs ?? Math.max(ttlMs / 10, 100)
}

/**
 * Whether this coordinator can let several hold at once as `shape` asks for. An exclusive entry any coordinator can.
 *
 * @throws NotSupportedError
 */
export function checkSharing({ kind, supports }: Backend, name: string, { weight, capacity }: Shape): void {
  const { sharing } = supports
  if (weight === capacity || sharing === 'permits' || (sharing === 'shared' && capacity === WHOLE)) return
  const can = sharing === 'none' ? 'lets only one hold at a time' : 'has readers and writers, but counts no permits'
  throw new NotSupportedError(name, `"${name}": the coordinator (${kind}) ${can}.`)
}

/** @throws ArgumentTypeError, ArgumentRangeError when `name` cannot be the name of a lock */
export function checkName(name: unknown, what = 'a name'): asserts name is string {
  if (typeof name !== 'string')
    throw new ArgumentTypeError(`${what} is ${describe(name)}; give a string, such as 'orders:42'`)
  if (name === '') throw new ArgumentTypeError(`${what} is empty; give it at least one character`)
  if (/\p{Surrogate}/u.test(name))
    throw new ArgumentTypeError(`${what} has half of a surrogate pair in it; give well-formed Unicode`)
  // eslint-disable-next-line no-control-regex -- control characters are just what is looked for
  if (/[\u0000-\u001F\u007F-\u009F]/.test(name))
    throw new ArgumentTypeError(`${what} has a control character in it, such as a line end`)
  if (name.length > NAME_BYTES_MAX / 3 && Buffer.byteLength(name) > NAME_BYTES_MAX) {
    throw new ArgumentRangeError(
      `${what} has ${Buffer.byteLength(name)} bytes; ${NAME_BYTES_MAX} bytes of UTF-8 are the most`,
    )
  }
}

/** @throws ArgumentTypeError unless these are options: an object, before anything in it is read */
export function checkObject(options: unknown): asserts options is object {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new ArgumentTypeError(`options are ${describe(options)}; give an object, such as { wait: '10s' }`)
}

/** @throws ArgumentTypeError unless these are options, all of them known */
export function checkKnown(options: unknown, known: ReadonlySet<string>): asserts options is object {
  checkObject(options)
  for (const key of Object.keys(options)) {
    if (!known.has(key)) throw new ArgumentTypeError(`there is no option '${key}'; there are ${[...known].join(', ')}`)
  }
}

export function checkSignal(signal: unknown): void {
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new ArgumentTypeError(`signal is ${describe(signal)}; give an AbortSignal`)
}

/** Text that may be left out. */
export function checkText(text: unknown, what: string): void {
  if (text !== undefined && typeof text !== 'string')
    throw new ArgumentTypeError(`${what} is ${describe(text)}; give a string`)
}

/** @throws ArgumentTypeError unless it is a function; `user` is what needs it */
export function checkFunction(fn: unknown, user: string): void {
  if (typeof fn !== 'function') throw new ArgumentTypeError(`${user} needs a function; this is ${describe(fn)}`)
}

/** A whole number of at least `least`. */
export function count(value: unknown, what: string, least: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value))
    throw new ArgumentTypeError(`${what} is ${describe(value)}; give a whole number`)
  if (value < least || value >= WHOLE)
    throw new ArgumentRangeError(`${what} is ${value}; give a whole number from ${least} to ${WHOLE - 1}`)
  return value
}

export function finite(value: Duration, what: string): number {
  const ms = parseDuration(value, what)
  if (ms > LONGEST_MS) throw new ArgumentRangeError(`${what} is ${describe(value)}; the longest is a year ('366d')`)
  return ms
}

/** A duration above 0; `most` checks its upper end. */
export function positive(value: Duration, what: string, most: typeof finite = parseDuration): number {
  const ms = most(value, what)
  if (ms === 0) throw new ArgumentRangeError(`${what} is 0; give a duration above 0`)
  return ms
}

/** @throws ArgumentRangeError when a lease of this ttl could not be kept */
export function checkTtl(ttlMs: number, marginMs: number | undefined): void {
  if (ttlMs === 0) throw new ArgumentRangeError('ttl is 0; a lease must last some time, for example 30s')
  const margin = marginOf(ttlMs, marginMs)
  // With less than half left there would be no time to renew before the end.
  if (ttlMs < 2 * margin) {
    throw new ArgumentRangeError(
      `ttl is ${ttlMs} ms, but its last ${margin} ms are the margin in which it counts as lost; use ${2 * margin} ms or more, or set margin`,
    )
  }
}
