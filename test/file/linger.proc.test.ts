import { expect, test } from 'vitest'
import type { Worker } from '../kit/workers.ts'
import { crew, temporaryDirectory } from '../kit/workers.ts'
import { until } from '../../src/verify/torture/clock.ts'

const STANDS_MS = 2000
/** What a grant may seem early by: the holder counted from before its request left, others from after theirs. */
const SLACK_MS = 5

async function pair(): Promise<[Worker, Worker]> {
  const workers = crew(`file:${temporaryDirectory()}`, { ttl: '10m', waitTtl: '10m' })
  return (await workers.startMany(2)) as [Worker, Worker]
}

const grantedAt = (worker: Worker): Promise<number> => worker.do((stage) => stage.acquire('a').then(() => stage.now()))

test('a minimum hold outlives the end of its process', async () => {
  const [first, second] = await pair()
  const from = await first.do(async (stage) => {
    const hold = await stage.acquire('a', { minHold: '2s' })
    const from = stage.now() - hold.lease.waitedMs
    await hold.release()
    return from
  })
  await first.leave()
  expect(await second.do((stage) => stage.tryAcquire('a'))).toBeUndefined()
  expect(await grantedAt(second)).toBeGreaterThan(from + STANDS_MS - SLACK_MS)
})

test('a minimum hold outlives a kill -9 of its process, and is not shortened by it', async () => {
  const [first, second] = await pair()
  const releasedAt = await first.do(async (stage) => {
    const hold = await stage.acquire('a', { minHold: '2s' })
    await hold.release()
    return stage.now()
  })
  const early = grantedAt(second)
  await first.kill()
  expect(await second.do((stage) => stage.locks.tryAcquire('a').then((lease) => lease === undefined))).toBe(true)
  const seen = await second.do(({ locks }) =>
    locks.inspect('a').then((seen) => seen!.holders.map(({ lingering }) => lingering)),
  )
  expect(seen).toEqual([true])
  // The grant was some milliseconds before the release.
  expect(await early).toBeGreaterThan(releasedAt + STANDS_MS - 500)
})

test('who waits before a release with a minimum hold is served when that ends', async () => {
  const [first, second] = await pair()
  await first.do((stage) => stage.acquire('a', { minHold: '2s' }).then(() => {}))
  const waiting = grantedAt(second)
  const releasedAt = await first.do(async (stage) => {
    await stage.release('a')
    return stage.now()
  })
  const at = await waiting
  expect(at).toBeGreaterThan(releasedAt + STANDS_MS - 1000)
  expect(at).toBeLessThan(releasedAt + STANDS_MS + 10_000)
})

test('others wait for the lock delay after a holder was killed', async () => {
  const [first, second] = await pair()
  await first.do((stage) => stage.acquire('a', { lockDelay: '2s' }).then(() => {}))
  const waiting = grantedAt(second)
  const killedAt = await second.do((stage) => stage.now())
  await first.kill()
  expect(await second.do((stage) => stage.locks.tryAcquire('a').then((lease) => lease === undefined))).toBe(true)
  const at = await waiting
  expect(at).toBeGreaterThan(killedAt + STANDS_MS - SLACK_MS)
  expect(at).toBeLessThan(killedAt + STANDS_MS + 10_000)
})

test('a try finds a dead holder, and respects its lock delay', async () => {
  const [first, second] = await pair()
  await first.do((stage) => stage.acquire('a', { lockDelay: '2s' }).then(() => {}))
  const killedAt = await second.do((stage) => stage.now())
  await first.kill()
  const tries = (): Promise<boolean> => second.do((stage) => stage.tryAcquire('a').then((hold) => hold !== undefined))
  expect(await tries()).toBe(false)
  await until(tries, 'the end of the lock delay')
  expect(await second.do((stage) => stage.now())).toBeGreaterThan(killedAt + STANDS_MS - SLACK_MS)
})

test('nobody waits for the lock delay after a release', async () => {
  const [first, second] = await pair()
  await first.do((stage) => stage.acquire('a', { lockDelay: '10m' }).then(() => {}))
  const waiting = grantedAt(second)
  await first.do((stage) => stage.release('a'))
  await waiting
})
