import { expect, test } from 'vitest'
import { outcomeOf, world } from '../core/kit.ts'

test('several names are held together, in the order of their names', async () => {
  const { locks, isFree } = world()
  const set = await locks.acquire(['b', 'a', 'c'])
  expect(set.names).toEqual(['a', 'b', 'c'])
  const fences = set.names.map((name) => set.fences.get(name)!)
  expect(fences).toEqual([...fences].sort((x, y) => (x < y ? -1 : 1)))
  for (const name of set.names) expect(await isFree(name)).toBe(false)
  set.assertHeld()
  await set.renew('1m')
  expect(set.remainingMs).toBeGreaterThan(50_000)
  expect(await set.release()).toBe('released')
  for (const name of set.names) expect(await isFree(name)).toBe(true)
})

test('those who take the same names in another order do not wait for each other', async () => {
  const { time, process } = world()
  let done = 0
  const runs = [
    ['a', 'b', 'c'],
    ['c', 'b', 'a'],
    ['b', 'c'],
    ['c', 'a'],
  ].flatMap((names) => Array.from({ length: 5 }, () => process().locks.run(names, () => void (done += 1))))
  await time.during(Promise.all(runs), 10_000)
  expect(done).toBe(20)
})

test('a try takes all or nothing', async () => {
  const { locks, other, isFree } = world()
  await other.locks.acquire('b')
  expect(await locks.tryAcquire(['a', 'b', 'c'])).toBeUndefined()
  expect([await isFree('a'), await isFree('c')]).toEqual([true, true])
})

test('one deadline holds for all of them, and what was held is given back', async () => {
  const { time, locks, other, process, isFree } = world()
  const first = await other.locks.acquire('a')
  await process().locks.acquire('b')
  const waiting = outcomeOf(locks.acquire(['a', 'b'], { wait: '10s' }))
  await time.advance(6000)
  await first.release()
  await time.advance(3900)
  expect([waiting.settled, await isFree('a')]).toEqual([false, false])
  await time.advance(200)
  expect(waiting.error).toMatchObject({ code: 'WAIT_TIMEOUT', lock: 'b' })
  expect(await isFree('a')).toBe(true)
})

test('an abort while waiting for the last gives back the first', async () => {
  const { time, locks, other, isFree } = world()
  await other.locks.acquire('b')
  const controller = new AbortController()
  const waiting = outcomeOf(locks.acquire(['a', 'b'], { signal: controller.signal }))
  await time.advance(60_000)
  expect(await isFree('a')).toBe(false)
  controller.abort('enough')
  await time.advance(1)
  expect(waiting.error).toBe('enough')
  expect(await isFree('a')).toBe(true)
  expect((await locks.inspect('b'))?.waiters).toEqual([])
})

test('when one is lost while another is waited for, all are taken anew', async () => {
  const { time, locks, other, process } = world()
  const last = await other.locks.acquire('b')
  const waiting = outcomeOf(locks.acquire(['a', 'b']))
  await time.advance(1000)
  const [holder] = (await locks.inspect('a'))!.holders
  await other.locks.evict('a', holder!.fence)
  const between = await process().locks.acquire('a')
  await time.advance(20_000)
  expect(waiting.settled).toBe(false)
  // Anew from the first: nobody stands before the second while the first is missing.
  expect((await locks.inspect('a'))?.waiters).toHaveLength(1)
  expect((await locks.inspect('b'))?.waiters).toHaveLength(0)
  await last.release()
  await time.advance(10)
  expect(waiting.settled).toBe(false)
  await between.release()
  await time.advance(10)
  expect(waiting.value?.fences.get('a')).toBeGreaterThan(between.fence)
  waiting.value?.assertHeld()
})

test('when one of them is lost, the set is', async () => {
  const { time, locks, other } = world()
  const set = await locks.acquire(['a', 'b'])
  await other.locks.evict('b', set.fences.get('b')!)
  await time.advance(11_000)
  expect(set.signal.aborted).toBe(true)
  expect(set.signal.reason).toMatchObject({ code: 'LEASE_LOST', lock: 'b' })
  expect(() => set.assertHeld()).toThrow('"b"')
  expect(set.remainingMs).toBe(0)
  expect(await set.release()).toBe('gone')
})

test('run over several names hands on the loss of any of them', async () => {
  const { time, locks, other, runtime } = world()
  const ran = locks.run(['a', 'b'], async (set) => {
    await other.locks.evict('a', set.fences.get('a')!)
    await new Promise<void>((resolve) => runtime.after(15_000, resolve))
  })
  await expect(time.during(ran)).rejects.toMatchObject({ code: 'LEASE_LOST', lock: 'a' })
  expect(await locks.run(['a', 'b'], { ttl: '5s' }, (set) => set.waited)).toBe(false)
})

test('one name in an array is a set of one', async () => {
  const { locks } = world()
  const set = await locks.acquire(['a'])
  expect([set.names, set.waited, set.waitedMs]).toEqual([['a'], false, 0])
  await set[Symbol.asyncDispose]()
  expect(await locks.inspect('a')).toBeUndefined()
})
