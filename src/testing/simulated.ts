/**
 * Time and chance for tests: a world whose clock moves only when it is told to, and the processes that live in it.
 *
 * Every process has a `Runtime` of its own over the one world clock: its clocks may run fast or slow, its wall clock may
 * be set, its machine may sleep, and it may be stopped and continued or die. Chance comes from a seed, so a run can be
 * repeated. Works for whatever runs on promises and on the runtime's timers; code that does real input and output needs
 * a `settle` of its own.
 */
import { AsyncResource } from 'node:async_hooks'
import { Heap } from '../core/heap.ts'
import type { Identity, Runtime, Timer } from '../runtime.ts'

export interface SimulatedTimeOptions {
  /** The same seed, the same tokens and random numbers. Default 1. */
  readonly seed?: number
  /** Resolves when nothing is left to run at this instant. Default: when all promises that can go on have gone on. */
  readonly settle?: () => Promise<void>
}

export interface SimulatedRuntimeOptions {
  /** How much faster than the world its clocks run: `0.01` gains 10 ms a second, `-0.01` loses them. Default 0. */
  readonly drift?: number
  /** How far its wall clock is off from the start. Default 0. */
  readonly wallOffsetMs?: number
  /** Shown in an inspection. Default `'host-1'`, `'host-2'`, … */
  readonly host?: string
}

/** One simulated process. Durations are in the world's milliseconds, unless they go through the `Runtime`. */
export interface SimulatedRuntime extends Runtime {
  /** Set the wall clock: forward, or back if negative. */
  jumpWall(ms: number): void
  /** The machine sleeps: its monotonic clock stands still and its timers with it; its wall clock goes on. */
  sleep(ms: number): void
  /** Stop the process, as SIGSTOP does: the clocks go on, the timers are held. */
  pause(): void
  /** Let it go on: what was due meanwhile fires late, at the next `advance`. */
  continue(): void
  /** End the process: none of its timers fires from now on. Promises that wait for no timer still go on. */
  kill(): void
  readonly paused: boolean
}

export interface SimulatedTime {
  readonly seed: number
  /** Milliseconds of the world since the start. */
  readonly now: number
  /** A new process. */
  runtime(options?: SimulatedRuntimeOptions): SimulatedRuntime
  /** Let `ms` pass; timers fire in their order, and whatever they set off runs before the next one. */
  advance(ms: number): Promise<void>
  /** Go to the next timer and fire it. `false`: there is none. */
  step(): Promise<boolean>
  /** Let time pass until `work` settles, and settle like it. Rejects after `withinMs`, or when no timer is left. */
  during<T>(work: Promise<T>, withinMs?: number): Promise<T>
  /** Let `ms` pass while nothing runs, as in a blocked event loop. What was due fires late, at the next `advance`. */
  block(ms: number): void
  /** Run everything that can run at this instant. */
  settle(): Promise<void>
  /** Chance of the world's own, apart from that of its processes. */
  random(): number
}

/**
 * A world with a clock of its own.
 *
 * @example
 * ```ts
 * import { connect } from 'holdfast'
 * import { memory } from 'holdfast/memory'
 * import { simulatedTime } from 'holdfast/testing'
 *
 * const time = simulatedTime({ seed: 7 })
 * const locks = connect(memory({ clocks: time.runtime() }), { runtime: time.runtime() })
 * const lease = await locks.acquire('demo', { ttl: '30s' })
 * await time.advance(60_000)
 * lease.assertHeld() // renewed six times meanwhile, in no time at all
 * ```
 */
export function simulatedTime(options: SimulatedTimeOptions = {}): SimulatedTime {
  return new World(options.seed ?? 1, options.settle ?? drained)
}

/** The world counts in steps of this many milliseconds: a binary fraction, so that sums of them are exact. */
const STEP_MS = 2 ** -10
/** 1 January 2026. */
const START_WALL_MS = 1_767_225_600_000
const HOUR_MS = 3_600_000

class World implements SimulatedTime {
  readonly seed: number
  readonly settle: () => Promise<void>
  readonly random: () => number
  now = 0
  readonly #processes: Process[] = []

  constructor(seed: number, settle: () => Promise<void>) {
    this.seed = seed
    this.settle = settle
    this.random = generator(seed, 0)
  }

  runtime(options: SimulatedRuntimeOptions = {}): SimulatedRuntime {
    const process = new Process(this, this.#processes.length + 1, options)
    this.#processes.push(process)
    return process
  }

  async advance(ms: number): Promise<void> {
    const until = this.now + ms
    await this.settle()
    while (this.#fireNext(until)) await this.settle()
    this.now = Math.max(this.now, until)
  }

  async step(): Promise<boolean> {
    await this.settle()
    const fired = this.#fireNext(Infinity)
    await this.settle()
    return fired
  }

  async during<T>(work: Promise<T>, withinMs: number = HOUR_MS): Promise<T> {
    const until = this.now + withinMs
    let settled = false
    void Promise.allSettled([work]).then(() => (settled = true))
    await this.settle()
    while (!settled) {
      if (!this.#fireNext(until))
        throw new Error(`after ${withinMs} simulated ms it has not settled (seed ${this.seed})`)
      await this.settle()
    }
    return work
  }

  block(ms: number): void {
    this.now += ms
  }

  #fireNext(until: number): boolean {
    let first: Process | undefined
    let firstAt = Infinity
    for (const process of this.#processes) {
      const at = process.nextAt()
      if (at < firstAt) [first, firstAt] = [process, at]
    }
    if (!first || firstAt > until) return false
    this.now = Math.max(this.now, firstAt)
    first.fireNext()
    return true
  }
}

interface Alarm {
  /** By the process's monotonic clock. */
  readonly at: number
  /** Alarms of one instant fire in the order in which they were set. */
  readonly number: number
  fire: (() => void) | undefined
}

class Process implements SimulatedRuntime {
  readonly identity: Identity
  readonly random: () => number
  paused = false

  readonly #world: World
  readonly #rate: number
  readonly #alarms = new Heap(before)
  #alarmsSet = 0
  #tokensDrawn = 0
  #dead = false
  /** The monotonic clock showed `#monotonicMs` when the world's showed `#at`; it has run at its rate from then on. */
  #at: number
  #monotonicMs: number
  /** How far the wall clock is ahead of the monotonic one. */
  #wallLeadMs: number

  constructor(world: World, number: number, options: SimulatedRuntimeOptions) {
    this.#world = world
    this.#rate = 1 + (options.drift ?? 0)
    this.#at = world.now
    // Every process counts from another start, so that a point in time taken from one to another is noticed.
    this.#monotonicMs = 10_000 * number
    this.#wallLeadMs = START_WALL_MS + world.now + (options.wallOffsetMs ?? 0) - this.#monotonicMs
    this.random = generator(world.seed, number)
    this.identity = { host: options.host ?? `host-${number}`, pid: 1000 + number, user: 'simulated' }
  }

  monotonicMs(): number {
    return this.#monotonicAt(this.#world.now)
  }

  wallMs(): number {
    // `#at` lies in the future while the machine sleeps.
    const asleepMs = Math.max(0, this.#sleepLeftMs())
    return Math.floor(this.monotonicMs() + this.#wallLeadMs - asleepMs * this.#rate)
  }

  after(ms: number, fire: () => void): Timer {
    // Like a real timer it fires in the context in which it was set, and never at once: time goes on, if only a little.
    const at = this.monotonicMs() + Math.max(ms, STEP_MS * this.#rate)
    // By hand: AsyncLocalStorage.bind takes 9 µs, a hundred times as long, and there are many timers.
    const context = new AsyncResource('holdfast.timer')
    const alarm: Alarm = { at, number: (this.#alarmsSet += 1), fire: () => context.runInAsyncScope(fire) }
    if (!this.#dead) this.#alarms.push(alarm)
    return { cancel: () => void (alarm.fire = undefined), keepAlive: () => {} }
  }

  token(): string {
    this.#tokensDrawn += 1
    const bytes = Buffer.alloc(16)
    for (let index = 0; index < 12; index += 4) bytes.writeUInt32LE(Math.floor(this.random() * 2 ** 32), index)
    // Never the same twice in one process, whatever chance says.
    bytes.writeUInt32LE(this.#tokensDrawn, 12)
    return bytes.toString('base64url')
  }

  jumpWall(ms: number): void {
    this.#wallLeadMs += ms
  }

  sleep(ms: number): void {
    const from = Math.max(this.#at, this.#world.now)
    this.#monotonicMs = this.#monotonicAt(from)
    this.#at = from + ms
    this.#wallLeadMs += ms * this.#rate
  }

  pause(): void {
    this.paused = true
  }

  continue(): void {
    this.paused = false
  }

  kill(): void {
    this.#dead = true
    this.#alarms.filter(() => false)
  }

  /** When, by the world's clock, the next timer fires. */
  nextAt(): number {
    if (this.paused) return Infinity
    while (this.#alarms.first && !this.#alarms.first.fire) this.#alarms.pop()
    const next = this.#alarms.first
    if (!next) return Infinity
    const due = this.#at + (next.at - this.#monotonicMs) / this.#rate
    // Rounded up, and once more if that was not enough: a timer never fires before its time.
    const at = Math.max(this.#at, Math.ceil(due / STEP_MS) * STEP_MS)
    return this.#monotonicAt(at) < next.at ? at + STEP_MS : at
  }

  fireNext(): void {
    this.#alarms.pop()!.fire!()
  }

  #monotonicAt(worldMs: number): number {
    return this.#monotonicMs + Math.max(0, worldMs - this.#at) * this.#rate
  }

  #sleepLeftMs(): number {
    return this.#at - this.#world.now
  }
}

/** All microtasks have run when a tick that a microtask asked for runs. */
async function drained(): Promise<void> {
  await Promise.resolve()
  await new Promise<void>((resolve) => process.nextTick(resolve))
}

/** sfc32 by Chris Doty-Humphrey: small, fast, and good enough for chance in tests. `stream` sets generators of one seed apart. */
function generator(seed: number, stream: number): () => number {
  let a = seed | 0
  let b = Math.floor(seed / 2 ** 32) | 0
  let c = stream | 0
  let d = 1
  const next = (): number => {
    const sum = (a + b + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + sum) | 0
    return (sum >>> 0) / 2 ** 32
  }
  for (let round = 0; round < 15; round += 1) next()
  return next
}

function before(one: Alarm, other: Alarm): boolean {
  return one.at < other.at || (one.at === other.at && one.number < other.number)
}
