/**
 * A network between the core and a coordinator, that does what networks do.
 *
 * Wraps any backend. A plan says, call by call, what happens on the way: requests and replies take time, are lost, come
 * twice, overtake each other, or are never answered, and so do wakes. Delays are timers of the given runtime, so all of it
 * works in simulated time; and those of a process that is paused arrive when it goes on.
 *
 * The caller's signals are not handed on: what was sent still lands, as on a real network.
 */
import { BackendError } from '../backend.ts'
import type { Backend, Claim, Entry, Finding, QueueView, Renewal, Standing, Supports, Wake } from '../backend.ts'
import type { Memory, Node } from '../quorum/node.ts'
import type { Runtime } from '../runtime.ts'
import { realRuntime } from '../runtime.ts'

/** What a plan is asked about: the verbs of the contract and of nodes, and the messages of `watch` (a wake) and of `follow` (a change). */
export type Verb = Exclude<keyof Node, 'kind' | 'supports'> | 'wake' | 'change'

/** Which entry or name a call is about. `id` where there is an entry; the name is the prefix of `inspect`, `''` for none. */
export interface Target {
  readonly name: string
  readonly id?: string
}

/** What happens to one call, or to one message. */
export interface Fault {
  /** How long the request, or the message, is on its way. */
  readonly requestMs?: number
  /** How long the reply is on its way. */
  readonly replyMs?: number
  /** `request`: it never arrives. `reply`: it is carried out, but nobody hears of it. For a message both mean the same. */
  readonly lose?: 'request' | 'reply'
  /** What is lost is met with silence for ever; without this, with an error once it would have been answered. */
  readonly silent?: boolean
  /** It arrives a second time so much later. Only the first arrival is answered. */
  readonly againMs?: number
  /** It does not arrive, and is answered with this error. */
  readonly fail?: Error
}

/** Says what happens to the `n`-th call of a verb, counted from 1. `undefined`: nothing does. */
export type Plan = (verb: Verb, target: Target, n: number) => Fault | undefined

/**
 * `slow`: every way takes 1 to 20 ms. `reordered`: 0 to 100 ms, so that calls overtake each other. `doubled`: half of
 * them arrive twice. `lossy`: every fifth request or reply is lost, with an error or in silence. `deaf`: wakes never
 * arrive. `jumpy`: wakes come late and twice. `silent`: nothing is ever answered. `broken`: everything fails.
 * `chaos`: some of everything.
 */
export type Preset = 'slow' | 'reordered' | 'doubled' | 'lossy' | 'deaf' | 'jumpy' | 'silent' | 'broken' | 'chaos'

export interface FaultyOptions {
  /** Whose timers delay things, and whose chance the presets use. Default: the real one. */
  readonly runtime?: Runtime
}

/**
 * A backend with a bad network before it.
 *
 * @example
 * ```ts
 * import { connect } from 'holdfast'
 * import { memory } from 'holdfast/memory'
 * import { faulty } from 'holdfast/testing'
 *
 * const loseFirstReply = faulty(memory(), (verb, _target, n) =>
 *   verb === 'join' && n === 1 ? { lose: 'reply' } : undefined,
 * )
 * const locks = connect(loseFirstReply)
 * ```
 */
export function faulty(backend: Backend, plan: Plan | Preset, options: FaultyOptions = {}): Backend {
  const runtime = options.runtime ?? realRuntime
  return new Faulty(backend, typeof plan === 'string' ? preset(plan, runtime) : plan, runtime)
}

/** The same before a node of a quorum. */
export function faultyNode(node: Node, plan: Plan | Preset, options: FaultyOptions = {}): Node {
  const runtime = options.runtime ?? realRuntime
  return new FaultyNode(node, typeof plan === 'string' ? preset(plan, runtime) : plan, runtime)
}

/** The plan behind a one-word preset, to be mixed into a plan of one's own. */
export function preset(name: Preset, runtime: Runtime = realRuntime): Plan {
  const upTo = (ms: number): number => runtime.random() * ms
  const oneIn = (n: number): boolean => runtime.random() < 1 / n
  const isMessage = (verb: Verb): boolean => verb === 'wake' || verb === 'change'
  const lost = (): Fault => ({ lose: oneIn(2) ? 'request' : 'reply', silent: oneIn(2), requestMs: upTo(20) })
  switch (name) {
    case 'slow':
      return () => ({ requestMs: 1 + upTo(19), replyMs: 1 + upTo(19) })
    case 'reordered':
      return () => ({ requestMs: upTo(100), replyMs: upTo(100) })
    case 'doubled':
      return () => ({ requestMs: upTo(5), replyMs: upTo(5), ...(oneIn(2) ? { againMs: upTo(50) } : {}) })
    case 'lossy':
      return () => (oneIn(5) ? lost() : undefined)
    case 'deaf':
      return (verb) => (isMessage(verb) ? { lose: 'request' } : undefined)
    case 'jumpy':
      return (verb) => (isMessage(verb) ? { requestMs: upTo(200), againMs: upTo(2000) } : undefined)
    case 'silent':
      return () => ({ lose: 'request', silent: true })
    case 'broken':
      return () => ({ fail: new BackendError('UNAVAILABLE', 'the connection was reset') })
    case 'chaos':
      return () => {
        if (oneIn(10)) return lost()
        const ways = { requestMs: upTo(oneIn(10) ? 2000 : 20), replyMs: upTo(oneIn(10) ? 2000 : 20) }
        return oneIn(10) ? { ...ways, againMs: upTo(5000) } : ways
      }
  }
}

class Faulty implements Backend {
  readonly kind: string
  readonly supports: Supports
  readonly joinAll?: NonNullable<Backend['joinAll']>

  readonly #inner: Backend
  readonly #plan: Plan
  readonly #runtime: Runtime
  readonly #calls = new Map<Verb, number>()

  constructor(inner: Backend, plan: Plan, runtime: Runtime) {
    this.#inner = inner
    this.#plan = plan
    this.#runtime = runtime
    this.kind = inner.kind
    this.supports = inner.supports
    if (inner.joinAll)
      this.joinAll = (entries) => this.carry('joinAll', { name: entries[0]!.name }, () => inner.joinAll!(entries))
  }

  join(entry: Entry): Promise<Standing> {
    return this.carry('join', entry, () => this.#inner.join(entry))
  }

  renew(claim: Claim, ttlMs: number): Promise<Renewal> {
    return this.carry('renew', claim, () => this.#inner.renew(claim, ttlMs))
  }

  leave(claim: Claim, options?: { readonly lingerMs?: number }): Promise<boolean> {
    return this.carry('leave', claim, () => this.#inner.leave(claim, options))
  }

  lighten(claim: Claim, weight: number): Promise<Renewal> {
    return this.carry('lighten', claim, () => this.#inner.lighten(claim, weight))
  }

  describe(claim: Claim, info: string): Promise<boolean> {
    return this.carry('describe', claim, () => this.#inner.describe(claim, info))
  }

  evict(name: string, fence: bigint): Promise<boolean> {
    return this.carry('evict', { name }, () => this.#inner.evict(name, fence))
  }

  diagnose(): Promise<readonly Finding[]> {
    return this.carry('diagnose', { name: '' }, () => this.#inner.diagnose())
  }

  watch(claim: Claim, wake: Wake): Promise<() => void> {
    return this.#subscribe('watch', claim, async () =>
      this.#inner.watch(claim, (news) => this.#deliver('wake', claim, () => wake(news))),
    )
  }

  follow(name: string, wake: () => void): Promise<() => void> {
    return this.#subscribe('follow', { name }, () =>
      this.#inner.follow(name, () => this.#deliver('change', { name }, wake)),
    )
  }

  async *inspect(prefix: string): AsyncGenerator<QueueView> {
    yield* await this.carry('inspect', { name: prefix }, async () => {
      const views: QueueView[] = []
      for await (const view of this.#inner.inspect(prefix)) views.push(view)
      return views
    })
  }

  close(): Promise<void> {
    return this.carry('close', { name: '' }, () => this.#inner.close())
  }

  /** A call there and back. */
  protected async carry<T>(verb: Verb, target: Target, call: () => Promise<T>): Promise<T> {
    const fault = this.#next(verb, target)
    if (!fault) return call()
    await this.#pass(fault.requestMs)
    if (fault.fail) {
      await this.#pass(fault.replyMs)
      throw fault.fail
    }
    if (fault.lose === 'request') return this.#lost(verb, fault)
    if (fault.againMs !== undefined) this.#again(fault.againMs, call)
    // Whether it succeeds or fails over there, the answer takes its way back.
    const answer = call()
    await Promise.allSettled([answer])
    if (fault.lose === 'reply') return this.#lost(verb, fault)
    await this.#pass(fault.replyMs)
    return answer
  }

  /** The second arrival of a request; what is answered to it goes nowhere. */
  #again(ms: number, call: () => Promise<unknown>): void {
    void this.#pass(ms)
      .then(call)
      .catch(() => {})
  }

  async #lost(verb: Verb, fault: Fault): Promise<never> {
    if (fault.silent) await new Promise<never>(() => {})
    await this.#pass(fault.replyMs)
    throw new BackendError('UNAVAILABLE', `the ${fault.lose} of ${verb} was lost`)
  }

  /** Subscribing never fails; but a subscription that was lost never calls. */
  async #subscribe(verb: Verb, target: Target, call: () => Promise<() => void>): Promise<() => void> {
    const fault = this.#next(verb, target)
    if (!fault) return call()
    await this.#pass(fault.requestMs)
    if (fault.lose !== undefined || fault.fail) return () => {}
    const unsubscribe = await call()
    await this.#pass(fault.replyMs)
    return unsubscribe
  }

  #deliver(verb: Verb, target: Target, message: () => void): void {
    const fault = this.#next(verb, target)
    if (!fault) return message()
    if (fault.lose !== undefined || fault.fail) return
    const requestMs = fault.requestMs ?? 0
    void this.#pass(requestMs).then(message)
    if (fault.againMs !== undefined) void this.#pass(requestMs + fault.againMs).then(message)
  }

  #next(verb: Verb, target: Target): Fault | undefined {
    const n = (this.#calls.get(verb) ?? 0) + 1
    this.#calls.set(verb, n)
    return this.#plan(verb, target, n)
  }

  async #pass(ms: number = 0): Promise<void> {
    if (ms === 0) return
    // What is on its way keeps the process alive, as an open socket would.
    await new Promise<void>((resolve) => this.#runtime.after(ms, resolve).keepAlive(true))
  }
}

class FaultyNode extends Faulty implements Node {
  readonly #node: Node

  constructor(node: Node, plan: Plan, runtime: Runtime) {
    super(node, plan, runtime)
    this.#node = node
  }

  override join(entry: Entry, proposed?: bigint): Promise<Standing> {
    return this.carry('join', entry, () => this.#node.join(entry, proposed))
  }

  confirm(claim: Claim, drawn: bigint, fence: bigint): Promise<Renewal> {
    return this.carry('confirm', claim, () => this.#node.confirm(claim, drawn, fence))
  }

  seed(entry: Entry, fence: bigint): Promise<Standing> {
    return this.carry('seed', entry, () => this.#node.seed(entry, fence))
  }

  recall(): Promise<Memory> {
    return this.carry('recall', { name: '' }, () => this.#node.recall())
  }

  admit(incarnation: string, top: bigint): Promise<boolean> {
    return this.carry('admit', { name: '' }, () => this.#node.admit(incarnation, top))
  }
}
