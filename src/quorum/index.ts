/**
 * A coordinator made of N independent nodes, of which a majority decides: Redlock, with fences that need no clock.
 *
 * To hold a name is to have an entry on a majority of the nodes. There is no queue across nodes: an entry holds, or is
 * refused, and whoever was refused hears of changes and tries again.
 *
 * Fences. Each node mints larger and larger ones, but the answers of a majority may have a smaller maximum than those of
 * an earlier one. So there is a second round: the maximum T of a majority's answers is written back, to nodes whose answer
 * was counted and only where the entry still holds; and it holds only with a majority that knows T. Two majorities meet in
 * a node; there the later entry was put in after the earlier one had written T, and drew a larger fence. That needs no
 * clock. (The two phases of Attiya, Bar-Noy and Dolev, 1995; `test/model` searches them exhaustively.)
 *
 * Whoever drew T knows it, so where all drew the same there is nothing to write. That is why one fence is proposed to all of
 * them, a little ahead of the clock here: if their clocks are near, and they know of nothing larger, there is no second round.
 */
import type {
  Backend,
  Claim,
  Entry,
  Finding,
  Held,
  QueueView,
  Refused,
  Renewal,
  Standing,
  Supports,
} from '../backend.ts'
import { BackendError } from '../backend.ts'
import type { Runtime } from '../runtime.ts'
import { realRuntime } from '../runtime.ts'
import { diagnose } from './diagnose.ts'
import { Followed } from './followed.ts'
import { heal } from './heal.ts'
import type { Memory, Node } from './node.ts'
import type { Question } from './poll.ts'
import { Member, Tally, poll } from './poll.ts'
import { merged } from './views.ts'

export type { Memory, Node } from './node.ts'

export interface QuorumOptions {
  readonly kind: string
  /** Independent of each other; the same list in every process, best in one order: the first one is asked first where many contend. */
  readonly nodes: readonly { readonly node: Node; readonly label: string }[]
  /** How long a node that has forgotten waits; no ttl, with its lock delay, may be longer. In milliseconds. */
  readonly longestMs: number
  /** How long a node may take for an answer, in milliseconds. */
  readonly nodeTimeoutMs: number
  readonly runtime?: Runtime
}

/** To show its queues, a node that answers at all may look at all its keys. */
const LOOK_TIMEOUT_MS = 10_000

/** So far ahead of this clock are fences that are proposed: for the way to a node, and for its clock. */
const PROPOSED_AHEAD_MS = 100

type Vote = Pick<Question<Standing, never>, 'ask' | 'late'>

/** An entry that this process holds or tries to hold. */
interface Ours {
  entry: Entry
  /** Once it holds. */
  fence: bigint | undefined
  /** Until when it surely holds, on the monotonic clock. */
  until: number
}

export class QuorumBackend implements Backend {
  readonly kind: string
  readonly supports: Supports = { queue: false, sharing: 'none', fence: 'durable', wake: true }

  readonly #members: readonly Member[]
  /** So many are a majority. */
  readonly #most: number
  readonly #longestMs: number
  readonly #nodeTimeoutMs: number
  readonly #runtime: Runtime
  readonly #ours = new Map<string, Ours>()
  readonly #followed: Followed
  readonly #healing = new Set<Member>()
  /** The largest fence of those who have held by this backend. */
  #largest = 0n
  #closed = false

  constructor({ kind, nodes, longestMs, nodeTimeoutMs, runtime = realRuntime }: QuorumOptions) {
    this.kind = kind
    this.#members = nodes.map(({ node, label }) => new Member(node, label, runtime))
    this.#most = Math.floor(nodes.length / 2) + 1
    this.#longestMs = longestMs
    this.#nodeTimeoutMs = nodeTimeoutMs
    this.#runtime = runtime
    this.#followed = new Followed(this.#members, this.#most, nodeTimeoutMs, runtime)
  }

  async join(entry: Entry): Promise<Standing> {
    this.#check(entry)
    if (this.#ours.get(entry.id)?.fence !== undefined) {
      // Asked once more: it is found where it is, and not put in again. A lease is never made shorter.
      const found = await this.renew(entry, 1)
      if (found.state === 'held') return found
    }
    const sentAt = this.#runtime.monotonicMs()
    const ours: Ours = { entry, fence: undefined, until: 0 }
    this.#ours.set(entry.id, ours)
    let end = (): void => {}
    const over = new Promise<void>((resolve) => (end = resolve))
    const asked = this.#asVote(entry, over)
    try {
      const votes = await (this.#followed.crowded(entry.name) ? this.#voteInTurn(asked) : this.#vote(asked))
      const fence = await this.#agreedFence(entry, votes)
      if (fence !== undefined) {
        if (fence > this.#largest) this.#largest = fence
        ours.fence = fence
        ours.until = sentAt + entry.ttlMs
        this.#followed.won(entry.name)
        return { state: 'held', fence, ttlMs: this.#kept(votes) }
      }
      this.#forget(entry.id, ours)
      await this.#giveBack(entry, votes)
      return this.#refused(entry.name, votes, this.#runtime.monotonicMs() - sentAt)
    } finally {
      if (ours.fence === undefined) this.#forget(entry.id, ours)
      end()
    }
  }

  async renew(claim: Claim, ttlMs: number): Promise<Renewal> {
    const sentAt = this.#runtime.monotonicMs()
    const renewed = await this.#ask<Renewal, Tally<Renewal>>({
      ask: (node) => node.renew(claim, ttlMs),
      enough: this.#most,
      // Of an entry that another process has put in, only all together can say which its fence is.
      decide: (tally) => (this.#ours.has(claim.id) ? this.#sure(tally, isHeld) : whole(tally)),
      late: (member, renewal) => isLost(renewal) && this.#seed(member, claim),
    })
    const ours = this.#ours.get(claim.id)
    if (this.#by(renewed, isHeld)) {
      const keptMs = this.#kept(renewed)
      if (ours) ours.until = Math.max(ours.until, sentAt + Math.min(ttlMs, keptMs))
      for (const member of renewed.who(isLost)) this.#seed(member, claim)
      return { state: 'held', fence: ours?.fence ?? fenceOf(renewed), ttlMs: keptMs }
    }
    if (!this.#notBy(renewed, isHeld)) throw this.#unavailable(renewed.failures)
    this.#ours.delete(claim.id)
    return { state: 'lost' }
  }

  async leave(claim: Claim, options?: { readonly lingerMs?: number }): Promise<boolean> {
    this.#ours.delete(claim.id)
    return this.#agreed((node) => node.leave(claim, options))
  }

  /** There are no shared holders to become. */
  async lighten(): Promise<Renewal> {
    throw new BackendError('MISCONFIGURED', `${this.kind}: a quorum has exclusive holders only`)
  }

  async describe(claim: Claim, info: string): Promise<boolean> {
    const ours = this.#ours.get(claim.id)
    if (ours) ours.entry = { ...ours.entry, info }
    return this.#agreed((node) => node.describe(claim, info))
  }

  /** Nobody waits in a queue here, so there is nothing to be told. */
  watch(): () => void {
    return () => {}
  }

  async follow(name: string, wake: () => void): Promise<() => void> {
    return this.#closed ? () => {} : this.#followed.follow(name, wake)
  }

  async *inspect(prefix: string): AsyncGenerator<QueueView> {
    const there = await this.#ask({ ask: (node) => node.recall(), decide: whole, enough: this.#most })
    const shown = await this.#ask(
      { ask: (node) => viewsOf(node, prefix), decide: whole },
      [...there.answers.keys()],
      LOOK_TIMEOUT_MS,
    )
    const silent = this.#members.length - shown.answers.size
    if (silent > this.#members.length - this.#most)
      throw this.#unavailable(new Map([...there.failures, ...shown.failures]))
    // A node that is silent may have the entry as well.
    yield* merged([...shown.answers.values()], this.#most - silent)
  }

  evict(name: string, fence: bigint): Promise<boolean> {
    return this.#agreed((node) => node.evict(name, fence))
  }

  async diagnose(): Promise<readonly Finding[]> {
    if (this.#closed) throw this.#wasClosed()
    return diagnose(this.#members, this.#most, this.#longestMs, (member) => this.#recall(member))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#followed.close()
    await Promise.allSettled(this.#members.map(({ node }) => node.close()))
  }

  // An acquisition -----------------------------------------------------------------------------------------------------

  /**
   * The first round: put the entry in everywhere. What comes after the decision is undone, or made to agree.
   *
   * @param before votes that were asked for first
   */
  async #vote(
    asked: Vote,
    members: readonly Member[] = this.#members,
    before: Tally<Standing> = new Tally(0),
  ): Promise<Tally<Standing>> {
    const votes = await this.#ask<Standing, Tally<Standing>>(
      {
        ...asked,
        decide: (tally) => {
          const all = before.plus(tally)
          return this.#by(all, isHeld) || !this.#possible(all, isHeld) ? all : undefined
        },
        enough: this.#most - before.answers.size,
      },
      members,
    )
    for (const [member, standing] of votes.answers) this.#notice(member, standing)
    return votes
  }

  /** Many want the name: one node lets one pass, and only that one asks the others. Else each gets a few, and nobody enough. */
  async #voteInTurn(asked: Vote): Promise<Tally<Standing>> {
    const gate = this.#members.find((member) => member.well && !member.overdue) ?? this.#members[0]!
    const others = this.#members.filter((member) => member !== gate)
    const first = await this.#ask({ ...asked, decide: whole }, [gate])
    const answer = first.answers.get(gate)
    if (answer?.state === 'refused' && answer.reason === 'held') return first
    return this.#vote(asked, others, first)
  }

  #asVote(entry: Entry, over: Promise<void>): Vote {
    const proposed = this.#nextFence()
    return {
      ask: (node) => node.join({ ...entry, wait: false }, proposed),
      late: (member, standing) => void over.then(() => this.#straggler(member, entry, standing)),
    }
  }

  #straggler(member: Member, entry: Entry, standing: Standing | undefined): void {
    this.#notice(member, standing)
    const ours = this.#ours.get(entry.id)
    if (ours?.fence !== undefined && isHeld(standing) && standing.fence !== ours.fence)
      member.node.confirm(entry, standing.fence, ours.fence).catch(() => {})
    // An error says nothing about what became of the entry.
    if (!ours && (standing === undefined || isHeld(standing))) member.node.leave(entry).catch(() => {})
  }

  /** What nodes are to draw: they all do, if their clocks are not far ahead of this one and they know of nothing larger. */
  #nextFence(): bigint {
    const byClock = BigInt(Math.floor((this.#runtime.wallMs() + PROPOSED_AHEAD_MS) * 1000))
    return byClock > this.#largest ? byClock : this.#largest + 1n
  }

  /**
   * The second round: with which fence the entry holds. Only where the first answer was counted: an entry that is there
   * without our knowing may have drawn a ticket that is larger.
   */
  async #agreedFence(entry: Entry, votes: Tally<Standing>): Promise<bigint | undefined> {
    if (!this.#by(votes, isHeld)) return undefined
    const held = new Map([...votes.answers].filter((vote): vote is [Member, Held] => isHeld(vote[1])))
    const fence = [...held.values()].reduce((largest, vote) => (vote.fence > largest ? vote.fence : largest), 0n)
    const known = await this.#ask<Renewal, Tally<Renewal>>(
      {
        ask: async (node, member) => {
          const vote = held.get(member)!
          // Who drew it knows it.
          return vote.fence === fence ? vote : node.confirm(entry, vote.fence, fence)
        },
        decide: (tally) => this.#sure(tally, isHeld),
        enough: this.#most,
      },
      [...held.keys()],
    )
    for (const [member, failure] of known.failures) votes.failures.set(member, failure)
    return this.#by(known, isHeld) ? fence : undefined
  }

  /** Before the next try, and before anybody else's: what is left of a partial win blocks them for a ttl. */
  async #giveBack(entry: Entry, votes: Tally<Standing>): Promise<void> {
    await this.#ask<boolean, true>(
      { ask: (node) => node.leave(entry), decide: ({ open }) => (open === 0 ? true : undefined), insist: true },
      votes.who(isHeld),
    )
  }

  /** @throws BackendError `UNAVAILABLE`: nobody refused it, but too few could be asked */
  #refused(name: string, votes: Tally<Standing>, tookMs: number): Refused {
    const spare = this.#members.length - this.#most
    const away = votes.failures.size
    if (away > spare) throw this.#unavailable(votes.failures)
    const refusals = [...votes.answers.values()].filter((each) => each.state === 'refused')
    const taken = refusals.filter(({ reason }) => reason === 'held')
    const quarantines = refusals.filter(({ reason }) => reason === 'quarantine')
    const missing = away + quarantines.length - spare
    if (missing > 0) {
      const retryAfterMs = Math.max(nthOf(quarantines, missing), this.#nodeTimeoutMs)
      return { state: 'refused', reason: 'quarantine', retryAfterMs }
    }
    const mine = votes.count(isHeld)
    const holder = commonest(taken.map((each) => each.holder))
    const silent = this.#members.length - taken.length - mine
    // Nobody else can have a majority: whoever has a part of one gives it back now.
    const tied = mine > 0 || taken.filter((each) => each.holder === holder).length + silent < this.#most
    const retryAfterMs = tied ? this.#followed.tied(name, tookMs) : nthOf(taken, this.#most)
    return { state: 'refused', reason: 'held', retryAfterMs, ...(holder === undefined ? {} : { holder }) }
  }

  #check({ weight, capacity, ttlMs, lockDelayMs = 0 }: Entry): void {
    if (weight !== capacity)
      throw new BackendError('MISCONFIGURED', `${this.kind}: a quorum has exclusive holders only`)
    if (ttlMs + lockDelayMs > this.#longestMs) {
      const text = `a lease of ${ttlMs + lockDelayMs} ms is longer than the ${this.#longestMs} ms that a node waits after it has forgotten`
      throw new BackendError('MISCONFIGURED', `${this.kind}: ${text}; take a shorter ttl, or set maxTtlMs everywhere`)
    }
  }

  // Nodes that forgot --------------------------------------------------------------------------------------------------

  /** A node that has waited for long enough asks to be taken back. */
  #notice(member: Member, standing: Standing | undefined): void {
    if (standing?.state !== 'refused' || standing.reason !== 'quarantine' || standing.retryAfterMs > 0) return
    if (this.#healing.has(member)) return
    this.#healing.add(member)
    void heal(member, this.#members, this.#most, (each) => this.#recall(each))
      .catch(() => {})
      .finally(() => this.#healing.delete(member))
  }

  /** Put an entry back where it is missing, while it holds by what the others say. */
  #seed(member: Member, { id }: Claim): void {
    const ours = this.#ours.get(id)
    const leftMs = (ours?.until ?? 0) - this.#runtime.monotonicMs()
    if (ours?.fence === undefined || leftMs <= 0) return
    // If it was left meanwhile, and this arrived after that, it would stand there as a ghost.
    const undo = (): void => {
      if (this.#ours.get(id) !== ours) member.node.leave(ours.entry).catch(() => {})
    }
    member.node.seed({ ...ours.entry, wait: false, ttlMs: leftMs }, ours.fence).then(undo, undo)
  }

  #recall(member: Member): Promise<Memory> {
    return this.#ask<Memory, Memory>(
      {
        ask: (node) => node.recall(),
        decide: ({ answers, failures }) => {
          if (failures.size > 0) throw this.#unavailable(failures)
          return answers.get(member)
        },
      },
      [member],
    )
  }

  #forget(id: string, ours: Ours): void {
    if (this.#ours.get(id) === ours) this.#ours.delete(id)
  }

  // Majorities ---------------------------------------------------------------------------------------------------------

  /** Of verbs that say whether they found what they were asked for. */
  async #agreed(ask: (node: Node) => Promise<boolean>): Promise<boolean> {
    const tally = await this.#ask<boolean, Tally<boolean>>({
      ask,
      decide: (each) => this.#sure(each, isTrue),
      enough: this.#most,
      insist: true,
    })
    if (this.#by(tally, isTrue)) return true
    if (this.#notBy(tally, isTrue)) return false
    throw this.#unavailable(tally.failures)
  }

  /** A majority answered like this. */
  #by<T>(tally: Tally<T>, like: (answer: T) => boolean): boolean {
    return tally.count(like) >= this.#most
  }

  /** So many answered otherwise that no majority can have meant this. */
  #notBy<T>(tally: Tally<T>, like: (answer: T) => boolean): boolean {
    return tally.count((answer) => !like(answer)) > this.#members.length - this.#most
  }

  #possible<T>(tally: Tally<T>, like: (answer: T) => boolean): boolean {
    return tally.count(like) + tally.open >= this.#most
  }

  #sure<T>(tally: Tally<T>, like: (answer: T) => boolean): Tally<T> | undefined {
    return this.#by(tally, like) || this.#notBy(tally, like) || tally.open === 0 ? tally : undefined
  }

  /** How long a majority keeps the entry. */
  #kept(tally: Tally<Standing | Renewal>): number {
    const kept = [...tally.answers.values()].flatMap((each) => (isHeld(each) ? [each.ttlMs] : []))
    return kept.sort((a, b) => b - a)[this.#most - 1]!
  }

  #ask<T, D>(
    question: Question<T, D>,
    members: readonly Member[] = this.#members,
    timeoutMs: number = this.#nodeTimeoutMs,
  ): Promise<D> {
    if (this.#closed) return Promise.reject(this.#wasClosed())
    return poll(this.#runtime, members, timeoutMs, question)
  }

  #unavailable(failures: ReadonlyMap<Member, unknown>): BackendError {
    const why = [...failures].map(([{ label }, failure]) => `${label}: ${(failure as Error).message}`).join('; ')
    const text = `${failures.size} of ${this.#members.length} nodes could not be asked, and ${this.#most} are needed (${why})`
    return new BackendError('UNAVAILABLE', `${this.kind}: ${text}`, { cause: [...failures.values()][0] })
  }

  #wasClosed(): BackendError {
    return new BackendError('CLOSED', `this ${this.kind} backend was closed`)
  }
}

function isHeld(standing: Standing | Renewal | undefined): standing is Held {
  return standing?.state === 'held'
}

function isLost(renewal: Renewal | undefined): boolean {
  return renewal?.state === 'lost'
}

function isTrue(answer: boolean): boolean {
  return answer
}

/** When so many of them will have another answer, as far as they say. */
function nthOf(refusals: readonly Refused[], count: number): number {
  const waits = refusals.map(({ retryAfterMs }) => retryAfterMs).sort((a, b) => a - b)
  return waits[Math.min(count, waits.length) - 1]!
}

/** Decided when everybody has answered, or will not. */
function whole<T>(tally: Tally<T>): Tally<T> | undefined {
  return tally.open === 0 ? tally : undefined
}

async function viewsOf(node: Node, prefix: string): Promise<QueueView[]> {
  const views: QueueView[] = []
  for await (const view of node.inspect(prefix)) views.push(view)
  return views
}

/** What most of those say who have it. */
function fenceOf(tally: Tally<Renewal>): bigint {
  return commonest([...tally.answers.values()].flatMap((each) => (isHeld(each) ? [each.fence] : [])))!
}

/** The one that comes most often. */
function commonest<T>(all: readonly T[]): T | undefined {
  const counts = new Map<T, number>()
  for (const each of all) counts.set(each, (counts.get(each) ?? 0) + 1)
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0]
}
