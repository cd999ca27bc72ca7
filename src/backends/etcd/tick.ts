/** One timer, for the first of what is to come. */
import type { ElapsedClock } from '../../elapsed.ts'
import type { Runtime, Timer } from '../../runtime.ts'

export class Tick {
  readonly #runtime: Pick<Runtime, 'after'>
  readonly #clock: ElapsedClock
  readonly #run: () => number
  #timer: Timer | undefined
  #at = Infinity
  #closed = false

  /** @param run does what is due. It returns when the next is, by the elapsed clock */
  constructor(runtime: Pick<Runtime, 'after'>, clock: ElapsedClock, run: () => number) {
    this.#runtime = runtime
    this.#clock = clock
    this.#run = run
  }

  /** Run then, or sooner. */
  at(at: number): void {
    if (at >= this.#at || this.#closed) return
    this.#timer?.cancel()
    this.#at = at
    this.#timer = this.#runtime.after(at - this.#clock.now(), () => {
      this.#at = Infinity
      this.at(this.#run())
    })
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }
}
