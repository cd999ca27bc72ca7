/**
 * What one primary has written since it became one, and how much of that each of its replicas has.
 *
 * Nothing is carried out twice for that: what a replica has is made from the calls, when it is wanted.
 */
import type { Call, Queues } from './queues.ts'
import type { Server } from './server.ts'

interface Written {
  readonly calls: readonly Call[]
  readonly serverNow: number
}

interface Replica {
  /** When it has what was written, in the order of that. */
  readonly arrivals: number[]
  stalledUntil: number
}

export class Reign {
  readonly #base: Queues
  readonly #written: Written[] = []
  readonly #replicas = new Map<Server, Replica>()

  /** @param queues the data set that it begins with */
  constructor(queues: Queues) {
    this.#base = queues.copy()
  }

  get replicas(): Server[] {
    return [...this.#replicas.keys()]
  }

  /** @returns the position behind it */
  write(calls: readonly Call[], serverNow: number, now: number, lagMs: () => number): number {
    this.#written.push({ calls, serverNow })
    for (const { arrivals, stalledUntil } of this.#replicas.values())
      arrivals.push(Math.max(arrivals.at(-1) ?? 0, now + lagMs(), stalledUntil))
    return this.#written.length
  }

  /** It has everything, and hears of what comes. */
  follow(server: Server, now: number): void {
    this.#replicas.set(server, { arrivals: this.#written.map(() => now), stalledUntil: 0 })
  }

  /** Nothing arrives there until then, also of what is on its way. */
  stall(server: Server, now: number, until: number): void {
    const replica = this.#replicas.get(server)
    if (!replica) return
    replica.stalledUntil = until
    for (const [index, at] of replica.arrivals.entries()) if (at > now) replica.arrivals[index] = Math.max(at, until)
  }

  /** How many replicas have what was written up to a position. */
  count(position: number, now: number): number {
    return this.#arrivalsAt(position).filter((at) => at <= now).length
  }

  /** When so many have it; `Infinity`: there are fewer. */
  whenAt(position: number, count: number): number {
    return count === 0 ? 0 : (this.#arrivalsAt(position).sort((a, b) => a - b)[count - 1] ?? Infinity)
  }

  /** The data set of a replica, and how much of what was written it lacks. */
  dataOf(server: Server, now: number): { readonly queues: Queues; readonly lacks: number } {
    const { arrivals } = this.#replicas.get(server)!
    const has = arrivals.filter((at) => at <= now).length
    const queues = this.#base.copy()
    for (const { calls, serverNow } of this.#written.slice(0, has)) queues.run(calls, serverNow)
    return { queues, lacks: this.#written.length - has }
  }

  #arrivalsAt(position: number): number[] {
    return [...this.#replicas.values()].map(({ arrivals }) => (position === 0 ? 0 : arrivals[position - 1]!))
  }
}
