/**
 * What lies between one process and the coordinator, or one node of a quorum: a backend whose every call travels there and
 * back.
 *
 * Requests travel on the clock of the world, so they arrive although their sender stands still or is dead. What comes back
 * waits while the process stands still, and is lost when it is dead. A connection that breaks is an error, silence is
 * silence; either way the sender does not know what became of its request.
 */
import type { Backend, Claim, Entry, Finding, QueueView, Renewal, Standing, Supports, Wake } from '../../src/backend.ts'
import type { Memory, Node } from '../../src/quorum/node.ts'
import type { SimulatedRuntime } from '../../src/testing/simulated.ts'
import type { MessageFault, Network, Verb } from './plan.ts'
import type { Random } from './random.ts'

/** What a link leads to. */
export interface Far {
  readonly label: string
  readonly backend: Node
  /** Whether nothing arrives there now, and how whoever asks hears of that. */
  readonly away: 'in silence' | 'with an error' | undefined
  /** How much longer each request takes now. */
  readonly slowMs: number
  apply<T>(name: string, verb: (backend: Node) => Promise<T>): Promise<T>
  watch(process: string, name: string, id: string, wake: Wake): Promise<() => void>
  follow(process: string, name: string, wake: () => void): Promise<() => void>
  evict(name: string, fence: bigint): Promise<void>
  /** Lose all it knows. */
  forget(): Promise<void>
}

export interface World {
  /** Timers of the network itself: never paused, never drifting. */
  readonly wires: SimulatedRuntime
  readonly network: Network
  readonly now: () => number
  readonly faultsUntilMs: number
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

/** A process, as its links see it: it takes what comes back when it can. */
export class Inbox {
  readonly process: string
  standsStillUntil = 0
  dead = false
  readonly #runtime: SimulatedRuntime
  readonly #now: () => number

  constructor(process: string, runtime: SimulatedRuntime, now: () => number) {
    this.process = process
    this.#runtime = runtime
    this.#now = now
  }

  /** Hand something to the process: now, or when it goes on. */
  deliver(what: () => void): void {
    if (this.dead) return
    if (this.#now() < this.standsStillUntil) this.#runtime.after(0, what)
    else what()
  }
}

interface Fate {
  readonly requestMs: number
  readonly replyMs: number
  readonly againMs: number | undefined
  /** Its entry is evicted so long after it was put in. */
  readonly evictAfterMs: number | undefined
  readonly forgets: boolean
  readonly lose: 'request' | 'reply' | undefined
  readonly silent: boolean
}

const CALM = { againMs: undefined, evictAfterMs: undefined, forgets: false, lose: undefined, silent: false } as const

export class Link implements Node {
  readonly kind = 'simulated'
  readonly supports: Supports
  /** Until when requests or replies do not get through. */
  cutUntil: { requests: number; replies: number } = { requests: 0, replies: 0 }
  readonly renewAll?: NonNullable<Backend['renewAll']>

  readonly #inbox: Inbox
  readonly #far: Far
  readonly #world: World
  readonly #random: Random
  readonly #faults: readonly MessageFault[]
  readonly #counts = new Map<Verb, number>()

  constructor(
    inbox: Inbox,
    far: Far,
    world: World,
    random: Random,
    faults: readonly MessageFault[],
    renewsInBulk: boolean,
  ) {
    if (renewsInBulk) this.renewAll = (claims, ttlMs) => this.#renewAll(claims, ttlMs)
    this.#inbox = inbox
    this.#far = far
    this.#world = world
    this.#random = random
    this.#faults = faults
    this.supports = far.backend.supports
  }

  join(entry: Entry): Promise<Standing> {
    return this.#call('join', entry.name, (backend) => backend.join(entry))
  }

  renew(claim: Claim, ttlMs: number): Promise<Renewal> {
    return this.#call('renew', claim.name, (backend) => backend.renew(claim, ttlMs))
  }

  /** One message there and one back, whatever it carries. */
  #renewAll(claims: readonly Claim[], ttlMs: number): Promise<readonly Renewal[]> {
    return this.#send('renew', claims[0]!.name, () =>
      Promise.all(claims.map((claim) => this.#far.apply(claim.name, (backend) => backend.renew(claim, ttlMs)))),
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

  confirm(claim: Claim, drawn: bigint, fence: bigint): Promise<Renewal> {
    return this.#call('confirm', claim.name, (node) => node.confirm(claim, drawn, fence))
  }

  seed(entry: Entry, fence: bigint): Promise<Standing> {
    return this.#call('seed', entry.name, (node) => node.seed(entry, fence))
  }

  recall(): Promise<Memory> {
    return this.#call('recall', '', (node) => node.recall())
  }

  admit(incarnation: string, top: bigint): Promise<boolean> {
    return this.#call('admit', '', (node) => node.admit(incarnation, top))
  }

  async watch(claim: Claim, wake: Wake): Promise<() => void> {
    const subscriber: Subscriber = { name: claim.name, link: this, wake }
    this.#world.subscribers.add(subscriber)
    const unwatch = await this.#far.watch(this.#inbox.process, claim.name, claim.id, (news) =>
      this.#wake(subscriber, news),
    )
    return () => {
      this.#world.subscribers.delete(subscriber)
      unwatch()
    }
  }

  /** It stands when it could be asked for. */
  async follow(name: string, wake: () => void): Promise<() => void> {
    const { wires, now } = this.#world
    const cut = (): boolean => this.#far.away !== undefined || now() < this.cutUntil.requests
    do await new Promise<void>((resolve) => void wires.after(2 * this.#delay(), resolve))
    while (cut() && !this.#inbox.dead)
    return this.#far.follow(this.#inbox.process, name, () => this.#change(wake))
  }

  async *inspect(prefix: string): AsyncGenerator<QueueView> {
    yield* this.#far.backend.inspect(prefix)
  }

  diagnose(): Promise<readonly Finding[]> {
    return this.#far.backend.diagnose()
  }

  async close(): Promise<void> {}

  #call<T>(verb: Verb, name: string, act: (node: Node) => Promise<T>): Promise<T> {
    return this.#send(verb, name, () => this.#far.apply(name, act))
  }

  #send<T>(verb: Verb, name: string, act: () => Promise<T>): Promise<T> {
    const { wires } = this.#world
    const far = this.#far
    const fate = this.#fate(verb)
    const count = this.#counts.get(verb)!
    const arrive = (): Promise<T> => {
      const answer = act()
      if (this.#world.trace)
        void answer.then((value) => this.#trace(`${verb} ${count} at ${far.label}: ${show(value)}`))
      if (fate.forgets) void far.forget()
      return answer
    }
    if (this.#world.trace) this.#trace(`${verb} ${count} leaves for ${far.label}${showFate(fate)}`)
    return new Promise((resolve, reject) => {
      const reset = (ms: number): void => {
        if (!fate.silent)
          wires.after(ms, () => this.#inbox.deliver(() => reject(new Error('the connection was reset'))))
      }
      if (fate.lose === 'request' || this.#world.now() < this.cutUntil.requests)
        return reset(fate.requestMs + fate.replyMs)
      const requestMs = fate.requestMs + far.slowMs
      if (fate.againMs !== undefined)
        wires.after(requestMs + fate.againMs, () => void (far.away === undefined && arrive()))
      wires.after(requestMs, () => {
        if (far.away !== undefined) return far.away === 'in silence' ? undefined : reset(fate.replyMs)
        void arrive().then((answer) => {
          const { fence } = [answer].flat()[0] as { readonly fence?: bigint }
          if (fate.evictAfterMs !== undefined && fence !== undefined)
            wires.after(fate.evictAfterMs, () => void far.evict(name, fence))
          if (fate.lose === 'reply' || this.#world.now() < this.cutUntil.replies) return reset(fate.replyMs)
          wires.after(fate.replyMs, () => this.#inbox.deliver(() => resolve(answer)))
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
        if (this.#world.trace) this.#trace(`wake ${news?.held ?? ''} arrives at ${to.link.#inbox.process}`)
        to.link.#inbox.deliver(() => to.wake(news))
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

  /** A change of a name is on its way to whoever follows it. */
  #change(wake: () => void): void {
    const { network, now } = this.#world
    const [lost, late, tail] = [this.#random.next(), this.#random.next(), this.#random.next()]
    const fault = this.#messageFault('wake')
    const delayMs = this.#delay()
    const send = (ms: number): void => this.#later(ms, () => this.#inbox.deliver(wake))
    if (lost < network.wakeLossRate || fault?.does === 'lose-request' || now() < this.cutUntil.replies) return
    send(delayMs)
    if (late < network.wakeLateRate) send(delayMs + tail * network.tailMs)
    if (fault) send(delayMs + fault.ms)
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
      forgets: does === 'forget',
      lose: does === 'lose-request' ? 'request' : does === 'lose-reply' ? 'reply' : lost,
      silent: spread! < network.silentRate,
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
    this.#world.trace?.(`${this.#inbox.process}: ${line}`)
  }
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.map(show).join('; ')
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.entries(value)
    .filter(([key]) => key !== 'holder' && key !== 'incarnation')
    .map(([key, part]) => `${key} ${String(part)}`)
    .join(', ')
}

function showFate({ requestMs, replyMs, againMs, lose, silent }: Fate): string {
  const lost = lose ? `, ${lose} lost${silent ? ' in silence' : ''}` : ''
  const again = againMs === undefined ? '' : `, again after ${againMs.toFixed(1)}`
  return ` (${requestMs.toFixed(1)} there, ${replyMs.toFixed(1)} back${lost}${again})`
}
