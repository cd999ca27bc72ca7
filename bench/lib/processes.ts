/** Processes of the benchmark: started, asked over IPC, and gone when the benchmark is. */
import type { ChildProcess } from 'node:child_process'
import { fork, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'

/** Nanoseconds of the clock that all processes of the machine share. */
export function now(): number {
  return Number(process.hrtime.bigint())
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Whatever is started is killed with the benchmark, however it ends. */
export function adopt<T extends ChildProcess>(child: T): T {
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

interface Call {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
}

interface Message {
  readonly id: number
  readonly answer?: unknown
  readonly error?: string
}

/** How a process is spoken to. */
interface Talk {
  readonly child: ChildProcess
  send(message: object, failed: (error: Error | null | undefined) => void): void
  hear(listener: (message: Message) => void): void
  /** It is not needed any more. */
  end(): void
}

export class Worker {
  readonly child: ChildProcess
  readonly exited: Promise<void>
  readonly program: string
  readonly #words: readonly string[]
  readonly #talk: Talk
  readonly #ready: Promise<void>
  readonly #calls = new Map<number, Call>()
  #last = 0
  #stderr = ''

  private constructor(program: string, words: readonly string[]) {
    this.program = program
    this.#words = words
    this.#talk = program.endsWith('.ts') ? ofOurs(program, words) : ofOthers(program, words)
    this.child = adopt(this.#talk.child)
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    this.exited = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        const error = new Error(`${program} ${words[0] ?? ''} ended with ${code ?? signal}: ${this.#stderr}`)
        for (const { reject } of this.#calls.values()) reject(error)
        this.#calls.clear()
        resolve()
      })
    })
    this.#ready = this.#expect(0) as Promise<void>
    this.#talk.hear(({ id, answer, error }) => {
      const call = this.#calls.get(id)
      this.#calls.delete(id)
      if (error === undefined) call?.resolve(answer)
      else call?.reject(new Error(error))
    })
  }

  /** @param program one of the folder `bench`, or the path of one that was built */
  static async start(program: string, ...words: readonly string[]): Promise<Worker> {
    const worker = new Worker(program, words)
    await worker.#ready
    return worker
  }

  /** One more of its kind. */
  another(): Promise<Worker> {
    return Worker.start(this.program, ...this.#words)
  }

  ask<T>(job: string, options: object = {}): Promise<T> {
    this.#last += 1
    const answer = this.#expect(this.#last)
    const call = this.#calls.get(this.#last)
    // It may have ended meanwhile.
    this.#talk.send({ id: this.#last, job, options }, (error) => error && call?.reject(error))
    return answer as Promise<T>
  }

  /** What it has used of the processor so far, in microseconds. */
  async cpu(): Promise<number> {
    const { cpu } = await this.ask<{ cpu: NodeJS.CpuUsage }>('usage')
    return cpu.user + cpu.system
  }

  async end(): Promise<void> {
    this.#talk.end()
    const late = setTimeout(() => this.child.kill('SIGKILL'), 10_000)
    await this.exited
    clearTimeout(late)
  }

  #expect(id: number): Promise<unknown> {
    const answer = new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }))
    // Who ends a worker need not wait for what it was doing.
    answer.catch(() => {})
    return answer
  }
}

/** One of our own programs: over IPC. */
function ofOurs(program: string, words: readonly string[]): Talk {
  const child = fork(fileURLToPath(new URL(`../${program}`, import.meta.url)), words, {
    execArgv: ['--no-warnings'],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  return {
    child,
    send: (message, failed) => child.send(message, failed),
    hear: (listener) => child.on('message', listener),
    end: () => child.connected && child.disconnect(),
  }
}

/** One in another language: a JSON object a line. */
function ofOthers(path: string, words: readonly string[]): Talk {
  const child = spawn(path, words, { stdio: 'pipe' })
  // Its end is told by `exit`.
  for (const part of [child, child.stdin]) part.on('error', () => {})
  return {
    child,
    send: (message, failed) => child.stdin.write(`${JSON.stringify(message)}\n`, failed),
    hear: (listener) => createInterface(child.stdout).on('line', (line) => listener(JSON.parse(line) as Message)),
    end: () => child.stdin.end(),
  }
}

/** The other side: answer each message by the job of that name. */
export function serve(jobs: Readonly<Record<string, (options: never) => unknown>>, close: () => unknown): void {
  process.on('message', ({ id, job, options }: { id: number; job: string; options: never }) => {
    void (async () => {
      try {
        process.send!({ id, answer: await jobs[job]!(options) })
      } catch (error) {
        process.send!({ id, error: inspect(error) })
      }
    })()
  })
  process.on('disconnect', () => {
    // What still waits for a lock waits for nothing now.
    void Promise.resolve(close()).finally(() => process.exit())
  })
  process.send!({ id: 0 })
}
