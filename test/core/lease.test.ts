import { expect, test } from 'vitest'
import type { LeaseLostError } from '../../src/index.ts'
import type { Plan } from '../../src/testing/faults.ts'
import { faulty } from '../../src/testing/faults.ts'
import { world } from './kit.ts'

/** All renewals from the `first` to the `last` are lost on the way there. */
const deaf =
  (first: number, last = Infinity): Plan =>
  (verb, _, n) =>
    verb === 'renew' && n >= first && n <= last ? { lose: 'request' } : undefined

test('validity counts from before the request left, less the margin', async () => {
  const { time, locks } = world({ plan: (verb) => (verb === 'join' ? { requestMs: 700, replyMs: 300 } : undefined) })
  const lease = await time.during(locks.acquire('a', { ttl: '30s' }))
  expect(lease.remainingMs).toBeCloseTo(30_000 - 3000 - 1000, 0)
  const own = await time.during(locks.acquire('b', { ttl: '30s', margin: '10s' }))
  expect(own.remainingMs).toBeCloseTo(30_000 - 10_000 - 1000, 0)
  const short = await time.during(locks.acquire('c', { ttl: 4000, margin: undefined as never }))
  expect(short.remainingMs).toBeCloseTo(4000 - 400 - 1000, 0)
})

test('a lease is renewed every third of its ttl, for as long as it is held', async () => {
  const { time, locks, calls } = world()
  const lease = await locks.acquire('a', { ttl: '30s' })
  calls.length = 0
  let least = Infinity
  for (let second = 0; second < 300; second += 1) {
    await time.advance(1000)
    least = Math.min(least, lease.remainingMs)
  }
  expect(lease.state).toBe('held')
  expect(least).toBeGreaterThan(16_000)
  expect(calls.filter((verb) => verb === 'renew').length).toBeCloseTo(30, -1)
})

test('a renewed validity, too, counts from before the request left', async () => {
  const { time, locks } = world({ plan: (verb) => (verb === 'renew' ? { replyMs: 2000 } : undefined) })
  const lease = await locks.acquire('a', { ttl: '30s' })
  await time.advance(11_999)
  expect(lease.remainingMs).toBeCloseTo(15_001, 0)
  await time.advance(2)
  expect(lease.remainingMs).toBeCloseTo(24_999, 0)
})

test.each([
  ['it waits', { state: 'waiting', fence: 1n, ttlMs: 5000, ahead: 1, retryAfterMs: 5000 }],
  ['another ticket holds', { state: 'held', fence: 1n, ttlMs: 30_000 }],
] as const)('a holder that is told that %s has lost', async (_, answer) => {
  const { time, locks } = world({
    wrap: (backend) => {
      const mistaken = faulty(backend, () => undefined)
      mistaken.renew = async () => answer
      return mistaken
    },
  })
  const lease = await locks.acquire('a', { ttl: '30s' })
  await time.advance(10_001)
  expect(lease.signal.reason).toMatchObject({ code: 'LEASE_LOST', reason: 'gone' })
})

test('a renewal that is not answered makes it doubtful, the next answer makes it held again', async () => {
  const { time, locks } = world({ plan: deaf(1, 2) })
  const lease = await locks.acquire('a', { ttl: '30s' })
  const seen: string[] = []
  for (const state of ['held', 'doubtful', 'lost', 'released'] as const) lease.on(state, () => seen.push(state))
  await time.advance(10_100)
  expect(lease.state).toBe('doubtful')
  lease.assertHeld()
  expect(lease.signal.aborted).toBe(false)
  await time.advance(10_000)
  expect(lease.state).toBe('held')
  await lease.release()
  expect(seen).toEqual(['doubtful', 'held', 'released'])
})

test('without any answer it is lost at its deadline, before anybody else can hold', async () => {
  const { time, locks, isFree } = world({ plan: deaf(1) })
  const lease = await locks.acquire('a', { ttl: '30s' })
  let abortedAt = 0
  lease.signal.addEventListener('abort', () => (abortedAt = time.now))
  await time.advance(26_999)
  expect([lease.state, abortedAt]).toEqual(['doubtful', 0])
  await time.advance(2)
  expect(abortedAt).toBeCloseTo(27_000, 0)
  expect([lease.state, lease.remainingMs]).toEqual(['lost', 0])
  expect(await isFree('a')).toBe(false)
  const loss = lease.signal.reason as LeaseLostError
  expect(loss).toMatchObject({ code: 'LEASE_LOST', reason: 'expired', fence: lease.fence, lock: 'a' })
  expect(loss.cause).toMatchObject({ code: 'UNAVAILABLE' })
  expect(loss.message).toContain(`check it with fence ${lease.fence}`)
  expect(() => lease.assertHeld()).toThrow(loss)
  await time.advance(3100)
  expect(await isFree('a')).toBe(true)
})

test('a coordinator that is silent instead of failing changes nothing about that', async () => {
  const { time, locks } = world({ plan: (verb) => (verb === 'renew' ? { lose: 'request', silent: true } : undefined) })
  const lease = await locks.acquire('a', { ttl: '30s' })
  await time.advance(26_990)
  expect(lease.state).toBe('doubtful')
  await time.advance(20)
  expect(lease.state).toBe('lost')
})

test('renewals that fail are repeated with pauses, not in a hot loop', async () => {
  const { time, locks, calls } = world({ plan: deaf(1) })
  await locks.acquire('a', { ttl: '30s' })
  calls.length = 0
  await time.advance(40_000)
  expect(calls.length).toBeGreaterThan(5)
  expect(calls.length).toBeLessThan(120)
})

test('a lost answer ends it at once', async () => {
  const { time, locks, other } = world()
  const lease = await locks.acquire('a', { ttl: '30s' })
  expect(await other.locks.evict('a', lease.fence)).toBe(true)
  await time.advance(10_001)
  expect(lease.state).toBe('lost')
  expect(lease.signal.reason).toMatchObject({ reason: 'gone' })
})

test('after a blocked event loop assertHeld throws before any timer has fired', async () => {
  const { time, locks } = world()
  const lease = await locks.acquire('a', { ttl: '30s' })
  time.block(60_000)
  expect(() => lease.assertHeld()).toThrow('ended 33 s ago')
  const other = await world().locks.acquire('a')
  other.assertHeld()
})

test.each(['state', 'remainingMs', 'signal'] as const)(
  'after a blocked event loop %s tells the truth',
  async (what) => {
    const { time, locks } = world()
    const lease = await locks.acquire('a', { ttl: '30s' })
    time.block(27_001)
    const told = lease[what]
    expect(told instanceof AbortSignal ? told.aborted : told).toBe(
      { state: 'lost', remainingMs: 0, signal: true }[what],
    )
  },
)

test('a late renewal does not bring back what was lost by the clock', async () => {
  const { time, locks } = world({ plan: (verb) => (verb === 'renew' ? { replyMs: 20_000 } : undefined) })
  const lease = await locks.acquire('a', { ttl: '30s', wait: 0 })
  const loss: unknown[] = []
  lease.on('lost', () => loss.push(time.now))
  await time.advance(200_000)
  expect(lease.state).toBe('lost')
  expect(loss).toHaveLength(1)
})

test('while the machine sleeps the lease goes on ending', async () => {
  const { time, locks, runtime } = world()
  const lease = await locks.acquire('a', { ttl: '30s' })
  runtime.sleep(60_000)
  await time.advance(60_000)
  expect(() => lease.assertHeld()).toThrow(/LEASE_LOST|ended/)
})

test('a wall clock that is set back changes nothing, and hides no later sleep', async () => {
  const { time, locks, runtime } = world()
  const lease = await locks.acquire('a', { ttl: '30s' })
  runtime.jumpWall(-3_600_000)
  await time.advance(120_000)
  expect(lease.state).toBe('held')
  runtime.jumpWall(-50_000)
  await time.advance(1001)
  runtime.sleep(40_000)
  await time.advance(40_000)
  expect(lease.state).toBe('lost')
})

test('a wall clock that is set forward costs the lease, which is safe', async () => {
  const { locks, runtime } = world()
  const lease = await locks.acquire('a', { ttl: '30s' })
  runtime.jumpWall(5)
  expect(lease.state).toBe('held')
  runtime.jumpWall(3_600_000)
  expect(lease.state).toBe('lost')
})

test('a stopped process finds its lease lost as soon as it goes on', async () => {
  const { time, locks, runtime, isFree } = world()
  const lease = await locks.acquire('a', { ttl: '30s' })
  const { signal } = lease
  runtime.pause()
  await time.advance(31_000)
  expect(await isFree('a')).toBe(true)
  expect(signal.aborted).toBe(false)
  expect(() => lease.assertHeld()).toThrow('ended 4.0 s ago')
  expect(signal.aborted).toBe(true)
})

test('renew makes it last from now on, also longer', async () => {
  const { time, locks, runtime } = world()
  const lease = await locks.acquire('a', { ttl: '30s' })
  await lease.renew('10m')
  expect(lease.remainingMs).toBeCloseTo(540_000, 0)
  runtime.pause()
  await time.advance(500_000)
  lease.assertHeld()
})

test('renew says when the lease is lost, and when nobody answers', async () => {
  const { time, locks, other } = world({ plan: deaf(2) })
  const lease = await locks.acquire('a', { ttl: '30s' })
  await other.locks.evict('a', lease.fence)
  await expect(lease.renew()).rejects.toMatchObject({ code: 'LEASE_LOST', reason: 'gone' })
  const second = await locks.acquire('a', { ttl: '30s' })
  await expect(second.renew()).rejects.toMatchObject({ code: 'UNREACHABLE' })
  expect(second.state).toBe('held')
  await time.advance(30_000)
  await expect(second.renew()).rejects.toMatchObject({ code: 'LEASE_LOST', reason: 'expired' })
})

test('a listener can be taken off', async () => {
  const { locks } = world()
  const lease = await locks.acquire('a')
  const off = lease.on('released', () => expect.unreachable())
  off()
  await lease.release()
})

test('leases that were taken at many moments are renewed together', async () => {
  const { time, locks, calls } = world()
  for (let n = 0; n < 100; n += 1) {
    await locks.acquire(`a${n}`, { ttl: '30s' })
    await time.advance(37)
  }
  calls.length = 0
  const moments = new Set<number>()
  for (let step = 0; step < 3000; step += 1) {
    const before = calls.length
    await time.advance(10)
    if (calls.length > before) moments.add(time.now)
  }
  expect(moments.size).toBeLessThanOrEqual(6)
})

test('a coordinator that keeps a lease for less than was asked is asked more often', async () => {
  const { time, locks } = world({
    wrap: (backend) => {
      const stingy = faulty(backend, () => undefined)
      stingy.join = (entry) => backend.join({ ...entry, ttlMs: 5000 })
      stingy.renew = (claim, ttlMs) => backend.renew(claim, Math.min(ttlMs, 5000))
      return stingy
    },
  })
  const lease = await locks.acquire('a', { ttl: '30s' })
  expect(lease.remainingMs).toBeCloseTo(4500, 0)
  await time.advance(60_000)
  expect(lease.state).toBe('held')
})

test('a lease that comes to its maxHold takes no time from those that are renewed beside it', async () => {
  const { time, locks } = world({ plan: (verb) => (verb === 'renew' ? { requestMs: 10, replyMs: 10 } : undefined) })
  const states: string[] = []
  const [short, long] = [await locks.acquire('a', { maxHold: 10_004 }), await locks.acquire('b')]
  long.on('doubtful', () => states.push('doubtful'))
  await time.advance(10_100)
  expect([short.state, long.state, states]).toEqual(['lost', 'held', []])
  expect(long.remainingMs).toBeGreaterThan(26_000)
})

test('there are four states to hear of, and no others', async () => {
  const { locks } = world()
  const lease = await locks.acquire('a')
  expect(() => lease.on('lots' as 'lost', () => {})).toThrow(
    /no state .*lots.*; there are held, doubtful, lost, released/,
  )
})
