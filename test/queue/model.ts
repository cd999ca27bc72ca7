/**
 * The queues of all names as slowly and plainly as they can be written: one list, looked through for every answer.
 *
 * It says what `src/queue/table.ts` must say. With a mistake put in it is one of the wrong coordinators that the
 * conformance suite must tell from a right one.
 */
import type { Claim, Entry, EntryView, QueueView, Renewal, Standing } from '../../src/backend.ts'
import type { Moment } from '../../src/queue/table.ts'

export interface Row extends Entry {
  readonly fence: number
  readonly joinedAt: number
  weight: number
  info?: string
  until: number
  heldAt: number | undefined
  lingering: boolean
  dead: boolean
}

export type Mistake =
  | 'last come, first served'
  | 'whoever fits holds'
  | 'a try overtakes waiters'
  | 'a refused try stays'
  | 'a repeated join adds an entry'
  | 'a repeated join brings back what lapsed'
  | 'a renewal shortens'
  | 'renewals add up'
  | 'a renewal cannot lengthen'
  | 'a renewal brings back what lapsed'
  | 'a renewal brings back what left'
  | 'what lingers is renewed'
  | 'a waiter is kept like a holder'
  | 'nothing lapses'
  | 'everything lapses early'
  | 'a leave needs no id'
  | 'an id counts for every name'
  | 'leaving does not linger'
  | 'lingering ends with the ttl'
  | 'a waiter lingers'
  | 'no lock delay'
  | 'a lock delay after every end'
  | 'a lock delay after a waiter'
  | 'waitersMax is not heard'
  | 'waitersMax counts holders'
  | 'waitersMax counts the dead'
  | 'capacities are not compared'
  | 'capacities are compared with the dead'
  | 'fences begin anew in an empty queue'
  | 'taking less renews'
  | 'taking more is possible'
  | 'whoever holds is evicted'

export class Model {
  readonly #mistake: Mistake | undefined
  #rows: Row[] = []
  #lastFence = 0

  constructor(mistake?: Mistake) {
    this.#mistake = mistake
  }

  join(entry: Entry, now: Moment): Standing {
    this.#prune(entry.name, now)
    const known = this.#find(entry)
    if (known && !this.#errs('a repeated join adds an entry')) return this.#standing(known, now)
    const back = this.#errs('a repeated join brings back what lapsed') && this.#revive(entry, now)
    if (back) return this.#standing(back, now)
    const rows = this.#queue(entry.name)
    const others = this.#errs('capacities are compared with the dead')
      ? this.#rows.filter(({ name }) => name === entry.name)
      : rows
    const capacity = others[0]?.capacity ?? entry.capacity
    if (capacity !== entry.capacity && !this.#errs('capacities are not compared'))
      return { ...this.#refused(rows, now), reason: 'capacity', capacity }
    const row: Row = {
      ...entry,
      fence: this.#draw(rows, now),
      joinedAt: now.monotonicMs,
      until: 0,
      heldAt: undefined,
      lingering: false,
      dead: false,
    }
    const place = this.#errs('last come, first served') ? rows.findIndex((each) => !this.#holds(each)) : -1
    this.#rows.splice(place < 0 ? this.#rows.length : this.#rows.indexOf(rows[place]!), 0, row)
    const holds = this.#holds(row)
    if (!holds && !this.#errs('a refused try stays')) {
      const waiting = this.#counted(entry.name, row).length
      const full = waiting >= (entry.waitersMax ?? Infinity) && !this.#errs('waitersMax is not heard')
      if (!entry.wait || full) {
        row.dead = true
        this.#lastFence = Math.max(0, ...this.#rows.filter((each) => each !== row).map(({ fence }) => fence))
        this.#rows = this.#rows.filter((each) => each !== row)
        return { ...this.#refused(rows, now), reason: entry.wait ? 'full' : 'held' }
      }
    }
    row.until = now.monotonicMs + (holds ? entry.ttlMs : Math.min(entry.waitTtlMs, entry.ttlMs))
    this.#grant(now)
    if (!holds && !entry.wait) return { ...this.#refused(rows, now), reason: 'held' }
    return this.#standing(row, now)
  }

  /** Of entries under names of their own. */
  joinAll(entries: readonly Entry[], now: Moment): Standing[] | undefined {
    for (const entry of entries) {
      this.#prune(entry.name, now)
      if (!this.#wouldHold(entry)) return undefined
    }
    return entries.map((entry) => this.join(entry, now))
  }

  renew(claim: Claim, ttlMs: number, now: Moment): Renewal {
    this.#prune(claim.name, now)
    if (this.#errs('a renewal brings back what lapsed') || this.#errs('a renewal brings back what left'))
      this.#revive(claim, now)
    const row = this.#find(claim)
    if (!row) return { state: 'lost' }
    const most = this.#errs('a waiter is kept like a holder') ? ttlMs : Math.min(ttlMs, row.waitTtlMs)
    let granted = this.#holds(row) ? ttlMs : most
    if (this.#errs('a renewal cannot lengthen')) granted = Math.min(granted, row.ttlMs)
    const until = now.monotonicMs + granted
    row.until = this.#errs('a renewal shortens') ? until : Math.max(row.until, until)
    if (this.#errs('renewals add up')) row.until += granted
    return this.#standing(row, now)
  }

  renewAll(name: string, fences: readonly number[], ttlMs: number, now: Moment): Renewal[] {
    this.#prune(name, now)
    return fences.map((fence) => {
      const row = this.#queue(name).find((each) => each.fence === fence && !each.lingering)
      return row ? this.renew(row, ttlMs, now) : { state: 'lost' }
    })
  }

  leave(claim: Claim, now: Moment, lingerMs = 0): boolean {
    this.#prune(claim.name, now)
    const row = this.#errs('a leave needs no id') ? this.#queue(claim.name)[0] : this.#find(claim)
    if (!row) return false
    const late = this.#errs('a lock delay after every end') ? (row.lockDelayMs ?? 0) : 0
    const stays = this.#holds(row) || this.#errs('a waiter lingers')
    const ms = this.#errs('leaving does not linger') ? 0 : lingerMs + late
    if (stays && ms > 0) {
      const until = now.monotonicMs + ms
      row.until = this.#errs('lingering ends with the ttl') ? Math.min(until, row.until) : until
      row.lingering = true
    } else {
      row.dead = true
    }
    this.#grant(now)
    return true
  }

  lighten(claim: Claim, weight: number, now: Moment): Renewal {
    this.#prune(claim.name, now)
    const row = this.#find(claim)
    if (!row) return { state: 'lost' }
    if (this.#holds(row)) row.weight = this.#errs('taking more is possible') ? weight : Math.min(row.weight, weight)
    if (this.#errs('taking less renews')) row.until = now.monotonicMs + row.ttlMs
    this.#grant(now)
    return this.#standing(row, now)
  }

  describe(claim: Claim, info: string, now: Moment): boolean {
    this.#prune(claim.name, now)
    const row = this.#find(claim)
    if (row) row.info = info
    return row !== undefined
  }

  evict(name: string, fence: number, now: Moment): boolean {
    this.#prune(name, now)
    const any = this.#errs('whoever holds is evicted')
    const row = this.#queue(name).find((each) => any || each.fence === fence)
    if (row) row.dead = true
    this.#grant(now)
    return row !== undefined
  }

  /** Looking changes nothing, so it does not prune. */
  view(prefix: string, { monotonicMs }: Moment): QueueView[] {
    const alive = this.#rows.filter((row) => !row.dead && (endOf(row) > monotonicMs || this.#errs('nothing lapses')))
    const names = new Set(alive.map(({ name }) => name).filter((name) => name.startsWith(prefix)))
    return [...names].sort().map((name) => {
      const rows = alive.filter((row) => row.name === name)
      const weights = rows.map((_, place) => rows.slice(0, place + 1).reduce((sum, { weight }) => sum + weight, 0))
      const { capacity } = rows[0]!
      const views = rows.map((row, place) => view(row, monotonicMs, weights[place]! <= capacity))
      return {
        name,
        capacity,
        holders: views.filter((_, place) => weights[place]! <= capacity),
        waiters: views.filter((_, place) => weights[place]! > capacity),
      }
    })
  }

  ids(name: string): string[] {
    return this.#queue(name).map(({ id }) => id)
  }

  /** The fences of those who hold `name` and of those who wait for it, as the last verb about it has left them. */
  standing(name: string): { readonly holders: number[]; readonly waiters: number[] } {
    const rows = this.#queue(name)
    return {
      holders: rows.filter((row) => this.#holds(row)).map(({ fence }) => fence),
      waiters: rows.filter((row) => !this.#holds(row)).map(({ fence }) => fence),
    }
  }

  fenceOf(claim: Claim): number | undefined {
    return this.#find(claim)?.fence
  }

  /** Those who live and stand in the queue of `name`, in order. */
  #queue(name: string): Row[] {
    return this.#rows.filter((row) => row.name === name && !row.dead)
  }

  /** The weights up to and including its own fit. */
  #holds(row: Row): boolean {
    if (this.#errs('whoever fits holds') && row.heldAt !== undefined) return true
    const rows = this.#queue(row.name)
    const skips = this.#errs('whoever fits holds') || (this.#errs('a try overtakes waiters') && !row.wait)
    const before = rows.slice(0, rows.indexOf(row)).filter((each) => !skips || each.heldAt !== undefined)
    return before.reduce((sum, { weight }) => sum + weight, row.weight) <= row.capacity
  }

  #wouldHold(entry: Entry): boolean {
    const known = this.#find(entry)
    if (known) return this.#holds(known)
    const rows = this.#queue(entry.name)
    const weight = rows.reduce((sum, row) => sum + row.weight, entry.weight)
    return weight <= entry.capacity && rows.every(({ capacity }) => capacity === entry.capacity)
  }

  #grant(now: Moment): void {
    for (const row of this.#rows) if (!row.dead && this.#holds(row)) row.heldAt ??= now.monotonicMs
  }

  /** Every verb prunes the queue that it is about, and no other. */
  #prune(name: string, now: Moment): void {
    if (this.#errs('nothing lapses')) return
    for (const row of this.#queue(name)) {
      const until = this.#errs('everything lapses early') ? (row.until + row.joinedAt) / 2 : row.until
      if (until > now.monotonicMs) continue
      const owes = row.heldAt !== undefined || this.#errs('a lock delay after a waiter')
      const lateUntil = until + (owes && !this.#errs('no lock delay') ? (row.lockDelayMs ?? 0) : 0)
      if (row.lingering || lateUntil <= now.monotonicMs) {
        row.dead = true
      } else {
        row.lingering = true
        row.until = lateUntil
      }
    }
    this.#grant(now)
  }

  #find(claim: Claim): Row | undefined {
    return this.#rows.find(
      (row) =>
        row.id === claim.id &&
        (row.name === claim.name || this.#errs('an id counts for every name')) &&
        !row.dead &&
        (!row.lingering || this.#errs('what lingers is renewed')),
    )
  }

  #revive(claim: Claim, now: Moment): Row | undefined {
    const row = this.#rows.findLast((each) => each.id === claim.id && each.name === claim.name && each.dead)
    if (!row) return undefined
    const left = row.until > now.monotonicMs
    if (left !== this.#errs('a renewal brings back what left')) return undefined
    row.dead = false
    row.until = now.monotonicMs + row.ttlMs
    return row
  }

  #counted(name: string, newcomer: Row): Row[] {
    const dead = this.#errs('waitersMax counts the dead')
    return this.#rows.filter(
      (row) =>
        row !== newcomer &&
        row.name === name &&
        (dead ? row.heldAt === undefined : !row.dead) &&
        (!this.#holds(row) || this.#errs('waitersMax counts holders')),
    )
  }

  #draw(rows: readonly Row[], now: Moment): number {
    if (this.#errs('fences begin anew in an empty queue')) return Math.max(0, ...rows.map(({ fence }) => fence)) + 1
    this.#lastFence = Math.max(this.#lastFence + 1, Math.floor(now.wallMs * 1000))
    return this.#lastFence
  }

  #standing(row: Row, now: Moment): Exclude<Standing, { state: 'refused' }> {
    const fence = BigInt(row.fence)
    const ttlMs = row.until - now.monotonicMs
    if (this.#holds(row)) return { state: 'held', fence, ttlMs }
    const rows = this.#queue(row.name)
    const ahead = rows.indexOf(row)
    const first = !this.#holds(row) && (ahead === 0 || this.#holds(rows[ahead - 1]!))
    return {
      state: 'waiting',
      fence,
      ttlMs,
      ahead,
      retryAfterMs: first ? this.#firstEnd(rows) - now.monotonicMs : ttlMs,
    }
  }

  #refused(rows: readonly Row[], now: Moment) {
    const holder = rows[0]?.info
    const retryAfterMs = this.#firstEnd(rows) - now.monotonicMs
    return { state: 'refused' as const, retryAfterMs, ...(holder === undefined ? {} : { holder }) }
  }

  #firstEnd(rows: readonly Row[]): number {
    return Math.min(...rows.filter((row) => this.#holds(row)).map(endOf))
  }

  #errs(mistake: Mistake): boolean {
    return this.#mistake === mistake
  }
}

/** When a row is gone if nothing more is heard of it. */
function endOf(row: Row): number {
  return row.until + (row.heldAt === undefined || row.lingering ? 0 : (row.lockDelayMs ?? 0))
}

function view(row: Row, nowMs: number, holds: boolean): EntryView {
  return {
    fence: BigInt(row.fence),
    weight: row.weight,
    ageMs: nowMs - row.joinedAt,
    ttlMs: endOf(row) - nowMs,
    lingering: row.lingering || row.until <= nowMs,
    ...(holds ? { heldMs: nowMs - (row.heldAt ?? nowMs) } : {}),
    ...(row.info === undefined ? {} : { info: row.info }),
  }
}
