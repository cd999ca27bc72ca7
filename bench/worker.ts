/** One process of a benchmark: `worker.ts <contestant> <directory> <socket> <port> <endpoints>`, told what to do by main.ts. */
import fs from 'node:fs'
import { subscribe } from 'node:diagnostics_channel'
import { syncBuiltinESMExports } from 'node:module'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Locker } from './lib/contestant.ts'
import { CONTESTANTS, manyNames } from './lib/contestants.ts'
import { counts } from './lib/counts.ts'
import { quantile, sum } from './lib/numbers.ts'
import { now, serve } from './lib/processes.ts'

const [name = '', directory = '', socket = '', port = '', members = ''] = process.argv.slice(2)
const endpoints = members.split(',')
const contestant = await CONTESTANTS[name]!({ directory, socket, port: Number(port), endpoints })

/** Lets timers and sockets have their turn between two batches: a store that answers at once would starve them. */
const BATCH = 32
/** On a busy machine, time alone does not make code warm. */
const WARM_PAIRS = 20_000
const KEPT_AT_ONCE = 1000

/** One turn of one task: when it asked, was granted (`Infinity`: not before the end), and let go; by the machine's clock. */
export type Turn = readonly [task: number, asked: number, granted: number, left: number]

/** How many want one name, from when on; held for 0 or 1 ms, asked for again after 5 to 15 ms, or at once. */
interface Contention {
  readonly startAt: number
  readonly tasks: number
  readonly hold: boolean
  readonly think: boolean
}

interface Times {
  /** So long does not count: the compiler is still at work. At least; `WARM_PAIRS` are made, too, if three times as long is enough. */
  readonly warmMs: number
  readonly ms: number
}

const held = new Map<string, unknown>()
let crowd: Promise<unknown> | undefined
let stood: { readonly asked: number; granted: number; left: number }[] = []
let renewals = 0
let renewedAt = Number.NaN
const turns = monitorEventLoopDelay({ resolution: 5 })
let writes = 0

serve(
  {
    /** W1: one pair after the other, on a name that nobody else wants. */
    async pairs({ warmMs, ms }: Times) {
      const locker = contestant.locker('bench')
      const made = await warm(warmMs, async (ms) => (await pairsFor(locker, ms)).length)
      const { requests } = counts
      const before = process.cpuUsage()
      const took = await pairsFor(locker, ms)
      const { user, system } = process.cpuUsage(before)
      return {
        // Those of node-redis are not counted.
        requests: (counts.requests - requests) / took.length || Number.NaN,
        p50: quantile(took, 0.5) * 1e3,
        p99: quantile(took, 0.99) * 1e3,
        rate: (took.length / sum(took)) * 1e3,
        cpu: (user + system) / took.length,
        pairs: made + took.length,
      }
    },

    /** W2: 64 names at once. */
    async burst({ warmMs, ms }: Times) {
      const names = manyNames()
      const lockers = names.map((each) => contestant.locker(each))
      const round = (): unknown => {
        if (contestant.burst) return contestant.burst(names)
        return Promise.all(lockers.map(async (locker) => locker.release(await locker.acquire())))
      }
      const made = await warm(warmMs, async (ms) => (await roundsFor(round, ms)).count * names.length)
      const { reads } = counts
      const before = process.cpuUsage()
      const { count, tookMs } = await roundsFor(round, ms)
      const { user, system } = process.cpuUsage(before)
      const pairs = count * names.length
      const cpu = (user + system) / pairs
      return { rate: (pairs / tookMs) * 1e3, cpu, reads: (counts.reads - reads) / pairs, pairs: made + pairs }
    },

    /** W2T: 64 tasks, each on a name of its own, one pair after the other. */
    async ownNames({ warmMs, ms }: Times) {
      const lockers = manyNames().map((each) => contestant.locker(each))
      const made = await warm(warmMs, (ms) => tasksFor(lockers, ms))
      const { reads } = counts
      const before = process.cpuUsage()
      const start = performance.now()
      const pairs = await tasksFor(lockers, ms)
      const { user, system } = process.cpuUsage(before)
      const rate = (pairs / (performance.now() - start)) * 1e3
      return { rate, cpu: (user + system) / pairs, reads: (counts.reads - reads) / pairs, pairs: made + pairs }
    },

    /** W3 in one process: so many tasks want one name, again and again. */
    async tasks({ warmMs, ms, tasks }: Times & { tasks: number }) {
      const lockers = Array<Locker>(tasks).fill(contestant.locker('bench'))
      await warm(warmMs, (ms) => tasksFor(lockers, ms))
      const start = performance.now()
      const count = await tasksFor(lockers, ms)
      return { rate: (count / (performance.now() - start)) * 1e3 }
    },

    /** W3 and W3T: `tasks` here and in other processes want one name from `startAt` on. */
    async greedy({ startAt, warmMs, ms, tasks, hold, think }: Times & Contention) {
      const served: Turn[] = []
      const end = startAt + (warmMs + ms) * 1e6
      const waiting = new Map<number, number>()
      const task = async (index: number): Promise<void> => {
        const id = process.pid * 100 + index
        const locker = contestant.locker('hot')
        while (now() < end) {
          const asked = now()
          waiting.set(index, asked)
          const grant = await locker.acquire()
          const granted = now()
          waiting.delete(index)
          if (hold) await (Math.random() < 0.5 ? nextTurn() : sleep(1))
          served.push([id, asked, granted, now()])
          await locker.release(grant)
          if (think) await sleep(5 + Math.random() * 10)
        }
      }
      await sleep(Math.max(0, (startAt - now()) / 1e6))
      const usage = sleep(warmMs).then(() => process.cpuUsage())
      const asked = sleep(warmMs).then(() => counts.requests)
      const all = Promise.all(Array.from({ length: tasks }, (_, index) => task(index)))
      await Promise.race([all, sleep(warmMs + ms + 300)])
      for (const [index, asked] of waiting) served.push([process.pid * 100 + index, asked, Infinity, Infinity])
      const { user, system } = process.cpuUsage(await usage)
      return { turns: served, cpu: user + system, requests: counts.requests - (await asked) }
    },

    /** W4, W7 */
    async hold() {
      const locker = contestant.locker('crowd')
      held.set('crowd', await locker.acquire())
      return now()
    },
    /** Answers with when that began. */
    async drop() {
      const at = now()
      await contestant.locker('crowd').release(held.get('crowd'))
      return at
    },
    /** W4: so many waiters. Each lets go as soon as it holds. */
    crowd({ count }: { count: number }) {
      const waiters = Array.from({ length: count }, async () => {
        const locker = contestant.locker('crowd')
        await locker.release(await locker.acquire())
      })
      crowd = Promise.all(waiters)
    },
    async served() {
      await crowd
      return now()
    },
    /** Hand-over: so many ask, one after the other. Each lets go as soon as it holds. */
    stand({ count }: { count: number }) {
      stood = []
      const waiters = Array.from({ length: count }, async () => {
        const turn = { asked: now(), granted: Infinity, left: Infinity }
        stood.push(turn)
        const locker = contestant.locker('crowd')
        const grant = await locker.acquire()
        turn.granted = now()
        const released = locker.release(grant)
        turn.left = now()
        await released
      })
      crowd = Promise.all(waiters)
      // `turns` tells what went wrong.
      crowd.catch(() => {})
    },
    /** When each was served, in the order in which they asked; `Infinity`: not within `ms`. */
    async turns({ ms }: { ms: number }) {
      await Promise.race([crowd, sleep(ms)])
      return stood
    },
    /** W5: hold so many names, renewed by themselves. Answers with what a lease takes of the heap, in bytes. */
    async keep({ count, ttlMs }: { count: number; ttlMs: number }) {
      const before = heapUsed()
      const keep = (index: number): Promise<unknown> => contestant.keep!(`kept-${index}`, ttlMs)
      // All at once would be more than a slow machine answers within the time that holdfast gives a request.
      for (let from = 0; from < count; from += KEPT_AT_ONCE)
        await Promise.all(Array.from({ length: KEPT_AT_ONCE }, (_, index) => keep(from + index)))
      return (heapUsed() - before) / count
    },
    /** W7: how long the name is still held by somebody who does not renew it, and the time at which that was asked. */
    async left() {
      const ms = await contestant.leftMs!('crowd')
      return now() + ms * 1e6
    },
    /** From now on, count renewals, and look how long the turns of the event loop are. Both cost something. */
    look() {
      subscribe('holdfast:renew', () => (renewals += 1))
      turns.enable()
      turns.reset()
    },
    /** The longest of these turns, in milliseconds. */
    lag: () => turns.max / 1e6,
    async keepCrowd({ ttlMs }: { ttlMs: number }) {
      subscribe('holdfast:renew', () => (renewedAt = now()))
      renewedAt = now()
      held.set('crowd', await contestant.keep!('crowd', ttlMs))
    },
    /** From now on, count how often this process writes to its store. */
    countWrites() {
      const { writeSync } = fs
      const counted = (...words: Parameters<typeof writeSync>): number => {
        writes += 1
        return writeSync(...words)
      }
      fs.writeSync = counted as typeof writeSync
      syncBuiltinESMExports()
    },
    /** W7: when that was promised last, as far as holdfast tells. */
    renewedAt: () => (name === 'etcd:' ? renewedAt : Number.NaN),
    usage: () => ({ cpu: process.cpuUsage(), rss: process.memoryUsage.rss(), writes, renewals, ...counts }),
  },
  () => contestant.close(),
)

/** Make pairs until they can be measured, and say how many were made. `run` makes them for so long and says how many. */
async function warm(warmMs: number, run: (ms: number) => Promise<number>): Promise<number> {
  const start = performance.now()
  let pairs = await run(warmMs)
  while (pairs < WARM_PAIRS && performance.now() - start < 3 * warmMs) pairs += await run(warmMs / 4)
  return pairs
}

/** How long each pair took, in milliseconds. */
async function pairsFor(locker: Locker, ms: number): Promise<number[]> {
  const took: number[] = []
  for (const end = performance.now() + ms; performance.now() < end; await nextTurn()) {
    let last = performance.now()
    for (let index = 0; index < BATCH; index += 1) {
      await locker.release(await locker.acquire())
      const at = performance.now()
      took.push(at - last)
      last = at
    }
  }
  return took
}

/** A task for each of `lockers`, which takes it again and again: how many pairs they made together. */
async function tasksFor(lockers: readonly Locker[], ms: number): Promise<number> {
  const end = performance.now() + ms
  const pairs = lockers.map(async (locker) => {
    let count = 0
    for (; performance.now() < end; count += 1) await locker.release(await locker.acquire())
    return count
  })
  return sum(await Promise.all(pairs))
}

async function roundsFor(round: () => unknown, ms: number): Promise<{ count: number; tookMs: number }> {
  const start = performance.now()
  let count = 0
  for (; performance.now() < start + ms; await nextTurn()) {
    await round()
    count += 1
  }
  return { count, tookMs: performance.now() - start }
}

function heapUsed(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}
