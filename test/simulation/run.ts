/** Carry out a plan in virtual time, and let all checkers judge what happened. The same plan gives the same history. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { simulatedTime } from '../../src/testing/simulated.ts'
import type { SimulatedRuntime, SimulatedTime } from '../../src/testing/simulated.ts'
import type { CheckOptions } from '../../src/verify/checkers/index.ts'
import { check } from '../../src/verify/checkers/index.ts'
import type { Event, Violation } from '../../src/verify/history.ts'
import { MemoryRecorder, historyOf } from '../../src/verify/history.ts'
import { Cluster } from './etcd/cluster.ts'
import { Coordinator } from './memory/coordinator.ts'
import type { Library } from './library.ts'
import type { Subscriber, World } from './wire.ts'
import { Inbox } from './wire.ts'
import { Nodes } from './quorum/nodes.ts'
import type { FaultPlan, MessageFault, Plan, ProcessFault, ProcessPlan, SitePlan, TaskPlan } from './plan.ts'
import { Random } from './random.ts'
import { Servers } from './redis/servers.ts'
import type { Site } from './site.ts'
import type { Stage } from './worker.ts'
import { Worker, queueOf } from './worker.ts'

/** How often to look whether everything is done. */
const STEP_MS = 100

export interface Outcome {
  readonly plan: Plan
  readonly events: readonly Event[]
  /** What breaks a promise. */
  readonly violations: readonly Violation[]
  /** How often two believed at once, after a fault that broke an assumption. */
  readonly overlaps: number
  readonly grants: number
  /** What the open registers lost: that faults bite. The guarded ones lose nothing, or it is a violation. */
  readonly openLost: number
  readonly lines: readonly string[]
}

export async function run(plan: Plan, library: Library, options: { readonly trace?: boolean } = {}): Promise<Outcome> {
  const schedule = new Schedule(plan, library, options.trace ?? false)
  await schedule.run()
  return schedule.outcome()
}

/** Far more than the longest schedule takes. */
const TURNS_MAX = 500_000

class HotLoop extends Error {}

const hotLoop: Violation = { checker: 'liveness', text: 'something goes round and round without end', events: [] }

class Schedule {
  readonly #plan: Plan
  readonly #time: SimulatedTime
  readonly #recorder: MemoryRecorder
  readonly #world: World
  readonly #site: Site
  readonly #stage: Stage
  readonly #workers: Worker[] = []
  readonly #lines: string[] = []
  readonly #bounds: CheckOptions
  /** Workers that have not done their tasks, or will still come: a crashed process is followed by another. */
  #busy = 0
  #turns = 0
  #hot = false

  constructor(plan: Plan, library: Library, trace: boolean) {
    this.#plan = plan
    this.#time = simulatedTime({ seed: plan.seed, settle: () => this.#settle() })
    const now = (): number => this.#time.now
    this.#recorder = new MemoryRecorder(now)
    const wires = this.#time.runtime({ host: 'wires' })
    this.#world = {
      wires,
      network: plan.network,
      now,
      faultsUntilMs: plan.faultsUntilMs,
      healed: () => now() >= plan.faultsUntilMs,
      subscribers: new Set<Subscriber>(),
      trace: trace ? (line) => this.#lines.push(`${now().toFixed(2)} ${line}`) : undefined,
    }
    this.#site = this.#siteOf(plan.site, library)
    const names = new Set(tasksOf(plan).map(({ name }) => name))
    const registers = new Map(
      [...names].map((name) => [
        name,
        [
          new library.Register(`${name} guarded`, true, this.#recorder),
          new library.Register(`${name} open`, false, this.#recorder),
        ] as const,
      ]),
    )
    this.#stage = { library, recorder: this.#recorder, now, leases: new Map(), registers, wires }
    this.#bounds = boundsOf(plan, new Set([...names].map((name) => `${name} guarded`)))
  }

  async run(): Promise<void> {
    const renewed = (message: unknown): void => {
      const { kind, name, fence, remainingMs } = message as {
        kind: string
        name: string
        fence: bigint
        remainingMs: number
      }
      const key = `${kind}:${name} ${fence}`
      this.#stage.leases.get(key)?.renewed(key, remainingMs)
    }
    subscribe('holdfast:renew', renewed)
    try {
      for (const each of this.#plan.processes) this.#at(each.startAtMs, () => this.#start(each, 0))
      this.#busy = this.#plan.processes.length
      for (const fault of this.#plan.faults) this.#plant(fault)
      this.#at(healedAt(this.#plan), () => this.#note('healed', { kind: 'healed' }))
      await this.#work()
      await this.#close()
    } catch (error) {
      if (!(error instanceof HotLoop)) throw error
      this.#hot = true
    } finally {
      unsubscribe('holdfast:renew', renewed)
      // Nothing of this schedule goes on behind the back of the next one.
      for (const { runtime } of this.#workers) runtime.kill()
    }
  }

  outcome(): Outcome {
    const { events } = this.#recorder
    const objections = this.#hot ? [hotLoop] : check(historyOf(events), this.#bounds)
    const isExcused = (violation: Violation): boolean => excuses(this.#site, violation)
    return {
      plan: this.#plan,
      events,
      violations: [...objections.filter((each) => !isExcused(each)), ...this.#site.violations],
      overlaps: objections.filter((each) => OVERLAPS.has(each.checker) && isExcused(each)).length,
      grants: events.reduce((sum, { kind }) => sum + (kind === 'granted' ? 1 : 0), 0),
      openLost: [...this.#stage.registers.values()].reduce((sum, [, open]) => sum + open.lostUpdates, 0),
      lines: this.#lines,
    }
  }

  /** Until all tasks are done, or nobody can be expected to wait any longer. */
  async #work(): Promise<void> {
    const healed = healedAt(this.#plan)
    const limit = healed + this.#bounds.answerMs + 1000
    while (this.#time.now < limit && (this.#busy > 0 || this.#time.now < healed)) await this.#time.advance(STEP_MS)
  }

  async #close(): Promise<void> {
    // What is on its way then is left to its end, by backends that let go of their connections.
    await this.#time.advance(this.#bounds.leaveMs)
    const alive = this.#workers.filter(({ inbox }) => !inbox.dead)
    await this.#until(Promise.all(alive.map(({ locks }) => locks.close())), 60_000)
    const longest = Math.max(
      ...tasksOf(this.#plan).map(({ ttlMs, lockDelayMs, minHoldMs }) => ttlMs + lockDelayMs + minHoldMs),
      // The last appointment of a session is that with a waiter that is silent for so long.
      ...this.#plan.processes.map(({ waitTtlMs, requestTimeoutMs }) => waitTtlMs + requestTimeoutMs),
    )
    await this.#time.advance(1.1 * longest + 2000)
    const subscriptions = alive.reduce((sum, { name }) => sum + this.#site.subscriptions.of(name), 0)
    const entries = await this.#site.entries()
    const timers = (await this.#time.step()) ? 1 : 0
    this.#note('world', { kind: 'residue', entries, timers, subscriptions })
    this.#note('world', { kind: 'end' })
  }

  /** Whether `work` settles in about that time. */
  async #until(work: Promise<unknown>, ms: number): Promise<boolean> {
    let settled = false
    void work.finally(() => (settled = true)).catch(() => {})
    const end = this.#time.now + ms
    while (!settled && this.#time.now < end) await this.#time.advance(STEP_MS)
    return settled
  }

  #start(plan: ProcessPlan, life: number): void {
    const runtime = this.#time.runtime({ host: plan.name, drift: plan.drift })
    const faults = this.#plan.faults.filter(
      (fault): fault is MessageFault => fault.kind === 'message' && fault.process === plan.name,
    )
    const name = life === 0 ? plan.name : `${plan.name}/${life + 1}`
    const { seed } = this.#plan
    const random = (use: number, ...more: readonly number[]): Random =>
      new Random(seed, use, plan.stream, life, ...more)
    const inbox = new Inbox(name, runtime, this.#world.now)
    const ways = this.#site.connect({
      inbox,
      runtime,
      random,
      faults: life === 0 ? faults : [],
      renewsInBulk: plan.renewsInBulk,
    })
    const worker = new Worker(this.#stage, plan, runtime, inbox, ways, random(4))
    this.#workers.push(worker)
    void worker.done.then(() => (this.#busy -= 1))
  }

  #plant(fault: FaultPlan): void {
    if (fault.kind === 'message') return
    this.#at(fault.atMs, () => {
      if (!('process' in fault)) return this.#site.strike(fault)
      const worker = this.#workers.findLast(({ name }) => name.split('/', 1)[0] === fault.process)
      if (worker && !worker.inbox.dead) this.#strike(worker, fault)
    })
  }

  #strike(worker: Worker, fault: ProcessFault): void {
    const { name, runtime, inbox } = worker
    const now = this.#time.now
    switch (fault.kind) {
      case 'pause':
      case 'sleep': {
        const asleep = fault.kind === 'sleep'
        // It stands still already; one thing at a time.
        if (now < inbox.standsStillUntil) return
        const until = now + fault.forMs
        inbox.standsStillUntil = until
        this.#note(name, { kind: 'pause', until, asleep })
        if (asleep) return runtime.sleep(fault.forMs)
        runtime.pause()
        this.#at(until, () => runtime.continue())
        return
      }
      case 'jump':
        this.#note(name, { kind: 'fault', what: `wall clock jumps by ${fault.byMs}` })
        return runtime.jumpWall(fault.byMs)
      case 'crash': {
        this.#note(name, { kind: 'crash' })
        runtime.kill()
        inbox.dead = true
        if (worker.idle) this.#busy += 1
        const plan = this.#plan.processes.find((each) => each.name === fault.process)!
        const life = this.#workers.filter((each) => each.name.split('/', 1)[0] === fault.process).length
        this.#at(now + fault.restartAfterMs, () => this.#start(plan, life))
        return
      }
      case 'partition': {
        const wires = fault.nodes ? fault.nodes.map((node) => worker.wires[node]!) : worker.wires
        const from = fault.nodes ? ` from nodes ${fault.nodes.map((node) => node + 1).join()}` : ''
        this.#note(name, { kind: 'fault', what: `${fault.ways} cut${from} for ${fault.forMs}` })
        const until = Math.min(now + fault.forMs, this.#plan.faultsUntilMs)
        for (const wire of wires) {
          if (fault.ways !== 'replies') wire.cutUntil.requests = until
          if (fault.ways !== 'requests') wire.cutUntil.replies = until
        }
        return
      }
    }
  }

  #siteOf(site: SitePlan, library: Library): Site {
    const fromMs = healedAt(this.#plan)
    const random = new Random(this.#plan.seed, 5)
    const queues = [...new Set(tasksOf(this.#plan).map(queueOf))]
    const clock = (host: string, drift: number): SimulatedRuntime => this.#time.runtime({ host, drift })
    switch (site.kind) {
      case 'memory':
        return new Coordinator(library, clock('coordinator', site.drift), site.drift, this.#world, this.#recorder)
      case 'quorum': {
        const clocks = site.nodes.map(({ drift }, index) => clock(`node ${index + 1}`, drift))
        const { leaveMs } = boundsOf(this.#plan, new Set())
        return new Nodes(site, library, clocks, this.#world, this.#recorder, { fromMs, leaveMs })
      }
      case 'redis': {
        const clocks = site.servers.map(({ drift }, index) => clock(`server ${index + 1}`, drift))
        return new Servers(site, queues, library, clocks, random, this.#world, this.#recorder)
      }
      case 'etcd': {
        const clocks = site.members.map(({ drift }, index) => clock(`member ${index + 1}`, drift))
        return new Cluster(site, library, clocks, random, this.#world, this.#recorder, fromMs)
      }
    }
  }

  /**
   * Run what can run now. All microtasks are done when a tick that a microtask asked for runs; but clients put off to such a
   * tick what they send, so with those it takes a turn of the event loop, which is slower.
   */
  async #settle(): Promise<void> {
    this.#turns += 1
    // Without this a hot loop would go on for ever, for in simulated time it takes none.
    if (this.#turns > TURNS_MAX) throw new HotLoop()
    if (this.#plan.site.kind === 'redis' || this.#plan.site.kind === 'etcd') return new Promise(setImmediate)
    await Promise.resolve()
    await new Promise<void>((resolve) => process.nextTick(resolve))
  }

  #at(atMs: number, what: () => void): void {
    this.#world.wires.after(atMs - this.#time.now, what)
  }

  #note(process: string, note: Parameters<MemoryRecorder['note']>[1]): void {
    this.#recorder.note(process, note)
  }
}

const OVERLAPS = new Set(['exclusion', 'readers-writers', 'permits', 'backed'])

/** Whether it is a consequence of what the faults of the site did. */
function excuses({ excuses, fencesUntil }: Site, { checker, events }: Violation): boolean {
  const granted = Math.max(...events.map(({ kind, at }) => (kind === 'granted' ? at : 0)))
  if (checker === 'fence-order') return granted >= fencesUntil
  if (!OVERLAPS.has(checker)) return false
  const asked = Math.min(...events.map((event) => (event.kind === 'ask' ? event.at : Infinity)))
  const left = Math.max(...events.map(({ kind, at }) => (kind === 'left' ? at : 0)))
  return excuses.some(({ at, until }) => at <= Math.max(granted, left) && asked <= until)
}

function tasksOf({ processes }: Plan): TaskPlan[] {
  return processes.flatMap(({ lanes }) => lanes.flat())
}

/** When the last fault is over, and what it delayed has arrived. */
function healedAt({ faultsUntilMs, network, faults, allowance }: Plan): number {
  const late = faults.map((fault) => {
    switch (fault.kind) {
      case 'message':
        return faultsUntilMs + 2 * fault.ms
      case 'pause':
      case 'sleep':
        return fault.atMs + fault.forMs + 1000
      case 'crash':
        return fault.atMs + fault.restartAfterMs
      default:
        return 0
    }
  })
  return Math.max(faultsUntilMs + allowance.healMs + 3 * network.tailMs + 100, ...late)
}

/** What may be expected when all is well, from the times of the plan. Clocks run up to 1 % slow. */
function boundsOf(plan: Plan, guarded: ReadonlySet<string>): CheckOptions {
  const { processes, network, allowance } = plan
  const tasks = tasksOf(plan)
  const most = (values: readonly number[]): number => Math.max(0, ...values) * 1.05
  const wayMs = 2 * (network.delayMs + network.jitterMs)
  const timeoutMs = most(processes.map(({ requestTimeoutMs }) => requestTimeoutMs))
  const ttlMs = most(tasks.map(({ ttlMs, lockDelayMs }) => ttlMs + lockDelayMs))
  const workMs = tasks.reduce(
    (sum, { holdMs, minHoldMs, accesses, thinkMs }) => sum + holdMs + minHoldMs + (thinkMs + 40) * accesses + 500,
    0,
  )
  return {
    guarded,
    turnMs: 1,
    afterSleepMs: 1050,
    // Everybody before it may take its time, and die.
    answerMs: 2 * workMs + tasks.length * (ttlMs + 2 * timeoutMs + allowance.turnMs),
    // A lost wake is made up for by the next renewal of the place.
    noticeMs: most(processes.map(({ waitTtlMs }) => waitTtlMs / 3)) + timeoutMs + 2 * wayMs + allowance.noticeMs,
    leaveMs: allowance.leaveWays * wayMs + allowance.leaveMs,
    renewedMs: allowance.renewedMs ?? 0,
    ...(allowance.goneMs === undefined ? {} : { goneMs: allowance.goneMs }),
  }
}
