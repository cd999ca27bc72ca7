import { expect, test } from 'vitest'
import { outcomeOf, world } from '../core/kit.ts'

test('callers of one process share one call and its result', async () => {
  const { time, locks, runtime } = world()
  let calls = 0
  const refresh = async () => {
    calls += 1
    await new Promise<void>((resolve) => runtime.after(100, resolve))
    return `token ${calls}`
  }
  const shared = Promise.all(Array.from({ length: 10 }, () => locks.singleFlight('oauth', refresh)))
  expect(await time.during(shared)).toEqual(Array.from({ length: 10 }, () => 'token 1'))
  expect(await time.during(locks.singleFlight('oauth', refresh))).toBe('token 2')
})

test('those of other processes come one after the other, and hear that they waited', async () => {
  const { time, process } = world()
  let running = 0
  const flights = Array.from({ length: 4 }, () => {
    const { locks, runtime } = process()
    return locks.singleFlight('oauth', async (lease, { waited }) => {
      lease.assertHeld()
      expect((running += 1)).toBe(1)
      await new Promise<void>((resolve) => runtime.after(100, resolve))
      running -= 1
      return waited
    })
  })
  expect(await time.during(Promise.all(flights))).toEqual([false, true, true, true])
})

test('an error is shared, too, and the next call flies anew', async () => {
  const { locks } = world()
  const broken = new Error('broken')
  const both = [1, 2].map(() => locks.singleFlight('oauth', () => Promise.reject(broken)))
  for (const each of both) await expect(each).rejects.toBe(broken)
  expect(await locks.singleFlight('oauth', () => 1)).toBe(1)
})

test('a passenger whose signal aborts leaves alone, and the others land', async () => {
  const { time, locks, other } = world()
  const first = await other.locks.acquire('oauth')
  const controller = new AbortController()
  const impatient = outcomeOf(locks.singleFlight('oauth', { signal: controller.signal }, () => 1))
  const patient = outcomeOf(locks.singleFlight('oauth', () => 2))
  await time.advance(100)
  controller.abort('enough')
  await time.settle()
  expect([impatient.error, patient.settled]).toEqual(['enough', false])
  await first.release()
  await time.advance(1)
  expect(patient.value).toBe(1)
})

test('when the last passenger leaves, nobody waits any more, and the next caller flies anew', async () => {
  const { time, locks, other } = world()
  const first = await other.locks.acquire('oauth')
  const controllers = [new AbortController(), new AbortController()]
  const leaving = controllers.map(({ signal }) => outcomeOf(locks.singleFlight('oauth', { signal }, () => 1)))
  await time.advance(100)
  for (const each of controllers) each.abort('enough')
  const next = outcomeOf(locks.singleFlight('oauth', () => 2))
  await time.advance(1)
  expect(leaving.map(({ error }) => error)).toEqual(['enough', 'enough'])
  expect((await other.locks.inspect('oauth'))?.waiters).toHaveLength(1)
  await first.release()
  await time.advance(1)
  expect(next.value).toBe(2)
})

test('a signal that aborts after the landing has no effect', async () => {
  const { time, locks } = world()
  const controller = new AbortController()
  expect(await locks.singleFlight('oauth', { signal: controller.signal }, () => 1)).toBe(1)
  controller.abort()
  await time.settle()
  expect(await locks.singleFlight('oauth', () => 2)).toBe(2)
})

test('two names are two flights', async () => {
  const { locks } = world()
  const both = [locks.singleFlight('a', () => 1), locks.singleFlight('b', () => 2)]
  expect(await Promise.all(both)).toEqual([1, 2])
})
