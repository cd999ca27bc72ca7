/** What happens in one schedule of a single coordinator, drawn from its seed. */
import type { FaultPlan, Network, Plan, ProcessPlan } from '../plan.ts'
import { DRIFT, isDense, processOf, sleeps } from '../plan.ts'
import { Random } from '../random.ts'

type Weather = Readonly<Record<'message' | 'pause' | 'sleep' | 'jump' | 'crash' | 'partition' | 'evict', number>>

/** What goes wrong most: a bit of everything, or much of one thing, so that what takes two of a kind comes up, too. */
const WEATHER = {
  mixed: { message: 12, pause: 3, sleep: 2, jump: 1, crash: 3, partition: 3, evict: 1 },
  network: { message: 20, pause: 1, sleep: 0, jump: 0, crash: 1, partition: 4, evict: 0 },
  clocks: { message: 3, pause: 4, sleep: 4, jump: 12, crash: 0, partition: 1, evict: 0 },
  operators: { message: 6, pause: 5, sleep: 1, jump: 0, crash: 4, partition: 2, evict: 12 },
} as const

export function memoryPlanOf(seed: number): Plan {
  const random = new Random(seed)
  const dense = isDense(seed)
  const long = random.chance(0.2) || dense
  const faultsUntilMs = long ? random.between(5000, 12_000) : random.between(600, 1500)
  const ttlMs = random.pick(long ? [300, 500, 1000, 2000, 3000] : [220, 300, 450, 700, 1200])
  const network = networkOf(random, ttlMs)
  const names = long && random.chance(0.5) ? ['a', 'b'] : ['a']
  const leaning = random.weighted({ mutex: 5, rw: 3, permits: 2 })
  const processes = Array.from({ length: long ? random.whole(2, 5) : random.whole(2, 3) }, (_, index) =>
    processOf(new Random(seed, 1, index), index + 1, { long, dense, ttlMs, names, leaning, faultsUntilMs }),
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
    site: { kind: 'memory', drift: random.pick([-DRIFT, DRIFT]) },
    allowance: { healMs: 0, turnMs: 0, noticeMs: 0, leaveWays: 2, leaveMs: 0 },
    network,
    processes,
    faults: faults.filter((fault) => fault.kind !== 'jump' || !sleeps(faults, fault.process)),
  }
}

export function networkOf(random: Random, ttlMs: number): Network {
  return {
    delayMs: random.pick([1, 2, 5, 10]),
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
}

const WAKE_FAULTS = ['lose-request', 'late-request', 'again', 'astray'] as const
const CALL_FAULTS = ['lose-request', 'lose-reply', 'late-request', 'late-reply', 'again'] as const
const JOIN_FAULTS = ['late-request', 'late-reply', 'again', 'evict-again'] as const

/** What befalls messages and processes. */
export function faultOf(
  random: Random,
  weather: Weather,
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
