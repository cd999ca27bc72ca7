import { expect, test } from 'vitest'
import { outcomeOf, world } from '../core/kit.ts'

test('inspect shows who holds, since when, and who waits, in order', async () => {
  const { time, locks, other, process } = world()
  const lease = await other.locks.acquire('a', { ttl: '30s', label: 'first' })
  await time.advance(1000)
  void locks.acquire('a', { label: 'second' })
  await time.settle()
  void process().locks.acquire('a', { label: 'third' })
  await time.advance(500)
  const seen = (await locks.inspect('a'))!
  expect(seen).toMatchObject({ name: 'a', kind: 'lock' })
  expect(seen.holders).toMatchObject([
    { fence: lease.fence, exclusive: true, lingering: false, who: { host: 'host-2', pid: 1002, label: 'first' } },
  ])
  expect(seen.holders[0]?.ageMs).toBeCloseTo(1500, 0)
  expect(seen.holders[0]?.heldMs).toBeCloseTo(1500, 0)
  expect(seen.holders[0]?.remainingMs).toBeCloseTo(28_500, 0)
  expect(seen.waiters).toMatchObject([
    { who: { label: 'second' }, heldMs: undefined },
    { who: { label: 'third' }, heldMs: undefined },
  ])
})

test('nobody is seen where nobody is, and each kind has its own queue', async () => {
  const { locks } = world()
  expect(await locks.inspect('a')).toBeUndefined()
  await locks.semaphore('a', 3).acquire({ permits: 2 })
  expect(await locks.inspect('a')).toBeUndefined()
  expect(await locks.inspect('a', { kind: 'permits' })).toMatchObject({
    capacity: 3,
    holders: [{ weight: 2, exclusive: false }],
  })
  await locks.acquire('ab')
  expect(await locks.inspect('a')).toBeUndefined()
})

test('info of strangers is shown as far as it can be read', async () => {
  const { locks, coordinator } = world()
  const entry = { weight: 1, capacity: 10, ttlMs: 9e9, waitTtlMs: 9e9, wait: true }
  const infos = ['plain text', '[1]', '5', 'null', '{"host":"x","label":"y"}']
  for (const [n, info] of infos.entries()) await coordinator.join({ ...entry, name: 'lock:a', id: `${n}`, info })
  await coordinator.join({ ...entry, name: 'lock:a', id: 'none' })
  const seen = await locks.inspect('a')
  expect(seen?.holders.map(({ who }) => who)).toMatchObject([
    { label: 'plain text' },
    {},
    {},
    {},
    { host: 'x', label: 'y' },
    {},
  ])
})

test('list shows all names of all kinds that begin with a text', async () => {
  const { locks } = world()
  await locks.acquire(['orders:1', 'orders:2', 'users:1'])
  await locks.semaphore('orders:gpu', 2).acquire()
  await locks.election('orders').acquire()
  const list = async (start?: string) => {
    const seen: string[] = []
    for await (const { kind, name } of locks.list(start)) seen.push(`${kind} ${name}`)
    return seen
  }
  expect(await list()).toEqual([
    'lock orders:1',
    'lock orders:2',
    'lock users:1',
    'permits orders:gpu',
    'election orders',
  ])
  expect(await list('orders:')).toEqual(['lock orders:1', 'lock orders:2', 'permits orders:gpu'])
  expect(await list('nobody')).toEqual([])
})

test('evict ends a lease by its fence, and its holder is told at its next renewal', async () => {
  const { time, locks, other } = world()
  const lease = await locks.acquire('a', { ttl: '30s' })
  const next = outcomeOf(other.locks.acquire('a'))
  await time.settle()
  expect(await other.locks.evict('a', lease.fence - 1n)).toBe(false)
  expect(await other.locks.evict('a', lease.fence)).toBe(true)
  expect(await other.locks.evict('a', lease.fence)).toBe(false)
  await time.advance(10_001)
  expect(lease.state).toBe('lost')
  expect(next.value?.state).toBe('held')
})

test('a waiter that is evicted takes a new place at the end', async () => {
  const { time, locks, other, process } = world()
  const first = await other.locks.acquire('a', { ttl: '60s' })
  const evicted = outcomeOf(locks.acquire('a'))
  await time.settle()
  const patient = outcomeOf(process().locks.acquire('a'))
  await time.settle()
  const [waiter] = (await locks.inspect('a'))!.waiters
  await other.locks.evict('a', waiter!.fence)
  await time.advance(5000)
  await first.release()
  await time.advance(10)
  expect([patient.settled, evicted.settled]).toEqual([true, false])
  await patient.value!.release()
  await time.advance(10)
  expect(evicted.value?.state).toBe('held')
})

test('a silent coordinator draws out no question for ever', async () => {
  const { time, locks } = world({ plan: 'silent' })
  const unreachable = { code: 'UNREACHABLE' }
  await expect(time.during(locks.inspect('a'))).rejects.toMatchObject(unreachable)
  await expect(time.during(locks.list().next())).rejects.toMatchObject(unreachable)
  await expect(time.during(locks.evict('a', 1n))).rejects.toMatchObject(unreachable)
  await expect(time.during(locks.diagnose())).rejects.toMatchObject(unreachable)
  await expect(time.during(locks.election('a').leader())).rejects.toMatchObject(unreachable)
  await expect(time.during(locks.election('a').observe().next())).rejects.toMatchObject(unreachable)
})

test('diagnose says what the coordinator is worth', async () => {
  const { locks } = world()
  expect(locks.kind).toBe('memory')
  expect(await locks.diagnose()).toMatchObject([{ level: 'ok', subject: 'scope' }])
})
