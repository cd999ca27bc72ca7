/**
 * What lies between one process and the coordinator: a backend whose every call travels there and back.
 *
 * Requests travel on the clock of the world, so they arrive although their sender stands still or is dead. What comes back
 * waits while the process stands still, and is lost when it is dead. A connection that breaks is an error, silence is
 * silence; either way the sender does not know what became of its request.
 */
import type { Backend, Claim, Entry, Finding, QueueView, Renewal, Standing, Supports, Wake } from '../../src/backend.ts'
import type { SimulatedRuntime } from '../../src/testing/simulated.ts'
import type { Coordinator } from './coordinator.ts'
import type { MessageFault, Network, Verb } from './plan.ts'
import type { Random } from './random.ts'

export interface World {
  readonly coordinator: Coordinator
  /** Timers of the network itself: never paused, never drifting. */
  readonly wires: SimulatedRuntime
  readonly network: Network
  readonly now: () => number
  /** Whether faults are over. */
  readonly healed: () => boolean
  /** Every wake that is on its way may go astray to any of these. */
  readonly subscribers: Set<Subscriber>
  readonly trace: ((line: string) => void) | undefined
}

export interface Subscriber {
  readonly name: string
  readonly link: Link
  readonly wake: Wake
}

interface Fate {
  readonly requestMs: number
  readonly replyMs: number
  readonly againMs: number | undefined
  /** Its entry is evicted so long after it was put in. */
  readonly evictAfterMs: number | undefined
  readonly lose: 'request' | 'reply' | undefined
  readonly silent: boolean
}

const CALM = { againMs: undefined, evictAfterMs: undefined, lose: undefined, silent: false } as const

export class Link implements Backend {
  readonly kind = 'simulated'
  readonly supports: Supports
  /** Until when requests or replies do not get through. */
  cutUntil: { requests: number; replies: number } = { requests: 0, replies: 0 }
  standsStillUntil = 0
  dead = false
  readonly renewAll?: NonNullable<Backend['renewAll']>

  readonly #process: string
  readonly #world: World
  readonly #runtime: SimulatedRuntime
  readonly #random: Random
  readonly #faults: readonly MessageFault[]
  readonly #counts = new Map<Verb, number>()

  constructor(
    process: string,
    world: World,
    runtime: SimulatedRuntime,
    random: Random,
    faults: readonly MessageFault[],
    renewsInBulk: boolean,
  ) {
    if (renewsInBulk) this.renewAll = (claims, ttlMs) => this.#renewAll(claims, ttlMs)
    this.#process = process
    this.#world = world
    this.#runtime = runtime
    this.#random = random
    this.#faults = faults
    this.supports = world.coordinator.backend.supports
  }

  join(entry: Entry): Promise<Standing> {
    return this.#call('join', entry.name, (backend) => backend.join(entry))
  }

  renew(claim: Claim, ttlMs: number): Promise<Renewal> {
    return this.#call('renew', claim.name, (backend) => backend.renew(claim, ttlMs))
  }

  /** One message there and one back, whatever it carries. */
  #renewAll(claims: readonly Claim[], ttlMs: number): Promise<readonly Renewal[]> {
    const { coordinator } = this.#world
    return this.#send('renew', claims[0]!.name, () =>
      Promise.all(claims.map((claim) => coordinator.apply(claim.name, (backend) => backend.renew(claim, ttlMs)))),
    )
  }

  leave(claim: Claim, options?: { readonly lingerMs?: number }): Promise<boolean> {
    return this.#call('leave', claim.name, (backend) => backend.leave(claim, options))
  }

  lighten(claim: Claim, weight: number): Promise<Renewal> {
    return this.#call('lighten', claim.name, (backend) => backend.lighten(claim, weight))
  }

  describe(claim: Claim, info: string): Promise<boolean> {
    return this.#call('lighten', claim.name, (backend) => backend.describe(claim, info))
  }

  evict(name: string, fence: bigint): Promise<boolean> {
    return this.#call('leave', name, (backend) => backend.evict(name, fence))
  }

  async watch(claim: Claim, wake: Wake): Promise<() => void> {
    const subscriber: Subscriber = { name: claim.name, link: this, wake }
    this.#world.subscribers.add(subscriber)
    const unwatch = await this.#world.coordinator.watch(this.#process, claim.name, claim.id, (news) =>
      this.#wake(subscriber, news),
    )
    return () => {
      this.#world.subscribers.delete(subscriber)
      unwatch()
    }
  }

  async follow(name: string, wake: () => void): Promise<() => void> {
    return this.#world.coordinator.follow(this.#process, name, () =>
      this.#later(this.#delay(), () => this.deliver(wake)),
    )
  }

  async *inspect(prefix: string): AsyncGenerator<QueueView> {
    yield* this.#world.coordinator.backend.inspect(prefix)
  }

  diagnose(): Promise<readonly Finding[]> {
    return this.#world.coordinator.backend.diagnose()
  }

  async close(): Promise<void> {}

  /** Hand something to the process: now, or when it goes on. */
  deliver(what: () => void): void {
    if (this.dead) return
    if (this.#world.now() < this.standsStillUntil) this.#runtime.after(0, what)
    else what()
  }

  #call<T>(verb: Verb, name: string, act: (backend: Backend) => Promise<T>): Promise<T> {
    return this.#send(verb, name, () => this.#world.coordinator.apply(name, act))
  }

  #send<T>(verb: Verb, name: string, act: () => Promise<T>): Promise<T> {
    const { wires, coordinator } = this.#world
    const fate = this.#fate(verb)
    const count = this.#counts.get(verb)!
    const arrive = (): Promise<T> => {
      const answer = act()
      if (this.#world.trace)
        void answer.then((value) => this.#trace(`${verb} ${count} at the coordinator: ${show(value)}`))
      return answer
    }
    if (this.#world.trace) this.#trace(`${verb} ${count} leaves${showFate(fate)}`)
    return new Promise((resolve, reject) => {
      const reset = (ms: number): void => {
        if (!fate.silent) wires.after(ms, () => this.deliver(() => reject(new Error('the connection was reset'))))
      }
      if (fate.lose === 'request' || this.#world.now() < this.cutUntil.requests)
        return reset(fate.requestMs + fate.replyMs)
      if (fate.againMs !== undefined) wires.after(fate.requestMs + fate.againMs, () => void arrive())
      wires.after(fate.requestMs, () => {
        void arrive().then((answer) => {
          const { fence } = [answer].flat()[0] as { readonly fence?: bigint }
          if (fate.evictAfterMs !== undefined && fence !== undefined)
            wires.after(fate.evictAfterMs, () => void coordinator.evict(name, fence))
          if (fate.lose === 'reply' || this.#world.now() < this.cutUntil.replies) return reset(fate.replyMs)
          wires.after(fate.replyMs, () => this.deliver(() => resolve(answer)))
        }, reject)
      })
    })
  }

  #wake(subscriber: Subscriber, news: { readonly held: bigint } | undefined): void {
    const { network, subscribers } = this.#world
    const random = [0, 1, 2, 3, 4].map(() => this.#random.next()) as [number, number, number, number, number]
    const fault = this.#messageFault('wake')
    const send = (ms: number, to: Subscriber): void =>
      this.#later(ms, () => {
        if (this.#world.trace) this.#trace(`wake ${news?.held ?? ''} arrives at ${to.link.#process}`)
        to.link.deliver(() => to.wake(news))
      })
    if (random[0] < network.wakeLossRate || fault?.does === 'lose-request') return this.#trace('a wake is lost')
    const delayMs = this.#delay()
    send(delayMs, subscriber)
    if (random[1] < network.wakeLateRate) send(delayMs + random[2] * network.tailMs, subscriber)
    if (fault?.does === 'late-request' || fault?.does === 'again') send(delayMs + fault.ms, subscriber)
    if (random[3] < network.wakeAstrayRate || fault?.does === 'astray') {
      const others = [...subscribers].filter(({ name }) => name === subscriber.name)
      for (const other of others) if (other !== subscriber) send(delayMs + random[4] * network.tailMs, other)
    }
  }

  /** Draws the same number of times for every message, so that one fault less does not change the rest. */
  #fate(verb: Verb): Fate {
    const { network } = this.#world
    const random = this.#random
    const [request, reply] = [this.#delay(), this.#delay()]
    const [tail, long, lose, which, again, spread] = [0, 1, 2, 3, 4, 5].map(() => random.next())
    const fault = this.#messageFault(verb)
    if (this.#world.healed()) return { ...CALM, requestMs: request, replyMs: reply }
    const tailMs = tail! < network.tailRate ? long! * network.tailMs : 0
    const lost = lose! < network.lossRate ? (which! < 0.5 ? 'request' : 'reply') : undefined
    const does = fault?.does
    const lateMs = fault?.ms ?? 0
    return {
      requestMs: request + (which! < 0.5 ? tailMs : 0) + (does === 'late-request' ? lateMs : 0),
      replyMs: reply + (which! < 0.5 ? 0 : tailMs) + (does === 'late-reply' ? lateMs : 0),
      againMs:
        does === 'again' || does === 'evict-again'
          ? lateMs
          : again! < network.doubleRate
            ? spread! * network.tailMs
            : undefined,
      evictAfterMs: does === 'evict-again' ? Math.max(0, lateMs - 10) : undefined,
      lose: does === 'lose-request' ? 'request' : does === 'lose-reply' ? 'reply' : lost,
      silent: spread! < 0.6,
    }
  }

  #messageFault(verb: Verb): MessageFault | undefined {
    const n = (this.#counts.get(verb) ?? 0) + 1
    this.#counts.set(verb, n)
    return this.#faults.find((fault) => fault.verb === verb && fault.n === n)
  }

  #delay(): number {
    const { delayMs, jitterMs } = this.#world.network
    return delayMs + this.#random.next() * jitterMs
  }

  #later(ms: number, what: () => void): void {
    this.#world.wires.after(ms, what)
  }

  #trace(line: string): void {
    this.#world.trace?.(`${this.#process}: ${line}`)
  }
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.map(show).join('; ')
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.entries(value)
    .filter(([key]) => key !== 'holder')
    .map(([key, part]) => `${key} ${String(part)}`)
    .join(', ')
}

function showFate({ requestMs, replyMs, againMs, lose, silent }: Fate): string {
  const lost = lose ? `, ${lose} lost${silent ? ' in silence' : ''}` : ''
  const again = againMs === undefined ? '' : `, again after ${againMs.toFixed(1)}`
  return ` (${requestMs.toFixed(1)} there, ${replyMs.toFixed(1)} back${lost}${again})`
}
