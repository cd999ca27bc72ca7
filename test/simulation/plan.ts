/**
 * What happens in one schedule, drawn from its seed: who asks for what and when, how the network behaves, and what goes
 * wrong. A plan is data, so that it can be shrunk by leaving parts of it out.
 *
 * Faults are drawn so that the rare ingredient is frequent: one message that is late by just a lease, a reply that is lost
 * when it matters, clocks that always drift as far as they may.
 */
import { Random } from './random.ts'

export interface Plan {
  readonly seed: number
  readonly long: boolean
  /** Until then things go wrong. */
  readonly faultsUntilMs: number
  readonly coordinatorDrift: number
  /** Instead of the one coordinator. */
  readonly quorum?: QuorumPlan
  readonly network: Network
  readonly processes: readonly ProcessPlan[]
  readonly faults: readonly FaultPlan[]
}

export interface QuorumPlan {
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

export type Verb = 'join' | 'renew' | 'leave' | 'lighten' | 'wake' | NodeVerb
/** What only nodes are asked. */
export type NodeVerb = 'confirm' | 'seed' | 'recall' | 'admit'

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
  | { readonly kind: 'forget'; readonly node: number; readonly atMs: number }
  /** What happens to the `n`-th message of a verb from (or, for a wake, to) a process. */
  | {
      readonly kind: 'message'
      readonly process: string
      readonly node?: number
      readonly verb: Verb
      readonly n: number
      /**
       * `evict-again`: its entry is evicted, and then it arrives once more. `forget`: it is carried out and answered, and
       * then its node forgets.
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
      readonly ms: number
    }

export type MessageFault = Extract<FaultPlan, { kind: 'message' }>

export type ProcessFault = Extract<FaultPlan, { kind: 'pause' | 'sleep' | 'jump' | 'crash' | 'partition' }>
export type SiteFault = Extract<FaultPlan, { kind: 'evict' | 'away' | 'slow' | 'forget' }>

export const CAPACITY = 3
/** The worst that is allowed: the rates of two clocks differ by twice this, and by a hair more. */
export const DRIFT = 0.01

/** What goes wrong most: a bit of everything, or much of one thing, so that what takes two of a kind comes up, too. */
const WEATHER = {
  mixed: { message: 12, pause: 3, sleep: 2, jump: 1, crash: 3, partition: 3, evict: 1 },
  network: { message: 20, pause: 1, sleep: 0, jump: 0, crash: 1, partition: 4, evict: 0 },
  clocks: { message: 3, pause: 4, sleep: 4, jump: 12, crash: 0, partition: 1, evict: 0 },
  operators: { message: 6, pause: 5, sleep: 1, jump: 0, crash: 4, partition: 2, evict: 12 },
} as const

export function planOf(seed: number): Plan {
  const random = new Random(seed)
  const long = random.chance(0.2)
  const faultsUntilMs = long ? random.between(5000, 12_000) : random.between(600, 1500)
  const ttlMs = random.pick(long ? [300, 500, 1000, 2000, 3000] : [220, 300, 450, 700, 1200])
  const delayMs = random.pick([1, 2, 5, 10])
  const network: Network = {
    delayMs,
    jitterMs: random.pick([1, 5, 20]),
    tailRate: random.pick([0, 0, 0.02, 0.1]),
    tailMs: ttlMs * random.between(0.2, 1.3),
    lossRate: random.pick([0, 0, 0.01, 0.05]),
    doubleRate: random.pick([0, 0, 0.05, 0.3]),
    silentRate: 0.6,
    wakeLossRate: random.pick([0, 0, 0, 0.2, 1]),
    wakeLateRate: random.pick([0, 0, 0.1, 0.5]),
    wakeAstrayRate: random.pick([0, 0, 0.2, 0.6]),
  }
  const names = long && random.chance(0.5) ? ['a', 'b'] : ['a']
  const leaning = random.weighted({ mutex: 5, rw: 3, permits: 2 })
  const processes = Array.from({ length: long ? random.whole(2, 5) : random.whole(2, 3) }, (_, index) =>
    processOf(new Random(seed, 1, index), index + 1, { long, ttlMs, names, leaning, faultsUntilMs }),
  )
  const wide = new Random(seed, 2)
  const weather = WEATHER[wide.weighted({ mixed: 5, network: 2, clocks: 1, operators: 1 })]
  const faults = Array.from({ length: long ? wide.whole(3, 12) : wide.whole(1, 5) }, () =>
    faultOf(wide, weather, processes, names, ttlMs, faultsUntilMs),
  )
  return {
    seed,
    long,
    faultsUntilMs,
    coordinatorDrift: random.pick([-DRIFT, DRIFT]),
    network,
    processes,
    faults: faults.filter((fault) => fault.kind !== 'jump' || !sleeps(faults, fault.process)),
  }
}

export interface Setting {
  readonly long: boolean
  readonly ttlMs: number
  readonly names: readonly string[]
  /** `alone`: there are exclusive locks only. */
  readonly leaning: 'mutex' | 'rw' | 'permits' | 'alone'
  readonly faultsUntilMs: number
}

export function processOf(random: Random, stream: number, setting: Setting): ProcessPlan {
  const { long, ttlMs, faultsUntilMs } = setting
  const tasks = long ? random.whole(6, 14) : random.whole(3, 5)
  return {
    name: `p${stream}`,
    stream,
    startAtMs: random.chance(0.5) ? 0 : random.between(0, faultsUntilMs / 4),
    drift: random.pick([-DRIFT, DRIFT]),
    waitTtlMs: ttlMs * random.pick([0.5, 1, 2]),
    requestTimeoutMs: Math.max(150, ttlMs * random.pick([0.3, 0.6, 1.5])),
    lanes: Array.from({ length: random.chance(0.25) ? 2 : 1 }, () =>
      Array.from({ length: tasks }, () => taskOf(random, setting)),
    ),
    renewsInBulk: random.chance(0.5),
  }
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

const WAKE_FAULTS = ['lose-request', 'late-request', 'again', 'astray'] as const
const CALL_FAULTS = ['lose-request', 'lose-reply', 'late-request', 'late-reply', 'again'] as const
const JOIN_FAULTS = ['late-request', 'late-reply', 'again', 'evict-again'] as const

function faultOf(
  random: Random,
  weather: (typeof WEATHER)[keyof typeof WEATHER],
  processes: readonly ProcessPlan[],
  names: readonly string[],
  ttlMs: number,
  untilMs: number,
): FaultPlan {
  const process = random.pick(processes).name
  const atMs = random.between(0, untilMs)
  switch (random.weighted(weather)) {
    case 'pause':
      return { kind: 'pause', process, atMs, forMs: ttlMs * random.between(0.2, 2) }
    case 'sleep':
      return { kind: 'sleep', process, atMs, forMs: 40 + ttlMs * random.between(0.2, 2) }
    case 'jump':
      return { kind: 'jump', process, atMs, byMs: random.pick([-5000, -60, 30, ttlMs, 2 * ttlMs]) }
    case 'crash':
      return { kind: 'crash', process, atMs, restartAfterMs: random.between(0, ttlMs) }
    case 'partition': {
      const ways = random.pick(['both', 'requests', 'replies'] as const)
      return { kind: 'partition', process, atMs, forMs: ttlMs * random.between(0.3, 1.5), ways }
    }
    case 'evict':
      return { kind: 'evict', name: random.pick(names), atMs }
    case 'message': {
      // Where operators evict, what was sent before comes late, or once more.
      const verb = random.weighted({ join: weather.evict > 5 ? 15 : 3, renew: 5, leave: 3, lighten: 1, wake: 3 })
      const does = random.pick(
        verb === 'wake' ? WAKE_FAULTS : weather.evict > 5 && verb === 'join' ? JOIN_FAULTS : CALL_FAULTS,
      )
      // Late by about a lease: before its end, just behind it, and when the next one holds.
      return { kind: 'message', process, verb, n: random.whole(1, 6), does, ms: ttlMs * random.between(0.3, 1.4) }
    }
  }
}

/** A wall clock that is set back and a sleep in the same second hide each other; that limit is documented, not tested. */
export function sleeps(faults: readonly FaultPlan[], process: string): boolean {
  return faults.some((fault) => fault.kind === 'sleep' && fault.process === process)
}
