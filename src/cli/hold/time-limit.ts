/** Ends a command that has run for too long: asks it to, and kills it `killAfterMs` later. */
import { ElapsedClock } from '../../elapsed.ts'
import type { Clocks } from '../../runtime.ts'
import { LONGEST_SLEEP_MS, machineClocks } from './countdown.ts'

export interface TimeLimitEvents {
  ask(killInMs: number): void
  kill(): void
}

export class TimeLimit {
  readonly #clock: ElapsedClock
  readonly #askAt: number
  readonly #killAfterMs: number
  readonly #events: TimeLimitEvents
  #killAt = Infinity
  #killed = false
  #timer: NodeJS.Timeout | undefined

  constructor(
    { maxTimeMs, killAfterMs }: { readonly maxTimeMs: number; readonly killAfterMs: number },
    events: TimeLimitEvents,
    clocks: Clocks = machineClocks,
  ) {
    this.#clock = new ElapsedClock(clocks)
    this.#askAt = this.#clock.now() + maxTimeMs
    this.#killAfterMs = killAfterMs
    this.#events = events
    if (maxTimeMs < Infinity) this.#look()
  }

  /** Whether the command was asked to end. */
  get over(): boolean {
    return this.#killAt < Infinity
  }

  /** How long until the kill. */
  get graceMs(): number {
    return this.#killed ? 0 : Math.max(0, this.#killAt - this.#clock.now())
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #look(): void {
    const now = this.#clock.now()
    if (now >= this.#askAt && !this.over) {
      this.#killAt = now + this.#killAfterMs
      this.#events.ask(this.#killAfterMs)
    }
    if (now >= this.#killAt) {
      this.#killed = true
      return this.#events.kill()
    }
    const next = (this.over ? this.#killAt : this.#askAt) - now
    this.#timer = setTimeout(() => this.#look(), Math.max(1, Math.min(next, LONGEST_SLEEP_MS)))
  }
}
