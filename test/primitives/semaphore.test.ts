import { expect, test } from 'vitest'
import { outcomeOf, world } from '../core/kit.ts'

test('so many hold at a time, and no more', async () => {
  const { time, process } = world()
  let running = 0
  let most = 0
  const runs = Array.from({ length: 30 }, () => {
    const { locks, runtime } = process()
    return locks.semaphore('a', 4).run(async () => {
      running += 1
      most = Math.max(most, running)
      await new Promise<void>((resolve) => runtime.after(50, resolve))
      running -= 1
    })
  })
  await time.during(Promise.all(runs), 10_000)
  expect(most).toBe(4)
})

test('permits have weights, and nobody overtakes', async () => {
  const { time, locks, process } = world()
  const pool = locks.semaphore('a', 4)
  expect(pool.permits).toBe(4)
  const three = await pool.acquire({ permits: 3 })
  const heavy = outcomeOf(process().locks.semaphore('a', 4).acquire({ permits: 2 }))
  await time.settle()
  const light = outcomeOf(process().locks.semaphore('a', 4).acquire())
  await time.settle()
  expect(await pool.tryAcquire()).toBeUndefined()
  expect([heavy.settled, light.settled]).toEqual([false, false])
  await three.release()
  await time.settle()
  expect([heavy.value?.state, light.value?.state]).toEqual(['held', 'held'])
})

test('a heavy waiter that gives up lets the light ones behind it hold', async () => {
  const { time, locks, process } = world()
  await locks.semaphore('a', 3).acquire({ permits: 2 })
  const heavy = outcomeOf(process().locks.semaphore('a', 3).acquire({ permits: 3, wait: '5s' }))
  await time.settle()
  const light = outcomeOf(process().locks.semaphore('a', 3).acquire())
  await time.advance(4900)
  expect(light.settled).toBe(false)
  await time.advance(200)
  expect([heavy.settled, light.value?.state]).toEqual([true, 'held'])
})

test('all must agree on how many permits there are, as long as anybody holds', async () => {
  const { locks, other } = world()
  const lease = await locks.semaphore('a', 3).acquire()
  const differing = other.locks.semaphore('a', 5).acquire()
  await expect(differing).rejects.toMatchObject({ code: 'CAPACITY_MISMATCH', lock: 'a' })
  await expect(differing).rejects.toThrow('in use with 3 permits, and this asks for one of 5')
  await expect(other.locks.semaphore('a', 5).tryAcquire()).rejects.toMatchObject({ code: 'CAPACITY_MISMATCH' })
  await lease.release()
  await (await other.locks.semaphore('a', 5).acquire({ permits: 5 })).release()
})

test('a semaphore, a lock and an election of one name do not touch each other', async () => {
  const { locks } = world()
  const leases = [
    await locks.acquire('a'),
    await locks.semaphore('a', 1).acquire(),
    await locks.election('a').acquire(),
  ]
  expect(leases.map(({ mode }) => mode)).toEqual(['exclusive', 'permits', 'leader'])
  await expect((leases[1] as never as { downgrade(): Promise<void> }).downgrade()).rejects.toMatchObject({
    code: 'NOT_SUPPORTED',
  })
})
