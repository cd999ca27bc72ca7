/**
 * One name on a server and many who wait for it: how it is handed over, what waiting costs (W4), and how soon a dead
 * holder has a successor (W7). Many names that are kept (W5).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { value } from './goals.ts'
import { median, quantile, sum } from './numbers.ts'
import type { Place } from './contestant.ts'
import { counted } from './etcd.ts'
import type { Worker } from './processes.ts'
import { TUNED_PEERS, UNTUNED_PEERS } from './redis.ts'
import type { Setup } from './setup.ts'
import { withWorkers } from './setup.ts'
import type { Plan, Sample } from './sheet.ts'
import { Sheet } from './sheet.ts'
import { HANDED_OVER } from './speed.ts'

/** Whoever is not served by then is not waited for. */
const CAP_MS = 10_000
const WARM_WAITERS = 100
/** So long queues are made to empty, one after the other. */
const SPENT_MS = 6000
export const KEPT_TTL_MS = 5000
export const KILLED_TTL_MS = 3000

const WAITERS = ['redis:', 'redis: node-redis', ...new Set([...TUNED_PEERS, ...UNTUNED_PEERS])]
const KEEPERS = ['redis:', 'redlock 5', 'redis-semaphore', 'redlock-universal']

interface Stood {
  readonly asked: number
  readonly granted: number
  readonly left: number
}

export interface Usage {
  readonly cpu: NodeJS.CpuUsage
  readonly rss: number
  readonly requests: number
  readonly keys: number
  readonly renewals: number
}

export type Run = readonly [Plan, (setup: Setup) => Promise<Sheet>]

interface Pace {
  /** How long all stand in line before it moves. */
  readonly idleMs: number
  /** So long, larger queues are emptied first, so that code is warm. */
  readonly warmMs: number
}

/** A queue of `count` waiters, half of them in each of two processes, empties. */
export function handOver(
  count: number,
  own: Pick<Plan, 'id' | 'group' | 'contestants' | 'goals'>,
  { where = '', ...pace }: { readonly where?: string } & Partial<Pace> = {},
): Run {
  const plan: Plan = {
    ...own,
    title: `${own.group} hand-over${where}: ${count} waiters in two processes, each lets go as soon as it holds`,
    columns: [
      { key: 'rate', title: 'hand-overs/s' },
      { key: 'handOver', title: 'hand-over p50 µs' },
      { key: 'requests', title: 'requests/hand-over' },
      { key: 'disorder', title: 'out of order, of a process' },
      { key: 'served', title: 'served within 10 s, %' },
    ],
    cost: ({ rate }) => 1 / rate!,
  }
  return [plan, (setup) => rounds(plan, setup, setup.repetitions, (name) => drains(setup, name, count, pace))]
}

export async function rounds(
  plan: Plan,
  setup: Setup,
  count: number,
  measure: (name: string) => Promise<Sample>,
): Promise<Sheet> {
  const sheet = new Sheet(plan)
  await sheet.rounds(count, setup.progress, measure)
  return sheet
}

function drains(
  setup: Setup,
  name: string,
  count: number,
  { idleMs = 100 + count / 2, warmMs = 0 }: Partial<Pace>,
): Promise<Sample> {
  return withWorkers(setup, name, 3, async ([holder, ...waiters], _, place) => {
    for (const end = performance.now() + warmMs; performance.now() < end;)
      await drained(place, holder!, waiters, WARM_WAITERS, idleMs)
    const seen: Drain[] = []
    // The first ones make code warm.
    const times = Math.min(40, Math.max(3, Math.ceil(2000 / count)))
    const end = performance.now() + (setup.quick ? SPENT_MS / 2 : SPENT_MS)
    for (let round = 0; round < times && performance.now() < end; round += 1) {
      const drain = await drained(place, holder!, waiters, count, idleMs)
      seen.push(drain)
      if (drain.served < count) break
    }
    const counted = seen.length > 2 ? seen.slice(Math.floor(seen.length / 3)) : seen
    const served = sum(counted.map((each) => each.served))
    const requests = sum(counted.map((each) => each.requests)) / served
    return {
      rate: (served / sum(counted.map((each) => each.tookMs))) * 1e3,
      handOver: median(counted.flatMap((each) => each.handOvers)),
      requests: name.endsWith('node-redis') ? Number.NaN : requests,
      disorder: sum(seen.map((each) => each.disorder)),
      served: (served / (counted.length * count)) * 100,
    }
  })
}

interface Drain {
  readonly served: number
  readonly tookMs: number
  /** Microseconds from letting go to the next grant. */
  readonly handOvers: readonly number[]
  readonly requests: number
  readonly disorder: number
}

/** All stand in line, `idle` passes, the holder lets go, and so does everybody. */
export async function drained(
  place: Place,
  holder: Worker,
  waiters: readonly Worker[],
  count: number,
  idle: number | (() => Promise<void>),
): Promise<Drain> {
  await holder.ask('hold')
  const before = await requestsOf(place, waiters)
  await Promise.all(waiters.map((worker) => worker.ask('stand', { count: count / waiters.length })))
  await (typeof idle === 'number' ? sleep(idle) : idle())
  const dropped = holder.ask<number>('drop')
  const stood = await Promise.all(waiters.map((worker) => worker.ask<Stood[]>('turns', { ms: CAP_MS })))
  const start = await dropped
  const after = await requestsOf(place, waiters)
  const turns = stood.flat().filter(({ granted }) => granted < Infinity)
  turns.sort((one, other) => one.granted - other.granted)
  const last = turns.at(-1)?.granted ?? start
  return {
    served: turns.length,
    tookMs: turns.length === count ? (last - start) / 1e6 : CAP_MS,
    handOvers: turns.slice(1).map(({ granted }, index) => (granted - turns[index]!.left) / 1e3),
    requests: after - before,
    disorder: sum(
      stood.map((own) => own.slice(1).filter(({ granted }, index) => granted < own[index]!.granted).length),
    ),
  }
}

/** How many there were so far: as the servers say where they count them, and else as the processes do. */
async function requestsOf({ endpoints }: Place, workers: readonly Worker[]): Promise<number> {
  if (endpoints.length > 0) return (await counted(endpoints)).calls
  const usages = await Promise.all(workers.map((worker) => worker.ask<Usage>('usage')))
  return sum(usages.map(({ requests }) => requests))
}

const W4: Plan = {
  id: 'W4',
  group: 'redis',
  title: 'redis W4: 2 processes × 250 waiters on one name that a third holds for 5 s',
  contestants: WAITERS,
  columns: [
    { key: 'requests', title: 'requests/s, a process' },
    { key: 'cpu', title: 'CPU % of a core, both' },
    { key: 'all', title: 'all 500 served, ms' },
    { key: 'served', title: 'served within 10 s, %' },
  ],
  goals: [
    {
      text: 'requests a second of a process while nothing happens, at most 2',
      value: (sheet) => sheet.values('redis:', 'requests'),
      most: 2,
    },
    {
      text: 'all 500 served, at most 300 ms',
      value: (sheet) => sheet.values('redis:', 'all'),
      most: 300,
      unit: ' ms',
    },
  ],
}

function idlers(setup: Setup): Promise<Sheet> {
  return rounds(W4, setup, Math.min(3, setup.repetitions), (name) =>
    withWorkers(setup, name, 3, async ([holder, ...waiters], _, place) => {
      const usages = (): Promise<Usage[]> => Promise.all(waiters.map((worker) => worker.ask<Usage>('usage')))
      const watchMs = setup.quick ? 2000 : 4000
      const idle: Sample = { requests: 0, cpu: 0 }
      const drain = await drained(place, holder!, waiters, 500, async () => {
        await sleep(1000)
        const before = await usages()
        await sleep(watchMs)
        const after = await usages()
        const each = after.map((usage, index) => usage.requests - before[index]!.requests)
        const cpuUs = sum(after.map((usage, index) => cpuOf(usage) - cpuOf(before[index]!)))
        Object.assign(idle, { requests: quantile(each, 1) / (watchMs / 1e3), cpu: cpuUs / 10 / watchMs })
      })
      return {
        requests: name.endsWith('node-redis') ? Number.NaN : idle['requests']!,
        cpu: idle['cpu']!,
        all: drain.served === 500 ? drain.tookMs : Infinity,
        served: drain.served / 5,
      }
    }),
  )
}

const WARM_TTLS = 6

const W5: Plan = {
  id: 'W5',
  group: 'redis',
  title: 'redis W5: 10,000 names held for 10 s, ttl 5 s, renewed by themselves',
  contestants: KEEPERS,
  columns: [
    { key: 'cpu', title: 'client CPU µs a renewal' },
    { key: 'renewals', title: 'renewals/s' },
    { key: 'bytes', title: 'heap bytes a lease' },
    { key: 'lag', title: 'longest turn of the event loop, ms' },
  ],
  cost: ({ cpu }) => cpu!,
  goals: [
    {
      text: 'client CPU of a renewal beside the best peer, at most 0.33',
      value: (sheet) =>
        sheet.values('redis:', 'cpu').map((cpu, round) => {
          const others = KEEPERS.slice(1).map((name) => sheet.values(name, 'cpu')[round]!)
          return cpu / quantile(others, 0)
        }),
      most: 0.33,
      unit: '×',
    },
    { text: 'bytes a lease, at most 2048', value: (sheet) => sheet.values('redis:', 'bytes'), most: 2048 },
  ],
}

function keepers(setup: Setup): Promise<Sheet> {
  return rounds(W5, setup, setup.repetitions, (name) =>
    withWorkers(setup, name, 1, async ([worker]) => {
      const bytes = await worker!.ask<number>('keep', { count: 10_000, ttlMs: KEPT_TTL_MS })
      // Until the code of a renewal is warm: it runs for some milliseconds a second.
      await sleep(WARM_TTLS * KEPT_TTL_MS)
      const watchMs = 10_000
      const before = await worker!.ask<Usage>('usage')
      await sleep(watchMs)
      const after = await worker!.ask<Usage>('usage')
      await worker!.ask('look')
      await sleep(watchMs)
      // Many leave in one request of `redis:`, with one key each.
      const renewals = name === 'redis:' ? after.keys - before.keys : after.requests - before.requests
      return {
        bytes,
        renewals: renewals / (watchMs / 1e3),
        cpu: (cpuOf(after) - cpuOf(before)) / renewals,
        lag: await worker!.ask<number>('lag'),
      }
    }),
  )
}

const W7: Plan = {
  id: 'W7',
  group: 'redis',
  title:
    'redis W7: from the end of the lease of a holder that was killed to the next grant; ttl 3 s, 10,000 other keys expire',
  contestants: KEEPERS,
  columns: [
    { key: 'p50', title: 'p50 ms' },
    { key: 'max', title: 'max ms' },
    { key: 'count', title: 'n' },
  ],
  goals: [
    {
      text: 'the longest, at most 50 ms',
      value: (sheet) => sheet.values('redis:', 'max'),
      most: 50,
      unit: ' ms',
    },
  ],
}

function deaths(setup: Setup): Promise<Sheet> {
  return rounds(W7, setup, 1, (name) =>
    withWorkers(setup, name, 1, async ([waiter], _, { port }) => {
      await fillWithOthers(port)
      const took: number[] = []
      const count = setup.quick ? 3 : 10
      for (let round = 0; round < count; round += 1) {
        const victim = await waiter!.another()
        await victim.ask('keepCrowd', { ttlMs: KILLED_TTL_MS })
        const granted = waiter!.ask<number>('hold')
        await sleep(500 + Math.random() * 1000)
        victim.child.kill('SIGKILL')
        await victim.exited
        const endAt = await waiter!.ask<number>('left')
        took.push(((await granted) - endAt) / 1e6)
        await waiter!.ask('drop')
      }
      return { p50: median(took), max: quantile(took, 1), count }
    }),
  )
}

/** Keys that end one after the other while it is measured. */
async function fillWithOthers(port: number): Promise<void> {
  const client = new Redis(port)
  const keys = Array.from({ length: 10_000 }, (_, index) => `other-${index}`)
  await Promise.all(keys.map((key, index) => client.set(key, 'x', 'PX', 2000 + index * 10)))
  client.disconnect()
}

/** Microseconds. */
export function cpuOf({ cpu }: Usage): number {
  return cpu.user + cpu.system
}

const goals = [...HANDED_OVER, value('redis:', 'disorder', 'out of order', { most: 0 })]

export const QUEUE: readonly Run[] = [
  ...[2, 10, 100, 1000].map((count) =>
    handOver(count, { id: `N${count}`, group: 'redis', contestants: WAITERS, goals }, { warmMs: 2000 }),
  ),
  [W4, idlers],
  [W5, keepers],
  [W7, deaths],
]
