/**
 * Who follows which names, and when they are told.
 *
 * Told when a majority of the nodes has news: before that, a try would be refused by the rest. Those who were told at the
 * same moment would try at the same moment and refuse each other, so after a tie they are told at different ones: within a
 * spread that grows with each tie and shrinks with each success. Where ties are frequent, one node is asked before the
 * others, and lets one pass.
 */
import type { Runtime, Timer } from '../runtime.ts'
import type { Member } from './poll.ts'

const LONGEST_SPREAD_MS = 1000
/** With so many ties, one node is asked first; each success takes a part of one away. */
const TIES_MANY = 2
const TIES_MAX = 4
const TIES_FORGIVEN = 0.1
/** But all are asked at least so often, for that one may remember somebody who is gone. */
const ALL_AGAIN_MS = 1000

interface Name {
  readonly listeners: Set<{ readonly wake: () => void }>
  /** Nodes with news that nobody was told of. */
  readonly told: Set<Member>
  readonly timers: Set<Timer>
  spreadMs: number
  ties: number
  /** When all nodes were asked last. */
  allAskedAt: number
  /** When the nodes tell us of changes: a majority, and who else can be reached. */
  readonly standing: Promise<unknown>
  readonly end: () => void
}

export class Followed {
  readonly #members: readonly Member[]
  readonly #most: number
  readonly #runtime: Runtime
  readonly #timeoutMs: number
  readonly #names = new Map<string, Name>()

  constructor(members: readonly Member[], most: number, timeoutMs: number, runtime: Runtime) {
    this.#timeoutMs = timeoutMs
    this.#members = members
    this.#most = most
    this.#runtime = runtime
  }

  async follow(name: string, wake: () => void): Promise<() => void> {
    const followed = this.#names.get(name) ?? this.#open(name)
    const listener = { wake }
    followed.listeners.add(listener)
    await followed.standing
    return () => {
      if (!followed.listeners.delete(listener) || followed.listeners.size > 0) return
      if (this.#names.get(name) === followed) this.#names.delete(name)
      followed.end()
    }
  }

  /** A try of so long has ended in a tie. When to try again, if there is no news before. */
  tied(name: string, tookMs: number): number {
    const followed = this.#names.get(name)
    const spreadMs = Math.min(Math.max(tookMs, 2 * (followed?.spreadMs ?? 0)), LONGEST_SPREAD_MS)
    if (followed) {
      followed.spreadMs = spreadMs
      followed.ties = Math.min(followed.ties + 1, TIES_MAX)
    }
    return tookMs / 2 + spreadMs * this.#runtime.random()
  }

  won(name: string): void {
    const followed = this.#names.get(name)
    if (!followed) return
    followed.spreadMs = followed.spreadMs < 2 ? 0 : followed.spreadMs / 2
    followed.ties = Math.max(followed.ties - TIES_FORGIVEN, 0)
  }

  /** Whether one node is to be asked before the others now. */
  crowded(name: string): boolean {
    const followed = this.#names.get(name)
    if (!followed) return false
    const now = this.#runtime.monotonicMs()
    if (followed.ties >= TIES_MANY && now - followed.allAskedAt < ALL_AGAIN_MS) return true
    followed.allAskedAt = now
    return false
  }

  close(): void {
    for (const { end } of this.#names.values()) end()
    this.#names.clear()
  }

  #open(name: string): Name {
    const subscriptions = this.#members.map((member) => member.node.follow(name, () => this.#news(name, member)))
    const timers = new Set<Timer>()
    const followed: Name = {
      listeners: new Set(),
      told: new Set(),
      timers,
      spreadMs: 0,
      ties: 0,
      allAskedAt: -Infinity,
      standing: firstOf(this.#most, subscriptions).then(() => this.#theOthers(subscriptions)),
      end: () => {
        for (const timer of timers) timer.cancel()
        for (const subscription of subscriptions) subscription.then((unfollow) => unfollow()).catch(() => {})
      },
    }
    this.#names.set(name, followed)
    return followed
  }

  /** Their news counts as well, so they are waited for, but not for long. */
  async #theOthers(subscriptions: readonly Promise<unknown>[]): Promise<void> {
    let timer: Timer | undefined
    const patience = new Promise<void>((resolve) => (timer = this.#runtime.after(this.#timeoutMs, resolve)))
    await Promise.race([Promise.allSettled(subscriptions), patience])
    timer?.cancel()
  }

  #news(name: string, member: Member): void {
    const followed = this.#names.get(name)
    if (!followed || followed.told.add(member).size < this.#most) return
    followed.told.clear()
    for (const { wake } of followed.listeners) {
      if (followed.spreadMs === 0) wake()
      else this.#wakeLater(followed, wake)
    }
  }

  #wakeLater({ spreadMs, timers }: Name, wake: () => void): void {
    const timer = this.#runtime.after(spreadMs * this.#runtime.random(), () => {
      timers.delete(timer)
      wake()
    })
    timers.add(timer)
  }
}

/** Resolves with so many of the promises. */
function firstOf(count: number, promises: readonly Promise<unknown>[]): Promise<void> {
  let left = count
  return new Promise((resolve) => {
    for (const promise of promises) {
      promise.then(
        () => (left -= 1) === 0 && resolve(),
        () => {},
      )
    }
  })
}
