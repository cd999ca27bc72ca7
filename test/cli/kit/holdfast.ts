/** Starts the command line as a user would, in a store of the test's own, and hears what it says. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { onTestFinished } from 'vitest'
import { until } from './until.ts'

export { until }

export const BIN: string = resolve('bin/holdfast.cjs')

export interface Ended {
  /** As a shell shows it: 128 and the number for a signal. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

interface Options {
  readonly env?: NodeJS.ProcessEnv
  readonly input?: Buffer
  /** Arguments of Node. */
  readonly node?: readonly string[]
}

export class Command {
  readonly pid: number
  /** Ended, and all that it wrote is read: also what it left running has closed it. */
  readonly ended: Promise<Ended>
  /** Ended. */
  readonly gone: Promise<void>
  stdout = ''
  stderr = ''
  readonly #child

  constructor(args: readonly string[], options: Options = {}) {
    this.#child = spawn(process.execPath, [...(options.node ?? []), BIN, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    })
    this.pid = this.#child.pid!
    this.#child.stdin.on('error', () => {})
    this.#child.stdin.end(options.input)
    this.#child.stdout.setEncoding('latin1').on('data', (text: string) => (this.stdout += text))
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    this.gone = new Promise((done) => this.#child.once('exit', () => done()))
    this.ended = new Promise((done) => {
      this.#child.once('close', (code, signal) => done({ code, signal, stdout: this.stdout, stderr: this.stderr }))
    })
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async says(what: RegExp): Promise<void> {
    await until(() => what.test(this.stderr), `${String(what)} on stderr, which has: ${this.stderr}`)
  }
}

/** A folder, and a coordinator: a store in that folder, unless it is said which. */
export class Place {
  readonly dir = mkdtempSync(join(tmpdir(), 'holdfast-cli-'))
  readonly url: string
  readonly #commands: Command[] = []

  /** @param finished `onTestFinished` of the test, for one that runs beside others */
  constructor(url?: string, finished: (end: () => Promise<void>) => void = onTestFinished) {
    this.url = url ?? `file:${this.dir}/store`
    finished(async () => {
      for (const command of this.#commands) command.kill('SIGCONT')
      for (const command of this.#commands) command.kill('SIGKILL')
      // What they ran ends with them, by their guardians.
      await Promise.all(this.#commands.map((command) => command.gone))
      rmSync(this.dir, { recursive: true, force: true })
    })
  }

  /** `holdfast run` with these words. In scripts, `$DIR` is the folder. */
  run(...words: readonly string[]): Command {
    return this.start(['run', '--url', this.url, ...words])
  }

  start(args: readonly string[], options: Options = {}): Command {
    const command = new Command(args, { ...options, env: { DIR: this.dir, ...options.env } })
    this.#commands.push(command)
    return command
  }

  path(file: string): string {
    return join(this.dir, file)
  }

  read(file: string): string {
    return readFileSync(this.path(file), 'utf8')
  }

  async has(file: string): Promise<void> {
    await until(() => existsSync(this.path(file)), `the file ${file}`)
  }
}

/** Whether a process runs; a dead one that nobody collected does not. */
export function runs(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return false
  }
}

/** The pid of the guardian of a wrapper. */
export function guardianOf(wrapper: number): number | undefined {
  const children = readFileSync(`/proc/${wrapper}/task/${wrapper}/children`, 'utf8').trim().split(' ')
  return children
    .map(Number)
    .find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('holdfast-guardian\0'))
}

/** What a command that holds has written of its fence into the file `up`. */
export function fenceOf(place: Place): bigint | undefined {
  try {
    const text = place.read('up').trim()
    return text === '' ? undefined : BigInt(text)
  } catch {
    return undefined
  }
}
