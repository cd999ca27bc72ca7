/**
 * The other end of `workers.ts`: a process that does what a test tells it, line by line, and writes down what it saw.
 *
 * It runs from source, on any Node that the package supports, and uses the package as it is built: `dist/`.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import * as file from '../../dist/backends/file/index.js'
import * as holdfast from '../../dist/index.js'
import type { Note } from '../../dist/verify/history.js'
import { FileRecorder } from '../../dist/verify/history.js'
import { machineNow } from '../../dist/verify/torture/clock.js'
import { serve } from '../../dist/verify/torture/serve.js'
import { Visits } from '../../dist/verify/torture/visits.js'
import type { Hold as AnyHold, Shape } from '../../dist/verify/torture/witness.js'
import { EXCLUSIVE, Witness } from '../../dist/verify/torture/witness.js'
import type { Client } from './clients.ts'
import { clientAt } from './clients.ts'
import { countTimers } from './live-timers.ts'

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
export type Hold = AnyHold<holdfast.Lease>

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

  readonly #witness: Witness
  #left = false
  readonly #client: Client | undefined
  readonly #timers: () => number
  /** Of listeners that are never taken away, for example. */
  readonly #warnings: string[] = []
  #visits: Promise<Visits> | undefined

  constructor({ process, url, options, history }: Setup, client: Client | undefined, timers: () => number) {
    this.process = process
    this.url = url
    this.#witness = new Witness(process, new FileRecorder(history, machineNow))
    this.#client = client
    this.#timers = timers
    globalThis.process.on('warning', ({ name, message }) => this.#warnings.push(`${name}: ${message}`))
    this.locks = holdfast.connect(client?.client ?? url, options)
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
    this.#witness.note(note)
  }

  /** Ask by `take`, and write down what comes of it. `undefined`: a try that was refused. */
  recorded<L extends holdfast.Lease>(
    name: string,
    waits: boolean,
    take: (id: string) => Promise<L | undefined>,
    shape: Shape = EXCLUSIVE,
  ): Promise<AnyHold<L> | undefined> {
    return this.#witness.asks({ names: [name], waits, shape, take, fences: ({ fence }) => [fence] })
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
    const read = await visits.read(name, visitor)
    await this.inside()
    try {
      hold.check()
    } catch {
      // Too late, and the fenced register will say so.
    }
    const [fenced] = await visits.write(name, visitor, read)
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

/** Serve the calls of a test until it is gone. */
async function main(setup: Setup): Promise<void> {
  const timers = countTimers()
  const client = setup.client === undefined ? undefined : await clientAt(setup.client, setup.url)
  const stage = new Stage(setup, client, timers)
  const perform = (act: string, word: unknown): unknown => {
    // eslint-disable-next-line typescript/no-implied-eval -- the test's own function, as text
    const does = new Function(`return (${act})`)() as (stage: Stage, word: unknown) => unknown
    return does(stage, word)
  }
  serve(perform, () => stage.left)
}

const setup = process.argv[2]
if (setup !== undefined && process.argv[1]?.endsWith('worker.ts')) void main(JSON.parse(setup) as Setup)
