/** A worker: lanes that have one turn after the other, and what its director wants beside. Its programs say what it locks with. */
import { spawn } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'
import type { ConnectOptions } from '../../connect.ts'
import type { HoldfastEvents } from '../../core/events.ts'
import type { Lease } from '../../core/lease.ts'
import { realRuntime } from '../../runtime.ts'
import { FileRecorder } from '../history.ts'
import { machineNow, sleep } from './clock.ts'
import { pick, randomOf } from './random.ts'
import { serve } from './serve.ts'
import { Visits } from './visits.ts'
import type { Hold } from './witness.ts'
import { Witness } from './witness.ts'
import type { Actor, Locking, Workload } from './workloads.ts'
import { takeTurn } from './workloads.ts'

/** How a worker is set up; its only argument, as JSON. */
export interface Setup {
  /** Its name in the history. */
  readonly process: string
  readonly url: string
  readonly options: Omit<ConnectOptions, 'runtime'>
  readonly ttlMs: number
  readonly history: string
  /** Where the registers are. */
  readonly registers: string
  readonly prefix: string
  readonly workloads: readonly Workload[]
  readonly lanes: number
  readonly seed: number
}

/** What it can be asked for, with the word that goes with it. */
export interface Acts {
  /** Have one turn after the other, until it is told to rest. */
  work(): void
  /** Answers with what codes it asked in vain. */
  rest(): readonly string[]
  /** How many turns it has had. */
  turns(): number
  /** Acquire and stay inside; answers when it is. */
  enter(word: { readonly name: string }): { readonly fence: number }
  /** Ask for it; answers when it stands in the queue, or is inside. */
  stand(word: { readonly name: string }): void
  /** Ask for it, whatever comes of it. */
  beg(word: { readonly name: string }): void
  /** Go on with what it has entered, stands or begs for: read, write, release. Answers what came of it. */
  finish(): Came
  /** Ask for it so often at once; answers when all have held it, one after the other. */
  crowd(word: { readonly name: string; readonly count: number }): void
  /** Start a child that lives for so long, and has what children have of their parents. */
  spawn(word: { readonly ms: number }): void
  /** Compute for so long: neither timers nor sockets get their turn. */
  block(word: { readonly ms: number }): void
  /** Compute until this long before the end of what it is inside of (behind it, where it is negative), then release at once. */
  linger(word: { readonly beforeMs: number }): Came
  /** Let go of everything. */
  leave(): void
}

/** Its write was taken by the register with a guard, or refused; or the code with which it asked in vain. */
export type Came = 'written' | 'refused' | 'released' | (string & {})

/** Who asked in vain asks again after this. */
const AGAIN_MS = 20
const WAIT_MS = 60_000
/** How often a worker looks whether its event loop turns, and how late that may be before it says that it stood still. */
const [TURNS_EVERY_MS, LATE_MS] = [50, 150]

interface Visit {
  readonly inside: Promise<Hold<Lease>>
  readonly finished: Promise<Came>
  go(): void
}

class Player {
  readonly #setup: Setup
  readonly #witness: Witness
  readonly #actor: Actor
  readonly #codes = new Set<string>()
  #lanes: readonly Promise<void>[] = []
  #resting = false
  #turns = 0
  #visit: Visit | undefined
  left = false

  constructor(setup: Setup, locks: Locking, visits: Visits) {
    this.#setup = setup
    this.#witness = new Witness(setup.process, new FileRecorder(setup.history, machineNow))
    this.#actor = {
      locks,
      witness: this.#witness,
      visits,
      prefix: setup.prefix,
      ttlMs: setup.ttlMs,
      random: randomOf(setup.seed, setup.process),
      late: [],
    }
    this.#watchTurns(machineNow())
  }

  readonly acts: { readonly [A in keyof Acts]: (word: Parameters<Acts[A]>[0]) => unknown } = {
    work: () => {
      this.#resting = false
      this.#lanes = Array.from({ length: this.#setup.lanes }, (_, lane) => this.#lane(lane))
    },
    rest: async () => {
      this.#resting = true
      await Promise.all(this.#lanes)
      return [...this.#codes]
    },
    turns: () => this.#turns,
    enter: async ({ name }) => {
      const { lease } = await this.#begin(name).inside
      return { fence: lease.fence }
    },
    stand: async ({ name }) => {
      const queued = new Promise<void>((resolve) =>
        subscribe('holdfast:wait', (message) => {
          if ((message as HoldfastEvents['holdfast:wait']).name === name) resolve()
        }),
      )
      await Promise.race([queued, this.#begin(name).inside])
    },
    beg: ({ name }) => void this.#begin(name),
    finish: () => {
      this.#visit?.go()
      return this.#visit?.finished
    },
    crowd: async ({ name, count }) => {
      const turn = async (): Promise<void> => void (await (await this.#ask(name)).release())
      await Promise.all(Array.from({ length: count }, turn))
    },
    spawn: ({ ms }) => {
      spawn(process.execPath, ['-e', `setTimeout(() => {}, ${ms})`], { stdio: 'ignore' }).unref()
    },
    block: ({ ms }) => blockUntil(machineNow() + ms),
    linger: async ({ beforeMs }) => {
      const hold = await this.#visit!.inside
      blockUntil(machineNow() + hold.lease.remainingMs - beforeMs)
      this.#visit = undefined
      return hold.release()
    },
    leave: async () => {
      await this.#actor.locks.close()
      this.left = true
      this.#actor.visits.end()
    },
  }

  /** Whatever kept it from turning, a busy machine too: nobody can be told anything in that time. */
  #watchTurns(since: number): void {
    realRuntime.after(TURNS_EVERY_MS, () => {
      const now = machineNow()
      if (now - since > TURNS_EVERY_MS + LATE_MS)
        this.#witness.note({ kind: 'pause', until: now, asleep: false }, since)
      if (!this.left) this.#watchTurns(now)
    })
  }

  async #lane(lane: number): Promise<void> {
    const random = randomOf(this.#setup.seed, this.#setup.process, lane)
    while (!this.#resting) {
      try {
        await takeTurn(pick(random, this.#setup.workloads), { ...this.#actor, random })
        this.#turns += 1
      } catch (error) {
        this.#codes.add(String((error as { readonly code?: unknown }).code ?? error))
        await sleep(AGAIN_MS)
      }
    }
  }

  #begin(name: string): Visit {
    let go = (): void => {}
    const gone = new Promise<void>((resolve) => (go = resolve))
    const inside = this.#ask(name)
    inside.catch(() => {})
    const finished = inside
      .then((hold) => this.#section(hold, gone))
      .catch((error: unknown) => String((error as { readonly code?: unknown }).code ?? error))
    return (this.#visit = { inside, finished, go })
  }

  async #ask(name: string): Promise<Hold<Lease>> {
    const { locks } = this.#actor
    const hold = await this.#witness.asks({
      names: [name],
      waits: true,
      take: (label): Promise<Lease | undefined> => locks.acquire(name, { label, wait: WAIT_MS }),
      fences: ({ fence }) => [fence],
    })
    return hold!
  }

  async #section(hold: Hold<Lease>, gone: Promise<void>): Promise<Came> {
    const { visits } = this.#actor
    const { name, fence } = hold.lease
    const visitor = { process: this.#setup.process, hold: hold.id, fence: Number(fence), mode: 'exclusive' } as const
    const read = await visits.read(name, visitor)
    await gone
    try {
      hold.check()
    } catch {
      // Too late, and the register with a guard will say so.
    }
    const [fenced] = await visits.write(name, visitor, read)
    await hold.release()
    return fenced.accepted ? 'written' : 'refused'
  }
}

function blockUntil(end: number): void {
  while (machineNow() < end);
}

/** The program of a worker. @param open what takes the locks */
export async function play(open: (setup: Setup) => Locking | Promise<Locking>): Promise<void> {
  const setup = JSON.parse(process.argv[2]!) as Setup
  const player = new Player(setup, await open(setup), await Visits.open(setup.registers))
  const acts = player.acts as Readonly<Record<string, (word: unknown) => unknown>>
  serve(
    (act, word) => acts[act]!(word),
    () => player.left,
  )
}
