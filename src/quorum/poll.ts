/**
 * Asking all nodes at once: done as soon as the answers in hand decide, and never held up by a node that is slow.
 *
 * A node that has not answered in time owes an answer. It is not waited for again until it has given it.
 */
import type { Clocks, Runtime } from '../runtime.ts'
import type { Node } from './node.ts'

/** How long a node is left alone that does not answer. */
const FORGIVEN_AFTER_MS = 5000

/** One node, and how it answers. */
export class Member {
  readonly node: Node
  /** How people know it: `host:port`. */
  readonly label: string
  readonly #clocks: Clocks
  #owed = 0
  #owesUntil = 0

  constructor(node: Node, label: string, clocks: Clocks) {
    this.#clocks = clocks
    this.node = node
    this.label = label
  }

  /** Whether it owes answers that are overdue. A connection may be dead for ever, so a debt is forgiven after a while. */
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
  /** Ask a node that owes answers, too, without waiting for it: what frees something must reach it some day. */
  readonly insist?: boolean
}

/** @throws what `decide` throws */
export function poll<T, D>(
  runtime: Runtime,
  members: readonly Member[],
  timeoutMs: number,
  { ask, decide, late, insist = false }: Question<T, D>,
): Promise<D> {
  return new Promise((resolve, reject) => {
    const tally = new Tally<T>(members.length)
    const pending = new Map<Member, Promise<T>>()
    let decided = false
    // It runs on after the decision: who is still silent by then owes an answer.
    const timer = runtime.after(timeoutMs, () => {
      for (const [member, answer] of pending) {
        member.owes(answer)
        fail(member, new Error(`it did not answer within ${timeoutMs} ms`))
      }
      consider()
    })
    timer.keepAlive(true)

    function consider(): void {
      if (pending.size === 0) timer.cancel()
      if (decided) return
      try {
        const decision = decide(tally)
        if (decision === undefined) return
        resolve(decision)
      } catch (error) {
        reject(error)
      }
      decided = true
      timer.keepAlive(false)
    }
    function fail(member: Member, error: unknown): void {
      if (decided || tally.failures.has(member)) return
      tally.failures.set(member, error)
      tally.open -= 1
    }
    function heard(member: Member, answer: T | undefined, take: () => void): void {
      pending.delete(member)
      if (decided || tally.failures.has(member)) late?.(member, answer)
      else take()
      consider()
    }

    for (const member of members) {
      const skipped = member.overdue && !insist
      if (member.overdue) fail(member, new Error('it still owes an earlier answer'))
      if (skipped) continue
      const asked = Promise.resolve().then(() => ask(member.node, member))
      pending.set(member, asked)
      asked.then(
        (answer) =>
          heard(member, answer, () => {
            tally.answers.set(member, answer)
            tally.open -= 1
          }),
        (error: unknown) => heard(member, undefined, () => fail(member, error)),
      )
    }
    consider()
  })
}
