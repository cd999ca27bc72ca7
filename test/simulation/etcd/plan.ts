/**
 * What happens in one schedule of etcd: what happens to a single coordinator, and members that are away, die and stand still,
 * leaders that change, and what is compacted.
 *
 * The rare ingredients are frequent here: a leader that changes right behind a keep-alive, one that stands still for just longer
 * than a lease and goes on while others hold, a watch that is lost when it would have to tell.
 */
import { faultOf, networkOf } from '../memory/plan.ts'
import type { EtcdFault, FaultPlan, MessageFault, Network, Plan, ProcessPlan, TaskPlan } from '../plan.ts'
import { DRIFT, isDense, longer, processOf, sleeps } from '../plan.ts'
import { Random } from '../random.ts'

export interface EtcdPlan {
  readonly kind: 'etcd'
  /** The first one leads at first. */
  readonly members: readonly { readonly drift: number }[]
  readonly electionMs: number
  /** How often a leader looks whether a lease is over. */
  readonly checkEveryMs: number
  /** The option of the backend. */
  readonly lease: 'process' | 'entry' | 'observed'
  /** How long its client lets a member take. */
  readonly callMs: number
  /** A connection that is silent is lost in the end. */
  readonly silenceMs: number
  /** What happens right behind messages that say so, one after the other. */
  readonly behind: readonly EtcdFault[]
}

/** Keeps the chance of these plans apart from that of others. */
const FAMILY = 3000

/**
 * `frozen`: leaders that stand still, and little else, so that it shows what comes of that. `cut`: answers that are late, and
 * then nothing gets through.
 */
const WEATHER = {
  kept: { election: 3, freeze: 0, restart: 1, compact: 3, away: 4, slow: 2 },
  elections: { election: 10, freeze: 0, restart: 1, compact: 1, away: 1, slow: 1 },
  frozen: { election: 0, freeze: 1, restart: 0, compact: 0, away: 0, slow: 0 },
  cut: { election: 1, freeze: 0, restart: 0, compact: 1, away: 1, slow: 0 },
  alone: { election: 2, freeze: 1, restart: 2, compact: 2, away: 2, slow: 1 },
} as const

type Weather = keyof typeof WEATHER

/** Beside what happens to the members. */
const OTHERS = { message: 14, pause: 3, sleep: 1, jump: 1, crash: 2, partition: 3, evict: 1 } as const

/** What the backend takes its time for: it looks anew whether a watch has told everything; it opens a lost one again. */
const VERIFIES_MS = 1500
const OPENS_MS = 1000
/** A holder of this age hears of its loss by a watch, which catches up within a moment. */
const WATCHED_MS = 25 + 100

export function etcdPlanOf(seed: number): Plan {
  const random = new Random(seed, FAMILY)
  const weather: Weather = random.weighted({ kept: 5, elections: 4, frozen: 4, cut: 3, alone: 1 })
  const dense = isDense(seed)
  const long = random.chance(0.2) || dense
  const ttlMs = random.pick([700, 1000, 1500, 2000, 3000])
  const faultsUntilMs = ttlMs * (long ? random.between(5, 9) : random.between(2, 4))
  const electionMs = random.pick([100, 200, 500])
  const isQuiet = weather === 'frozen' && random.chance(0.6)
  const network = isQuiet ? quiet(random) : { ...networkOf(random, ttlMs), doubleRate: 0 }
  const names = long && random.chance(0.5) ? ['a', 'b'] : ['a']
  const leaning = random.weighted({ mutex: 5, rw: 4, permits: 2 })
  const processes = Array.from({ length: long ? random.whole(2, 5) : random.whole(2, 3) }, (_, index) => {
    const own = new Random(seed, FAMILY, 1, index)
    const plan = processOf(own, index + 1, { long, dense, ttlMs, names, leaning, faultsUntilMs })
    const waitTtlMs = ttlMs * own.pick([0.2, 0.5, 1, 2])
    const fit = (task: TaskPlan): TaskPlan => {
      const varied = dense ? task : longer(own, resting(own, task))
      // Who comes to hold by what a waiter is kept for needs some of that beside its margin.
      const marginMs = Math.min(task.marginMs, waitTtlMs / 3)
      return { ...(weather === 'cut' ? hasty(own, varied) : varied), marginMs }
    }
    const lanes = plan.lanes.map((lane) => lane.map(fit))
    return { ...plan, lanes, waitTtlMs, requestTimeoutMs: own.pick([3000, 5000]) }
  })
  const wide = new Random(seed, FAMILY, 2)
  const members = Array.from({ length: weather === 'alone' ? 1 : 3 }, () => ({ drift: wide.pick([-DRIFT, DRIFT]) }))
  const member = (): EtcdFault => memberFaultOf(wide, weather, members.length, ttlMs, electionMs, faultsUntilMs)
  const faults = isQuiet
    ? [member()]
    : [
        ...Array.from({ length: long ? wide.whole(2, 8) : wide.whole(1, 4) }, () =>
          onceOnly(faultOf(wide, OTHERS, processes, names, ttlMs, faultsUntilMs)),
        ),
        ...(weather === 'cut' ? processes.flatMap((each) => lateAndCut(wide, each, ttlMs)) : []),
        ...Array.from({ length: long ? wide.whole(1, 4) : wide.whole(0, 2) }, member),
        ...Array.from({ length: long ? wide.whole(1, 4) : wide.whole(0, 2) }, () => behindOf(wide, processes)),
      ]
  const behind = Array.from({ length: 4 }, member)
  const checkEveryMs = wide.pick([1, 50, 500])
  const wayMs = 2 * (network.delayMs + network.jitterMs)
  return {
    seed,
    long,
    faultsUntilMs,
    site: {
      kind: 'etcd',
      members,
      electionMs,
      checkEveryMs,
      lease: wide.weighted({ process: 5, entry: 2, observed: 3 }),
      callMs: wide.pick([200, 500, 1000]),
      silenceMs: ttlMs * wide.between(0.3, 1.5),
      behind,
    },
    allowance: {
      // After a change of leaders, all leases begin anew.
      healMs: 3 * electionMs + OPENS_MS + VERIFIES_MS + 1000,
      turnMs: 1000 + checkEveryMs + electionMs + ttlMs,
      noticeMs: VERIFIES_MS + OPENS_MS,
      leaveWays: 6,
      leaveMs: 100,
      // What stands on a lease is renewed without asking while that lasts for longer, which is told in whole seconds.
      renewedMs: 1000,
      ...(isQuiet ? { goneMs: WATCHED_MS + 4 * wayMs } : {}),
    },
    network,
    processes,
    faults: faults.filter((fault) => fault.kind !== 'jump' || !sleeps(faults, fault.process)),
  }
}

/** A connection delivers nothing twice. It is the client that asks again when an answer is lost. */
function onceOnly(fault: FaultPlan): FaultPlan {
  if (fault.kind !== 'message' || (fault.does !== 'again' && fault.does !== 'astray')) return fault
  return { ...fault, does: 'lose-reply' }
}

/** Nothing is lost, and little is late. */
function quiet(random: Random): Network {
  return {
    delayMs: random.pick([1, 2, 5]),
    jitterMs: random.pick([1, 5]),
    tailRate: 0,
    tailMs: 0,
    lossRate: 0,
    doubleRate: 0,
    silentRate: 0,
    wakeLossRate: 0,
    wakeLateRate: 0,
    wakeAstrayRate: 0,
  }
}

/** Sometimes a lease has hardly any time left when it is needed again. */
function resting(random: Random, task: TaskPlan): TaskPlan {
  if (!random.chance(0.1)) return task
  const leaseMs = Math.ceil((task.ttlMs + task.lockDelayMs) / 1000) * 1000
  return { ...task, gapMs: leaseMs * random.between(0.6, 1.05) }
}

/** Some leave before they have come in. */
function hasty(random: Random, task: TaskPlan): TaskPlan {
  return random.chance(0.2) ? { ...task, abortAfterMs: random.between(0, 10) } : task
}

/**
 * What comes of a late answer shows when no other one comes. And whoever leaves may overtake its own join, which is then sent
 * again, perhaps: it is two messages behind.
 */
function lateAndCut(random: Random, { name: process }: ProcessPlan, ttlMs: number): FaultPlan[] {
  const late = (verb: 'renew' | 'join', n: number, does: MessageFault['does'], ms: number): FaultPlan => {
    return { kind: 'message', process, verb, n, does, ms }
  }
  const n = random.whole(1, 8)
  return [
    late('renew', random.whole(1, 6), 'late-and-cut', ttlMs * random.between(0.2, 0.8)),
    late('join', random.whole(1, 6), 'late-and-cut', ttlMs * random.between(0.2, 0.8)),
    late('join', n, 'late-request', random.between(5, 30)),
    late('join', n + 2, 'late-request', ttlMs * random.between(0.5, 1.5)),
  ]
}

function memberFaultOf(
  random: Random,
  weather: Weather,
  members: number,
  ttlMs: number,
  electionMs: number,
  untilMs: number,
): EtcdFault {
  const atMs = random.between(0, untilMs)
  const forMs = ttlMs * random.between(0.1, 1)
  const node = random.whole(0, members - 1)
  switch (random.weighted(WEATHER[weather])) {
    case 'election': {
      const downMs = random.chance(0.5) ? forMs : 0
      return { kind: 'election', atMs, gapMs: electionMs * random.between(1, 2), downMs }
    }
    case 'freeze': {
      // Most leases are over by then, by the clock of the one that stands still.
      const leaseMs = Math.ceil(ttlMs / 1000) * 1000
      return { kind: 'freeze', atMs: atMs / 3, forMs: leaseMs * random.between(0.9, 1.4) + electionMs }
    }
    case 'restart':
      return { kind: 'restart', atMs, downMs: forMs, keeps: true }
    case 'compact':
      return { kind: 'compact', atMs, resets: random.chance(0.7) }
    case 'away':
      return { kind: 'away', node, atMs, forMs, silent: random.chance(0.5) }
    case 'slow':
      return { kind: 'slow', node, atMs, forMs, byMs: ttlMs * random.between(0.1, 0.6) }
  }
}

/** A message that is carried out and answered, and then it happens. */
function behindOf(random: Random, processes: readonly ProcessPlan[]): FaultPlan & MessageFault {
  const verb = random.weighted({ renew: 6, join: 3, leave: 3 } as const)
  return { kind: 'message', process: random.pick(processes).name, verb, n: random.whole(1, 4), does: 'forget', ms: 0 }
}
