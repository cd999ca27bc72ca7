/**
 * How much time may have passed, on the side of caution.
 *
 * The monotonic clock stops while the machine sleeps; the wall clock may be set. Neither alone can say how old a lease
 * is. So elapsed time is the monotonic clock's, plus whatever the wall clock jumped ahead of it: after a sleep both tell
 * the truth, after the wall clock was set forward a lease is lost too early, which is safe. A wall clock that is set back
 * takes nothing away, and does not hide a later sleep.
 */
import type { Clocks } from './runtime.ts'

/**
 * The wall clock counts in whole milliseconds and is slewed by up to some parts in ten thousand; less than this is no
 * jump. Whatever hides below it is far below the smallest margin of a lease.
 */
const TOLERANCE_MS = 10

export class ElapsedClock {
  readonly #clocks: Clocks
  #lead: number
  #added = 0
  #leapt = (): void => {}

  constructor(clocks: Clocks) {
    this.#clocks = clocks
    this.#lead = clocks.wallMs() - clocks.monotonicMs()
  }

  /** Call `leapt` at each reading that sees the wall clock jump ahead: timers that were set before do not know of it. */
  onLeap(leapt: () => void): void {
    this.#leapt = leapt
  }

  /** What this clock shows when the monotonic clock shows `monotonicMs`, unless the wall clock jumps ahead until then. */
  at(monotonicMs: number): number {
    this.now()
    return monotonicMs + this.#added
  }

  /** Milliseconds on a scale of its own that never goes back. Compare only with other readings of the same clock. */
  now(): number {
    const monotonicMs = this.#clocks.monotonicMs()
    const jump = this.#clocks.wallMs() - monotonicMs - this.#lead
    if (Math.abs(jump) > TOLERANCE_MS) {
      this.#lead += jump
      if (jump > 0) {
        this.#added += jump
        this.#leapt()
      }
    }
    return monotonicMs + this.#added
  }
}
