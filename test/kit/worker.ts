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
import type { Client } from './clients.ts'
import { clientAt } from './clients.ts'
import { countTimers } from './live-timers.ts'
import { Visits } from './visits.ts'

/** How a worker is set up; its only argument, as JSON. */
export interface Setup {
  /** Its name in the history. */
  readonly process: string
  readonly url: string
  readonly options: holdfast.ConnectOptions
  readonly history: string
  /** A client of the user's own that the URL is opened with, by the name of its package here. */
  readonly client?: string
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

export interface Rounds {
  readonly name: string
  /** Where the registers are. */
  readonly registers: string
  readonly options?: holdfast.AcquireOptions
}

export interface Leaving {
  readonly timers: number
  readonly warnings: readonly string[]
}

/** What came of a round: its write was taken by the fenced register, or refused; or the code with which it asked in vain. */
export type Round = 'written' | 'refused' | (string & {})

/** The last appointment of a session, which keeps nobody alive and does nothing when it comes. */
const LAST_TIMERS = 1
/** ioredis gives a socket 2 s to close. */
const TIMERS_END_MS = 5000

/** Who asked in vain asks again after this. */
const AGAIN_MS = 20

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
  /** How many rounds have ended with a write that the fenced register took. */
  written = 0

  readonly #recorder: FileRecorder
  #left = false
  readonly #client: Client | undefined
  readonly #timers: () => number
  /** Of listeners that are never taken away, for example. */
  readonly #warnings: string[] = []
  #visits: Promise<Visits> | undefined
  /** The grants whose renewals are to be written down, by name and fence. */
  readonly #granted = new Map<string, string>()
  #holdCount = 0

  constructor({ process, url, options, history }: Setup, client: Client | undefined, timers: () => number) {
    this.process = process
    this.url = url
    this.#recorder = new FileRecorder(history, machineNow)
    this.#client = client
    this.#timers = timers
    globalThis.process.on('warning', ({ name, message }) => this.#warnings.push(`${name}: ${message}`))
    this.locks = holdfast.connect(client?.client ?? url, options)
    subscribe('holdfast:renew', (message) => {
      const { name, fence, remainingMs } = message as holdfast.HoldfastEvents['holdfast:renew']
      const hold = this.#granted.get(`${fence} ${name}`)
      if (hold !== undefined) this.note({ kind: 'deadline', hold, until: machineNow() + remainingMs })
    })
  }

  /** It has let go of everything. */
  get left(): boolean {
    return this.#left
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

  /**
   * Acquire, read both registers, be `inside`, write to both, release. It asks whether it still holds, which is written
   * down, and writes all the same, as code does that was stopped between the two.
   */
  async round({ name, registers, options = {} }: Rounds): Promise<Round> {
    this.#visits ??= Visits.open(registers)
    const visits = await this.#visits
    let hold: Hold
    try {
      hold = await this.acquire(name, options)
    } catch (error) {
      return String((error as { code?: unknown }).code)
    }
    const visitor = {
      process: this.process,
      hold: hold.id,
      fence: Number(hold.lease.fence),
      mode: 'exclusive',
    } as const
    const read = await visits.read(visitor)
    await this.inside()
    try {
      hold.check()
    } catch {
      // Too late, and the fenced register will say so.
    }
    const [fenced] = await visits.write(visitor, read)
    await hold.release()
    // Another round may have begun to hold the name since.
    if (this.holds.get(name) === hold) this.holds.delete(name)
    if (!fenced.accepted) return 'refused'
    this.written += 1
    return 'written'
  }

  /** Rounds, one after the other, until there have been `enough`. Answers with what codes it asked in vain. */
  async rounds(rounds: Rounds): Promise<string[]> {
    const codes = new Set<string>()
    while (!this.enough) {
      const came = await this.round(rounds)
      if (came === 'written' || came === 'refused') continue
      codes.add(came)
      await new Promise((resolve) => void setTimeout(resolve, AGAIN_MS))
    }
    return [...codes]
  }

  /** Let go of everything, and answer what is left of timers after a while, and what Node has warned of. */
  async letGo(): Promise<Leaving> {
    await this.locks.close()
    if (!this.#left) await this.#client?.end()
    this.#left = true
    ;(await this.#visits)?.end()
    const left = (): number => Math.max(0, this.#timers() - LAST_TIMERS)
    for (const limit = machineNow() + TIMERS_END_MS; left() > 0 && machineNow() < limit;) await turn()
    return { timers: left(), warnings: this.#warnings }
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

/** How long a worker that has let go of everything may live on. */
const LINGERS_MS = 10_000

/** Serve the calls of a test until it is gone. */
async function serve(setup: Setup): Promise<void> {
  const timers = countTimers()
  const client = setup.client === undefined ? undefined : await clientAt(setup.client, setup.url)
  const stage = new Stage(setup, client, timers)
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
  // A test that is over ends its workers. One that was told to leave must end by itself, if nothing of it is left.
  lines.on('close', () => {
    if (!stage.left) process.exit()
    setTimeout(() => {
      console.error(`it does not end: ${process.getActiveResourcesInfo().join(', ')}`)
      process.exit(1)
    }, LINGERS_MS).unref()
  })
  say({ pid: process.pid })
}

const setup = process.argv[2]
if (setup !== undefined && process.argv[1]?.endsWith('worker.ts')) void serve(JSON.parse(setup) as Setup)
