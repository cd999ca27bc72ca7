/**
 * What a log says, as a state: the same lines in the same order give the same replica in every process.
 *
 * The time of the log is the largest that any line has brought. All lines are stamped by the same kernel clock before
 * they are appended, so the log's time is never ahead of the real one, and nothing expires early; a process that was
 * stopped between the stamp and the append brings an old time, which changes nothing.
 */
import type { Renewal, Standing } from '../../backend.ts'
import type { Moment, Seat, TableState } from '../../queue/table.ts'
import { Table } from '../../queue/table.ts'
import type { Line, Verb } from './line.ts'

export type Answer = Standing | Renewal | readonly Renewal[] | boolean | undefined

/** In a form that survives JSON: the head of the next segment. */
export interface ReplicaState {
  readonly now: Moment
  readonly reserved: number
  readonly followers: readonly (readonly [name: string, instances: readonly string[]])[]
  readonly table: TableState
}

export class Replica {
  readonly table: Table
  /** Fences up to this one are on disk as used, and no later boot hands them out again. */
  reserved: number
  now: Moment
  sealed = false
  readonly #followers: Map<string, Set<string>>

  constructor(state?: ReplicaState) {
    this.table = state ? Table.load(state.table) : new Table()
    this.now = state?.now ?? { monotonicMs: 0, wallMs: 0 }
    this.reserved = state?.reserved ?? 0
    this.#followers = new Map(state?.followers.map(([name, instances]) => [name, new Set(instances)]))
  }

  dump(): ReplicaState {
    const followers = [...this.#followers].map(([name, instances]) => [name, [...instances]] as const)
    return { now: this.now, reserved: this.reserved, followers, table: this.table.dump() }
  }

  /** Apply a line; the answers are those of its verbs. A line that is not `mine` may do without. */
  apply({ instance, now, verbs }: Line, mine = true): Answer[] {
    this.now = { monotonicMs: Math.max(this.now.monotonicMs, now.monotonicMs), wallMs: now.wallMs }
    return verbs.map((verb) => this.#applyVerb(verb, instance, mine))
  }

  followersOf(name: string): Iterable<string> {
    return this.#followers.get(name) ?? []
  }

  /** Whether anybody holds or waits at this time; what only lingers is nobody's. */
  inUse(now: Moment): boolean {
    this.table.pruneAll(now)
    return this.table.dump().queues.some(({ seats }) => seats.some(({ lingering }) => !lingering))
  }

  /**
   * What is left of it under the clock of another boot: every process of that time is dead; a minimum hold or a lock delay
   * goes on for what the wall clock says is left of it, and never longer than it was to last.
   */
  afterBoot(now: Moment, reserved: number): ReplicaState {
    const passedMs = Math.max(0, now.wallMs - this.now.wallMs)
    const { lastFence, queues } = this.table.dump()
    const moved = queues.map(({ name, capacity, seats }) => ({
      name,
      capacity,
      seats: seats
        .filter((seat) => seat.lingering)
        .map((seat) => rebase(seat, this.now.monotonicMs, now.monotonicMs, passedMs)),
    }))
    return {
      now,
      reserved: Math.max(this.reserved, reserved),
      followers: [],
      table: {
        lastFence: Math.max(lastFence, this.reserved, reserved),
        queues: moved.filter(({ seats }) => seats.length > 0),
      },
    }
  }

  #applyVerb(verb: Verb, instance: string, mine: boolean): Answer {
    const { table, now } = this
    switch (verb[0]) {
      case 'join':
        return table.join(verb[1], now, instance)
      case 'renew':
        return table.renew(verb[1], verb[2], now)
      case 'renewals':
        if (mine) return table.renewAll(verb[1], verb[3], verb[2], now)
        table.prolongAll(verb[1], verb[3], verb[2], now)
        return undefined
      case 'leave':
        return table.leave(verb[1], now, verb[2])
      case 'lighten':
        return table.lighten(verb[1], verb[2], now)
      case 'describe':
        return table.describe(verb[1], verb[2], now)
      case 'evict':
        return table.evict(verb[1], verb[2], now)
      case 'follow':
        return this.#follow(verb[1], instance, verb[2])
      case 'bury':
        return this.#bury(verb[1])
      case 'reserve':
        this.reserved = Math.max(this.reserved, verb[1])
        return undefined
      case 'seal':
        table.pruneAll(now)
        this.sealed = true
        return undefined
    }
  }

  #follow(name: string, instance: string, yes: boolean): undefined {
    const instances = this.#followers.get(name) ?? new Set()
    if (yes) this.#followers.set(name, instances.add(instance))
    else if (instances.delete(instance) && instances.size === 0) this.#followers.delete(name)
  }

  #bury(instance: string): undefined {
    this.table.bury(instance, this.now)
    for (const name of this.#followers.keys()) this.#follow(name, instance, false)
  }
}

function rebase(seat: Seat, thenMs: number, nowMs: number, passedMs: number): Seat {
  const leftMs = Math.max(0, seat.until - thenMs - passedMs)
  const age = (at: number): number => nowMs - Math.max(0, thenMs - at) - passedMs
  return {
    ...seat,
    until: nowMs + leftMs,
    joinedAt: age(seat.joinedAt),
    heldAt: seat.heldAt === undefined ? undefined : age(seat.heldAt),
  }
}
