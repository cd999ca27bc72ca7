/**
 * The contract between the core and a coordinator.
 *
 * One idea: a leased, weighted, first-in-first-out queue per name. An entry holds when the weights up to and including
 * its own fit into the capacity. Holding is a position in the queue, never a stored flag: whoever leaves the front lets
 * the next ones hold by that alone, with no hand-over write and no gap in which a newcomer could barge in.
 *
 * A backend answers. It does not sleep, retry on a schedule, or keep a lease alive by itself: one waiting loop and one
 * keeper in the core do that for all of them. The conformance suite in `holdfast/testing` says the same in tests.
 *
 * Words: an *entry* is one try to hold a name; its *id* is the owner token, 128 random bits that name this one try; its
 * *fence* is the ticket it drew when it joined. This file imports nothing.
 */

/** The weight of an exclusive entry, and the capacity of a queue whose entries may all be shared (weight 1). */
export const WHOLE: number = 2 ** 31 - 1

/** What proves that a request comes from the one who made an entry. `id` is a secret: 128 random bits, new for each try. */
export interface Claim {
  readonly name: string
  readonly id: string
}

/** A claim, and the fence that its entry drew, where that is known. */
export interface Placed extends Claim {
  readonly fence?: bigint | undefined
}

/** One try to hold `name`. All durations are in milliseconds. */
export interface Entry extends Claim {
  /** How much of the capacity it takes: `WHOLE` for an exclusive holder, 1 for a reader, w for w permits. */
  readonly weight: number
  /** How much there is. Entries of one name that are alive at the same time must agree on it. */
  readonly capacity: number
  /** How long a holder is kept without renewal. */
  readonly ttlMs: number
  /** How long a waiter is kept without renewal: shorter, so that a dead waiter blocks the queue for seconds only. */
  readonly waitTtlMs: number
  /** `false`: an entry that would have to wait is not put in at all. */
  readonly wait: boolean
  /** Do not wait behind so many: with that many waiters there already, the answer is `refused`. */
  readonly waitersMax?: number
  /** When a holder's lease ends without a `leave`, the coordinator keeps its place this much longer. */
  readonly lockDelayMs?: number
  /** Shown by `inspect`: who this is, as JSON text. Never a secret, never a command line unless the user asked. */
  readonly info?: string
}

/** It holds. `ttlMs`: how long, counted from the start of this call, the coordinator is known to keep the entry. */
export interface Held {
  readonly state: 'held'
  readonly fence: bigint
  readonly ttlMs: number
}

/** It stands in the queue. A position never gets worse while the entry lives. */
export interface Waiting {
  readonly state: 'waiting'
  readonly fence: bigint
  readonly ttlMs: number
  /** How many entries stand before it, holders included. */
  readonly ahead: number
  /** When asking again may help even if no wake comes: for the first waiter the earliest expiry ahead of it. */
  readonly retryAfterMs: number
}

/**
 * It was not put in. `held`: no room, and it would not wait; `full`: too many waiters; `capacity`: others count
 * differently; `quarantine`: the coordinator has forgotten what it granted, and waits until that is over.
 */
export interface Refused {
  readonly state: 'refused'
  readonly reason: 'held' | 'full' | 'capacity' | 'quarantine'
  readonly retryAfterMs: number
  /** The info of the entry at the front of the queue. */
  readonly holder?: string
  /** The capacity that the entries in the queue agree on; with `reason: 'capacity'`. */
  readonly capacity?: number
}

export type Standing = Held | Waiting | Refused

/** `lost`: there is no such entry (any more). A holder that is answered `waiting` has lost, too. */
export type Renewal = Held | Waiting | { readonly state: 'lost' }

/**
 * `{ held: fence }`: the coordinator said that the entry with this ticket now holds. Nothing: ask again.
 * Either may come late, twice, early, or not at all; a wake for another ticket is only a hint.
 */
export type Wake = (news?: { readonly held: bigint }) => void

export interface Supports {
  /** Grants in ticket order. Without it, an entry is held or refused. */
  readonly queue: boolean
  readonly sharing: 'none' | 'shared' | 'permits'
  /** `durable`: fences never go back, also when the coordinator loses what it knew. */
  readonly fence: 'durable' | 'volatile'
  /** Whether `watch` and `follow` ever call. Without it, only timers ask again. */
  readonly wake: boolean
}

/** An entry as people see it: never with its id, which would let the reader release it. */
export interface EntryView {
  readonly fence: bigint
  readonly weight: number
  /** How long it has stood in the queue, and, for a holder, how long it has held. */
  readonly ageMs: number
  readonly heldMs?: number
  /** How long it is kept without renewal from now on. */
  readonly ttlMs: number
  /** Owned by nobody: a minimum hold or a lock delay that runs out by itself. */
  readonly lingering: boolean
  readonly info?: string
}

export interface QueueView {
  readonly name: string
  readonly capacity: number
  readonly holders: readonly EntryView[]
  readonly waiters: readonly EntryView[]
}

/** One thing that `diagnose` looked at, and what it means for the guarantees. */
export interface Finding {
  readonly level: 'ok' | 'advice' | 'error'
  readonly subject: string
  readonly text: string
}

/**
 * What a coordinator must be able to do. Every verb may fail with any error: the outcome is then *unknown*, and the
 * caller asks again with the same claim or leaves. A `BackendError` says more.
 */
export interface Backend {
  readonly kind: string
  readonly supports: Supports

  /**
   * Take a place in the queue. Idempotent by `entry.id`: a repeated call whose answer was lost finds its entry. After
   * the first answer only `renew` asks, for a join could bring a lapsed entry back with a new ticket. Whoever gives up on
   * it leaves, and once more if it is answered after that; so there is no signal.
   */
  join(entry: Entry): Promise<Standing>

  /**
   * Put in all of these, each under a name of its own, in one step, if every one of them would hold at once. `undefined`: one
   * would not, and none was put in. Idempotent like `join`, and given up on like it. Only where a coordinator can decide about
   * several queues in one step.
   */
  joinAll?(entries: readonly Entry[]): Promise<readonly Held[] | undefined>

  /**
   * Make the lease of an entry last `ttlMs` from now (a waiter's: its `waitTtlMs` at most) and say where it stands.
   * Never shortens a lease, since a request that was sent earlier can land later; never goes beyond the larger of the
   * entry's own ttl and `ttlMs`; never brings a gone or lingering entry back.
   */
  renew(claim: Claim, ttlMs: number, signal?: AbortSignal): Promise<Renewal>

  /**
   * `renew` of many entries in one request, where that is cheaper than one by one; the answers in their order. `undefined` among
   * them: it holds, for as long as was asked, and with the fence that was given; where none was, it is not the answer.
   */
  renewAll?(claims: readonly Placed[], ttlMs: number, signal?: AbortSignal): Promise<readonly (Renewal | undefined)[]>

  /**
   * Remove an entry, holding or waiting, and wake those who now hold. `true`: it was there. With `lingerMs` a holding
   * entry stands that much longer, owned by nobody: the end of its process does not shorten it.
   */
  leave(claim: Claim, options?: { readonly lingerMs?: number }): Promise<boolean>

  /** A holder takes less than before (a writer becomes a reader). Never more; otherwise like `renew` without a new lease. */
  lighten(claim: Claim, weight: number, signal?: AbortSignal): Promise<Renewal>

  /** Replace the info of an entry (a leader's new value). `false`: it is gone. */
  describe(claim: Claim, info: string, signal?: AbortSignal): Promise<boolean>

  /**
   * Subscribe to the wakes of an entry, before it joins. Never throws, never rejects; the answer unsubscribes. No promise where it
   * stands at once.
   */
  watch(claim: Claim, wake: Wake): (() => void) | Promise<() => void>

  /**
   * Hear when an entry that holds may have been ended by something else than its time or its owner: then `renew` says. A hint
   * like every wake, for coordinators that can tell; whoever hears of nothing hears it from the next renewal.
   */
  attend?(claim: Claim, alarm: () => void): () => void

  /**
   * Of a coordinator that is a store as well: the key under which an entry of this process stands there, made with the entry
   * and deleted with it.
   */
  keyOf?(claim: Claim): string | undefined

  /** Subscribe to changes of who holds `name`, or of their info, without an entry. A hint like every wake. */
  follow(name: string, wake: () => void): Promise<() => void>

  /** The queues whose names start with `prefix`. For people to read; never for decisions. */
  inspect(prefix: string, signal?: AbortSignal): AsyncIterable<QueueView>

  /** For operators: remove the entry of `name` that drew `fence`, if it is still the same. `false`: it is not there. */
  evict(name: string, fence: bigint, signal?: AbortSignal): Promise<boolean>

  /** Look at the coordinator with the eyes of somebody who must trust it. */
  diagnose(signal?: AbortSignal): Promise<readonly Finding[]>

  /** Let go of sockets, files and timers. Entries stay; who made them should have left. */
  close(): Promise<void>
}

/** The coordinator could not do what was asked. `code` is stable; `cause` is the original error. */
export class BackendError extends Error {
  override readonly name: string = 'BackendError'
  readonly code: BackendErrorCode

  constructor(code: BackendErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/**
 * `UNAVAILABLE` and `NOT_REPLICATED` (done, but it might not outlive the coordinator, so it does not count) may pass by
 * themselves. The others will not: `DENIED` (no rights), `MISCONFIGURED` (the coordinator is not
 * fit to be one), `STORE_GONE`, `STORE_FULL`, `STORE_DAMAGED`, `STORE_VERSION` (made by another version),
 * `STORE_MISMATCH` (made under another clock), `CLOSED`.
 */
export type BackendErrorCode =
  | 'UNAVAILABLE'
  | 'NOT_REPLICATED'
  | 'DENIED'
  | 'MISCONFIGURED'
  | 'STORE_GONE'
  | 'STORE_FULL'
  | 'STORE_DAMAGED'
  | 'STORE_VERSION'
  | 'STORE_MISMATCH'
  | 'CLOSED'
