import { expect, test } from 'vitest'
import type { Plan } from '../../src/testing/faults.ts'
import { outcomeOf, world } from './kit.ts'

const leave =
  (fault: ReturnType<Plan>): Plan =>
  (verb) =>
    verb === 'leave' ? fault : undefined

test('release gives it back, once, however often it is called', async () => {
  const { locks, calls, isFree } = world()
  const lease = await locks.acquire('a')
  const [first, second] = [lease.release(), lease.release()]
  expect([await first, await second, await lease.release()]).toEqual(['released', 'released', 'released'])
  expect(calls.filter((verb) => verb === 'leave')).toHaveLength(1)
  expect(await isFree('a')).toBe(true)
  expect(lease.state).toBe('released')
  expect(lease.remainingMs).toBe(0)
  expect(lease.signal.aborted).toBe(false)
  expect(() => lease.assertHeld()).toThrow('was released before this call')
  await expect(lease.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
})

test('Symbol.asyncDispose releases', async () => {
  const { locks, isFree } = world()
  const lease = await locks.acquire('a')
  await lease[Symbol.asyncDispose]()
  expect(await isFree('a')).toBe(true)
})

test('after a loss release says gone, and still gives back what is there', async () => {
  const { time, locks, isFree } = world({ plan: (verb) => (verb === 'renew' ? { lose: 'request' } : undefined) })
  const lease = await locks.acquire('a', { ttl: '30s' })
  await time.advance(27_500)
  expect(lease.state).toBe('lost')
  expect(await isFree('a')).toBe(false)
  expect(await lease.release()).toBe('gone')
  expect(await isFree('a')).toBe(true)
})

test('release of what somebody evicted says gone', async () => {
  const { locks, other } = world()
  const lease = await locks.acquire('a')
  await other.locks.evict('a', lease.fence)
  const next = await other.locks.acquire('a')
  expect(await lease.release()).toBe('gone')
  expect(next.state).toBe('held')
})

test('with a silent coordinator release is bounded, says gone, and goes on trying', async () => {
  const silentFor = 3
  const { time, locks, calls, isFree } = world({
    plan: (verb, _, n) => (verb === 'leave' && n <= silentFor ? { lose: 'request', silent: true } : undefined),
  })
  const lease = await locks.acquire('a', { ttl: '60s' })
  const from = time.now
  expect(await time.during(lease.release())).toBe('gone')
  expect(time.now - from).toBeLessThan(5010)
  expect(await isFree('a')).toBe(false)
  await time.advance(15_000)
  expect(await isFree('a')).toBe(true)
  expect(calls.filter((verb) => verb === 'leave')).toHaveLength(4)
})

test('with a failing coordinator release does not reject', async () => {
  const { time, locks, calls } = world({ plan: leave({ fail: new Error('no route') }) })
  const lease = await locks.acquire('a', { ttl: '30s' })
  expect(await time.during(lease.release())).toBe('gone')
  await time.advance(60_000)
  const leaves = calls.filter((verb) => verb === 'leave').length
  expect(leaves).toBeLessThan(40)
  await time.advance(60_000)
  expect(calls.filter((verb) => verb === 'leave')).toHaveLength(leaves)
})

test('nothing is asked, and nothing is due, after a release', async () => {
  const { time, locks, calls } = world()
  const lease = await locks.acquire('a')
  await time.advance(15_000)
  await lease.release()
  calls.length = 0
  let timers = 0
  while (timers < 100 && (await time.step())) timers += 1
  expect(timers).toBeLessThan(100)
  expect(calls).toEqual([])
})

test('a renewal that is on its way during the release brings nothing back', async () => {
  const { time, locks, isFree } = world({
    plan: (verb) => (verb === 'renew' ? { requestMs: 50, replyMs: 50 } : undefined),
  })
  const lease = await locks.acquire('a', { ttl: '30s' })
  await time.advance(10_010)
  expect(await lease.release()).toBe('released')
  await time.advance(1000)
  expect(lease.state).toBe('released')
  expect(await isFree('a')).toBe(true)
})

test('close gives back what is held, and its holders see it lost', async () => {
  const { locks, isFree, calls } = world()
  const lease = await locks.acquire('a')
  const { signal } = lease
  const closing = locks.close()
  expect(locks.close()).toBe(closing)
  expect(signal.reason).toMatchObject({ code: 'LEASE_LOST', reason: 'closed' })
  await closing
  expect(lease.state).toBe('lost')
  expect(await lease.release()).toBe('gone')
  expect(await isFree('a')).toBe(true)
  expect(calls.filter((verb) => verb === 'close')).toHaveLength(1)
})

test('close ends all waiting, and leaves the queues', async () => {
  const { time, locks, other } = world()
  await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  const several = outcomeOf(locks.acquire(['0', 'a']))
  await time.settle()
  await locks.close()
  expect([waiting.error, several.error]).toMatchObject([{ code: 'CLOSED' }, { code: 'CLOSED' }])
  expect((await other.locks.inspect('a'))?.waiters).toEqual([])
  expect(await other.locks.inspect('0')).toBeUndefined()
})

test('close at the instant of a grant leaves nothing behind', async () => {
  for (let turns = 0; turns < 12; turns += 1) {
    const { time, locks, other, isFree } = world()
    const first = await other.locks.acquire('a')
    const waiting = outcomeOf(locks.acquire('a'))
    await time.settle()
    void first.release()
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
    void locks.close()
    await time.settle()
    expect(waiting.error ?? waiting.value?.state, `${turns} turns`).toSatisfy(
      (end: unknown) => end === 'lost' || (end as { code: string }).code === 'CLOSED',
    )
    expect(await isFree('a')).toBe(true)
  }
})

test('close is bounded when the coordinator is silent', async () => {
  const plan: Plan = (verb) => (verb === 'leave' || verb === 'close' ? { lose: 'request', silent: true } : undefined)
  const { time, locks } = world({ plan })
  await locks.acquire('a')
  await time.during(locks.close())
  expect(time.now).toBeLessThan(10_020)
})

test('after close everything rejects with CLOSED', async () => {
  const { locks } = world()
  const lock = locks.mutex('a')
  await locks[Symbol.asyncDispose]()
  const uses: (() => Promise<unknown>)[] = [
    () => locks.acquire('a'),
    () => locks.tryAcquire('a'),
    () => locks.run('a', () => {}),
    () => locks.acquire(['a', 'b']),
    () => lock.acquire(),
    () => locks.rw('a').read().acquire(),
    () => locks.semaphore('a', 2).acquire(),
    () => locks.election('a').acquire(),
    () => locks.election('a').leader(),
    () => locks.election('a').observe().next(),
    () => locks.elect('a').next(),
    () => locks.once('a', { every: '1h' }, () => {}),
    () => locks.singleFlight('a', () => {}),
    () => locks.inspect('a'),
    () => locks.list().next(),
    () => locks.evict('a', 1n),
    () => locks.diagnose(),
  ]
  for (const use of uses) await expect(use(), String(use)).rejects.toMatchObject({ code: 'CLOSED' })
})

test('release goes on trying for as long as the lease was asked to last', async () => {
  const back = 60_000
  const { time, locks, isFree } = world({
    plan: (verb) => (verb === 'leave' && time.now < back ? { lose: 'request' } : undefined),
  })
  const lease = await locks.acquire('a', { ttl: '30s' })
  await lease.renew('1h')
  await time.during(lease.release())
  await time.advance(back - 100)
  expect(await isFree('a')).toBe(false)
  await time.advance(5000)
  expect(await isFree('a')).toBe(true)
})
