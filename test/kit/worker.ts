/**
 * The other end of `workers.ts`: a process that does what a test tells it, line by line, and writes down what it saw.
 *
 * It runs from source, on any Node that the package supports, and uses the package as it is built: `dist/`.
 */
import { subscribe } from 'node:diagnostics_channel'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setImmediate as turn } from 'node:timers/promises'
import * as file from '../../dist/backends/file/index.js'
import * as holdfast from '../../dist/index.js'
import type { Mode, Note } from '../../dist/verify/history.js'
import { FileRecorder } from '../../dist/verify/history.js'

/** How a worker is set up; its only argument, as JSON. */
export interface Setup {
  /** Its name in the history. */
  readonly process: string
  readonly url: string
  readonly options: holdfast.ConnectOptions
  readonly history: string
}

/** A lease whose fate is written down. */
export interface Hold {
  /** Names it in the history. */
  readonly id: string
  readonly lease: holdfast.Lease
  /** `assertHeld()`, written down. */
  check(): void
  release(): Promise<'released' | 'gone'>
}

export interface Shape {
  readonly mode: Mode
  readonly weight: number
  readonly capacity: number
}

export interface Sections {
  readonly name: string
  readonly count: number
  /** A file with a number in it, which nothing but the lock protects. */
  readonly counter?: string
  readonly options?: holdfast.AcquireOptions
}

const EXCLUSIVE: Shape = { mode: 'exclusive', weight: holdfast.WHOLE, capacity: holdfast.WHOLE }

/** What a test's function finds in the process where it runs. */
export class Stage {
  readonly process: string
  readonly url: string
  readonly holdfast: typeof holdfast = holdfast
  readonly file: typeof file = file
  readonly locks: holdfast.Locks
  /** What `acquire` got, by the lock's name. */
  readonly holds: Map<string, Hold> = new Map()
  /** Whatever a test wants to find again in a later call. */
  readonly kept: Map<string, unknown> = new Map()
  /** Set to end `sections` before their count. */
  enough = false
  /** Called inside of each section. */
  inside: () => void | Promise<void> = () => {}

  readonly #recorder: FileRecorder
  /** The grants whose renewals are to be written down, by name and fence. */
  readonly #granted = new Map<string, string>()
  #holdCount = 0

  constructor({ process, url, options, history }: Setup) {
    this.process = process
    this.url = url
    this.#recorder = new FileRecorder(history, machineNow)
    this.locks = holdfast.connect(url, options)
    subscribe('holdfast:renew', (message) => {
      const { name, fence, remainingMs } = message as holdfast.HoldfastEvents['holdfast:renew']
      const hold = this.#granted.get(`${fence} ${name}`)
      if (hold !== undefined) this.note({ kind: 'deadline', hold, until: machineNow() + remainingMs })
    })
  }

  /** On the scale of the history. */
  now(): number {
    return machineNow()
  }

  note(note: Note): void {
    this.#recorder.note(this.process, note)
  }

  /** Ask by `take`, and write down what comes of it. `undefined`: a try that was refused. */
  async recorded<L extends holdfast.Lease>(
    name: string,
    waits: boolean,
    take: (id: string) => Promise<L | undefined>,
    shape: Shape = EXCLUSIVE,
  ): Promise<(Hold & { readonly lease: L }) | undefined> {
    this.#holdCount += 1
    const hold = `${this.process}/${this.#holdCount}`
    this.note({ kind: 'ask', hold, name, waits })
    let lease: L | undefined
    try {
      lease = await take(hold)
    } catch (error) {
      this.note({ kind: 'gave-up', hold, code: String((error as { code?: unknown }).code) })
      throw error
    }
    if (!lease) {
      this.note({ kind: 'gave-up', hold, code: 'HELD' })
      return undefined
    }
    const fence = Number(lease.fence)
    // The clock first: a deadline may be noted too early, never too late.
    const until = machineNow() + lease.remainingMs
    this.note({ kind: 'granted', hold, name, fence, until, ...shape })
    const key = `${fence} ${name}`
    this.#granted.set(key, hold)
    const heard = (): void => {
      this.#granted.delete(key)
      this.note({ kind: 'lost', hold, by: 'signal', reason: (lease.signal.reason as holdfast.LeaseLostError).reason })
    }
    lease.signal.addEventListener('abort', heard, { once: true })
    return {
      id: hold,
      lease,
      check: () => {
        try {
          lease.assertHeld()
        } catch (error) {
          this.note({ kind: 'lost', hold, by: 'check', reason: (error as holdfast.LeaseLostError).reason })
          throw error
        }
        this.note({ kind: 'checked', hold })
      },
      release: () => {
        this.#granted.delete(key)
        lease.signal.removeEventListener('abort', heard)
        this.note({ kind: 'released', hold })
        return lease.release()
      },
    }
  }

  /** Acquire `name` exclusively, and keep the hold in `holds`. Its id is its label, unless the test gives one. */
  async acquire(name: string, options: holdfast.AcquireOptions = {}): Promise<Hold> {
    const hold = await this.recorded(name, options.wait !== 0, (label) =>
      this.locks.acquire(name, { label, ...options }),
    )
    this.holds.set(name, hold!)
    return hold!
  }

  async tryAcquire(name: string, options: holdfast.TryOptions = {}): Promise<Hold | undefined> {
    const hold = await this.recorded(name, false, (label) => this.locks.tryAcquire(name, { label, ...options }))
    if (hold) this.holds.set(name, hold)
    return hold
  }

  async release(name: string): Promise<'released' | 'gone'> {
    const hold = this.holds.get(name)
    this.holds.delete(name)
    return hold ? hold.release() : 'gone'
  }

  /** Acquire, add one to the counter, release; `count` times, or until there have been `enough`. Answers how often. */
  async sections({ name, count, counter, options = {} }: Sections): Promise<number> {
    const numbers = counter === undefined ? undefined : openSync(counter, 'r+')
    try {
      for (let done = 0; done < count; done += 1) {
        if (this.enough) return done
        const { id, lease, release } = await this.acquire(name, options)
        const visit = { hold: id, fence: Number(lease.fence), mode: 'exclusive', accepted: true } as const
        if (numbers !== undefined) {
          const version = readNumber(numbers)
          // Here is where others would come in between.
          await turn()
          writeNumber(numbers, version + 1)
          const puts = version + 1
          this.note({ kind: 'access', register: name, does: 'write', version, puts, base: version, ...visit })
        }
        await this.inside()
        await release()
      }
      return count
    } finally {
      if (numbers !== undefined) closeSync(numbers)
    }
  }

  /** Stand still, as a long computation does: neither timers nor sockets get their turn. */
  block(ms: number): void {
    const until = machineNow() + ms
    while (machineNow() < until);
  }
}

/** One clock for all processes of the machine. */
export function machineNow(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

export function readNumber(fd: number): number {
  const bytes = Buffer.alloc(8)
  readSync(fd, bytes, 0, 8, 0)
  return bytes.readDoubleLE()
}

function writeNumber(fd: number, value: number): void {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  writeSync(fd, bytes, 0, 8, 0)
}

interface Call {
  readonly id: number
  readonly act: string
  readonly word: unknown
}

/** Serve the calls of a test until it is gone. */
function serve(setup: Setup): void {
  const stage = new Stage(setup)
  const say = (message: object): void =>
    // A fence is below 2^53, so it is a number where JSON knows no other.
    void process.stdout.write(
      `${JSON.stringify(message, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value))}\n`,
    )
  const lines = createInterface({ input: process.stdin })
  lines.on('line', (line) => {
    const { id, act, word } = JSON.parse(line) as Call
    // eslint-disable-next-line typescript/no-implied-eval -- the test's own function, as text
    const perform = new Function(`return (${act})`)() as (stage: Stage, word: unknown) => unknown
    Promise.resolve()
      .then(() => perform(stage, word))
      .then(
        (value) => say({ id, value }),
        (error: unknown) => {
          const { name, code, message, stack } = error as Error & { code?: string }
          say({ id, error: { name, code, message, stack } })
        },
      )
  })
  lines.on('close', () => process.exit())
  say({ pid: process.pid })
}

const setup = process.argv[2]
if (setup !== undefined && process.argv[1]?.endsWith('worker.ts')) serve(JSON.parse(setup) as Setup)
