import { expect, test } from 'vitest'
import type { LeaseLostError } from '../../src/index.ts'
import type { Plan } from '../../src/testing/faults.ts'
import { outcomeOf, world } from '../core/kit.ts'

const deaf: Plan = (verb) => (verb === 'renew' ? { lose: 'request' } : undefined)

test('run holds the lock while its function runs, and gives back what that returned', async () => {
  const { locks, isFree } = world()
  const value = await locks.run('a', { ttl: '30s' }, async (lease) => {
    expect(await isFree('a')).toBe(false)
    expect(lease.fence).toBeGreaterThan(0n)
    return 'done'
  })
  expect(value).toBe('done')
  expect(await isFree('a')).toBe(true)
})

test('when the function throws, the lock is given back and the error handed on as it was', async () => {
  const { locks, isFree } = world()
  const broken = new Error('broken')
  await expect(locks.run('a', () => Promise.reject(broken))).rejects.toBe(broken)
  expect(broken).not.toHaveProperty('leaseLost')
  await expect(
    locks.run('a', () => {
      throw broken
    }),
  ).rejects.toBe(broken)
  await expect(locks.run('a', () => Promise.reject('no error at all'))).rejects.toBe('no error at all')
  expect(await isFree('a')).toBe(true)
})

test('when the lease is lost while the function resolves, run rejects with the loss', async () => {
  const { time, locks, runtime } = world({ plan: deaf })
  const ran = locks.run('a', { ttl: '30s' }, () => new Promise((resolve) => runtime.after(28_000, () => resolve(1))))
  await expect(time.during(ran)).rejects.toMatchObject({ code: 'LEASE_LOST', reason: 'expired' })
})

test('when the event loop was blocked past the ttl, run rejects although no timer has fired', async () => {
  const { time, locks } = world()
  await expect(locks.run('a', { ttl: '30s' }, () => time.block(31_000))).rejects.toMatchObject({ code: 'LEASE_LOST' })
})

test('an error of the function comes first, with the loss attached', async () => {
  const { time, locks } = world({ plan: deaf })
  const broken = new Error('broken')
  const ran = locks.run('a', { ttl: '30s' }, (lease) => {
    return new Promise((_, reject) => lease.signal.addEventListener('abort', () => reject(broken)))
  })
  await expect(time.during(ran)).rejects.toBe(broken)
  expect((broken as { leaseLost?: LeaseLostError }).leaseLost).toMatchObject({ code: 'LEASE_LOST' })
})

test('an error that cannot be changed, or is none, is handed on as it is', async () => {
  const { time, locks } = world()
  for (const thrown of [Object.freeze(new Error('frozen')), 'text', undefined]) {
    const ran = locks.run('a', { ttl: '30s' }, () => {
      time.block(31_000)
      throw thrown
    })
    expect(await ran.catch((error: unknown) => error)).toBe(thrown)
  }
})

test('rethrowing the reason of the signal is the loss itself', async () => {
  const { time, locks } = world({ plan: deaf })
  const ran = locks.run('a', { ttl: '30s' }, (lease) => {
    return new Promise((_, reject) => lease.signal.addEventListener('abort', () => reject(lease.signal.reason)))
  })
  const loss = await time.during(ran).catch((error: unknown) => error)
  expect(loss).toMatchObject({ code: 'LEASE_LOST' })
  expect(loss).not.toHaveProperty('leaseLost')
})

test('a function that never settles is left behind when the lease is lost and the grace is over', async () => {
  const { time, locks } = world({ plan: deaf, grace: '3s' })
  const ran = outcomeOf(locks.run('a', { ttl: '30s' }, () => new Promise<never>(() => {})))
  await time.advance(29_900)
  expect(ran.settled).toBe(false)
  await time.advance(200)
  expect(ran.error).toMatchObject({ code: 'LEASE_LOST' })
})

test('what a function does after it was left behind disturbs nobody', async () => {
  const { time, locks, runtime } = world({ plan: deaf, grace: 0 })
  const late = () => new Promise((_, reject) => runtime.after(60_000, () => reject(new Error('late'))))
  await expect(time.during(locks.run('a', { ttl: '30s' }, late))).rejects.toMatchObject({ code: 'LEASE_LOST' })
  await time.advance(60_000)
})

test('run hands on why it did not get the lock, and does not call its function', async () => {
  const { time, locks, other } = world()
  await other.locks.acquire('a')
  const never = () => expect.unreachable()
  await expect(locks.run('a', { wait: 0 }, never)).rejects.toMatchObject({ code: 'HELD' })
  await expect(time.during(locks.run('a', { wait: '1s' }, never))).rejects.toMatchObject({ code: 'WAIT_TIMEOUT' })
  await expect(locks.run('a', { signal: AbortSignal.abort('no') }, never)).rejects.toBe('no')
})

test('a mutex is the same lock as an object', async () => {
  const { locks, isFree } = world()
  const lock = locks.mutex('a')
  const lease = await lock.acquire()
  expect([lease.mode, lease.waited, await lock.tryAcquire(), await isFree('a')]).toEqual([
    'exclusive',
    false,
    undefined,
    false,
  ])
  await lease.release()
  expect(await lock.run(async () => isFree('a'))).toBe(false)
})

test('of hundreds that increment an unprotected counter none is lost, and fences grow', async () => {
  const { time, process } = world()
  let counter = 0
  const fences: bigint[] = []
  const runs = Array.from({ length: 20 }, () => process().locks).flatMap((locks) =>
    Array.from({ length: 10 }, () =>
      locks.run('a', async ({ fence }) => {
        fences.push(fence)
        const read = counter
        await Promise.resolve()
        counter = read + 1
      }),
    ),
  )
  await time.during(Promise.all(runs))
  expect(counter).toBe(200)
  expect(fences).toEqual([...fences].sort((a, b) => (a < b ? -1 : 1)))
})
