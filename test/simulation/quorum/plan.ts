/**
 * What happens in one schedule of a quorum: exclusive locks over nodes that are away, slow, cut off from some, and forget.
 *
 * The rare ingredients are frequent here: a node that forgets just after it has voted, a join that arrives when all is
 * over, a node that only some can reach, processes that ask at the same moment, and a majority that meets the one before
 * it only in a node that has forgotten.
 */
import type { FaultPlan, NodePlan, NodeVerb, Plan, ProcessPlan } from '../plan.ts'
import { DRIFT, isDense, longer, processOf, sleeps } from '../plan.ts'
import { Random } from '../random.ts'

/** Keeps the chance of these plans apart from that of others. */
const FAMILY = 1000

/** `calm`: nothing goes wrong, so that whatever does not go on is seen. */
const WEATHER = {
  mixed: { message: 12, away: 3, slow: 2, forget: 3, cut: 6, pause: 2, sleep: 1, jump: 1, crash: 2, partition: 1 },
  network: { message: 15, away: 4, slow: 4, forget: 0, cut: 15, pause: 0, sleep: 0, jump: 0, crash: 1, partition: 2 },
  memory: { message: 8, away: 5, slow: 3, forget: 10, cut: 6, pause: 1, sleep: 0, jump: 0, crash: 1, partition: 0 },
  clocks: { message: 5, away: 2, slow: 2, forget: 2, cut: 6, pause: 4, sleep: 4, jump: 8, crash: 0, partition: 1 },
  calm: { message: 1, away: 0, slow: 0, forget: 0, cut: 0, pause: 0, sleep: 0, jump: 0, crash: 0, partition: 0 },
} as const

type Weather = keyof typeof WEATHER

const HOUR_MS = 3_600_000

export function quorumPlanOf(seed: number, count: number): Plan {
  const random = new Random(seed, FAMILY + count)
  const weather: Weather = random.weighted({ mixed: 5, network: 3, memory: 5, clocks: 2, calm: 3 })
  const calm = weather === 'calm'
  const dense = isDense(seed)
  const long = random.chance(0.2) || dense
  const ttlMs = random.pick(long ? [300, 500, 1000] : [220, 300, 450])
  const faultsUntilMs = calm ? 0 : long ? random.between(4000, 8000) : ttlMs * random.between(3, 6)
  const delayMs = random.pick([1, 2, 5])
  const jitterMs = random.pick([1, 5, 15])
  const rate = (...rates: readonly number[]): number => (calm ? 0 : random.pick(rates))
  const network = {
    delayMs,
    jitterMs,
    tailRate: rate(0, 0, 0.02, 0.1),
    tailMs: ttlMs * random.between(0.2, 1.3),
    lossRate: rate(0, 0, 0.01, 0.05),
    doubleRate: rate(0, 0, 0.05, 0.3),
    silentRate: random.pick([0.1, 0.6]),
    wakeLossRate: random.pick([0, 0, 0, 0.2, 1]),
    wakeLateRate: random.pick([0, 0, 0.1, 0.5]),
    wakeAstrayRate: 0,
  }
  const setting = {
    long,
    dense,
    ttlMs,
    names: random.chance(0.3) ? ['a', 'b'] : ['a'],
    leaning: 'alone',
    faultsUntilMs,
  } as const
  const processes = Array.from({ length: random.whole(2, long ? 5 : 4) }, (_, index) => {
    const own = new Random(seed, FAMILY + count, 1, index)
    const plan = processOf(own, index + 1, setting)
    return { ...plan, lanes: plan.lanes.map((lane) => lane.map((task) => longer(own, task))) }
  })
  const leases = processes.flatMap(({ lanes }) => lanes.flat()).map((task) => task.ttlMs + task.lockDelayMs)
  const longestMs = Math.max(...leases)
  const wide = new Random(seed, FAMILY + count, 2)
  const faults = Array.from({ length: calm ? 0 : long ? wide.whole(4, 16) : wide.whole(2, 8) }, () =>
    faultOf(wide, weather, processes, count, ttlMs, faultsUntilMs),
  )
  const nodes = Array.from({ length: count }, () => nodeOf(random))
  if (weather === 'memory') {
    const forgetful = wide.whole(0, count - 1)
    faults.push(...handOver(wide, forgetful, processes, count, ttlMs, longestMs, delayMs + jitterMs))
    // What it counted when its clock was ahead, it does not reach again.
    if (wide.chance(0.7)) nodes[forgetful] = { ...nodes[forgetful]!, wallOffsetsMs: [HOUR_MS, -HOUR_MS, 0] }
  }
  return {
    seed,
    long,
    faultsUntilMs,
    site: {
      kind: 'quorum',
      nodes,
      longestMs,
      nodeTimeoutMs: 4 * (delayMs + jitterMs) + random.pick([5, 30, ttlMs / 4]),
    },
    // A node that was silent is asked again when so much time has passed; where nobody stands in a queue, those who were
    // refused ask again after so long at the latest.
    allowance: { healMs: calm ? 0 : 5000, turnMs: 2000, noticeMs: 0, leaveWays: 4, leaveMs: 0 },
    network,
    processes,
    faults: faults.filter((fault) => fault.kind !== 'jump' || !sleeps(faults, fault.process)),
  }
}

/** Clocks that are off by hours show who relies on them, and those that are off by little show who counts. */
function nodeOf(random: Random): NodePlan {
  const offset = (): number =>
    random.pick([0, random.between(-5, 5), random.between(-2000, 2000), random.between(-3, 3) * HOUR_MS])
  return { drift: random.pick([-DRIFT, DRIFT]), wallOffsetsMs: [offset(), offset(), offset()] }
}

const VERBS: Readonly<Record<NodeVerb | 'join' | 'renew' | 'leave' | 'wake', number>> = {
  join: 8,
  confirm: 6,
  renew: 4,
  leave: 4,
  wake: 1,
  seed: 2,
  recall: 2,
  admit: 2,
}
const CALL_FAULTS = [
  'lose-request',
  'lose-reply',
  'late-request',
  'late-request',
  'late-reply',
  'again',
  'forget',
] as const
const WAKE_FAULTS = ['lose-request', 'late-request'] as const

function faultOf(
  random: Random,
  weather: Weather,
  processes: readonly ProcessPlan[],
  count: number,
  ttlMs: number,
  untilMs: number,
): FaultPlan {
  const process = random.pick(processes).name
  const nodes = shuffled(random, count)
  const node = nodes[0]!
  const atMs = random.between(0, untilMs)
  const forMs = ttlMs * random.between(0.2, 2)
  switch (random.weighted(WEATHER[weather])) {
    case 'pause':
      return { kind: 'pause', process, atMs, forMs }
    case 'sleep':
      return { kind: 'sleep', process, atMs, forMs: 40 + forMs }
    case 'jump':
      return { kind: 'jump', process, atMs, byMs: random.pick([-5000, -60, 30, ttlMs, 2 * ttlMs]) }
    case 'crash':
      return { kind: 'crash', process, atMs, restartAfterMs: random.between(0, ttlMs) }
    case 'partition':
      return { kind: 'partition', process, atMs, forMs, ways: random.pick(['both', 'requests', 'replies']) }
    case 'cut':
      return {
        kind: 'partition',
        process,
        nodes: nodes.slice(0, random.whole(1, count - 1)),
        atMs,
        forMs: 2 * forMs,
        ways: random.pick(['both', 'both', 'requests', 'replies']),
      }
    case 'away':
      return { kind: 'away', node, atMs, forMs, silent: random.chance(0.5) }
    case 'slow':
      return { kind: 'slow', node, atMs, forMs, byMs: ttlMs * random.between(0.1, 1.2) }
    case 'forget':
      return { kind: 'forget', node, atMs }
    case 'message': {
      const verb = random.weighted(VERBS)
      const does = random.pick(verb === 'wake' ? WAKE_FAULTS : CALL_FAULTS)
      return {
        kind: 'message',
        process,
        node,
        verb,
        n: random.whole(1, 5),
        does,
        ms: ttlMs * random.between(0.05, 1.4),
      }
    }
  }
}

/**
 * What is granted while one minority is away is known to few; one of them forgets, perhaps in the middle of that; and when
 * it has been taken back, another minority is away, so that the next majority meets the first one in that node alone.
 */
function handOver(
  random: Random,
  node: number,
  processes: readonly ProcessPlan[],
  count: number,
  ttlMs: number,
  longestMs: number,
  wayMs: number,
): FaultPlan[] {
  const others = shuffled(random, count).filter((each) => each !== node)
  const few = Math.floor((count - 1) / 2)
  const process = random.pick(processes).name
  const away = (each: number, atMs: number, forMs: number): FaultPlan => {
    return { kind: 'away', node: each, atMs, forMs, silent: false }
  }
  const n = random.whole(1, 2)
  const ms = random.between(5, 60)
  // Whoever holds cannot tell the one that forgot, and is not over yet when the others have come back.
  const silent = random.chance(0.4)
  const secondMs = longestMs * (silent ? random.between(0.4, 0.9) : random.between(0.8, 1.6))
  // Often there is just time to take the node back, and hardly any for a grant.
  const firstMs = random.chance(0.7) ? secondMs - wayMs * random.between(2, 10) : longestMs * random.between(0.3, 1)
  return [
    ...others.slice(0, few).map((each) => away(each, 0, firstMs)),
    random.chance(0.5)
      ? { kind: 'message', process, node, verb: 'join', n, does: 'forget', ms: 0 }
      : { kind: 'forget', node, atMs: random.between(5, longestMs * 0.5) },
    ...others.slice(few).map((each): FaultPlan => ({
      kind: 'message',
      process,
      node: each,
      verb: 'confirm',
      n,
      does: 'late-request',
      ms,
    })),
    ...(silent ? [silenced(process, random.between(4 * wayMs, ttlMs / 2), longestMs)] : []),
    ...others.slice(-few).map((each) => away(each, secondMs, ttlMs * random.between(1, 4))),
  ]
}

function silenced(process: string, atMs: number, forMs: number): FaultPlan {
  return { kind: 'partition', process, atMs, forMs, ways: 'both' }
}

/** The numbers from 0 to below `count`, in any order. */
function shuffled(random: Random, count: number): number[] {
  const left = Array.from({ length: count }, (_, index) => index)
  return Array.from({ length: count }, () => left.splice(random.whole(0, left.length - 1), 1)[0]!)
}
