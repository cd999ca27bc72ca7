/**
 * Asking all nodes at once: done as soon as the answers in hand decide, and never held up by a minority that is slow.
 *
 * A node that has not answered in time owes an answer. It is not waited for again until it has given it.
 */
import type { Clocks, Runtime, Timer } from '../runtime.ts'
import type { Node } from './node.ts'

/** How long a node is left alone that does not answer: its connection may be dead for ever. */
const FORGIVEN_AFTER_MS = 5000
/** While too few have answered, the slow are waited for as well, so much longer. */
const PATIENCE = 10

/** One node, and how it answers. */
export class Member {
  readonly node: Node
  /** How people know it: `host:port`. */
  readonly label: string
  readonly #clocks: Clocks
  /** Whether its last answer was one. */
  well = true
  #owed = 0
  #owesUntil = 0

  constructor(node: Node, label: string, clocks: Clocks) {
    this.#clocks = clocks
    this.node = node
    this.label = label
  }

  /** Whether it owes answers that are overdue. */
  get overdue(): boolean {
    return this.#owed > 0 && this.#clocks.monotonicMs() < this.#owesUntil
  }

  owes(answer: Promise<unknown>): void {
    this.#owed += 1
    this.#owesUntil = this.#clocks.monotonicMs() + FORGIVEN_AFTER_MS
    const paid = (): void => void (this.#owed -= 1)
    answer.then(paid, paid)
  }
}

/** What has been heard so far. */
export class Tally<T> {
  readonly answers: Map<Member, T> = new Map()
  readonly failures: Map<Member, unknown> = new Map()
  /** How many may still answer. */
  open: number

  constructor(open: number) {
    this.open = open
  }

  /** Together with what others have been heard to say. */
  plus(others: Tally<T>): Tally<T> {
    const all = new Tally<T>(this.open + others.open)
    for (const { answers, failures } of [this, others]) {
      for (const [member, answer] of answers) all.answers.set(member, answer)
      for (const [member, failure] of failures) all.failures.set(member, failure)
    }
    return all
  }

  /** How many answered like this. */
  count(like: (answer: T) => boolean): number {
    return [...this.answers.values()].filter(like).length
  }

  /** Who answered like this. */
  who(like: (answer: T) => boolean): Member[] {
    return [...this.answers].filter(([, answer]) => like(answer)).map(([member]) => member)
  }
}

export interface Question<T, D> {
  readonly ask: (node: Node, member: Member) => Promise<T>
  /** What the answers mean; `undefined`: that depends on those that are open. With none open it must be decided. */
  readonly decide: (tally: Tally<T>) => D | undefined
  /** An answer or an error that comes after the decision. */
  readonly late?: (member: Member, answer: T | undefined) => void
  /** With so many answers, those who are late are not waited for. Default 0. */
  readonly enough?: number
  /** Ask a node that owes answers, too, without waiting for it: what frees something must reach it some day. */
  readonly insist?: boolean
}

/** @throws what `decide` throws */
export function poll<T, D>(
  runtime: Runtime,
  members: readonly Member[],
  timeoutMs: number,
  question: Question<T, D>,
): Promise<D> {
  return new Promise((resolve, reject) => new Poll(runtime, members, timeoutMs, question, resolve, reject).start())
}

class Poll<T, D> {
  readonly #runtime: Runtime
  readonly #members: readonly Member[]
  readonly #timeoutMs: number
  readonly #question: Question<T, D>
  readonly #enough: number
  readonly #resolve: (decision: D) => void
  readonly #reject: (error: unknown) => void
  readonly #tally: Tally<T>
  readonly #pending = new Map<Member, Promise<T>>()
  #timer: Timer | undefined
  #late = false
  #decided = false

  constructor(
    runtime: Runtime,
    members: readonly Member[],
    timeoutMs: number,
    question: Question<T, D>,
    resolve: (decision: D) => void,
    reject: (error: unknown) => void,
  ) {
    this.#runtime = runtime
    this.#members = members
    this.#timeoutMs = timeoutMs
    this.#question = question
    this.#enough = question.enough ?? 0
    this.#resolve = resolve
    this.#reject = reject
    this.#tally = new Tally(members.length)
  }

  start(): void {
    const { ask, insist = false } = this.#question
    const prompt = this.#members.filter((member) => !member.overdue)
    const waitForAll = prompt.length < this.#enough
    this.#after(this.#timeoutMs, () => this.#runLate())
    for (const member of this.#members) {
      const slow = member.overdue && !waitForAll
      if (slow) this.#fail(member, new Error('it still owes an earlier answer'))
      if (slow && !insist) continue
      const asked = Promise.resolve().then(() => ask(member.node, member))
      this.#pending.set(member, asked)
      asked.then(
        (answer) => this.#hear(member, answer),
        (error: unknown) => this.#hear(member, undefined, error),
      )
    }
    this.#consider()
  }

  #hear(member: Member, answer: T | undefined, error?: unknown): void {
    this.#pending.delete(member)
    member.well = answer !== undefined
    if (this.#decided || this.#tally.failures.has(member)) this.#question.late?.(member, answer)
    else if (answer === undefined) this.#fail(member, error)
    else {
      this.#tally.answers.set(member, answer)
      this.#tally.open -= 1
    }
    this.#consider()
  }

  /** Time is up for a node that is slower than others. This also runs after the decision. */
  #runLate(): void {
    this.#late = true
    for (const [member, answer] of this.#pending) member.owes(answer)
    if (!this.#decided) this.#after(this.#timeoutMs * (PATIENCE - 1), () => this.#giveUp(this.#timeoutMs * PATIENCE))
    this.#consider()
  }

  #giveUp(ms: number): void {
    for (const member of this.#pending.keys()) this.#fail(member, new Error(`it did not answer within ${ms} ms`))
    this.#consider()
  }

  #fail(member: Member, error: unknown): void {
    if (this.#decided || this.#tally.failures.has(member)) return
    this.#tally.failures.set(member, error)
    this.#tally.open -= 1
  }

  #consider(): void {
    if (this.#pending.size === 0) this.#timer?.cancel()
    if (this.#decided) return
    if (this.#late && this.#tally.open > 0 && this.#tally.answers.size >= this.#enough)
      return this.#giveUp(this.#timeoutMs)
    try {
      const decision = this.#question.decide(this.#tally)
      if (decision === undefined) return
      this.#resolve(decision)
    } catch (error) {
      this.#reject(error)
    }
    this.#decided = true
    if (this.#late) this.#timer?.cancel()
    else this.#timer?.keepAlive(false)
  }

  /** After a blocked event loop timers come first, and what has arrived meanwhile behind them: give it its turn. */
  #after(ms: number, act: () => void): void {
    this.#timer = this.#runtime.after(ms, () => {
      this.#timer = this.#runtime.after(1, act)
      this.#timer.keepAlive(!this.#decided)
    })
    this.#timer.keepAlive(true)
  }
}
