/**
 * Ends the command in time when its lease is not renewed.
 *
 * No renewal by `killAfterMs` before the end of the lease: it is asked to end. At the end: it is killed. Once asked, it is
 * ended, also if a renewal comes after all: a command that was told to end is not one that did its work.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { HoldfastEvents } from '../core/events.ts'
import type { Lease } from '../core/lease.ts'

/** A timer of a machine that slept is late by the time it slept. */
const LONGEST_SLEEP_MS = 1000

export interface DeadlineEvents {
  /** The lease lasts so much longer, from now. */
  moved(remainingMs: number): void
  /** Ask the command to end. */
  ask(remainingMs: number): void
  /** Kill it. */
  kill(): void
}

export class Deadline {
  readonly #lease: Lease
  readonly #killAfterMs: number
  readonly #events: DeadlineEvents
  readonly #forget: () => void
  #killAt = Infinity
  #killed = false
  #timer: NodeJS.Timeout | undefined

  constructor(lease: Lease, killAfterMs: number, events: DeadlineEvents) {
    this.#lease = lease
    this.#killAfterMs = killAfterMs
    this.#events = events
    const renewed = (message: unknown): void => {
      const event = message as HoldfastEvents['holdfast:renew']
      if (event.fence !== lease.fence || event.name !== lease.name || this.#killAt !== Infinity) return
      events.moved(event.remainingMs)
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
    return this.#killAt !== Infinity || this.#lease.remainingMs <= this.#killAfterMs
  }

  /** Draw the consequence of what the clock shows. */
  look(): void {
    clearTimeout(this.#timer)
    if (this.#killed) return
    const left = this.#lease.remainingMs
    const now = performance.now()
    if (left <= 0 || now >= this.#killAt) {
      this.#killed = true
      this.#killAt = Math.min(this.#killAt, now)
      return this.#events.kill()
    }
    if (left <= this.#killAfterMs && this.#killAt === Infinity) {
      this.#killAt = now + left
      this.#events.ask(left)
    }
    const next = this.#killAt === Infinity ? left - this.#killAfterMs : this.#killAt - now
    this.#timer = setTimeout(() => this.look(), Math.min(next, LONGEST_SLEEP_MS))
  }

  /** How long until the kill. */
  get graceMs(): number {
    return this.#killed ? 0 : Math.max(0, Math.min(this.#killAt - performance.now(), this.#lease.remainingMs))
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#killed = true
    this.#forget()
  }
}
