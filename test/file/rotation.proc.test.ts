import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { check } from '../../src/verify/checkers/index.ts'
import { TIMES } from '../kit/effort.ts'
import { crew, temporaryDirectory } from '../kit/workers.ts'
import { until } from '../../src/verify/torture/clock.ts'
import { Collector, chronicle, showSegments } from './kit/chronicle.ts'
import { seeded } from './kit/seed.ts'

vi.setConfig({ testTimeout: 120_000 * TIMES })
/** So large that a segment is full after some ten lines. */
const LABEL_LENGTH = 16_000

test('segments that come and go under four processes, stopped at random, are one log', async () => {
  const random = seeded()
  const store = temporaryDirectory()
  const collector = new Collector(store)
  const workers = crew(`file:${store}`, { ttl: '60s' })
  const counter = workers.counter()
  const line = await workers.startMany(4)
  await Promise.all(line.map((worker) => worker.do(showSegments, { store, seen: collector.seen })))
  const running = line.map((worker) =>
    worker.do((stage, work) => stage.sections(work), {
      name: 'counter',
      count: 1e9,
      counter: counter.path,
      options: { label: 'x'.repeat(LABEL_LENGTH) },
    }),
  )
  for (let round = 0; round < 150 * TIMES; round += 1) {
    const victims = line.filter(() => random() < 0.3)
    await Promise.all(victims.map((worker) => worker.stop()))
    await sleep(random() * 5)
    for (const worker of victims) worker.continue()
    await sleep(random() * 10)
  }
  const before = counter.read()
  await until(() => counter.read() >= before + 20, 'everybody at work')
  // However slow the machine is: so many segments that somebody was stopped while one ended.
  await until(() => highestSegment(store) > 25, '25 segments')
  for (const worker of line) void worker.do((stage) => (stage.enough = true))
  await Promise.all(running)

  // It throws where a segment is missing, has no end, or does not begin with what the one before it says.
  const { segments, torn, events } = chronicle(collector)
  expect(segments).toBeGreaterThan(20)
  expect(torn).toBe(0)
  const history = workers.history(events)
  expect(counter.read()).toBe(history.beliefs.length)
  const bounds = { turnMs: 1000, afterSleepMs: 2000, answerMs: 60_000, noticeMs: 5000, leaveMs: 5000 }
  expect(check(history, { ...bounds, guarded: new Set(['counter']) })).toEqual([])
})

function highestSegment(store: string): number {
  return Math.max(0, ...readdirSync(store).flatMap((name) => /^log\.(\d+)$/.exec(name)?.slice(1).map(Number) ?? []))
}
