import { expect, test } from 'vitest'
import { withoutQueue } from '../conformance/kit/view.ts'
import { outcomeOf, world } from './kit.ts'

test('a refused entry tries again as soon as it hears of a change', async () => {
  const { time, locks, other } = world({ wrap: withoutQueue })
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(100)
  await first.release()
  await time.settle()
  expect(waiting.value).toMatchObject({ state: 'held', waited: true })
  expect(waiting.value?.waitedMs).toBeCloseTo(100, 0)
})

test('without a word it tries again every two seconds at the latest', async () => {
  const { time, locks, other, calls } = world({
    wrap: withoutQueue,
    plan: (verb) => (verb === 'change' ? { lose: 'request' } : undefined),
  })
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(60_000)
  const joins = calls.filter((verb) => verb === 'join').length
  expect(joins).toBeGreaterThanOrEqual(30)
  expect(joins).toBeLessThanOrEqual(62)
  await first.release()
  await time.advance(2001)
  expect(waiting.value?.state).toBe('held')
})

test('it gives up when its time is over, at once when it would not wait, and when its signal aborts', async () => {
  const { time, locks, other } = world({ wrap: withoutQueue })
  await other.locks.acquire('a')
  await expect(locks.acquire('a', { wait: 0 })).rejects.toMatchObject({ code: 'HELD' })
  expect(await locks.tryAcquire('a')).toBeUndefined()
  await expect(time.during(locks.acquire('a', { wait: '5s' }))).rejects.toMatchObject({
    code: 'WAIT_TIMEOUT',
    ahead: undefined,
  })
  expect(time.now).toBeCloseTo(5000, 0)
  const controller = new AbortController()
  const waiting = outcomeOf(locks.acquire('a', { signal: controller.signal }))
  await time.advance(100)
  controller.abort('enough')
  await time.settle()
  expect(waiting.error).toBe('enough')
  const closing = outcomeOf(locks.acquire('a'))
  await time.settle()
  await locks.close()
  expect(closing.error).toMatchObject({ code: 'CLOSED' })
})

test('a subscription that is never confirmed holds up nothing', async () => {
  const { time, locks, other } = world({
    wrap: withoutQueue,
    plan: (verb) => (verb === 'follow' ? { requestMs: 1e9 } : undefined),
  })
  const first = await other.locks.acquire('a')
  await expect(time.during(locks.acquire('a', { wait: '3s' }))).rejects.toMatchObject({ code: 'WAIT_TIMEOUT' })
  const waiting = outcomeOf(locks.acquire('a'))
  await first.release()
  await time.advance(2001)
  expect(waiting.value?.state).toBe('held')
})

test('it holds when the lease of a dead holder has ended', async () => {
  const { time, locks, other } = world({ wrap: withoutQueue })
  await other.locks.acquire('a', { ttl: '10s' })
  other.runtime.kill()
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(9900)
  expect(waiting.settled).toBe(false)
  await time.advance(2100)
  expect(waiting.value?.state).toBe('held')
})

test('a release between the refusal and the subscription is not missed', async () => {
  const { time, locks, other } = world({
    wrap: withoutQueue,
    plan: (verb) => (verb === 'follow' ? { requestMs: 500 } : undefined),
  })
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(100)
  await first.release()
  await time.advance(401)
  expect(waiting.value?.state).toBe('held')
})

test('a release that comes while it asks once more is not missed', async () => {
  const { time, locks, other, calls } = world({
    wrap: withoutQueue,
    plan: (verb) => (verb === 'join' ? { replyMs: 300 } : undefined),
  })
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  // It has been refused, has subscribed, and has asked again; the answer to that is on its way.
  await time.advance(450)
  expect(calls.filter((verb) => verb === 'join')).toHaveLength(2)
  await first.release()
  await time.advance(451)
  expect(waiting.value?.state).toBe('held')
})
