/**
 * What is to happen at which time: all deadlines of one connection on one timer.
 *
 * Most deadlines are cancelled before they come (a request is answered, a lease released), so making and cancelling one
 * must cost next to nothing: it is a push to a heap and a flag. Times are read from the elapsed clock. The timer wakes at
 * least once a second while anything is due later, because the timers of a machine that slept are late by the time it
 * slept, and a lease must not be.
 */
import type { Runtime, Timer } from '../runtime.ts'
import type { ElapsedClock } from '../elapsed.ts'
import { Heap } from './heap.ts'

const LONGEST_SLEEP_MS = 1000
/** Cancelled appointments stay in the heap until they come up, or until there are this many more than live ones. */
const CANCELLED_MAX = 256

export interface Appointment {
  cancel(): void
}

interface Item {
  readonly at: number
  fire: (() => void) | undefined
}

export class Agenda {
  readonly #runtime: Runtime
  readonly #clock: ElapsedClock
  readonly #heap = new Heap<Item>((one, other) => one.at < other.at)
  #live = 0
  #timer: Timer | undefined
  #timerAt = Infinity
  #keepers = 0

  constructor(runtime: Runtime, clock: ElapsedClock) {
    this.#runtime = runtime
    this.#clock = clock
    clock.onLeap(() => this.#rearm())
  }

  /** Call `fire` once, when the elapsed clock shows `at` or soon after. */
  at(at: number, fire: () => void): Appointment {
    const item: Item = { at, fire }
    this.#heap.push(item)
    this.#live += 1
    this.#arm(at)
    return {
      cancel: () => {
        if (!item.fire) return
        item.fire = undefined
        this.#live -= 1
        if (this.#heap.size > 2 * this.#live + CANCELLED_MAX) this.#heap.filter(({ fire }) => fire !== undefined)
      },
    }
  }

  /** Keep the process alive until `done` is called: somebody awaits what this agenda brings. */
  keepAlive(): () => void {
    this.#keepers += 1
    if (this.#keepers === 1) this.#timer?.keepAlive(true)
    let done = false
    return () => {
      if (done) return
      done = true
      this.#keepers -= 1
      if (this.#keepers === 0) this.#timer?.keepAlive(false)
    }
  }

  #arm(at: number): void {
    if (at >= this.#timerAt) return
    const now = this.#clock.now()
    this.#timer?.cancel()
    this.#timerAt = Math.min(at, now + LONGEST_SLEEP_MS)
    this.#timer = this.#runtime.after(this.#timerAt - now, () => this.#ring())
    if (this.#keepers > 0) this.#timer.keepAlive(true)
  }

  /** A timer that was set before the wall clock jumped ahead, or the machine slept, is late by as much. */
  #rearm(): void {
    const at = this.#timerAt
    if (!this.#timer) return
    this.#timerAt = Infinity
    this.#arm(at)
  }

  #ring(): void {
    this.#timer = undefined
    this.#timerAt = Infinity
    const now = this.#clock.now()
    const due: Item[] = []
    for (let first = this.#heap.first; first && (!first.fire || first.at <= now); first = this.#heap.first) {
      due.push(first)
      this.#heap.pop()
    }
    // What is made for this instant meanwhile waits for the next timer: whoever makes it again and again must not block
    // the event loop.
    for (const item of due) {
      if (!item.fire) continue
      const fire = item.fire
      item.fire = undefined
      this.#live -= 1
      fire()
    }
    const next = this.#heap.first
    if (next) this.#arm(next.at)
  }
}
