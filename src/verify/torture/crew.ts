/**
 * The workers of a trial, each behind a wire of its own where one can be laid; and what is done to them, one word each. All of it
 * is written into the history.
 */
import { closeSync, existsSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConnectOptions } from '../../connect.ts'
import type { Event } from '../history.ts'
import { readEvents } from '../history.ts'
import { eventually, machineNow, onMachineTime } from './clock.ts'
import { WorkerProcess } from './process.ts'
import type { Random } from './random.ts'
import { pick } from './random.ts'
import { Registers } from './registers.ts'
import type { Way, Wire } from './wire.ts'
import type { Acts, Came, Setup } from './player.ts'
import type { Workload } from './workloads.ts'

/** How a worker finds the coordinator. */
export interface Line {
  readonly url: string
  /** What it speaks through, if that can be cut. */
  readonly wire?: Wire | undefined
}

/** The clocks of a worker. */
export interface WorkerClock {
  /** What it is started with. */
  readonly env: NodeJS.ProcessEnv
  /** The wall clock, so far ahead, or back. */
  leap(ms: number): void
  /** What the monotonic clock of the machine shows when that of the worker shows `at`. */
  machineTime(at: number): number
  end(): void
}

/** What is peculiar to a worker that a fault hires. */
export interface Peculiar {
  /** So fast do its clocks run; 0.9 is slow. */
  readonly rate?: number
  /** What starts it: `['unshare', '-n']`. */
  readonly under?: readonly string[]
  /** By so much is its monotonic clock ahead of that of the machine. */
  readonly aheadMs?: number
}

export interface CrewOptions {
  /** The line that starts a worker; its set-up is added as the last word. */
  readonly program: readonly string[]
  readonly lay: () => Promise<Line>
  readonly clock?: ((rate?: number) => WorkerClock) | undefined
  readonly options: Omit<ConnectOptions, 'runtime'>
  readonly ttlMs: number
  readonly prefix: string
  readonly workloads: readonly Workload[]
  readonly lanes: number
  readonly seed: number
}

/** How it begins to say that somebody does not get on. */
export const NEXT_TURNS = 'the next turns of '

/** A worker, its wire and its clock. */
export class Hand {
  readonly worker: WorkerProcess
  readonly wire: Wire | undefined
  readonly clock: WorkerClock | undefined
  /** What the machine's clock shows when its own shows `at`. */
  readonly machineTime: (at: number) => number

  constructor(
    worker: WorkerProcess,
    wire: Wire | undefined,
    clock: WorkerClock | undefined,
    machineTime: (at: number) => number,
  ) {
    this.worker = worker
    this.wire = wire
    this.clock = clock
    this.machineTime = machineTime
  }

  get name(): string {
    return this.worker.name
  }

  get alive(): boolean {
    return this.worker.alive
  }

  does<A extends keyof Acts>(act: A, ...words: Parameters<Acts[A]>): Promise<ReturnType<Acts[A]>> {
    return this.worker.ask(act, words[0]) as Promise<ReturnType<Acts[A]>>
  }
}

export class Crew {
  readonly registers: Registers
  readonly #options: CrewOptions
  readonly #directory: string
  readonly #hands: Hand[] = []
  readonly #wires: Wire[] = []
  readonly #events: Event[] = []
  #count = 0

  private constructor(options: CrewOptions, directory: string, registers: Registers) {
    this.#options = options
    this.#directory = directory
    this.registers = registers
  }

  static async start(count: number, options: CrewOptions): Promise<Crew> {
    // In memory, where there is such a place: each event is written by itself.
    const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'holdfast-verify-'))
    const crew = new Crew(options, directory, await Registers.start(join(directory, 'registers')))
    try {
      await Promise.all(Array.from({ length: count }, () => crew.hire()))
    } catch (error) {
      await crew.end()
      throw error
    }
    return crew
  }

  get prefix(): string {
    return this.#options.prefix
  }

  get ttlMs(): number {
    return this.#options.ttlMs
  }

  get hands(): readonly Hand[] {
    return this.#hands.filter(({ alive }) => alive)
  }

  /** Different ones, as many as are asked for. */
  victims(random: Random, count: number): Hand[] {
    const left = [...this.hands]
    return Array.from({ length: count }, () => left.splice(left.indexOf(pick(random, left)), 1)[0]!)
  }

  /** One more, at work. */
  async hire({ rate, under = [], aheadMs = 0 }: Peculiar = {}): Promise<Hand> {
    this.#count += 1
    const { program, lay, clock: clockOf, ...rest } = this.#options
    const process = `w${this.#count}`
    const { url, wire } = await lay()
    if (wire) this.#wires.push(wire)
    const history = join(this.#directory, `${process}.ndjson`)
    closeSync(openSync(history, 'a'))
    const setup: Setup = { ...rest, process, url, history, registers: this.registers.path }
    const clock = clockOf?.(rate)
    const line = [...under, ...program, JSON.stringify(setup)]
    const env = clock && { ...globalThis.process.env, ...clock.env }
    const worker = new WorkerProcess({ name: process, line, env }, (event) => this.#events.push(event))
    const hand = new Hand(worker, wire, clock, (at) => (rate === undefined ? at : clock!.machineTime(at)) - aheadMs)
    this.#hands.push(hand)
    await worker.ready
    await hand.does('work')
    return hand
  }

  /** It ends the turns that it is in, lets go, and goes. */
  async dismiss(hand: Hand): Promise<void> {
    await hand.does('rest')
    await hand.does('leave')
    await hand.worker.ends()
  }

  // What is done to them

  note(what: string): void {
    this.#events.push({ kind: 'fault', process: 'nemesis', at: machineNow(), what })
  }

  /** A fault that ends entries which are alive, of these names; with `lateMs`, so much later at the latest. */
  async forgets<T>(names: readonly string[], fault: () => Promise<T>, lateMs = 0): Promise<T> {
    const at = machineNow()
    try {
      return await fault()
    } finally {
      const until = machineNow() + lateMs
      for (const name of names) this.#events.push({ kind: 'forgotten', process: 'nemesis', name, at, until })
    }
  }

  async pause({ worker }: Hand): Promise<void> {
    this.note(`pause ${worker.name}`)
    await worker.stop()
  }

  resume({ worker }: Hand): void {
    if (!worker.alive) return
    this.note(`resume ${worker.name}`)
    worker.continue()
  }

  async kill({ worker }: Hand): Promise<void> {
    this.note(`kill ${worker.name}`)
    await worker.kill()
  }

  /** It computes for so long, and neither timers nor sockets get their turn. */
  async block(hand: Hand, ms: number): Promise<void> {
    this.note(`block ${hand.name}`)
    await this.#standsStill(hand, () => hand.does('block', { ms }))
  }

  /** It computes until about the end of its lease, and releases at once. */
  async linger(hand: Hand, beforeMs: number): Promise<Came> {
    this.note(`${hand.name} releases ${beforeMs.toFixed(1)} ms before its end`)
    return this.#standsStill(hand, () => hand.does('linger', { beforeMs }))
  }

  async #standsStill<T>({ name }: Hand, act: () => Promise<T>): Promise<T> {
    const at = machineNow()
    const answer = await act()
    this.#events.push({ kind: 'pause', process: name, at, until: machineNow(), asleep: false })
    return answer
  }

  silence({ name, wire }: Hand, way: Way = 'both'): void {
    this.note(`silence ${name} ${way}`)
    wire!.silence(way)
  }

  /** What connects it now falls silent; it can connect anew. */
  deaden({ name, wire }: Hand, way: Way): void {
    this.note(`deaden the connections of ${name} ${way}`)
    wire!.deaden(way)
  }

  slow({ name, wire }: Hand, ms: number): void {
    this.note(`slow ${name} by ${ms} ms`)
    wire!.slow(ms, 'both', 0.5)
  }

  reset({ name, wire }: Hand): void {
    this.note(`reset ${name}`)
    wire!.reset()
  }

  leap({ name, clock }: Hand, ms: number): void {
    this.note(`the clock of ${name} leaps by ${Math.round(ms)} ms`)
    clock!.leap(ms)
  }

  /** What was kept back arrives. */
  mend({ name, wire }: Hand): void {
    this.note(`mend ${name}`)
    wire?.heal()
  }

  // How they get on

  /** Everybody who is there has had so many turns more. */
  async goOn(more = 2): Promise<void> {
    const before = await Promise.all(this.hands.map(async (hand) => [hand, await hand.does('turns')] as const))
    await Promise.all(
      before.map(([hand, turns]) =>
        eventually(async () => !hand.alive || (await hand.does('turns')) >= turns + more, `${NEXT_TURNS}${hand.name}`),
      ),
    )
  }

  healed(): void {
    this.#events.push({ kind: 'healed', process: 'nemesis', at: machineNow() })
  }

  /** Everybody ends the turn that they are in, and lets go. Answers with what codes they asked in vain. */
  async leaves(): Promise<ReadonlySet<string>> {
    const codes = await Promise.all(this.hands.map((hand) => hand.does('rest')))
    const leaving = this.hands
    await Promise.all(leaving.map((hand) => hand.does('leave')))
    await Promise.all(leaving.map(({ worker }) => worker.ends()))
    return new Set(codes.flat())
  }

  /** What all of them have written down, and what was done to them, in the order of time. */
  events(): Event[] {
    const written = this.#hands.flatMap(({ name, machineTime }) =>
      readEvents([join(this.#directory, `${name}.ndjson`)]).map((event) => onMachineTime(event, machineTime)),
    )
    return [...written, ...this.#events, ...this.registers.events].sort((a, b) => a.at - b.at)
  }

  async end(): Promise<void> {
    await Promise.all(this.#hands.map(({ worker }) => worker.kill()))
    for (const { clock } of this.#hands) clock?.end()
    await Promise.all(this.#wires.map((wire) => wire.end()))
    await this.registers.end()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
