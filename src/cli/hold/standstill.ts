/**
 * Gives the guards of the command before ours the time to end it, when all of us stood still.
 *
 * A guard has a margin of a tenth of the ttl. A machine that stands still for longer, because it sleeps, or is paused, or
 * gives nobody the processor, uses it up:
 * 1. a command runs, and its guardian is about to end it;  2. the machine stands still until the lease is over;  3. all go on
 * at once, also a waiter, which is granted the lock;  4. its command starts before the guardian has had its turn.
 *
 * A waiter stood still like everybody else, and can tell by its own timer. Then its command starts a moment later.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ElapsedClock } from '../../elapsed.ts'
import { machineClocks } from './countdown.ts'

const TICK_MS = 100
/** Later than most machines are with a timer; with the tick itself no later than the margin of a ttl of 3.5 s, and all longer ones. */
const LATE_MS = 250
/** To find and end a tree takes tens of milliseconds, and on a machine with much to make up for several times that. */
const SETTLE_MS = 1000

export class Standstill {
  /** Also time that the machine slept. */
  readonly #clock = new ElapsedClock(machineClocks)
  #tickedAt = Infinity
  #overAt = -Infinity
  #timer: NodeJS.Timeout | undefined

  /** From now on. Who does not wait needs none: a process that is just being started leaves the others time enough. */
  watch(): void {
    this.#tickedAt = this.#clock.now()
    this.#timer ??= setInterval(() => this.#look(), TICK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Resolves when whoever stood still with us has had its turn: nearly always at once. `told` is called before a pause. */
  async past(told: () => void): Promise<void> {
    this.stop()
    // What brought us here may have come before the timer that is due.
    this.#look()
    const leftMs = this.#overAt + SETTLE_MS - this.#clock.now()
    if (leftMs <= 0) return
    told()
    await sleep(leftMs)
  }

  #look(): void {
    const now = this.#clock.now()
    if (now - this.#tickedAt > TICK_MS + LATE_MS) this.#overAt = now
    this.#tickedAt = now
  }
}
