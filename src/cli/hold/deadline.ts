/**
 * Ends the command in time when its lease is not renewed.
 *
 * No renewal by `killAfterMs` before the end of the lease: it is asked to end. At the end: it is killed. Once asked, it is
 * ended, also if a renewal comes after all: a command that was told to end is not one that did its work.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { ElapsedClock } from '../../elapsed.ts'
import type { HoldfastEvents } from '../../core/events.ts'
import type { Lease } from '../../core/lease.ts'
import type { Clocks } from '../../runtime.ts'
import { LONGEST_SLEEP_MS, machineClocks } from './countdown.ts'

export interface DeadlineEvents {
  /** The lease lasts so much longer, from now. */
  moved(remainingMs: number): void
  /** Ask the command to end. */
  ask(killInMs: number): void
  /** Kill it. */
  kill(): void
}

export class Deadline {
  readonly #lease: Lease
  readonly #killAfterMs: number
  readonly #events: DeadlineEvents
  readonly #forget: () => void
  /** The same kind as the guardian's, so that both see a command as over after the same sleep. */
  readonly #clock: ElapsedClock
  /** When to ask, and, once asked, when to kill. */
  #askAt: number
  #killAt = Infinity
  #killed = false
  #timer: NodeJS.Timeout | undefined

  constructor(lease: Lease, killAfterMs: number, events: DeadlineEvents, clocks: Clocks = machineClocks) {
    this.#lease = lease
    this.#killAfterMs = killAfterMs
    this.#events = events
    this.#clock = new ElapsedClock(clocks)
    this.#askAt = this.#clock.now() + lease.remainingMs - killAfterMs
    const renewed = (message: unknown): void => {
      const event = message as HoldfastEvents['holdfast:renew']
      if (event.fence !== lease.fence || event.name !== lease.name) return
      // A renewal that came too late changes nothing. We, or the machine, may have stood still meanwhile:
      // 1. we are stopped;  2. the guardian asks the command to end;  3. we go on, and renew;  4. it exits with 0, half done.
      if (this.#clock.now() < this.#askAt) {
        this.#askAt = this.#clock.now() + event.remainingMs - killAfterMs
        events.moved(event.remainingMs)
      }
      this.look()
    }
    subscribe('holdfast:renew', renewed)
    const unlisten = lease.on('lost', () => this.look())
    this.#forget = () => {
      unsubscribe('holdfast:renew', renewed)
      unlisten()
    }
  }

  /** Whether the command was, or had to be, ended. By the clock: we, and its timers, may have been stopped. */
  get over(): boolean {
    return this.#clock.now() >= this.#askAt || this.#lease.remainingMs <= this.#killAfterMs
  }

  /** Draw the consequence of what the clock shows. */
  look(): void {
    clearTimeout(this.#timer)
    if (this.#killed) return
    const left = this.#lease.remainingMs
    const now = this.#clock.now()
    const first = this.over && this.#killAt === Infinity
    if (first) {
      this.#askAt = Math.min(this.#askAt, now)
      this.#killAt = Math.min(now + left, this.#askAt + this.#killAfterMs)
    }
    if (now >= this.#killAt || left <= 0) {
      this.#killed = true
      return this.#events.kill()
    }
    if (first) this.#events.ask(this.#killAt - now)
    const next = (this.#killAt === Infinity ? this.#askAt : this.#killAt) - now
    this.#timer = setTimeout(() => this.look(), Math.max(1, Math.min(next, LONGEST_SLEEP_MS)))
  }

  /** How long until the kill. */
  get graceMs(): number {
    return this.#killed ? 0 : Math.max(0, Math.min(this.#killAt - this.#clock.now(), this.#lease.remainingMs))
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#killed = true
    this.#forget()
  }
}
