/**
 * What happens in one schedule, drawn from its seed: who asks for what and when, how the network behaves, and what goes
 * wrong. A plan is data, so that it can be shrunk by leaving parts of it out.
 *
 * Faults are drawn so that the rare ingredient is frequent: one message that is late by just a lease, a reply that is lost
 * when it matters, clocks that always drift as far as they may.
 */
import type { EtcdPlan } from './etcd/plan.ts'
import { Random } from './random.ts'
import type { RedisPlan } from './redis/plan.ts'

export interface Plan {
  readonly seed: number
  readonly long: boolean
  /** Until then things go wrong. */
  readonly faultsUntilMs: number
  readonly site: SitePlan
  readonly allowance: Allowance
  readonly network: Network
  readonly processes: readonly ProcessPlan[]
  readonly faults: readonly FaultPlan[]
}

/** Where the processes go to. */
export type SitePlan = MemoryPlan | QuorumPlan | RedisPlan | EtcdPlan

export interface MemoryPlan {
  readonly kind: 'memory'
  readonly drift: number
}

/** How much more time a site may take than the network and the leases account for. */
export interface Allowance {
  /** Until what went wrong with it is over, counted from the last fault. */
  readonly healMs: number
  /** For each task that goes first. */
  readonly turnMs: number
  /** Until a waiter hears that it holds. */
  readonly noticeMs: number
  /** Until what was left is gone: so many ways there and back, and so much more. */
  readonly leaveWays: number
  readonly leaveMs: number
  /** How soon a holder is told that its entry was ended, where it is told of that. */
  readonly goneMs?: number
  /** How old what the answer to a renewal says may be. */
  readonly renewedMs?: number
}

export interface QuorumPlan {
  readonly kind: 'quorum'
  readonly nodes: readonly NodePlan[]
  /** How long a node that has forgotten grants nothing. */
  readonly longestMs: number
  readonly nodeTimeoutMs: number
}

export interface NodePlan {
  readonly drift: number
  /** How far its wall clock is off: at first, after it has forgotten once, and so on, round and round. */
  readonly wallOffsetsMs: readonly number[]
}

/** How messages travel. Rates from 0 to 1 for each message, in each direction. */
export interface Network {
  readonly delayMs: number
  readonly jitterMs: number
  readonly tailRate: number
  readonly tailMs: number
  readonly lossRate: number
  readonly doubleRate: number
  /** How many of those that are lost are met with silence, not with an error. */
  readonly silentRate: number
  /** Wakes get lost, misdirected, or come late and twice, also when all else has healed: they are only hints. */
  readonly wakeLossRate: number
  readonly wakeLateRate: number
  readonly wakeAstrayRate: number
}

export interface ProcessPlan {
  readonly name: string
  /** Its own stream of chance, whoever else is left out. */
  readonly stream: number
  readonly startAtMs: number
  readonly drift: number
  readonly waitTtlMs: number
  readonly requestTimeoutMs: number
  /** Each lane does its tasks one after the other. */
  readonly lanes: readonly (readonly TaskPlan[])[]
  /** Whether its connection offers `renewAll`. */
  readonly renewsInBulk: boolean
}

export type Shape = 'mutex' | 'read' | 'write' | 'permits'

export interface TaskPlan {
  readonly gapMs: number
  readonly shape: Shape
  readonly name: string
  readonly permits: number
  readonly ttlMs: number
  readonly marginMs: number
  /** 0: a try. */
  readonly waitMs: number
  readonly abortAfterMs: number | undefined
  readonly holdMs: number
  /** How often it reads and writes the register meanwhile. */
  readonly accesses: number
  /** How long it takes at most to make a write of what it read. */
  readonly thinkMs: number
  /** Whether it calls `assertHeld()` before each access. */
  readonly careful: boolean
  readonly through: 'run' | 'acquire'
  readonly downgrade: boolean
  /** Whether it renews by itself, and for which share of its ttl. */
  readonly renewsFor: number
  readonly minHoldMs: number
  readonly lockDelayMs: number
  readonly maxHoldMs: number | undefined
}

/** `watch`: subscriptions; `wait`: whether replicas have it; `connect`: a connection. */
export type Verb = 'join' | 'renew' | 'leave' | 'lighten' | 'wake' | 'watch' | 'wait' | 'connect' | NodeVerb
/** What only nodes are asked. */
export type NodeVerb = 'confirm' | 'seed' | 'recall' | 'admit'

/** A node is away, or slow. */
type AwayFault =
  | {
      readonly kind: 'away'
      readonly node: number
      readonly atMs: number
      readonly forMs: number
      readonly silent: boolean
    }
  | {
      readonly kind: 'slow'
      readonly node: number
      readonly atMs: number
      readonly forMs: number
      readonly byMs: number
    }

export type FaultPlan =
  | { readonly kind: 'pause' | 'sleep'; readonly process: string; readonly atMs: number; readonly forMs: number }
  | { readonly kind: 'jump'; readonly process: string; readonly atMs: number; readonly byMs: number }
  | { readonly kind: 'crash'; readonly process: string; readonly atMs: number; readonly restartAfterMs: number }
  | {
      readonly kind: 'partition'
      readonly process: string
      /** From these nodes only. */
      readonly nodes?: readonly number[]
      readonly atMs: number
      readonly forMs: number
      readonly ways: 'both' | 'requests' | 'replies'
    }
  | { readonly kind: 'evict'; readonly name: string; readonly atMs: number }
  | AwayFault
  | { readonly kind: 'forget'; readonly node: number; readonly atMs: number }
  | RedisFault
  | EtcdFault
  /** What happens to the `n`-th message of a verb from (or, for a wake, to) a process. */
  | {
      readonly kind: 'message'
      readonly process: string
      readonly node?: number
      readonly verb: Verb
      readonly n: number
      /**
       * `evict-again`: its entry is evicted, and then it arrives once more. `forget`: it is carried out and answered, and
       * then its node forgets, or its coordinator is struck by what the plan has in store for that. `late-and-cut`: its answer
       * is late, and then nothing gets through for a while.
       */
      readonly does:
        | 'lose-request'
        | 'lose-reply'
        | 'late-request'
        | 'late-reply'
        | 'again'
        | 'astray'
        | 'evict-again'
        | 'forget'
        | 'late-and-cut'
      readonly ms: number
    }

export type MessageFault = Extract<FaultPlan, { kind: 'message' }>

/** What happens to servers of Redis; to the one that is the primary, where none is named. */
export type RedisFault =
  | {
      readonly kind: 'failover'
      readonly atMs: number
      /** The server that takes over, if it follows the primary; otherwise, another one that does. */
      readonly to: number
      readonly downMs: number
      /** The old one is away for so much longer, or goes on as the primary of the processes that stay with it. */
      readonly oldMs: number
      readonly stay: readonly string[]
    }
  | { readonly kind: 'restart'; readonly atMs: number; readonly downMs: number; readonly keeps: boolean }
  | AwayFault
  | { readonly kind: 'flush'; readonly atMs: number }
  | { readonly kind: 'clock'; readonly server: number; readonly atMs: number; readonly byMs: number }
  /** It hears nothing of its primary. */
  | { readonly kind: 'stall'; readonly server: number; readonly atMs: number; readonly forMs: number }

/** What happens to members of etcd. */
export type EtcdFault =
  | AwayFault
  /** The leader steps down, or dies and comes back; after a while there is another. */
  | { readonly kind: 'election'; readonly atMs: number; readonly gapMs: number; readonly downMs: number }
  /** The leader stands still. If that takes long enough, there is another when it goes on. */
  | { readonly kind: 'freeze'; readonly atMs: number; readonly forMs: number }
  /** All members die, and come back with their disks. */
  | { readonly kind: 'restart'; readonly atMs: number; readonly downMs: number; readonly keeps: boolean }
  /** What has happened is forgotten; perhaps before those who watch have heard of it, for their connections are lost. */
  | { readonly kind: 'compact'; readonly atMs: number; readonly resets: boolean }

export type ProcessFault = Extract<FaultPlan, { kind: 'pause' | 'sleep' | 'jump' | 'crash' | 'partition' }>
export type SiteFault = Extract<FaultPlan, { kind: 'evict' | 'away' | 'slow' | 'forget' }> | RedisFault | EtcdFault

export const CAPACITY = 3
/** The worst that is allowed: the rates of two clocks differ by twice this, and by a hair more. */
export const DRIFT = 0.01

/** Up to this seed all schedules are quick: those are for every day, and for mistakes that are to be caught soon. */
const QUICK_SEEDS = 5000
/** Keeps this chance apart from all other. */
const DENSITY = 9

/** Hundreds of holds one after the other, so that whatever adds up shows. */
export function isDense(seed: number): boolean {
  return seed > QUICK_SEEDS && new Random(seed, DENSITY).chance(1 / 6)
}

export interface Setting {
  readonly long: boolean
  readonly dense: boolean
  readonly ttlMs: number
  readonly names: readonly string[]
  /** `alone`: there are exclusive locks only. */
  readonly leaning: 'mutex' | 'rw' | 'permits' | 'alone'
  readonly faultsUntilMs: number
}

export function processOf(random: Random, stream: number, setting: Setting): ProcessPlan {
  const { long, dense, ttlMs, faultsUntilMs } = setting
  const tasks = dense ? random.whole(50, 90) : long ? random.whole(6, 14) : random.whole(3, 5)
  return {
    name: `p${stream}`,
    stream,
    startAtMs: random.chance(0.5) ? 0 : random.between(0, faultsUntilMs / 4),
    drift: random.pick([-DRIFT, DRIFT]),
    waitTtlMs: ttlMs * random.pick([0.5, 1, 2]),
    requestTimeoutMs: Math.max(150, ttlMs * random.pick([0.3, 0.6, 1.5])),
    lanes: Array.from({ length: random.chance(0.25) || dense ? 2 : 1 }, () =>
      Array.from({ length: tasks }, () => {
        const task = taskOf(random, setting)
        return dense && random.chance(0.9) ? brief(random, task) : task
      }),
    ),
    renewsInBulk: random.chance(0.5),
  }
}

function brief(random: Random, task: TaskPlan): TaskPlan {
  const [gapMs, holdMs] = [random.between(0, 10), random.between(0, 10)]
  const plain = { abortAfterMs: undefined, minHoldMs: 0, lockDelayMs: 0, maxHoldMs: undefined }
  return { ...task, ...plain, gapMs, holdMs, waitMs: Infinity, accesses: random.whole(0, 1), thinkMs: 5 }
}

const NO_SHAPE = { mutex: 0, read: 0, write: 0, permits: 0 }

function taskOf(random: Random, { ttlMs, names, leaning }: Setting): TaskPlan {
  const usual = { mutex: 1, read: 1, write: 1, permits: 1 }
  const shape: Shape = random.weighted(
    {
      mutex: { ...usual, mutex: 20 },
      rw: { ...usual, read: 10, write: 10 },
      permits: { ...usual, permits: 20 },
      alone: { ...NO_SHAPE, mutex: 1 },
    }[leaning],
  )
  return {
    gapMs: random.chance(0.5) ? random.between(0, 20) : random.between(0, ttlMs / 2),
    shape,
    name: random.pick(names),
    permits: random.chance(0.3) ? random.whole(1, CAPACITY) : 1,
    ttlMs,
    // Above what clocks may drift apart, and far below what is the default: a mistake shows sooner.
    marginMs: random.chance(0.8) ? Math.max(8, ttlMs * 0.03) : ttlMs * 0.3,
    waitMs: waitOf(random, ttlMs),
    // Often at once, while the join is on its way.
    abortAfterMs: random.chance(0.15) ? random.between(0, random.pick([10, ttlMs * 1.5])) : undefined,
    holdMs: random.chance(0.6) ? random.between(0, ttlMs * 0.3) : random.between(0, ttlMs * 1.6),
    accesses: random.whole(0, 3),
    thinkMs: random.chance(0.7) ? 10 : ttlMs * random.between(0.1, 0.5),
    careful: random.chance(0.5),
    through: random.chance(0.25) ? 'run' : 'acquire',
    downgrade: shape === 'write' && random.chance(0.6),
    renewsFor: random.chance(0.15) ? random.pick([0.3, 0.6, 1]) : 0,
    minHoldMs: random.chance(0.15) ? random.between(0, ttlMs) : 0,
    lockDelayMs: random.chance(0.1) ? random.between(0, ttlMs / 2) : 0,
    maxHoldMs: random.chance(0.08) ? random.between(10, ttlMs) : undefined,
  }
}

/** Some hold for longer than their lease, so that it matters who still knows them. */
export function longer(random: Random, task: TaskPlan): TaskPlan {
  return random.chance(0.4) ? { ...task, holdMs: task.ttlMs * random.between(1, 3) } : task
}

function waitOf(random: Random, ttlMs: number): number {
  switch (random.weighted({ forever: 6, while: 3, not: 2 })) {
    case 'forever':
      return Infinity
    case 'while':
      return random.between(20, ttlMs * 2)
    case 'not':
      return 0
  }
}

/** A wall clock that is set back and a sleep in the same second hide each other; that limit is documented, not tested. */
export function sleeps(faults: readonly FaultPlan[], process: string): boolean {
  return faults.some((fault) => fault.kind === 'sleep' && fault.process === process)
}
