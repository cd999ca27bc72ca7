/**
 * Worker processes for tests: started, told what to do, stopped, continued and killed; their history put together.
 *
 * A test sends functions: `worker.do(async ({ locks }) => ...)` runs in the worker. So what a process does stands where
 * the test says what must come of it. Such a function travels as text: it sees its two parameters and the globals of
 * Node, and nothing of what stands around it.
 *
 * Which coordinator they share is a URL, so the same tests serve every backend.
 */
import { existsSync, mkdtempSync, openSync, closeSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { ConnectOptions } from '../../src/index.ts'
import type { Event, History } from '../../src/verify/history.ts'
import { historyOf, readEvents } from '../../src/verify/history.ts'
import { machineNow, onMachineTime } from '../../src/verify/torture/clock.ts'
import { WorkerProcess } from '../../src/verify/torture/process.ts'
import type { Leaving, Setup, Stage } from './worker.ts'
import { readNumber } from './worker.ts'

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
      ...readEvents(paths).map((event) => onMachineTime(event, this.#machineTimes.get(event.process) ?? itself)),
      ...this.#events,
      ...more,
      { kind: 'end', process: 'test', at: machineNow() } as const,
    ]
    return historyOf(events.sort((a, b) => a.at - b.at))
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

export class Worker extends WorkerProcess {
  constructor(setup: Setup, options: WorkerOptions, record: (event: Event) => void) {
    // Node strips types by itself from 22.18 on.
    const strip = process.features.typescript ? [] : ['--experimental-strip-types']
    const node = [process.execPath, '--no-warnings', ...strip, ...(options.node ?? []), PROGRAM]
    const line = [...(options.under ?? []), ...node, JSON.stringify(setup)]
    super({ name: setup.process, line, env: options.env }, record)
  }

  /** Run `act` in the worker, with `word`, which goes there as JSON; so does the answer come back, fences as numbers. */
  do<T>(act: (stage: Stage) => T | Promise<T>): Promise<T>
  do<T, W>(act: (stage: Stage, word: W) => T | Promise<T>, word: W): Promise<T>
  do(act: (stage: Stage, word: never) => unknown, word?: unknown): Promise<unknown> {
    return this.ask(act.toString(), word)
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
    await this.ends()
  }
}

function itself(at: number): number {
  return at
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
