import { expect, test } from 'vitest'
import type { Backend, Wake } from '../../src/backend.ts'
import { BackendError } from '../../src/backend.ts'
import { faulty } from '../../src/testing/faults.ts'
import { outcomeOf, world } from './kit.ts'

/** Changes what comes through `watch`. */
const rewiring =
  (change: (wake: Wake) => Wake) =>
  (backend: Backend): Backend => {
    const wrapped = faulty(backend, () => undefined)
    wrapped.watch = (claim, wake) => backend.watch(claim, change(wake))
    return wrapped
  }

test('a waiter is granted by the wake alone, and the whole ttl is renewed after it', async () => {
  const { time, other, locks, calls } = world()
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(100)
  calls.length = 0
  await first.release()
  await time.settle()
  expect(calls).toEqual(['wake'])
  const lease = waiting.value!
  expect(lease.remainingMs).toBeLessThan(6000)
  await time.advance(49)
  expect(calls).toEqual(['wake'])
  await time.advance(1)
  expect(calls).toEqual(['wake', 'renew'])
  expect(lease.remainingMs).toBeGreaterThan(26_000)
  expect(lease.waited).toBe(true)
  expect(lease.waitedMs).toBeCloseTo(100, 0)
})

test('waiters of several processes are served in the order in which they came', async () => {
  const { time, process } = world()
  const served: number[] = []
  for (let n = 0; n < 6; n += 1) {
    const { locks } = process()
    void locks.run('a', async () => {
      served.push(n)
      await new Promise((resolve) => time.runtime().after(50, () => resolve(undefined)))
    })
    await time.settle()
  }
  await time.advance(1000)
  expect(served).toEqual([0, 1, 2, 3, 4, 5])
})

test('a wake for another ticket is only a hint', async () => {
  let wake: Wake = () => {}
  const { time, other, locks, calls } = world({ wrap: rewiring((original) => (wake = original)) })
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.settle()
  calls.length = 0
  for (const held of [first.fence, first.fence - 1n, first.fence + 1000n]) wake({ held })
  await time.settle()
  expect(waiting.settled).toBe(false)
  expect(calls).toContain('renew')
})

test('a hint makes the waiter ask', async () => {
  const { time, other, locks } = world({ wrap: rewiring((wake) => () => wake()) })
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.settle()
  await first.release()
  await time.settle()
  expect(waiting.value?.state).toBe('held')
})

test('a wake that overtakes the answer of the join is kept until the answer comes', async () => {
  const { time, other, locks, calls } = world({ plan: (verb) => (verb === 'join' ? { replyMs: 100 } : undefined) })
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(50)
  await first.release()
  await time.settle()
  expect(waiting.settled).toBe(false)
  await time.advance(50)
  expect(waiting.value?.state).toBe('held')
  expect(calls.slice(0, 3)).toEqual(['watch', 'join', 'wake'])
})

test('a hint that overtakes the answer of the join makes the waiter ask at once', async () => {
  const { time, other, locks } = world({
    wrap: rewiring((wake) => () => wake()),
    plan: (verb) => (verb === 'join' ? { replyMs: 100 } : undefined),
  })
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(50)
  await first.release()
  await time.advance(51)
  expect(waiting.value?.state).toBe('held')
})

test('a hint that comes while a renewal is on its way makes the waiter ask again', async () => {
  const { time, other, locks } = world({
    wrap: rewiring((wake) => () => wake()),
    plan: (verb, _, n) => (verb === 'renew' && n === 1 ? { replyMs: 500 } : undefined),
  })
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(2100)
  await first.release()
  await time.advance(300)
  expect(waiting.settled).toBe(false)
  await time.advance(200)
  expect(waiting.value?.state).toBe('held')
})

test('when no wake ever arrives a waiter still asks by itself', async () => {
  const { time, other, locks } = world({ plan: 'deaf' })
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(500)
  await first.release()
  await time.advance(2000)
  expect(waiting.value?.state).toBe('held')
})

test('the first waiter holds as soon as the lease of a dead holder has ended', async () => {
  const { time, other, locks } = world()
  await other.locks.acquire('a', { ttl: '10s' })
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(1000)
  other.runtime.kill()
  await time.advance(8999)
  expect(waiting.settled).toBe(false)
  await time.advance(20)
  expect(waiting.value?.state).toBe('held')
})

test('with little left of the waiting lease a wake is only a reason to ask', async () => {
  const { time, other, locks, calls, runtime } = world()
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(1900)
  // Its renewals are held up, but not the message.
  runtime.pause()
  await time.advance(2500)
  calls.length = 0
  await first.release()
  await time.settle()
  expect(calls).toEqual(['wake', 'renew'])
  expect(waiting.value?.remainingMs).toBeGreaterThan(20_000)
})

test('a late answer to a renewal of the place does not end the lease that a wake has given', async () => {
  const { time, other, locks, isFree } = world({
    plan: (verb, _, n) => (verb === 'renew' && n === 1 ? { replyMs: 1000 } : undefined),
  })
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(2100)
  await first.release()
  await time.settle()
  const lease = waiting.value!
  await time.advance(60_000)
  expect(lease.state).toBe('held')
  expect(await isFree('a')).toBe(false)
})

test('a waiter keeps its place for as long as it waits', async () => {
  const { time, other, process, locks } = world()
  const first = await other.locks.acquire('a')
  const served: string[] = []
  void locks.run('a', () => served.push('first'))
  await time.settle()
  void process().locks.run('a', () => served.push('second'))
  await time.advance(600_000)
  await first.release()
  await time.advance(10)
  expect(served).toEqual(['first', 'second'])
})

test('a waiter that was away for too long takes a new place, behind the others', async () => {
  const ids: string[] = []
  const { time, other, process, locks, runtime } = world({
    plan: (verb, { id }) => void (verb === 'join' && ids.push(id!)),
  })
  const first = await other.locks.acquire('a', { ttl: '60s' })
  const served: string[] = []
  const away = locks.run('a', () => served.push('away'))
  await time.settle()
  void process().locks.run('a', () => served.push('patient'))
  await time.advance(1000)
  runtime.pause()
  await time.advance(20_000)
  runtime.continue()
  await time.advance(100)
  await first.release()
  await time.during(away)
  expect(served).toEqual(['patient', 'away'])
  expect([ids.length, new Set(ids).size]).toEqual([2, 2])
})

test('a short lease of a waiter is renewed in time when it comes to hold', async () => {
  for (let phaseMs = 0; phaseMs < 20; phaseMs += 2) {
    const { time, other, locks } = world({ waitTtl: 60, margin: 0 })
    const first = await other.locks.acquire('a')
    const waiting = outcomeOf(locks.acquire('a'))
    await time.advance(1000 + phaseMs)
    await first.release()
    await time.advance(5000)
    expect(waiting.value?.state).toBe('held')
  }
})

test('a waiter hears at once of what time will not mend, and of what may pass when its place is lost', async () => {
  for (const [code, afterMs] of [
    ['DENIED', 2100],
    ['STORE_FULL', 25_000],
    ['NOT_REPLICATED', 25_000],
  ] as const) {
    const cause = new BackendError(code, 'as it is')
    const { time, locks, other } = world({
      wrap: (backend) =>
        Object.assign(
          faulty(backend, () => undefined),
          { renew: () => Promise.reject(cause) },
        ),
    })
    await other.locks.acquire('a', { ttl: '60s' })
    const waiting = outcomeOf(locks.acquire('a'))
    await time.advance(afterMs)
    if (code === 'DENIED') expect(waiting.error).toBe(cause)
    else expect(waiting.error).toMatchObject({ code: 'UNREACHABLE', cause })
  }
})
