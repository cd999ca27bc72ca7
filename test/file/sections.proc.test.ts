import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { connect } from '../../src/index.ts'
import type { CheckOptions } from '../../src/verify/checkers/index.ts'
import { check } from '../../src/verify/checkers/index.ts'
import type { Access, History } from '../../src/verify/history.ts'
import { MATRIX, TIMES } from '../kit/effort.ts'
import type { Worker } from '../kit/workers.ts'
import { crew, temporaryDirectory } from '../kit/workers.ts'
import { until } from '../../src/verify/torture/clock.ts'
import { Collector, chronicle, showSegments } from './kit/chronicle.ts'
import { seeded } from './kit/seed.ts'

vi.setConfig({ testTimeout: 120_000 * TIMES })

/** Wide: two cores are shared by all workers and whatever else runs on the machine. */
const BOUNDS: CheckOptions = {
  guarded: new Set(['counter']),
  turnMs: 1000,
  afterSleepMs: 2000,
  answerMs: 60_000,
  noticeMs: 5000,
  leaveMs: 5000,
}

test('8 processes x 500 exclusive sections lose no update, in the order of their tickets', async () => {
  const store = temporaryDirectory()
  const collector = new Collector(store)
  const workers = crew(`file:${store}`)
  const counter = workers.counter()
  const line = await workers.startMany(8)
  await Promise.all(line.map((worker) => worker.do(showSegments, { store, seen: collector.seen })))
  const count = 500 * TIMES
  const work = { name: 'counter', count, counter: counter.path }
  await Promise.all(line.map((worker) => worker.do((stage, work) => stage.sections(work), work)))

  expect(counter.read()).toBe(8 * count)
  const { segments, torn, events } = chronicle(collector)
  expect(segments).toBeGreaterThan(3)
  expect(torn).toBe(0)
  const history = workers.history(events)
  expect(history.beliefs).toHaveLength(8 * count)
  expect(check(history, BOUNDS)).toEqual([])
  expect(fencesInOrderOfGrant(history)).toEqual(sorted(fencesInOrderOfGrant(history)))
  expect(await leftovers(store)).toEqual([])
})

test('8 processes killed -9 at random, again and again, overlap never, lose no update and leave nothing behind', async () => {
  const random = seeded()
  const store = temporaryDirectory()
  const collector = new Collector(store)
  const workers = crew(`file:${store}`, { ttl: '60s', waitTtl: '60s' })
  const counter = workers.counter()
  const running = new Map<Worker, Promise<number>>()
  const work = { name: 'counter', count: 1e9, counter: counter.path }
  const hire = async (): Promise<void> => {
    const worker = await workers.start()
    await worker.do(showSegments, { store, seen: collector.seen })
    await worker.do((stage) => {
      const { inside } = stage
      stage.inside = async () => {
        await inside()
        // So that not all of the machine is busy with handing over, and new workers come quickly.
        if (Math.random() < 0.5) await new Promise((resolve) => void setTimeout(resolve, 2))
      }
    })
    running.set(
      worker,
      worker.do((stage, work) => stage.sections(work), work),
    )
  }
  await Promise.all(Array.from({ length: 8 }, hire))
  const kills = (MATRIX ? 100 : 40) * TIMES
  const hired: Promise<void>[] = []
  for (let kill = 0; kill < kills; kill += 1) {
    await sleep(random() * 40)
    await until(() => running.size >= 4, 'new workers')
    const alive = [...running.keys()]
    const victim = alive[Math.floor(random() * alive.length)]!
    running.delete(victim)
    const before = counter.read()
    hired.push(hire())
    await victim.kill()
    // A ttl is 60 s: whoever waited for it would be seen here.
    await until(() => counter.read() > before, 'a successor', 20_000)
  }
  await Promise.all(hired)
  for (const worker of running.keys()) void worker.do((stage) => (stage.enough = true))
  await Promise.all(running.values())

  const { events, torn } = chronicle(collector)
  const history = workers.history(events)
  // A process that was killed between its write and its note has written all the same: the numbers may have gaps.
  expect(check(history, { ...BOUNDS, guarded: new Set() })).toEqual([])
  const puts = history.events.filter((event): event is Access => event.kind === 'access').map((event) => event.puts!)
  expect(puts).toEqual(sorted([...new Set(puts)]))
  expect(counter.read() - puts.length).toBeLessThanOrEqual(kills)
  expect(torn).toBeLessThanOrEqual(kills)
  expect(await leftovers(store)).toEqual([])
})

test('a process that is stopped at a random instant, and holds nothing that others want, stalls nobody', async () => {
  const random = seeded()
  const store = temporaryDirectory()
  const workers = crew(`file:${store}`, { ttl: '60s' })
  const counter = workers.counter()
  const [one, other, victim, second] = (await workers.startMany(4)) as [Worker, Worker, Worker, Worker]
  const running = [one, other].map((worker) =>
    worker.do((stage, work) => stage.sections(work), { name: 'counter', count: 1e9, counter: counter.path }),
  )
  const busy = [victim, second].map((worker) =>
    worker.do((stage) => stage.sections({ name: stage.process, count: 1e9 })),
  )
  for (let round = 0; round < 60 * TIMES; round += 1) {
    const stopped = random() < 0.5 ? victim : second
    await sleep(random() * 20)
    await stopped.stop()
    const before = counter.read()
    // Far beyond what two processes need for a section each; a ttl is 60 s.
    await until(() => counter.read() >= before + 20, 'others at work', 10_000)
    stopped.continue()
  }
  for (const worker of workers.workers) void worker.do((stage) => (stage.enough = true))
  await Promise.all([...running, ...busy])
  expect(check(workers.history(), BOUNDS)).toEqual([])
  expect(await leftovers(store)).toEqual([])
})

test('4 processes that are stopped at random, holders too, for shorter and longer than their ttl, never overlap', async () => {
  const random = seeded()
  const store = temporaryDirectory()
  const collector = new Collector(store)
  const workers = crew(`file:${store}`, { ttl: '500ms', waitTtl: '500ms' })
  const line = await workers.startMany(4)
  await Promise.all(line.map((worker) => worker.do(showSegments, { store, seen: collector.seen })))
  const running = line.map((worker) =>
    worker.do(async (stage) => {
      while (!stage.enough) {
        const { check, release } = await stage.acquire('counter')
        await stage.inside()
        try {
          // Work that asks before each step. It writes nothing: what a late writer does is for a guarded register.
          check()
          await new Promise((resolve) => void setTimeout(resolve, 2))
          check()
        } catch {
          // Its process stood still for too long.
          stage.kept.set('late', true)
        }
        await release()
      }
    }),
  )
  const late = async (): Promise<boolean> =>
    (await Promise.all(line.map((worker) => worker.do(({ kept }) => kept.has('late'))))).includes(true)
  const rounds = (MATRIX ? 25 : 10) * TIMES
  // When all are stopped, it may be that nobody holds: then once more.
  for (let round = 0; round < rounds || (round < 5 * rounds && !(await late())); round += 1) {
    // Now and then all of them, and for longer than the ttl: so whoever holds is among them, and loses its lease.
    const all = round % 5 === 4 || round >= rounds
    const victims = line.filter(() => all || random() < 0.4)
    await Promise.all(victims.map((worker) => worker.stop()))
    await sleep(all || random() < 0.3 ? 500 + random() * 500 : random() * 100)
    for (const worker of victims) worker.continue()
    await sleep(random() * 50)
  }
  for (const worker of line) void worker.do((stage) => (stage.enough = true))
  await Promise.all(running)
  const { events } = chronicle(collector)
  const history = workers.history(events)
  expect([...history.holds.values()].filter(({ lost }) => lost).length).toBeGreaterThan(0)
  expect(check(history, BOUNDS)).toEqual([])
  expect(await leftovers(store)).toEqual([])
})

function fencesInOrderOfGrant(history: History): number[] {
  return history.events.filter((event) => event.kind === 'granted').map(({ fence }) => fence)
}

function sorted(numbers: readonly number[]): number[] {
  return [...numbers].sort((a, b) => a - b)
}

/** What is in a store that should be at rest, beside its own two files; a try that must hold is part of the look. */
async function leftovers(store: string): Promise<string[]> {
  const locks = connect(`file:${store}`)
  onTestFinished(() => locks.close())
  const left: string[] = []
  for await (const { name } of locks.list()) left.push(`a queue of ${name}`)
  const lease = await locks.tryAcquire('counter')
  if (!lease) left.push('a holder')
  await lease?.release()
  const files = readdirSync(store).filter((name) => name !== 's')
  left.push(...files.filter((name) => !/^(log|fence)\.\d+$/.test(name)))
  const segments = files.filter((name) => name.startsWith('log.'))
  if (segments.length > 2) left.push(...segments)
  // Sockets of the dead are cleared away by whoever opens the store, when there are more than a few.
  await until(() => readdirSync(join(store, 's')).length <= 24, 'a clean room of sockets')
  return left
}
