import { expect, test } from 'vitest'
import { WHOLE } from '../../src/index.ts'
import { outcomeOf, world } from './kit.ts'

test('maxHold ends a lease with that reason, and the next one holds a little later', async () => {
  const { time, locks, other } = world()
  const lease = await locks.acquire('a', { ttl: '30s', maxHold: '2m' })
  const { signal } = lease
  const next = outcomeOf(other.locks.acquire('a'))
  await time.advance(119_990)
  expect([lease.state, lease.remainingMs < 20]).toEqual(['held', true])
  await time.advance(20)
  expect(signal.reason).toMatchObject({ code: 'LEASE_LOST', reason: 'max-hold' })
  expect(next.settled).toBe(false)
  await time.advance(3100)
  expect(next.value?.state).toBe('held')
  expect(await lease.release()).toBe('gone')
})

test('a holder that heeds its maxHold at once makes the next one wait for the margin all the same', async () => {
  const { time, locks, other } = world({ ttl: '30s', margin: '3s' })
  const held = locks.run('a', { maxHold: '1m' }, (lease) => {
    return new Promise((_, reject) => lease.signal.addEventListener('abort', () => reject(lease.signal.reason)))
  })
  const ended = outcomeOf(held)
  await time.settle()
  const next = outcomeOf(other.locks.acquire('a'))
  await time.advance(60_001)
  expect(ended.error).toMatchObject({ reason: 'max-hold' })
  await time.advance(2990)
  expect(next.settled).toBe(false)
  await time.advance(20)
  expect(next.value?.state).toBe('held')
})

test('minHold keeps others out after an early release, and not after a late one', async () => {
  const { time, locks, isFree } = world()
  const early = await locks.acquire('a', { minHold: '10s' })
  await time.advance(4000)
  expect(await early.release()).toBe('released')
  await time.advance(5900)
  expect(await isFree('a')).toBe(false)
  expect((await locks.inspect('a'))?.holders[0]).toMatchObject({ lingering: true })
  await time.advance(200)
  expect(await isFree('a')).toBe(true)
  const late = await locks.acquire('a', { minHold: '10s' })
  await time.advance(11_000)
  await late.release()
  expect(await isFree('a')).toBe(true)
})

test('a minHold that is longer than the ttl outlives the process', async () => {
  const { time, locks, runtime, isFree } = world()
  const lease = await locks.acquire('a', { ttl: '10s', minHold: '5m' })
  await lease.release()
  runtime.kill()
  await time.advance(290_000)
  expect(await isFree('a')).toBe(false)
  await time.advance(10_100)
  expect(await isFree('a')).toBe(true)
})

test('lockDelay keeps others out after a holder that died, and not after a release', async () => {
  const { time, locks, runtime, isFree } = world()
  const clean = await locks.acquire('a', { ttl: '10s', lockDelay: '20s' })
  await clean.release()
  expect(await isFree('a')).toBe(true)
  await locks.acquire('a', { ttl: '10s', lockDelay: '20s' })
  runtime.kill()
  await time.advance(29_900)
  expect(await isFree('a')).toBe(false)
  await time.advance(200)
  expect(await isFree('a')).toBe(true)
})

test('maxWaiters refuses to wait behind so many', async () => {
  const { time, locks, other } = world()
  await other.locks.acquire('a')
  const first = outcomeOf(locks.acquire('a', { maxWaiters: 1 }))
  await time.settle()
  const full = locks.acquire('a', { maxWaiters: 1 })
  await expect(full).rejects.toMatchObject({ code: 'QUEUE_FULL', lock: 'a' })
  await expect(full).rejects.toThrow('"a" has 1 waiters already, and maxWaiters is 1.')
  expect(first.settled).toBe(false)
})

test('a label is shown to those who look, and to those who are refused', async () => {
  const { locks, process } = world()
  const labelled = process({ label: 'importer' })
  await labelled.locks.acquire('a')
  await labelled.locks.acquire('b', { label: 'hourly import' })
  expect((await locks.inspect('a'))?.holders[0]?.who).toMatchObject({ label: 'importer' })
  expect((await locks.inspect('b'))?.holders[0]?.who).toMatchObject({ label: 'hourly import', user: 'simulated' })
  await expect(locks.acquire('b', { wait: 0 })).rejects.toMatchObject({
    holder: expect.stringContaining('hourly import') as string,
  })
})

test('who is refused does not get to see what could steer a terminal', async () => {
  const { locks, coordinator } = world()
  const info = JSON.stringify({
    host: 'a\u202Eb',
    pid: { toString: 'evil' },
    user: ['x'],
    label: '\u001B]0;owned\u0007job',
  })
  const entry = { weight: WHOLE, capacity: WHOLE, ttlMs: 9e9, waitTtlMs: 9e9, wait: true }
  await coordinator.join({ ...entry, name: 'lock:a', id: '1', info })
  const refused = locks.acquire('a', { wait: 0 })
  await expect(refused).rejects.toMatchObject({ code: 'HELD', holder: 'ab (]0;ownedjob)' })
  await expect(refused).rejects.toThrow('"a" is held by ab (]0;ownedjob).')
  await coordinator.join({ ...entry, name: 'lock:b', id: '2', info: '\u0007' })
  await expect(locks.acquire('b', { wait: 0 })).rejects.toThrow('"b" is held by another.')
})

test('defaults of the connection hold where a call says nothing', async () => {
  const { time, locks, other } = world({ ttl: '4s', wait: '2s', margin: '1s' })
  const lease = await locks.acquire('a')
  expect(lease.remainingMs).toBeCloseTo(3000, 0)
  await other.locks.acquire('b')
  await expect(time.during(locks.acquire('b'))).rejects.toMatchObject({ code: 'WAIT_TIMEOUT' })
  expect(time.now).toBeCloseTo(2000, 0)
})

test('a prefix keeps applications on one coordinator apart', async () => {
  const { process } = world()
  const shop = process({ prefix: 'shop:' }).locks
  const blog = process({ prefix: 'blog:' }).locks
  const lease = await shop.acquire('a')
  expect(lease.name).toBe('a')
  await blog.acquire('a')
  await shop.semaphore('s', 2).acquire()
  expect((await shop.inspect('a'))?.name).toBe('a')
  const seen = []
  for await (const { name, kind } of shop.list()) seen.push([kind, name])
  expect(seen).toEqual([
    ['lock', 'a'],
    ['permits', 's'],
  ])
})
