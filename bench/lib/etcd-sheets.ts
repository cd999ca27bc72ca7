/**
 * The workloads on etcd. On one member and, where an id ends in `-3`, on three: what has no such end is one member's.
 *
 * Calls, messages, processor and memory of the servers are those that their `/metrics` tell.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Etcd } from '../../test/kit/etcd.ts'
import type { StreamEvents } from '../../src/backends/etcd/channel.ts'
import { EtcdClient } from '../../src/backends/etcd/client.ts'
import type { WatchResponse } from '../../src/backends/etcd/messages.ts'
import { EVENT, WATCH } from '../../src/backends/etcd/messages.ts'
import type { Counted } from './etcd.ts'
import { GO_MUTEX, counted, leads } from './etcd.ts'
import { beside, value } from './goals.ts'
import { median, quantile, sum } from './numbers.ts'
import type { Worker } from './processes.ts'
import { now } from './processes.ts'
import type { Run, Usage } from './queue.ts'
import { KEPT_TTL_MS, KILLED_TTL_MS, cpuOf, drained, handOver, rounds } from './queue.ts'
import type { Setup } from './setup.ts'
import { withWorkers } from './setup.ts'
import type { Goal, Plan, Sample, Sheet } from './sheet.ts'
import type { Measure } from './speed.ts'
import { BURST, CONTENDED, PAIRS, alone, p50, perOperation, speed, together } from './speed.ts'

/** etcd takes up to 0.1 s until a watch of what was before hears at once. */
const WATCHED_MS = 250
const WARM_MS = 2000

type Members = 1 | 3
const OF_ONE_AND_THREE: readonly Members[] = [1, 3]

const PEERS = ['etcd3', GO_MUTEX]
const LOCKS = ['etcd:', ...PEERS]
const ALL = [...LOCKS, 'bare transaction']

const SERVERS = [
  { key: 'requests', title: 'calls/pair' },
  { key: 'serverCpu', title: 'CPU µs of etcd' },
]

const ALONE: readonly Goal[] = [
  // The lease of the process is granted once.
  value('etcd:', 'requests', 'calls a pair, at most 2', { most: 2.01 }),
  beside('etcd:', 'etcd3', 'p50', 'p50', { most: 0.55 }),
  beside('etcd:', 'bare transaction', 'rate', 'the rate', { least: 0.85 }),
]

const MANY: readonly Goal[] = [
  beside('etcd:', GO_MUTEX, 'rate', 'the rate', { least: 1.4 }, ' (1.2 is the floor)'),
  beside('etcd:', 'etcd3', 'rate', 'the rate', { least: 8 }),
]

const HANDED_OVER: readonly Goal[] = [
  value('etcd:', 'requests', 'calls a hand-over, at most 3', { most: 3 }),
  beside('etcd:', GO_MUTEX, 'rate', 'the rate', { least: 0.83 }, ': level'),
]

/** The same plan on one member and on three. */
function onOneAndThree(own: Omit<Plan, 'group' | 'title'>, what: string, measure: Measure): Run[] {
  return OF_ONE_AND_THREE.map((members) => {
    const plan: Plan = {
      ...own,
      id: idOn(own.id, members),
      group: 'etcd',
      title: `etcd ${own.id}${where(members)}: ${what}`,
    }
    return [plan, (setup) => speed({ ...setup, members }, plan, measure)]
  })
}

const idOn = (id: string, members: Members): string => (members === 1 ? id : `${id}-${members}`)
const where = (members: Members): string => (members === 1 ? '' : ', three members')

function handOvers(count: number): Run[] {
  const goals = [...HANDED_OVER, beside('etcd:', GO_MUTEX, 'handOver', 'p50', { most: 1.2 })]
  return OF_ONE_AND_THREE.map((members) => {
    const own = { id: idOn(`N${count}`, members), group: 'etcd', contestants: LOCKS, goals } as const
    const [plan, run] = handOver(count, own, { where: where(members), idleMs: WATCHED_MS, warmMs: WARM_MS })
    return [plan, (setup) => run({ ...setup, members })]
  })
}

// W4: many who wait for one name.

/** Every process has as many waiters. */
function crowd(id: string, processes: number, each: number, members: Members): Run {
  const count = processes * each
  const who = each === 1 ? 'one waiter' : `${each} waiters`
  const plan: Plan = {
    id: idOn(id, members),
    group: 'etcd',
    title: `etcd ${id}${where(members)}: ${processes} processes × ${who} on one name that another one holds; then it lets go`,
    contestants: ['etcd:', GO_MUTEX],
    columns: [
      { key: 'idleCalls', title: 'calls/s while they wait' },
      { key: 'idleCpu', title: 'CPU % of etcd' },
      { key: 'clientCpu', title: 'CPU % of the waiters' },
      { key: 'rss', title: 'MB of etcd' },
      { key: 'clientRss', title: 'MB of the waiters' },
      { key: 'stood', title: 'calls to stand in line' },
      { key: 'requests', title: 'calls/hand-over' },
      { key: 'told', title: 'watch messages/hand-over' },
      { key: 'cpu', title: 'CPU µs of etcd/hand-over' },
      { key: 'peakRss', title: 'MB of etcd, served' },
      { key: 'all', title: 'all served, ms' },
      { key: 'served', title: 'served, %' },
    ],
    goals: [
      value('etcd:', 'served', 'served, all', { least: 100, unit: ' %' }),
      value('etcd:', 'requests', 'calls a hand-over, at most 3 with that of standing in line: no herd', { most: 2 }),
    ],
  }
  return [
    plan,
    (setup) =>
      rounds(plan, setup, Math.min(3, setup.repetitions), (name) =>
        crowded({ ...setup, members }, name, processes, count),
      ),
  ]
}

function crowded(setup: Setup, name: string, processes: number, count: number): Promise<Sample> {
  return withWorkers(setup, name, processes + 1, async ([holder, ...waiters], _, place) => {
    const usages = (): Promise<Usage[]> => Promise.all(waiters.map((worker) => worker.ask<Usage>('usage')))
    const servers = (): Promise<Counted> => counted(place.endpoints)
    const watchMs = setup.quick ? 2000 : 4000
    let idle: Sample = {}
    let full: Counted | undefined
    // Once before, so that code is warm.
    await drained(place, holder!, waiters, count, 1000)
    const empty = await servers()
    const drain = await drained(place, holder!, waiters, count, async () => {
      await sleep(2000)
      const [before, own] = [await servers(), await usages()]
      await sleep(watchMs)
      const after = await usages()
      full = await servers()
      const cpuUs = sum(after.map((usage, index) => cpuOf(usage) - cpuOf(own[index]!)))
      idle = {
        stood: (before.calls - empty.calls) / count,
        idleCalls: ((full.calls - before.calls) / watchMs) * 1e3,
        idleCpu: (full.cpu - before.cpu) / 10 / watchMs,
        clientCpu: cpuUs / 10 / watchMs,
        rss: full.rss / 1e6,
        clientRss: sum(after.map(({ rss }) => rss)) / 1e6,
      }
    })
    const end = await servers()
    const perHandOver = (key: 'calls' | 'told' | 'cpu'): number => (end[key] - full![key]) / drain.served
    return {
      ...idle,
      requests: perHandOver('calls'),
      told: perHandOver('told'),
      cpu: perHandOver('cpu'),
      peakRss: end.rss / 1e6,
      all: drain.served === count ? drain.tookMs : Infinity,
      served: (drain.served / count) * 100,
    }
  })
}

// W5: many names that are kept.

/** etcd3 has a lease and a stream for each. */
const KEPT: Readonly<Record<string, number>> = { 'etcd:': 10_000, etcd3: 1000 }

const W5 = (members: Members): Plan => ({
  id: idOn('W5', members),
  group: 'etcd',
  title: `etcd W5${where(members)}: 10,000 names (etcd3: 1,000) held for 10 s, ttl 5 s, renewed by themselves`,
  contestants: Object.keys(KEPT),
  columns: [
    { key: 'names', title: 'names' },
    { key: 'acquired', title: 'all acquired, ms' },
    { key: 'cpu', title: 'client CPU µs a renewal' },
    { key: 'clientCpu', title: 'client CPU %' },
    { key: 'serverCpu', title: 'CPU % of etcd' },
    { key: 'rss', title: 'MB of etcd' },
    { key: 'keepAlives', title: 'keep-alive messages/s' },
    { key: 'anInterval', title: 'messages an interval' },
    { key: 'bytes', title: 'heap bytes a lease' },
    { key: 'lag', title: 'longest turn of the event loop, ms' },
  ],
  goals: [
    // Where an interval begins or ends within the time that is watched, it may be one more or less.
    value('etcd:', 'anInterval', 'keep-alive messages of the process an interval: 1', { most: 1.2 }),
  ],
})

function keepers(plan: Plan, setup: Setup, members: Members): Promise<Sheet> {
  return rounds(plan, setup, Math.min(3, setup.repetitions), (name) =>
    withWorkers({ ...setup, members }, name, 1, async ([worker], _, { endpoints }) => {
      const names = KEPT[name]!
      const start = now()
      const bytes = await worker!.ask<number>('keep', { count: names, ttlMs: KEPT_TTL_MS })
      const acquired = (now() - start) / 1e6
      // Until each has been renewed once.
      await sleep(KEPT_TTL_MS)
      await worker!.ask('look')
      const [before, own] = [await counted(endpoints), await worker!.ask<Usage>('usage')]
      const watchMs = 10_000
      await sleep(watchMs)
      const [after, ownAfter] = [await counted(endpoints), await worker!.ask<Usage>('usage')]
      const keepAlives = after.keepAlives - before.keepAlives
      const renewals = name === 'etcd:' ? ownAfter.renewals - own.renewals : keepAlives
      const cpuUs = cpuOf(ownAfter) - cpuOf(own)
      return {
        names,
        acquired,
        cpu: cpuUs / renewals,
        clientCpu: cpuUs / 10 / watchMs,
        serverCpu: (after.cpu - before.cpu) / 10 / watchMs,
        rss: after.rss / 1e6,
        keepAlives: keepAlives / (watchMs / 1e3),
        anInterval: keepAlives / (renewals / names),
        bytes,
        lag: await worker!.ask<number>('lag'),
      }
    }),
  )
}

// W7: a holder is killed.

const DEATH = {
  group: 'etcd',
  contestants: LOCKS,
  columns: [
    { key: 'p50', title: 'p50 ms from the end of the lease' },
    { key: 'max', title: 'max ms' },
    { key: 'late', title: 'p50 ms from the last keep-alive + ttl' },
    { key: 'latest', title: 'max ms' },
    { key: 'count', title: 'n' },
  ],
  goals: [
    value('etcd:', 'max', 'from the end of the lease to the next grant, the longest, at most 1000 ms', {
      most: 1000,
      unit: ' ms',
    }),
  ],
} satisfies Partial<Plan>

const W7: Plan = { ...DEATH, id: 'W7', title: 'etcd W7: a holder is killed; ttl 3 s' }
const W7_LEADER: Plan = {
  ...DEATH,
  id: 'W7-3',
  title: 'etcd W7, three members: a holder is killed, and 0.3 s later the leader of etcd; ttl 3 s',
}

function deaths(plan: Plan, setup: Setup, members: Members): Promise<Sheet> {
  return rounds(plan, setup, 1, (name) =>
    withWorkers({ ...setup, members }, name, 1, async ([waiter], _, __, etcd) => {
      const seen: Succession[] = []
      const count = setup.quick ? 3 : 9
      for (let round = 0; round < count; round += 1) {
        seen.push(await succession(waiter!, etcd!, members === 3))
        setup.progress(`etcd ${plan.id}: ${name}, ${round + 1} of ${count}`)
      }
      const fromEnd = seen.map(({ fromEndMs }) => fromEndMs)
      const late = seen.map(({ lateMs }) => lateMs)
      return { p50: median(fromEnd), max: quantile(fromEnd, 1), late: median(late), latest: quantile(late, 1), count }
    }),
  )
}

interface Succession {
  /** From when the servers told of the end of the lease to the grant. */
  readonly fromEndMs: number
  /** To the grant from when the lease would have ended by its last keep-alive. */
  readonly lateMs: number
}

async function succession(waiter: Worker, etcd: Etcd, killLeader: boolean): Promise<Succession> {
  const leading = await Promise.all(etcd.members.map(({ endpoint }) => leads(endpoint)))
  const leader = etcd.members[leading.indexOf(true)]!
  const watched = killLeader ? etcd.members.find((member) => member !== leader)! : leader
  const victim = await waiter.another()
  await victim.ask('keepCrowd', { ttlMs: KILLED_TTL_MS })
  const granted = waiter.ask<number>('hold')
  await sleep(500 + Math.random() * 1000)
  const end = await endOfCrowd(watched.endpoint)
  const renewedAt = victim.program === 'worker.ts' ? await victim.ask<number>('renewedAt') : Number.NaN
  victim.child.kill('SIGKILL')
  await victim.exited
  if (killLeader) {
    await sleep(300)
    await leader.kill()
  }
  const grantedAt = await granted
  const endedAt = await end.at
  end.close()
  await waiter.ask('drop')
  if (killLeader) {
    leader.launch()
    await etcd.stands()
  }
  return {
    fromEndMs: (grantedAt - endedAt) / 1e6,
    lateMs: (grantedAt - renewedAt) / 1e6 - KILLED_TTL_MS,
  }
}

/** When the next key of that name is deleted. It is watched for when this resolves. */
async function endOfCrowd(endpoint: string): Promise<{ readonly at: Promise<number>; readonly close: () => void }> {
  const client = new EtcdClient({ endpoints: [endpoint] })
  const everything = Buffer.from([0])
  let at: Promise<number> | undefined
  await new Promise<void>((stands, fails) => {
    at = new Promise((resolve, reject) => {
      const events: StreamEvents<WatchResponse> = {
        message({ created, events }) {
          if (created) stands()
          if (events.some(({ type, kv }) => type === EVENT.delete && kv!.key.includes('crowd'))) resolve(now())
        },
        ended: reject,
      }
      client
        .stream(WATCH, events)
        .then((stream) => stream.send({ create: { key: everything, rangeEnd: everything } }))
        .catch(fails)
    })
  })
  return { at: at!, close: () => client.close() }
}

export const ETCD: readonly Run[] = [
  ...onOneAndThree(
    { id: 'W1', contestants: ALL, columns: [...PAIRS, ...SERVERS], cost: p50, goals: ALONE },
    'one pair after the other',
    // A pair takes a millisecond: it takes longer until the compiler has seen enough of them, and to make a thousand.
    alone('pairs', { warmMs: 4000, ms: 3000 }),
  ),
  ...onOneAndThree(
    { id: 'W2', contestants: ALL, columns: [...BURST, ...SERVERS], cost: perOperation, goals: MANY },
    '64 names at once',
    alone('burst'),
  ),
  ...onOneAndThree(
    { id: 'W2T', contestants: ALL, columns: [...BURST, ...SERVERS], cost: perOperation, goals: MANY },
    '64 tasks, each on a name of its own, pair after pair',
    alone('ownNames'),
  ),
  ...onOneAndThree(
    {
      id: 'W3T',
      contestants: LOCKS,
      columns: [...CONTENDED, { key: 'requests', title: 'calls/acquisition' }],
      cost: perOperation,
      goals: HANDED_OVER,
    },
    '2 processes × 8 tasks, one name, held for 0 or 1 ms, asked for again after 5 to 15 ms',
    together(true, true, 2, 8),
  ),
  ...[2, 10, 100].flatMap(handOvers),
  ...OF_ONE_AND_THREE.map((members) => crowd('W4', 2, 500, members)),
  ...OF_ONE_AND_THREE.map((members) => crowd('W4P', 40, 1, members)),
  ...OF_ONE_AND_THREE.map((members): Run => {
    const plan = W5(members)
    return [plan, (setup) => keepers(plan, setup, members)]
  }),
  [W7, (setup) => deaths(W7, setup, 1)],
  [W7_LEADER, (setup) => deaths(W7_LEADER, setup, 3)],
]
