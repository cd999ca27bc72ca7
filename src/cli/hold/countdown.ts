/**
 * When the guardian has to act: the deadline that its wrapper named, on a clock of its own.
 *
 * What all processes of a machine read alike is the monotonic clock; what an elapsed clock adds to it, each has for itself,
 * since it was started. So a deadline is put on the elapsed clock when it is heard: leaps from then on count, time may
 * have passed in them; those of before do not. Otherwise:
 * 1. the guardian starts, its wrapper waits;  2. the machine sleeps for an hour;  3. the wrapper holds, for 30 s;
 * 4. by the guardian's clock that was over long ago, and it kills a healthy command.
 */
import type { ElapsedClock } from '../../elapsed.ts'
import type { Clocks } from '../../runtime.ts'

/** Every process of the machine reads the same. */
export const machineClocks: Clocks = {
  monotonicMs: () => Number(process.hrtime.bigint()) / 1e6,
  wallMs: () => Date.now(),
}

/** Kill the command at `killAt`, and ask it to end by `signal` so much earlier, unless told otherwise. */
export interface DeadlineWord {
  readonly about: 'deadline'
  /** A reading of the machine's monotonic clock. */
  readonly killAt: number
  readonly killAfterMs: number
  readonly signal: NodeJS.Signals
}

/** How much later than the wrapper to ask for an end, so that a command whose wrapper is well is asked once. */
const AFTER_YOU_MS = 150
/** A timer of a machine that slept is late by the time it slept. */
export const LONGEST_SLEEP_MS = 1000

/** One deadline. The next one takes its place, whatever was due by this one. */
export class Countdown {
  readonly signal: NodeJS.Signals
  readonly #clock: ElapsedClock
  readonly #askAt: number
  readonly #killAt: number
  #asked = false

  constructor(clock: ElapsedClock, { killAt, killAfterMs, signal }: DeadlineWord) {
    this.signal = signal
    this.#clock = clock
    this.#killAt = clock.at(killAt)
    this.#askAt = this.#killAt - killAfterMs + Math.min(AFTER_YOU_MS, killAfterMs / 2)
  }

  /** The wrapper has asked it. */
  asked(): void {
    this.#asked = true
  }

  /**
   * What is due by now: to ask, once; to kill, whenever somebody looks, for a command may be started that late. And how long
   * until the next look. Both from one reading of the clock. Otherwise: 1. nothing is due yet;  2. the deadline passes;
   * 3. nothing is left to wait for, and the next look is a long time away.
   */
  look(): { readonly due: 'ask' | 'kill' | undefined; readonly pauseMs: number } {
    const now = this.#clock.now()
    if (now >= this.#killAt) return { due: 'kill', pauseMs: LONGEST_SLEEP_MS }
    const due = now >= this.#askAt && !this.#asked ? 'ask' : undefined
    if (due) this.#asked = true
    const next = this.#asked ? this.#killAt : this.#askAt
    return { due, pauseMs: Math.min(next - now, LONGEST_SLEEP_MS) }
  }
}
