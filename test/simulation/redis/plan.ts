/**
 * What happens in one schedule of Redis: what happens to a single coordinator, and servers that fail over, restart, are
 * flushed, and whose clocks are off.
 *
 * The rare ingredients are frequent here: a failover right behind a grant, a renewal or a release that the replica has not
 * heard of; an old primary that goes on for some; a replica that is cut off just before; a second failover back again.
 */
import { faultOf, networkOf } from '../memory/plan.ts'
import type { FaultPlan, MessageFault, Plan, ProcessPlan, RedisFault, TaskPlan } from '../plan.ts'
import { DRIFT, isDense, longer, processOf, sleeps } from '../plan.ts'
import { Random } from '../random.ts'

export interface RedisPlan {
  readonly kind: 'redis'
  /** The first one is the primary, until it is replaced. */
  readonly servers: readonly ServerPlan[]
  /** The options of the backend. */
  readonly replicas: number
  readonly replicaTimeoutMs: number
  /** What a replica hears comes so much later, more or less. */
  readonly lagMs: number
  /** How long it takes to copy everything from another primary. */
  readonly resyncMs: number
  /** A connection that is silent is lost in the end. */
  readonly silenceMs: number
  /** What happens right behind messages that say so, one after the other. */
  readonly behind: readonly RedisFault[]
}

export interface ServerPlan {
  readonly drift: number
  /** How far its wall clock is off. */
  readonly offsetMs: number
}

/** Keeps the chance of these plans apart from that of others. */
const FAMILY = 2000

/** `replicated`: all replicas must have what counts; `some`: one of two. `kept`: nothing is lost. */
const WEATHER = {
  kept: { failover: 0, restart: 4, flush: 0, ahead: 0, back: 3, stall: 2, away: 3, slow: 2 },
  failover: { failover: 12, restart: 1, flush: 0, ahead: 0, back: 0, stall: 3, away: 1, slow: 1 },
  replicated: { failover: 12, restart: 1, flush: 0, ahead: 0, back: 1, stall: 4, away: 1, slow: 1 },
  some: { failover: 12, restart: 0, flush: 0, ahead: 0, back: 0, stall: 6, away: 0, slow: 0 },
  memory: { failover: 0, restart: 6, flush: 6, ahead: 0, back: 0, stall: 0, away: 1, slow: 1 },
  clocks: { failover: 3, restart: 2, flush: 1, ahead: 6, back: 6, stall: 0, away: 0, slow: 0 },
} as const

type Weather = keyof typeof WEATHER

/** Beside what happens to the servers. */
const OTHERS = { message: 14, pause: 3, sleep: 1, jump: 1, crash: 2, partition: 3, evict: 1 } as const

export function redisPlanOf(seed: number): Plan {
  const random = new Random(seed, FAMILY)
  const weather: Weather = random.weighted({ kept: 4, failover: 5, replicated: 5, some: 1, memory: 3, clocks: 2 })
  const dense = isDense(seed)
  const long = random.chance(0.2) || dense
  const ttlMs = random.pick(long ? [300, 500, 1000, 2000] : [220, 300, 450, 700, 1200])
  const faultsUntilMs = long ? random.between(4000, 9000) : random.between(600, 1500)
  const network = networkOf(random, ttlMs)
  const names = long && random.chance(0.5) ? ['a', 'b'] : ['a']
  const leaning = random.weighted({ mutex: 6, rw: 2, permits: 2 })
  const { failover: failsOver } = WEATHER[weather]
  const setting = { long, dense, ttlMs, names, leaning, faultsUntilMs }
  const processes = Array.from({ length: long ? random.whole(2, 5) : random.whole(2, 3) }, (_, index) => {
    const own = new Random(seed, FAMILY, 1, index)
    const plan = processOf(own, index + 1, setting)
    const hold = (task: TaskPlan): TaskPlan => (failsOver > 0 && !dense ? longer(own, task) : task)
    return { ...plan, lanes: plan.lanes.map((lane) => lane.map(hold)) }
  })
  const wide = new Random(seed, FAMILY, 2)
  const servers = serversOf(wide, weather, ttlMs)
  const server = (): RedisFault => serverFaultOf(wide, weather, processes, servers.length, ttlMs, faultsUntilMs)
  const faults = [
    ...Array.from({ length: long ? wide.whole(2, 8) : wide.whole(0, 3) }, () =>
      faultOf(wide, OTHERS, processes, names, ttlMs, faultsUntilMs),
    ),
    ...Array.from({ length: long ? wide.whole(1, 5) : wide.whole(0, 2) }, server),
    ...Array.from({ length: long ? wide.whole(1, 4) : wide.whole(failsOver > 0 ? 1 : 0, 2) }, () =>
      behindOf(wide, processes),
    ),
    ...(servers.length > 2 && failsOver > 0 ? overtaken(wide, servers.length, ttlMs, faultsUntilMs) : []),
  ]
  const behind = Array.from({ length: 4 }, server)
  const replicas = weather === 'replicated' ? servers.length - 1 : weather === 'some' ? 1 : 0
  const lagMs = wide.pick([0.5, 3, 15])
  const replicaTimeoutMs = Math.ceil(wide.pick([20, 60, ttlMs / 2]))
  const resyncMs = wide.pick([5, 40])
  const silenceMs = ttlMs * wide.between(0.3, 1.5)
  const clocksMs = [...faults, ...behind].reduce(
    (sum, each) => sum + (each.kind === 'clock' ? Math.abs(each.byMs) : 0),
    0,
  )
  return {
    seed,
    long,
    faultsUntilMs,
    site: {
      kind: 'redis',
      servers,
      replicas,
      replicaTimeoutMs,
      lagMs,
      resyncMs,
      silenceMs,
      behind,
    },
    allowance: {
      // With replicas, whoever joins next waits until the last WAIT is answered, or its connection is known to be lost.
      healMs: resyncMs + 100 + (weather === 'clocks' ? 4 * ttlMs : 0) + clocksMs + (replicas > 0 ? silenceMs : 0),
      turnMs: SUBSCRIBED_MS,
      noticeMs: replicas > 0 ? replicaTimeoutMs + 4 * lagMs : 0,
      leaveWays: replicas > 0 ? 4 : 2,
      leaveMs: replicas > 0 ? 2 * lagMs : 0,
    },
    network,
    processes,
    faults: faults.filter((fault) => fault.kind !== 'jump' || !sleeps(faults, fault.process)),
  }
}

/** A subscription that is not confirmed is waited for as long as this. */
const SUBSCRIBED_MS = 1000

/** Their clocks agree within a millisecond, or are off by so much that it shows. */
function serversOf(random: Random, weather: Weather, ttlMs: number): ServerPlan[] {
  const count = weather === 'some' ? 3 : random.whole(2, 3)
  const offset = (): number =>
    weather === 'clocks' ? random.pick([0, ttlMs, -ttlMs, random.between(-2, 2) * ttlMs]) : random.between(-0.4, 0.4)
  return Array.from({ length: count }, () => ({ drift: random.pick([-DRIFT, DRIFT]), offsetMs: offset() }))
}

function serverFaultOf(
  random: Random,
  weather: Weather,
  processes: readonly ProcessPlan[],
  servers: number,
  ttlMs: number,
  untilMs: number,
): RedisFault {
  const atMs = random.between(0, untilMs)
  const forMs = ttlMs * random.between(0.1, 1)
  const server = random.whole(0, servers - 1)
  // Often so short that whoever held is still in the middle of it.
  const downMs = random.chance(0.6) ? random.between(2, 30) : forMs
  const what = random.weighted(WEATHER[weather])
  switch (what) {
    case 'failover': {
      const stay = random.chance(0.4) ? [random.pick(processes).name] : []
      return { kind: 'failover', atMs, to: server, downMs, oldMs: ttlMs * random.between(0.1, 1.5), stay }
    }
    case 'restart':
      return { kind: 'restart', atMs, downMs, keeps: weather !== 'memory' && weather !== 'clocks' }
    case 'flush':
      return { kind: 'flush', atMs }
    case 'ahead':
      return { kind: 'clock', server, atMs, byMs: ttlMs * random.between(0.3, 2) }
    case 'back':
      return { kind: 'clock', server: 0, atMs, byMs: -ttlMs * random.between(0.3, 2) }
    case 'stall':
      return { kind: 'stall', server, atMs, forMs }
    case 'away':
      return { kind: 'away', node: 0, atMs, forMs, silent: random.chance(0.5) }
    case 'slow':
      return { kind: 'slow', node: 0, atMs, forMs, byMs: ttlMs * random.between(0.1, 1.2) }
  }
}

/** A replica hears nothing for a while, and takes over. */
function overtaken(random: Random, servers: number, ttlMs: number, untilMs: number): RedisFault[] {
  const server = random.whole(0, servers - 1)
  const atMs = random.between(0, untilMs)
  const afterMs = ttlMs * random.between(0.1, 0.8)
  return [
    { kind: 'stall', server, atMs, forMs: 2 * ttlMs },
    { kind: 'failover', atMs: atMs + afterMs, to: server, downMs: random.between(2, 30), oldMs: ttlMs, stay: [] },
  ]
}

/** A message that is carried out and answered, and then it happens. */
function behindOf(random: Random, processes: readonly ProcessPlan[]): FaultPlan & MessageFault {
  const verb = random.weighted({ join: 6, renew: 3, leave: 2 } as const)
  return { kind: 'message', process: random.pick(processes).name, verb, n: random.whole(1, 4), does: 'forget', ms: 0 }
}
