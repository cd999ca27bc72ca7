/** Signals to this process. Every one works in every phase; what it means changes. */
import { send } from './tree.ts'

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const
const ALL = [...ENDING, 'SIGUSR1', 'SIGUSR2', 'SIGCONT', 'SIGTSTP'] as const

/** Before the command runs, those that end a process end the waiting; then they are the command's; at last they hurry us. */
export class Signals {
  readonly #interruption = new AbortController()
  readonly #listener = (signal: NodeJS.Signals): void => this.#hear(signal)
  #interruptedBy: NodeJS.Signals | undefined
  #endedBy: NodeJS.Signals | undefined
  #leaving = false
  #hurry = (): void => {}
  #hurried = this.#nextHurry()
  #forward: ((signal: NodeJS.Signals) => void) | undefined

  constructor() {
    for (const signal of ALL) process.on(signal, this.#listener)
  }

  /** Aborted when a signal came that ends the waiting. */
  get interruption(): AbortSignal {
    return this.#interruption.signal
  }

  get interruptedBy(): NodeJS.Signals | undefined {
    return this.#interruptedBy
  }

  /** How we end, if this error is what became of the waiting that a signal has ended. */
  interrupted(error: unknown): { readonly signal: NodeJS.Signals } | undefined {
    const signal = this.#interruptedBy
    return signal && this.#interruption.signal.reason === error ? { signal } : undefined
  }

  /** The first one, in whichever phase, that was to end what we do. */
  get endedBy(): NodeJS.Signals | undefined {
    return this.#endedBy
  }

  /** From now on they end the waiting again. */
  wait(): void {
    this.#forward = undefined
    this.#leaving = false
    this.#hurried = this.#nextHurry()
  }

  /** From now on they are the command's. */
  forwardTo(forward: (signal: NodeJS.Signals) => void): void {
    this.#forward = forward
  }

  /**
   * The command has ended. Wait for what is left to do; whoever sends a signal now does not want to wait for that. How we
   * end is still for the command to say: it ran.
   */
  unlessHurried<T>(work: Promise<T>): Promise<T | undefined> {
    this.#forward = undefined
    this.#leaving = true
    return Promise.race([work, this.#hurried])
  }

  #nextHurry(): Promise<undefined> {
    return new Promise((resolve) => (this.#hurry = () => resolve(undefined)))
  }

  #hear(signal: NodeJS.Signals): void {
    if (ENDING.some((each) => each === signal)) this.#endedBy ??= signal
    if (this.#forward) return this.#forward(signal)
    if (signal === 'SIGTSTP') return stopSelf()
    if (signal === 'SIGCONT') return
    if (this.#leaving) return this.#hurry()
    if (this.#interruptedBy) {
      // A second one: the coordinator does not answer, and whoever sent it does not want to wait for that.
      process.removeListener(signal, this.#listener)
      send(process.pid, signal)
      return
    }
    this.#interruptedBy = signal
    this.#interruption.abort()
  }
}

/** Stop, as we would have without a listener. Returns when continued. */
export function stopSelf(): void {
  send(process.pid, 'SIGSTOP')
}
