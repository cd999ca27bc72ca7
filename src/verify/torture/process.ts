/**
 * A worker process: told what to do by lines of JSON, and stopped, continued and killed; what was done to it is written down.
 *
 * The other end is `serve.ts`.
 */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Event } from '../history.ts'
import { machineNow, until } from './clock.ts'
import type { Answer } from './serve.ts'

export interface Launch {
  /** Its name in the history. */
  readonly name: string
  /** What starts it, word by word. */
  readonly line: readonly string[]
  readonly env?: NodeJS.ProcessEnv | undefined
}

/** A worker is gone: by `kill`, or by itself, which is an error of its own. */
export class WorkerGone extends Error {
  override readonly name = 'WorkerGone'
}

/** What was thrown in a worker. */
class WorkerError extends Error {
  readonly code: string | undefined

  constructor({ name, code, message, stack }: NonNullable<Answer['error']>) {
    super(message)
    this.name = name
    this.code = code
    if (stack !== undefined) this.stack = `${stack}\n(in a worker)`
  }
}

export class WorkerProcess {
  readonly name: string
  /** Resolves when it can be spoken to. */
  readonly ready: Promise<void>
  readonly exited: Promise<void>
  readonly #child: ChildProcess
  readonly #record: (event: Event) => void
  readonly #calls = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  #pid = 0
  #callCount = 0
  #killed = false
  #gone = false
  #stderr = ''
  #stoppedAt: number | undefined

  constructor({ name, line, env }: Launch, record: (event: Event) => void) {
    const [command, ...words] = line as [string, ...string[]]
    this.name = name
    this.#record = record
    this.#child = spawn(command, words, { stdio: ['pipe', 'pipe', 'pipe'], env: env ?? process.env })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    // A command that is refused by a dying process is answered by its end.
    this.#child.stdin!.on('error', () => {})
    this.exited = new Promise((resolve) => {
      this.#child.on('error', (error) => (this.#stderr += error.message))
      this.#child.on('close', () => {
        this.#gone = true
        for (const call of this.#calls.values()) call.reject(this.#goneError())
        this.#calls.clear()
        resolve()
      })
    })
    this.ready = new Promise((resolve, reject) => {
      createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#hear(line, resolve))
      void this.exited.then(() => reject(this.#goneError()))
    })
  }

  get pid(): number {
    return this.#pid
  }

  get alive(): boolean {
    return !this.#gone && !this.#killed
  }

  /** Have it do `act`, with `word`, which goes there as JSON; so does the answer come back. */
  ask(act: string, word?: unknown): Promise<unknown> {
    const answer = new Promise<unknown>((resolve, reject) => {
      if (this.#gone) return reject(this.#goneError())
      this.#callCount += 1
      this.#calls.set(this.#callCount, { resolve, reject })
      this.#child.stdin!.write(`${JSON.stringify({ id: this.#callCount, act, word })}\n`)
    })
    // Who kills a worker need not await what it was doing.
    answer.catch(() => {})
    return answer
  }

  /** SIGSTOP; resolves when the kernel says that it stands still. */
  async stop(): Promise<void> {
    this.#stoppedAt = machineNow()
    process.kill(this.#pid, 'SIGSTOP')
    await until(() => stateOf(this.#pid) !== 'running', `the halt of ${this.name}`, undefined, 2)
  }

  continue(): void {
    process.kill(this.#pid, 'SIGCONT')
    if (this.#stoppedAt === undefined) return
    const at = this.#stoppedAt
    this.#stoppedAt = undefined
    this.#record({ kind: 'pause', process: this.name, at, until: machineNow(), asleep: false })
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.alive) {
      this.#killed = true
      // Before it dies: it must not be said to believe in anything afterwards.
      this.#record({ kind: 'crash', process: this.name, at: machineNow() })
      this.#signal('SIGKILL')
    }
    await this.exited
  }

  /**
   * It has let go of everything, and ends as a program does that has nothing left to do.
   *
   * @throws WorkerGone if something kept it alive
   */
  async ends(): Promise<void> {
    this.#killed = true
    this.#child.stdin!.end()
    await this.exited
    if (this.#child.exitCode !== 0) throw new WorkerGone(`${this.name} did not end by itself: ${this.#stderr}`)
  }

  #signal(signal: NodeJS.Signals): void {
    // Whatever was put in front of Node may have made it a child of its own.
    for (const pid of new Set([this.#pid, this.#child.pid])) {
      try {
        if (pid !== undefined && pid > 0) process.kill(pid, signal)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    }
  }

  #hear(line: string, ready: () => void): void {
    const answer = JSON.parse(line) as Answer
    if (answer.pid !== undefined) {
      this.#pid = answer.pid
      return ready()
    }
    const call = this.#calls.get(answer.id!)
    this.#calls.delete(answer.id!)
    if (answer.error) call?.reject(new WorkerError(answer.error))
    else call?.resolve(answer.value)
  }

  #goneError(): WorkerGone {
    return new WorkerGone(this.#killed ? `${this.name} was killed` : `${this.name} is gone: ${this.#stderr}`)
  }
}

function stateOf(pid: number): 'running' | 'stopped' | 'gone' {
  if (process.platform !== 'linux') return 'stopped'
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const letter = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3)
    return letter === 'T' ? 'stopped' : 'running'
  } catch {
    return 'gone'
  }
}
