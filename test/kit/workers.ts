/**
 * Worker processes for tests: started, told what to do, stopped, continued and killed; their history put together.
 *
 * A test sends functions: `worker.do(async ({ locks }) => ...)` runs in the worker. So what a process does stands where
 * the test says what must come of it. Such a function travels as text: it sees its two parameters and the globals of
 * Node, and nothing of what stands around it.
 *
 * Which coordinator they share is a URL, so the same tests serve every backend.
 */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { ConnectOptions } from '../../src/index.ts'
import type { Event, History } from '../../src/verify/history.ts'
import { historyOf, readEvents } from '../../src/verify/history.ts'
import type { Leaving, Setup, Stage } from './worker.ts'
import { machineNow, readNumber } from './worker.ts'

const PROGRAM = fileURLToPath(new URL('worker.ts', import.meta.url))

export interface WorkerOptions {
  /** The coordinator; that of the crew, if left out. */
  readonly url?: string
  readonly connect?: Omit<ConnectOptions, 'runtime'>
  /** What starts it: `['unshare', '-n']`. */
  readonly under?: readonly string[]
  /** Arguments of Node. */
  readonly node?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** A client that it opens the URL with, by the name of its package here. */
  readonly client?: string
  /** What the machine's clock shows when that of the process shows `at`, if it has clocks of its own. */
  readonly machineTime?: (at: number) => number
}

/** A worker is gone: by `kill`, or by itself, which is an error of its own. */
export class WorkerGone extends Error {
  override readonly name = 'WorkerGone'
}

/** What was thrown in a worker. */
class WorkerError extends Error {
  readonly code: string | undefined

  constructor({ name, code, message, stack }: { name: string; code?: string; message: string; stack?: string }) {
    super(message)
    this.name = name
    this.code = code
    if (stack !== undefined) this.stack = `${stack}\n(in a worker)`
  }
}

/** Start processes at one coordinator; all of them end with the test. */
export function crew(url: string, connect: WorkerOptions['connect'] = {}): Crew {
  const crew = new Crew(url, connect)
  onTestFinished(() => crew.end())
  return crew
}

export class Crew {
  readonly url: string
  readonly workers: Worker[] = []
  readonly #connect: Omit<ConnectOptions, 'runtime'>
  /** What was done to the processes. */
  readonly #events: Event[] = []
  readonly #machineTimes = new Map<string, (at: number) => number>()
  readonly #directory = scratchDirectory()

  constructor(url: string, connect: WorkerOptions['connect'] = {}) {
    this.url = url
    this.#connect = connect
  }

  async start(options: WorkerOptions = {}): Promise<Worker> {
    const process = `w${this.workers.length + 1}`
    const history = join(this.#directory, `${process}.ndjson`)
    const { machineTime, ...rest } = options
    if (machineTime) this.#machineTimes.set(process, machineTime)
    const setup = { process, url: this.url, ...rest, options: { ...this.#connect, ...options.connect }, history }
    closeSync(openSync(history, 'a'))
    const worker = new Worker(setup, options, (event) => this.#events.push(event))
    this.workers.push(worker)
    await worker.ready
    return worker
  }

  startMany(count: number, options: WorkerOptions = {}): Promise<Worker[]> {
    return Promise.all(Array.from({ length: count }, () => this.start(options)))
  }

  /** What all processes, and `more` than they, have written down. */
  history(more: readonly Event[] = []): History {
    const paths = this.workers.map(({ name }) => join(this.#directory, `${name}.ndjson`))
    const events = [
      ...readEvents(paths).map((event) => this.#onMachineTime(event)),
      ...this.#events,
      ...more,
      { kind: 'end', process: 'test', at: machineNow() } as const,
    ]
    return historyOf(events.sort((a, b) => a.at - b.at))
  }

  #onMachineTime(event: Event): Event {
    const machineTime = this.#machineTimes.get(event.process)
    if (!machineTime) return event
    const until = 'until' in event ? { until: machineTime(event.until) } : {}
    return { ...event, at: machineTime(event.at), ...until }
  }

  /** For what belongs to the crew: sockets and files. */
  get directory(): string {
    return this.#directory
  }

  /** A file with a number in it, for `sections`. */
  counter(name = 'counter'): Counter {
    const path = join(this.#directory, name)
    writeFileSync(path, Buffer.alloc(8))
    return {
      path,
      read: () => {
        const fd = openSync(path, 'r')
        try {
          return readNumber(fd)
        } finally {
          closeSync(fd)
        }
      },
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.kill()))
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

export interface Counter {
  readonly path: string
  read(): number
}

export class Worker {
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

  constructor(setup: Setup, options: WorkerOptions, record: (event: Event) => void) {
    this.name = setup.process
    this.#record = record
    // Node strips types by itself from 22.18 on.
    const strip = process.features.typescript ? [] : ['--experimental-strip-types']
    const node = [process.execPath, '--no-warnings', ...strip, ...(options.node ?? []), PROGRAM]
    const [command, ...words] = [...(options.under ?? []), ...node, JSON.stringify(setup)]
    this.#child = spawn(command, words, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: options.env ?? process.env,
    })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    // A command that is refused by a dying process is answered by its end.
    this.#child.stdin!.on('error', () => {})
    this.exited = new Promise((resolve) => {
      this.#child.on('error', (error) => (this.#stderr += error.message))
      this.#child.on('close', () => {
        this.#gone = true
        for (const { reject } of this.#calls.values()) reject(this.#goneError())
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

  /** Run `act` in the worker, with `word`, which goes there as JSON; so does the answer come back, fences as numbers. */
  do<T>(act: (stage: Stage) => T | Promise<T>): Promise<T>
  do<T, W>(act: (stage: Stage, word: W) => T | Promise<T>, word: W): Promise<T>
  do(act: (stage: Stage, word: never) => unknown, word?: unknown): Promise<unknown> {
    const answer = new Promise<unknown>((resolve, reject) => {
      if (this.#gone) return reject(this.#goneError())
      this.#callCount += 1
      this.#calls.set(this.#callCount, { resolve, reject })
      this.#child.stdin!.write(`${JSON.stringify({ id: this.#callCount, act: act.toString(), word })}\n`)
    })
    // Who kills a worker need not await what it was doing.
    answer.catch(() => {})
    return answer
  }

  /** SIGSTOP; resolves when the kernel says that it stands still. */
  async stop(): Promise<void> {
    this.#stoppedAt = machineNow()
    process.kill(this.#pid, 'SIGSTOP')
    await until(() => stateOf(this.#pid) !== 'running')
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

  /** Close the locks, and whatever else is open. Answers what is left, and lives on. */
  letGo(): Promise<Leaving> {
    return this.do((stage) => stage.letGo())
  }

  /**
   * Close the locks, and end as a program does that has nothing left to do.
   *
   * @throws WorkerGone if something kept it alive
   */
  async leave(): Promise<void> {
    await this.letGo()
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
    const message = JSON.parse(line) as {
      pid?: number
      id?: number
      value?: unknown
      error?: ConstructorParameters<typeof WorkerError>[0]
    }
    if (message.pid !== undefined) {
      this.#pid = message.pid
      return ready()
    }
    const call = this.#calls.get(message.id!)
    this.#calls.delete(message.id!)
    if (message.error) call?.reject(new WorkerError(message.error))
    else call?.resolve(message.value)
  }

  #goneError(): WorkerGone {
    return new WorkerGone(this.#killed ? `${this.name} was killed` : `${this.name} is gone: ${this.#stderr}`)
  }
}

/** Wait for something that must come. Wide: it is there for machines that are slow, not for what is measured. */
export async function until(
  check: () => boolean | Promise<boolean>,
  what = 'it',
  withinMs = 30_000,
  everyMs = 2,
): Promise<void> {
  for (const limit = machineNow() + withinMs; machineNow() < limit; await sleep(everyMs)) if (await check()) return
  throw new Error(`${what} has not come within ${withinMs} ms: ${check.toString()}`)
}

/** The same, for many at once: it looks less often, and so leaves the machine to those who are looked at. */
export function eventually(check: () => boolean | Promise<boolean>, what: string): Promise<void> {
  return until(check, what, 30_000, 20)
}

/** A directory of the test's own, in memory where there is such a place. */
export function scratchDirectory(): string {
  return mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'holdfast-'))
}

/** A directory for a store, on a disk. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
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
