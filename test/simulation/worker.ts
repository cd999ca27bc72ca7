/** One simulated process: real locks over its link, user code that works through its tasks, and a pen that writes it down. */
import type { Lease, WriteLease } from '../../src/core/lease.ts'
import type { AcquireOptions } from '../../src/core/request.ts'
import type { Locks } from '../../src/locks.ts'
import type { SimulatedRuntime } from '../../src/testing/simulated.ts'
import type { Mode, Recorder } from '../../src/verify/history.ts'
import type { Register } from '../../src/verify/register.ts'
import type { Library } from './library.ts'
import type { ProcessPlan, TaskPlan } from './plan.ts'
import { CAPACITY } from './plan.ts'
import type { Random } from './random.ts'
import type { Ways } from './site.ts'
import type { Inbox, Wire } from './wire.ts'

/** What the workers of one schedule share. */
export interface Stage {
  readonly library: Library
  readonly recorder: Recorder
  readonly now: () => number
  /** Which hold a lease belongs to, by queue and fence: renewals are told on a channel that does not say. */
  readonly leases: Map<string, Worker>
  /** A guarded register and one that takes everything, for each name. */
  readonly registers: ReadonlyMap<string, readonly [guarded: Register, open: Register]>
  /** Timers of the network itself. */
  readonly wires: SimulatedRuntime
}

export class Worker {
  readonly name: string
  readonly locks: Locks
  readonly runtime: SimulatedRuntime
  readonly inbox: Inbox
  readonly wires: readonly Wire[]
  /** Settles when all tasks are done; never if the process dies. */
  readonly done: Promise<unknown>
  /** All tasks are done. */
  idle = false

  readonly #stage: Stage
  readonly #plan: ProcessPlan
  readonly #random: Random
  readonly #holds = new Map<string, string>()
  #asked = 0

  constructor(
    stage: Stage,
    plan: ProcessPlan,
    runtime: SimulatedRuntime,
    inbox: Inbox,
    { backend, wires }: Ways,
    random: Random,
  ) {
    this.name = inbox.process
    this.runtime = runtime
    this.inbox = inbox
    this.wires = wires
    this.#stage = stage
    this.#plan = plan
    this.#random = random
    this.locks = stage.library.connect(backend, {
      runtime,
      requestTimeout: plan.requestTimeoutMs,
      waitTtl: plan.waitTtlMs,
      grace: 500,
    })
    this.done = Promise.all(plan.lanes.map((lane) => this.#work(lane))).then(() => (this.idle = true))
  }

  /** A renewal was answered. */
  renewed(key: string, remainingMs: number): void {
    this.#note({ kind: 'deadline', hold: this.#holds.get(key)!, until: this.#until(remainingMs) })
  }

  async #work(lane: readonly TaskPlan[]): Promise<void> {
    for (const task of lane) {
      await this.#pause(task.gapMs)
      await this.#perform(task)
    }
  }

  async #perform(task: TaskPlan): Promise<void> {
    this.#asked += 1
    const hold = `${this.name}.${this.#asked}`
    const name = queueOf(task)
    this.#note({ kind: 'ask', hold, name, waits: task.waitMs > 0 })
    try {
      await this.#hold(task, hold)
    } catch (error) {
      const { code, name: kind } = error as { code?: string; name: string }
      // A lease that was lost has been granted before; the loss is written down where it was seen.
      if (code !== 'LEASE_LOST') this.#note({ kind: 'gave-up', hold, code: code ?? kind })
    }
  }

  async #hold(task: TaskPlan, hold: string): Promise<void> {
    const options = this.#options(task, hold)
    const lockable = this.#lockable(task)
    if (task.through === 'run' && !task.downgrade) {
      await lockable.run(options, async (lease) => {
        await this.#use(task, hold, lease)
        this.#note({ kind: 'released', hold })
      })
      return
    }
    const { wait: _, ...tryOptions } = options
    const lease = task.waitMs === 0 ? await lockable.tryAcquire(tryOptions) : await lockable.acquire(options)
    if (!lease) return this.#note({ kind: 'gave-up', hold, code: 'HELD' })
    await this.#use(task, hold, lease)
    this.#note({ kind: 'released', hold })
    await lease.release()
  }

  #options(task: TaskPlan, hold: string): AcquireOptions & { permits?: number } {
    const abort = new AbortController()
    if (task.abortAfterMs !== undefined)
      this.runtime.after(task.abortAfterMs, () => abort.abort(new Error('changed my mind')))
    return {
      ttl: task.ttlMs,
      margin: task.marginMs,
      wait: task.waitMs,
      label: hold,
      signal: abort.signal,
      ...(task.minHoldMs > 0 ? { minHold: task.minHoldMs } : {}),
      ...(task.lockDelayMs > 0 ? { lockDelay: task.lockDelayMs } : {}),
      ...(task.maxHoldMs === undefined ? {} : { maxHold: task.maxHoldMs }),
      ...(task.shape === 'permits' ? { permits: task.permits } : {}),
    }
  }

  #lockable({ shape, name }: TaskPlan) {
    switch (shape) {
      case 'mutex':
        return this.locks.mutex(name)
      case 'read':
        return this.locks.rw(name).read()
      case 'write':
        return this.locks.rw(name).write()
      case 'permits':
        return this.locks.semaphore(name, CAPACITY)
    }
  }

  /** Hold it for a while, and do something with it. Goes on after a loss now and then, as careless code does. */
  async #use(task: TaskPlan, hold: string, lease: Lease): Promise<void> {
    const name = queueOf(task)
    const mode: Mode = task.shape === 'mutex' || task.shape === 'write' ? 'exclusive' : modeOf(task.shape)
    const [weight, capacity] = task.shape === 'permits' ? [task.permits, CAPACITY] : [1, 1]
    const fence = Number(lease.fence)
    const key = `${name} ${fence}`
    this.#holds.set(key, hold)
    this.#stage.leases.set(key, this)
    this.#note({
      kind: 'granted',
      hold,
      name,
      fence,
      mode,
      weight,
      capacity,
      ttlMs: task.ttlMs,
      until: this.#until(lease.remainingMs),
    })
    const lost = (): void => this.#note({ kind: 'lost', hold, by: 'signal', reason: lossOf(lease) })
    if (lease.signal.aborted) lost()
    else lease.signal.addEventListener('abort', lost, { once: true })

    const steps = task.accesses + 1
    for (let step = 0; step < steps; step += 1) {
      await this.#pause(task.holdMs / steps)
      if (task.careful && !this.#check(hold, lease)) return
      if (step === 0 && task.downgrade) await this.#downgrade(hold, lease as WriteLease)
      if (step === 0 && task.renewsFor > 0) await lease.renew(task.ttlMs * task.renewsFor).catch(() => {})
      if (step < task.accesses && mode !== 'permits') await this.#access(task, hold, lease)
    }
    lease.signal.removeEventListener('abort', lost)
    // The last look before it is given back: what is lost by now has been seen to be lost.
    if (lease.signal.aborted) lost()
  }

  #check(hold: string, lease: Lease): boolean {
    try {
      lease.assertHeld()
      this.#note({ kind: 'checked', hold })
      return true
    } catch {
      this.#note({ kind: 'lost', hold, by: 'check', reason: lossOf(lease) })
      return false
    }
  }

  /** From the call on it believes to be a reader; after a failure it believes what its lease says. */
  async #downgrade(hold: string, lease: WriteLease): Promise<void> {
    this.#note({ kind: 'reshaped', hold, mode: 'shared', weight: 1 })
    try {
      await lease.downgrade()
    } catch {
      if (lease.mode === 'exclusive') this.#note({ kind: 'reshaped', hold, mode: 'exclusive', weight: 1 })
    }
  }

  /** Read, think, and, if it may, write. What it sends takes its time, and arrives although the sender has died. */
  async #access(task: TaskPlan, hold: string, lease: Lease): Promise<void> {
    const [guarded, open] = this.#stage.registers.get(task.name)!
    const visitor = (): Parameters<Register['read']>[0] => ({
      process: this.name,
      hold,
      fence: Number(lease.fence),
      mode: lease.mode === 'exclusive' ? 'exclusive' : 'shared',
    })
    const reader = visitor()
    const [own, others] = await this.#visit(() => [guarded.read(reader), open.read(reader)] as const)
    if (reader.mode === 'shared') return
    await this.#pause(this.#random.between(0, task.thinkMs))
    if (task.careful && !this.#check(hold, lease)) return
    const writer = visitor()
    if (writer.mode === 'shared') return
    await this.#visit(() => {
      open.write(writer, others.version)
      if (own.accepted) guarded.write(writer, own.version)
    })
  }

  #visit<T>(serve: () => T): Promise<T> {
    const { wires } = this.#stage
    const [there, back] = [this.#random.between(1, 8), this.#random.between(1, 8)]
    return new Promise((resolve) => {
      wires.after(there, () => {
        const answer = serve()
        wires.after(back, () => this.inbox.deliver(() => resolve(answer)))
      })
    })
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.runtime.after(ms, resolve))
  }

  /** From the process's own clock to the scale of the history. */
  #until(remainingMs: number): number {
    return this.#stage.now() + remainingMs / (1 + this.#plan.drift)
  }

  #note(note: Parameters<Recorder['note']>[1]): void {
    this.#stage.recorder.note(this.name, note)
  }
}

export function queueOf({ shape, name }: Pick<TaskPlan, 'shape' | 'name'>): string {
  return `${shape === 'permits' ? 'permits' : 'lock'}:${name}`
}

function modeOf(shape: 'read' | 'permits'): Mode {
  return shape === 'read' ? 'shared' : 'permits'
}

function lossOf(lease: Lease): string {
  return (lease.signal.reason as { reason?: string } | undefined)?.reason ?? 'unknown'
}
