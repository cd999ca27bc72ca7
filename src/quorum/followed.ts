/**
 * Who follows which names, and when they are told.
 *
 * Told when a majority of the nodes has news: before that, a try would be refused by the rest. Those who were told at the
 * same moment would try at the same moment and refuse each other, so after a tie they are told at different ones: within a
 * spread that grows with each tie and shrinks with each success.
 */
import type { Runtime, Timer } from '../runtime.ts'
import type { Member } from './poll.ts'

const LONGEST_SPREAD_MS = 1000

interface Name {
  readonly listeners: Set<{ readonly wake: () => void }>
  /** Nodes with news that nobody was told of. */
  readonly told: Set<Member>
  readonly timers: Set<Timer>
  spreadMs: number
  /** When a majority of the nodes tells us of changes. */
  readonly standing: Promise<unknown>
  readonly end: () => void
}

export class Followed {
  readonly #members: readonly Member[]
  readonly #most: number
  readonly #runtime: Runtime
  readonly #names = new Map<string, Name>()

  constructor(members: readonly Member[], most: number, runtime: Runtime) {
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
    if (followed) followed.spreadMs = spreadMs
    return tookMs / 2 + spreadMs * this.#runtime.random()
  }

  won(name: string): void {
    const followed = this.#names.get(name)
    if (followed) followed.spreadMs = followed.spreadMs < 2 ? 0 : followed.spreadMs / 2
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
      standing: firstOf(this.#most, subscriptions),
      end: () => {
        for (const timer of timers) timer.cancel()
        for (const subscription of subscriptions) subscription.then((unfollow) => unfollow()).catch(() => {})
      },
    }
    this.#names.set(name, followed)
    return followed
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
