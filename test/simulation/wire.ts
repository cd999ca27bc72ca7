/**
 * What lies between one process and whatever is far away: messages travel there and back.
 *
 * Requests travel on the clock of the world, so they arrive although their sender stands still or is dead. What comes back
 * waits while the process stands still, and is lost when it is dead. A connection that breaks is an error, silence is
 * silence; either way the sender does not know what became of its request.
 */
import type { SimulatedRuntime } from '../../src/testing/simulated.ts'
import type { MessageFault, Network, Verb } from './plan.ts'
import type { Random } from './random.ts'

/** What a wire leads to. */
export interface Far {
  readonly label: string
  /** Whether nothing arrives there now, and how whoever asks hears of that. */
  readonly away: 'in silence' | 'with an error' | undefined
  /** How much longer each request takes now. */
  readonly slowMs: number
  /** Another number: the connections of before are lost, with what was on its way. */
  readonly epoch: number
  evict(name: string, fence: bigint): Promise<void>
  /** Lose all it knows, or whatever else it does when it is told to right behind a message. */
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
  /** Those with the same word here hear of what goes astray. */
  readonly name: string
  readonly wire: Wire
  /** What was told; the first one to tell it knows what that is. */
  hear(message: unknown): void
}

/** A process, as its wires see it: it takes what comes back when it can. */
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

/** What becomes of one request. */
export interface Fate {
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

export interface WireOptions {
  /** What is met with silence is met with an error in the end, as connections are. Default: never. */
  readonly silenceMs?: number
}

export class Wire {
  readonly inbox: Inbox
  readonly world: World
  /** Until when requests or replies do not get through. */
  cutUntil: { requests: number; replies: number } = { requests: 0, replies: 0 }

  readonly #random: Random
  readonly #faults: readonly MessageFault[]
  readonly #silenceMs: number
  readonly #counts = new Map<Verb, number>()

  constructor(
    inbox: Inbox,
    world: World,
    random: Random,
    faults: readonly MessageFault[],
    { silenceMs = Infinity }: WireOptions = {},
  ) {
    this.inbox = inbox
    this.world = world
    this.#random = random
    this.#faults = faults
    this.#silenceMs = silenceMs
  }

  /** Ask `far` for something that is about `name`. */
  send<T>(verb: Verb, far: Far, name: string, act: () => Promise<T>): Promise<T> {
    const { wires } = this.world
    const fate = this.fate(verb)
    const count = this.#counts.get(verb)!
    const { epoch } = far
    const arrive = (): Promise<T> => {
      const answer = act()
      // Whoever waits for it hears of an error, and of a second answer nobody does.
      answer.then(
        (value) => this.world.trace && this.trace(`${verb} ${count} at ${far.label}: ${show(value)}`),
        () => {},
      )
      if (fate.forgets) void far.forget()
      return answer
    }
    if (this.world.trace) this.trace(`${verb} ${count} leaves for ${far.label}${showFate(fate)}`)
    return new Promise((resolve, reject) => {
      const reset = (ms: number, silent = fate.silent): void => {
        const afterMs = silent ? this.#silenceMs : ms
        if (afterMs < Infinity)
          wires.after(afterMs, () => this.inbox.deliver(() => reject(new Error('the connection was reset'))))
      }
      if (fate.lose === 'request' || this.world.now() < this.cutUntil.requests)
        return reset(fate.requestMs + fate.replyMs)
      const requestMs = fate.requestMs + far.slowMs
      if (fate.againMs !== undefined)
        wires.after(requestMs + fate.againMs, () => void (far.away === undefined && far.epoch === epoch && arrive()))
      wires.after(requestMs, () => {
        if (far.away === 'in silence') return reset(0, true)
        if (far.away !== undefined || far.epoch !== epoch) return reset(fate.replyMs)
        const back = (what: () => void): void => {
          const lost = fate.lose === 'reply' || this.world.now() < this.cutUntil.replies
          if (lost || far.epoch !== epoch) return reset(fate.replyMs)
          wires.after(fate.replyMs, () => this.inbox.deliver(what))
        }
        void arrive().then(
          (answer) => {
            const { fence } = ([answer].flat()[0] ?? {}) as { readonly fence?: bigint }
            if (fate.evictAfterMs !== undefined && fence !== undefined)
              wires.after(fate.evictAfterMs, () => void far.evict(name, fence))
            back(() => resolve(answer))
          },
          (error: unknown) => back(() => reject(error)),
        )
      })
    })
  }

  /** Tell `to`, at the other end of this wire, what it did not ask for: that may be lost, come late, twice, and to others. */
  tell(to: Subscriber, message: unknown, text: string): void {
    const { network, subscribers } = this.world
    const random = [0, 1, 2, 3, 4].map(() => this.#random.next()) as [number, number, number, number, number]
    const fault = this.messageFault('wake')
    const send = (ms: number, subscriber: Subscriber): void =>
      this.later(ms, () => {
        if (this.world.trace) this.trace(`wake ${text} arrives at ${subscriber.wire.inbox.process}`)
        subscriber.wire.inbox.deliver(() => subscriber.hear(message))
      })
    if (random[0] < network.wakeLossRate || fault?.does === 'lose-request') return this.trace('a wake is lost')
    const delayMs = this.delay()
    send(delayMs, to)
    if (random[1] < network.wakeLateRate) send(delayMs + random[2] * network.tailMs, to)
    if (fault?.does === 'late-request' || fault?.does === 'again') send(delayMs + fault.ms, to)
    if (random[3] < network.wakeAstrayRate || fault?.does === 'astray') {
      const others = [...subscribers].filter(({ name }) => name === to.name)
      for (const other of others) if (other !== to) send(delayMs + random[4] * network.tailMs, other)
    }
  }

  /** The same of something that only says that there is news. */
  tellNews(hear: () => void): void {
    const { network, now } = this.world
    const [lost, late, tail] = [this.#random.next(), this.#random.next(), this.#random.next()]
    const fault = this.messageFault('wake')
    const delayMs = this.delay()
    const send = (ms: number): void => this.later(ms, () => this.inbox.deliver(hear))
    if (lost < network.wakeLossRate || fault?.does === 'lose-request' || now() < this.cutUntil.replies) return
    send(delayMs)
    if (late < network.wakeLateRate) send(delayMs + tail * network.tailMs)
    if (fault) send(delayMs + fault.ms)
  }

  /** Draws the same number of times for every message, so that one fault less does not change the rest. */
  fate(verb: Verb): Fate {
    const { network } = this.world
    const random = this.#random
    const [request, reply] = [this.delay(), this.delay()]
    const [tail, long, lose, which, again, spread] = [0, 1, 2, 3, 4, 5].map(() => random.next())
    const fault = this.messageFault(verb)
    if (this.world.healed()) return { ...CALM, requestMs: request, replyMs: reply }
    const tailMs = tail! < network.tailRate ? long! * network.tailMs : 0
    const lost = lose! < network.lossRate ? (which! < 0.5 ? 'request' : 'reply') : undefined
    const does = fault?.does
    const lateMs = fault?.ms ?? 0
    if (does === 'late-and-cut') this.later(request + reply + lateMs, () => this.#cut(4 * lateMs))
    return {
      requestMs: request + (which! < 0.5 ? tailMs : 0) + (does === 'late-request' ? lateMs : 0),
      replyMs: reply + (which! < 0.5 ? 0 : tailMs) + (does === 'late-reply' || does === 'late-and-cut' ? lateMs : 0),
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

  #cut(ms: number): void {
    const { now, faultsUntilMs } = this.world
    const until = Math.min(now() + ms, faultsUntilMs)
    this.cutUntil.requests = Math.max(this.cutUntil.requests, until)
    this.cutUntil.replies = Math.max(this.cutUntil.replies, until)
  }

  /** What the plan says of this message, the next one of its verb. */
  messageFault(verb: Verb): MessageFault | undefined {
    const n = (this.#counts.get(verb) ?? 0) + 1
    this.#counts.set(verb, n)
    return this.#faults.find((fault) => fault.verb === verb && fault.n === n)
  }

  delay(): number {
    const { delayMs, jitterMs } = this.world.network
    return delayMs + this.#random.next() * jitterMs
  }

  later(ms: number, what: () => void): void {
    this.world.wires.after(ms, what)
  }

  trace(line: string): void {
    this.world.trace?.(`${this.inbox.process}: ${line}`)
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
