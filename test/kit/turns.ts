/** Several who take turns at one name, in this process, and the history of it: with a guarded register, and one without. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import { vi } from 'vitest'
import type { HoldfastEvents } from '../../src/core/events.ts'
import type { Lease, Locks } from '../../src/index.ts'
import { check } from '../../src/verify/checkers/index.ts'
import type { Violation } from '../../src/verify/history.ts'
import { MemoryRecorder, historyOf } from '../../src/verify/history.ts'
import { Register } from '../../src/verify/register.ts'

let count = 0

/** Wide: the machine is shared with whatever else runs. */
const BOUNDS = {
  guarded: new Set(['guarded']),
  turnMs: 1000,
  afterSleepMs: 2000,
  answerMs: 60_000,
  noticeMs: 10_000,
  leaveMs: 10_000,
} as const

/** What may be answered while nodes are away. */
const TROUBLES = new Set(['UNAVAILABLE', 'UNREACHABLE', 'LEASE_LOST', 'WAIT_TIMEOUT'])

export interface TurnsOptions {
  /** How long a turn takes, in milliseconds. */
  readonly holdMs: number
  /** How long each rests after its turn, so that whoever waits gets one. Default 0. */
  readonly restMs?: number
  /** After so many turns each rests; otherwise they go on until `rest()`. */
  readonly rounds?: number
}

export class Turns {
  /** What they take turns at: what this process hears of it is about no others. */
  readonly name = `turns-${(count += 1)}`
  /** How often each has had its turn. */
  readonly served: number[]
  readonly codes = new Set<string>()
  readonly #recorder = new MemoryRecorder(() => performance.now())
  readonly #guarded = new Register('guarded', true, this.#recorder)
  readonly #open = new Register('open', false, this.#recorder)
  readonly #holds = new Map<bigint, string>()
  readonly #all: readonly Locks[]
  readonly #working: Promise<void>
  #resting = false

  constructor(all: readonly Locks[], { holdMs, restMs = 0, rounds = Infinity }: TurnsOptions) {
    this.#all = all
    this.served = all.map(() => 0)
    subscribe('holdfast:renew', this.#renewed)
    this.#working = Promise.all(all.map((locks, n) => this.#work(locks, n, { holdMs, restMs, rounds }))).then(() => {})
  }

  /** Everybody has had so many turns more. */
  async goOn(turns = 3): Promise<void> {
    const before = [...this.served]
    const done = (): boolean => this.served.every((count, n) => count - before[n]! >= turns)
    await vi.waitUntil(done, { timeout: 60_000 })
  }

  fault(what: string): void {
    this.#recorder.note('nemesis', { kind: 'fault', what })
  }

  /** The last fault is over. */
  healed(): void {
    this.#recorder.note('nemesis', { kind: 'healed' })
  }

  /** When all have done their rounds, or, without, have done with the turn they are in. */
  async rest(): Promise<void> {
    this.#resting = true
    await this.#working
    unsubscribe('holdfast:renew', this.#renewed)
    await Promise.all(this.#all.map((locks) => locks.close()))
    this.#recorder.note('test', { kind: 'end' })
  }

  /** What the checkers object to. */
  violations(): Violation[] {
    return check(historyOf(this.#recorder.events), BOUNDS)
  }

  get lostUpdates(): number {
    return this.#open.lostUpdates
  }

  readonly #renewed = (message: unknown): void => {
    const { name, fence, remainingMs } = message as HoldfastEvents['holdfast:renew']
    const hold = this.#holds.get(fence)
    if (name === this.name && hold !== undefined)
      this.#recorder.note('', { kind: 'deadline', hold, until: performance.now() + remainingMs })
  }

  async #work(locks: Locks, n: number, { holdMs, restMs, rounds }: Required<TurnsOptions>): Promise<void> {
    for (let round = 1; rounds === Infinity ? !this.#resting : this.served[n]! < rounds; round += 1) {
      const hold = `${n}.${round}`
      this.#recorder.note(`p${n}`, { kind: 'ask', hold, name: this.name, waits: true })
      try {
        const lease = await locks.acquire(this.name, { wait: '30s' })
        await this.#turn(`p${n}`, hold, lease, holdMs)
        this.#recorder.note(`p${n}`, { kind: 'released', hold })
        if ((await lease.release()) === 'released') this.served[n]! += 1
        if (restMs > 0) await sleep(restMs)
      } catch (error) {
        const { code } = error as { readonly code: string }
        if (!TROUBLES.has(code)) throw error
        this.codes.add(code)
        if (!this.#granted.has(hold)) this.#recorder.note(`p${n}`, { kind: 'gave-up', hold, code })
        await sleep(20)
      }
    }
  }

  readonly #granted = new Set<string>()

  async #turn(process: string, hold: string, lease: Lease, holdMs: number): Promise<void> {
    const about = { name: this.name, fence: Number(lease.fence), mode: 'exclusive', weight: 1, capacity: 1 } as const
    this.#holds.set(lease.fence, hold)
    this.#granted.add(hold)
    this.#recorder.note(process, { kind: 'granted', hold, ...about, until: performance.now() + lease.remainingMs })
    lease.signal.addEventListener('abort', () =>
      this.#recorder.note(process, { kind: 'lost', hold, by: 'signal', reason: String(lease.signal.reason) }),
    )
    const visitor = { process, hold, fence: Number(lease.fence), mode: 'exclusive' } as const
    const [own, others] = [this.#guarded.read(visitor), this.#open.read(visitor)]
    await sleep(holdMs)
    this.#open.write(visitor, others.version)
    if (own.accepted) this.#guarded.write(visitor, own.version)
  }
}
