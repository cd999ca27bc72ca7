import { expect, test } from 'vitest'
import type { Backend, Entry } from '../../src/backend.ts'
import type { Plan } from '../../src/testing/faults.ts'
import { faulty } from '../../src/testing/faults.ts'
import { outcomeOf, world } from './kit.ts'

const join: (fault: ReturnType<Plan>) => Plan = (fault) => (verb, _, n) =>
  verb === 'join' && n === 1 ? fault : undefined

test('whoever would not wait hears at once who holds', async () => {
  const { other, locks, calls } = world()
  await other.locks.acquire('a', { label: 'nightly report' })
  const refused = locks.acquire('a', { wait: 0 })
  await expect(refused).rejects.toMatchObject({ code: 'HELD', lock: 'a' })
  await expect(refused).rejects.toThrow(/"a" is held by host-2 pid 1002 \(simulated, nightly report\)\. Set wait/)
  expect(await locks.tryAcquire('a')).toBeUndefined()
  expect(calls).toEqual(['join', 'join'])
})

test('after wait the place is given up, and the error says how it stood', async () => {
  const { time, other, process, locks } = world()
  const first = await other.locks.acquire('a')
  const impatient = locks.acquire('a', { wait: '10s' })
  await time.settle()
  const behind = outcomeOf(process().locks.acquire('a'))
  await expect(time.during(impatient)).rejects.toMatchObject({ code: 'WAIT_TIMEOUT', ahead: 1, lock: 'a' })
  expect(time.now).toBeCloseTo(10_000, 0)
  expect((await other.locks.inspect('a'))?.waiters).toHaveLength(1)
  await first.release()
  await time.advance(1)
  expect(behind.value?.state).toBe('held')
})

test('a coordinator that fails is unreachable, with the reason, and the place is left', async () => {
  const { time, locks, isFree } = world({ plan: join({ lose: 'reply' }) })
  const failed = outcomeOf(locks.acquire('a'))
  await time.advance(1)
  expect(failed.error).toMatchObject({ code: 'UNAVAILABLE' })
  expect(await isFree('a')).toBe(true)
  const other = world({ plan: join({ fail: new Error('no route') }) })
  await expect(other.locks.acquire('a')).rejects.toMatchObject({ code: 'UNREACHABLE', cause: { message: 'no route' } })
})

test('a silent coordinator is unreachable after the request timeout', async () => {
  const { time, locks, isFree } = world({ plan: join({ lose: 'reply', silent: true }) })
  await expect(time.during(locks.acquire('a'))).rejects.toMatchObject({ code: 'UNREACHABLE' })
  expect(time.now).toBeCloseTo(5000, 0)
  expect(await isFree('a')).toBe(true)
})

test('whoever waits less than that hears that the time is up', async () => {
  const { time, locks } = world({ plan: 'silent' })
  await expect(time.during(locks.acquire('a', { wait: '2s' }))).rejects.toMatchObject({ code: 'WAIT_TIMEOUT' })
  expect(time.now).toBeCloseTo(2000, 0)
  await expect(time.during(locks.tryAcquire('a'))).rejects.toMatchObject({ code: 'UNREACHABLE' })
})

test('a subscription that is never confirmed keeps nobody from giving up', async () => {
  const plan: Plan = (verb) => (verb === 'watch' ? { requestMs: 1e9 } : undefined)
  const { time, locks } = world({ plan })
  await expect(time.during(locks.acquire('a'))).rejects.toMatchObject({ code: 'UNREACHABLE' })
  await expect(time.during(locks.acquire('a', { wait: '2s' }))).rejects.toMatchObject({ code: 'WAIT_TIMEOUT' })
  expect(time.now).toBeCloseTo(7000, 0)
  const controller = new AbortController()
  const waiting = outcomeOf(locks.acquire('a', { signal: controller.signal }))
  await time.settle()
  controller.abort(new Error('enough'))
  await time.settle()
  expect(waiting.error).toMatchObject({ message: 'enough' })
  const closing = outcomeOf(locks.acquire('a'))
  await time.settle()
  await time.during(locks.close())
  expect(closing.error).toMatchObject({ code: 'CLOSED' })
})

test('a join that lands after the caller gave up is left again', async () => {
  const { time, locks, isFree } = world({ plan: join({ requestMs: 8000 }) })
  const gone = outcomeOf(locks.acquire('a'))
  await time.advance(5001)
  expect(gone.error).toMatchObject({ code: 'UNREACHABLE' })
  await time.advance(3000)
  expect(await isFree('a')).toBe(true)
})

test('a join that fails after the caller gave up is left again: nobody knows what it did', async () => {
  const late = (backend: Backend): Backend =>
    Object.assign(
      faulty(backend, () => undefined),
      { join: (entry: Entry) => backend.join(entry).then(() => Promise.reject(new Error('not replicated'))) },
    )
  const { time, locks, isFree } = world({ plan: join({ requestMs: 8000 }), wrap: late })
  const gone = outcomeOf(locks.acquire('a'))
  await time.advance(5001)
  expect(gone.error).toMatchObject({ code: 'UNREACHABLE' })
  await time.advance(3000)
  expect(await isFree('a')).toBe(true)
})

test('a leave that is not answered is sent again, with pauses', async () => {
  const plan: Plan = (verb, _, n) =>
    verb === 'join' || (verb === 'leave' && n <= 3) ? { lose: verb === 'join' ? 'reply' : 'request' } : undefined
  const { time, locks, calls, isFree } = world({ plan })
  const gone = outcomeOf(locks.acquire('a'))
  await time.advance(2000)
  expect(gone.settled).toBe(true)
  expect(calls.filter((verb) => verb === 'leave')).toHaveLength(4)
  expect(await isFree('a')).toBe(true)
})

test('a waiter whose renewals are not answered loses its place, and hears it', async () => {
  const { time, other, locks } = world({ plan: (verb) => (verb === 'renew' ? { lose: 'request' } : undefined) })
  await other.locks.acquire('a', { ttl: '10m' })
  const waiting = outcomeOf(locks.acquire('a'))
  // The place, and twice a request: the second in case that this process had stood still.
  await time.advance(15_000)
  expect(waiting.settled).toBe(false)
  await time.advance(2000)
  expect(waiting.error).toMatchObject({ code: 'UNREACHABLE' })
})

test('a waiter that stood still for long takes a new place, and is not told that the coordinator was silent', async () => {
  const { time, other, locks } = world()
  const held = await other.locks.acquire('a', { ttl: '10m' })
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(1000)
  time.block(60_000)
  await time.advance(100)
  expect(waiting.settled).toBe(false)
  void held.release()
  await time.advance(100)
  expect(waiting.error).toBeUndefined()
  expect(waiting.settled).toBe(true)
})

test('a grant that comes later than it lasts is not handed out', async () => {
  const { time, locks } = world({ plan: join({ replyMs: 1000 }), requestTimeout: '10s' })
  const lease = await time.during(locks.acquire('a', { ttl: '1s' }))
  expect(lease.remainingMs).toBeGreaterThan(800)
  expect(time.now).toBeLessThan(1100)
})

const reason = new Error('enough')

test('a signal that is aborted already: nothing is sent', async () => {
  const { locks, calls } = world()
  await expect(locks.acquire('a', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  await expect(locks.acquire(['a', 'b'], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  await expect(locks.run('a', { signal: AbortSignal.abort(reason) }, () => {})).rejects.toBe(reason)
  await expect(locks.singleFlight('a', { signal: AbortSignal.abort(reason) }, () => {})).rejects.toBe(reason)
  expect(calls).toEqual([])
})

test('a signal that aborts while the join is on its way: the place is left', async () => {
  const { time, locks, isFree } = world({
    plan: (verb) => (verb === 'join' ? { requestMs: 50, replyMs: 50 } : undefined),
  })
  for (const atMs of [0, 25, 75]) {
    const controller = new AbortController()
    const acquiring = outcomeOf(locks.acquire('a', { signal: controller.signal }))
    await time.advance(atMs)
    controller.abort(reason)
    await time.settle()
    expect(acquiring.error ?? acquiring.value).toBe(reason)
    await time.advance(200)
    expect(await isFree('a')).toBe(true)
  }
})

test('a signal that aborts while waiting: the place is left, and those behind move up', async () => {
  const { time, other, process, locks } = world()
  const first = await other.locks.acquire('a')
  const controller = new AbortController()
  const acquiring = outcomeOf(locks.acquire('a', { signal: controller.signal }))
  await time.advance(10_000)
  const behind = outcomeOf(process().locks.acquire('a'))
  await time.settle()
  controller.abort(reason)
  await time.settle()
  expect(acquiring.error).toBe(reason)
  await first.release()
  await time.settle()
  expect(behind.value?.state).toBe('held')
})

test('a signal that aborts at the instant of the grant: a lease or the reason, and never a lease that nobody has', async () => {
  // Before the release, after it, and some turns later, when the grant is about to be handed out.
  for (let turns = -1; turns < 12; turns += 1) {
    const { time, other, locks, isFree } = world()
    const first = await other.locks.acquire('a')
    const controller = new AbortController()
    const acquiring = outcomeOf(locks.acquire('a', { signal: controller.signal }))
    await time.advance(10)
    if (turns < 0) controller.abort(reason)
    void first.release()
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
    controller.abort(reason)
    await time.advance(10)
    expect(acquiring.settled).toBe(true)
    expect(await isFree('a')).toBe(acquiring.error === reason)
    expect(acquiring.error === reason || acquiring.value?.state === 'held').toBe(true)
  }
})

test('a signal that aborts after the grant has no effect', async () => {
  const { time, locks } = world()
  const controller = new AbortController()
  const lease = await locks.acquire('a', { signal: controller.signal })
  controller.abort(reason)
  await time.advance(100_000)
  expect(lease.state).toBe('held')
  expect(lease.signal.aborted).toBe(false)
})
