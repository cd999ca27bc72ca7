/** The wrapper's side of its guardian: starts it, tells it what it must know, and replaces it when it dies. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Backend } from '../../backend.ts'
import { realRuntime } from '../../runtime.ts'
import { mention, say } from '../voice.ts'
import type { DeadlineWord } from './countdown.ts'
import { GUARDIAN } from './processes.ts'
import type { Origin, Started } from './tree.ts'

/** What a wrapper says to its guardian: one line of JSON each. */
export type Word =
  /** This is about to be started. Said before it is, or a wrapper that dies in between leaves a command unknown. */
  | { readonly about: 'command'; readonly origin: Origin }
  /** It was started. */
  | { readonly about: 'child'; readonly child: Started }
  | DeadlineWord
  /** The wrapper has asked it to end. */
  | { readonly about: 'asked' }
  /** It has ended, and its lock is released. */
  | { readonly about: 'done' }

/** Beside this one, as it is bundled (rolldown.config.ts). */
const GUARDIAN_FILE = './guardian.cjs'

/** When so many in a row die younger than this, something is wrong with the machine: the next one comes this much later. */
const INFANT_MS = 1000
const INFANTS_MAX = 3

export interface GuardEvents {
  /** It died, and another takes its place. */
  replaced(reason: string): void
  /** One after the other dies; for a while there is none. */
  missing(reason: string): void
}

/** A guard that says what becomes of it, for a command under a lease of this backend. */
export function guardFor(backend: Backend): Guard {
  return new Guard(() => ('lifeline' in backend ? (backend.lifeline as () => number)() : undefined), {
    replaced: (reason) => mention(`the guardian ended (${reason}); another takes its place`),
    missing: (reason) =>
      say(
        `the guardian ends again and again (${reason}); without one, kill -9 of ${process.pid} frees the lock while the command runs on`,
      ),
  })
}

export class Guard {
  readonly #lifeline: () => number | undefined
  readonly #events: GuardEvents
  /** The last word of each kind, for a guardian that comes later. */
  readonly #said = new Map<Word['about'], Word>()
  #process: ChildProcess | undefined
  #infants = 0
  #stopped = false

  /** @param lifeline the descriptor that the guardian is to keep open as long as the command may run */
  constructor(lifeline: () => number | undefined, events: GuardEvents) {
    this.#lifeline = lifeline
    this.#events = events
  }

  /** Start it, unless it was. It need not be waited for: it exists, and reads what was written before it could. */
  start(): void {
    if (!this.#process) this.#spawn()
  }

  /** Said when this returns: written to the pipe, where only the end of the guardian can lose it. */
  tell(word: Word): void {
    this.#said.set(word.about, word)
    this.#write(word)
  }

  /** The command is over; let the guardian go. */
  stop(): void {
    this.#stopped = true
    this.#write({ about: 'done' })
  }

  #spawn(): void {
    const startedAt = realRuntime.monotonicMs()
    const guardian = spawn(process.execPath, [fileURLToPath(new URL(GUARDIAN_FILE, import.meta.url))], {
      argv0: GUARDIAN,
      cwd: '/',
      // Nothing of ours: NODE_OPTIONS could keep it from starting, and an outer run's variables would mark it as prey.
      env: {},
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore', this.#lifeline() ?? 'ignore'],
    })
    this.#process = guardian
    guardian.unref()
    // A pipe that broke: the exit says it, too.
    guardian.stdin!.on('error', () => {})
    for (const word of this.#said.values()) this.#write(word)
    const ended = (reason: string): void => {
      if (this.#stopped || this.#process !== guardian) return
      this.#process = undefined
      this.#infants = realRuntime.monotonicMs() - startedAt < INFANT_MS ? this.#infants + 1 : 0
      if (this.#infants < INFANTS_MAX) return this.#replace(reason)
      this.#events.missing(reason)
      setTimeout(() => this.#replace(reason), INFANT_MS).unref()
    }
    guardian.once('error', (error) => ended(error.message))
    guardian.once('exit', (code, signal) => ended(signal ?? `exit code ${code}`))
  }

  #replace(reason: string): void {
    // Another one may have been started while this one was put off.
    if (this.#stopped || this.#process) return
    this.#events.replaced(reason)
    this.#spawn()
  }

  #write(word: Word): void {
    this.#process?.stdin?.write(`${JSON.stringify(word)}\n`)
  }
}
