/**
 * Mistakes that the simulation found, each with the seed that showed it at the time and the shortest story that tells why
 * it was one. Seeds show other schedules when plans change; the stories stay. Those that are also mutants name them.
 */
import { expect, test } from 'vitest'
import type { Entry, Wake } from '../../src/backend.ts'
import { WHOLE } from '../../src/backend.ts'
import { memory } from '../../src/backends/memory/index.ts'
import { connect } from '../../src/connect.ts'
import { faulty } from '../../src/testing/faults.ts'
import { simulatedTime } from '../../src/testing/simulated.ts'

function entry(id: string): Entry {
  return { name: 'lock:n', id, weight: WHOLE, capacity: WHOLE, ttlMs: 1000, waitTtlMs: 1000, wait: true }
}

// Seed 45, mutant `downgrade-forgotten`: the coordinator had let readers in, and the lease still called itself exclusive.
test('a downgrade that is not answered leaves a reader, and can be asked for again', async () => {
  const time = simulatedTime()
  const runtime = time.runtime()
  const store = memory({ clocks: time.runtime() })
  const deaf = faulty(store, (verb, _, n) => (verb === 'lighten' && n === 1 ? { lose: 'reply' } : undefined), {
    runtime,
  })
  const writer = await time.during(connect(deaf, { runtime }).rw('n').write().acquire())
  await expect(time.during(writer.downgrade())).rejects.toMatchObject({ code: 'UNREACHABLE' })
  const reader = await time.during(connect(store, { runtime: time.runtime() }).rw('n').read().acquire())
  expect(reader.mode).toBe('shared')
  expect(writer.mode).toBe('shared')
  await time.during(writer.downgrade())
  expect(writer.state).toBe('held')
})

// Seed 1302, mutant `another-ticket`: the lease went on with its old fence, as if nobody had held in between.
test('a lease is lost when its owner token stands in the queue with another ticket', async () => {
  const time = simulatedTime()
  const store = memory({ clocks: time.runtime() })
  let joined: Entry | undefined
  const join = store.join.bind(store)
  store.join = (asked) => join((joined ??= asked))
  const lease = await connect(store, { runtime: time.runtime() }).acquire('n', { ttl: '30s' })
  store.join = join
  await store.evict('lock:n', lease.fence)
  const other = await store.join(entry('another one'))
  expect(other.state).toBe('held')
  await store.leave(entry('another one'))
  // The first join arrives once more.
  expect(await store.join(joined!)).toMatchObject({ state: 'held' })
  await time.advance(15_000)
  expect(lease.state).toBe('lost')
  expect(await lease.release()).toBe('gone')
  expect((await store.join(entry('the next one'))).state).toBe('held')
})

// Seed 1564, mutant `evicted-is-told`: two waiters were told that they hold, and the first was not in the queue any more.
test('a waiter that is evicted by the verb that ended the holder before it is not told that it holds', async () => {
  const time = simulatedTime()
  const store = memory({ clocks: time.runtime() })
  await store.join(entry('holder'))
  const evicted = await store.join({ ...entry('evicted'), ttlMs: 5000, waitTtlMs: 5000 })
  await store.join({ ...entry('next'), ttlMs: 5000, waitTtlMs: 5000 })
  const told: string[] = []
  const wakeOf =
    (id: string): Wake =>
    (news) =>
      void (news && told.push(id))
  for (const id of ['evicted', 'next']) store.watch(entry(id), wakeOf(id))
  await time.advance(1500)
  if (evicted.state !== 'waiting') throw new Error('it should wait')
  expect(await store.evict('lock:n', evicted.fence)).toBe(true)
  expect(told).toEqual(['next'])
})

// Seed 3934, mutant `late-timer`: the timer of the time before the jump was taken to be early enough for the lease.
test('a lease that was taken after the wall clock jumped ahead is told of its end in time', async () => {
  const time = simulatedTime()
  const runtime = time.runtime()
  const locks = connect(memory({ clocks: time.runtime() }), { runtime })
  await (await locks.acquire('before', { ttl: 800 })).release()
  runtime.jumpWall(1000)
  const from = time.now
  const lease = await locks.acquire('n', { maxHold: 300 })
  let lostAt = Infinity
  lease.signal.addEventListener('abort', () => void (lostAt = time.now))
  await time.advance(2000)
  expect(lostAt - from).toBeCloseTo(300, 0)
})

// Seed 110 of etcd: it believed the answer, and heard of its loss when it renewed the next time.
test('a holder that hears of its loss while an older answer is on its way is lost at once', async () => {
  const time = simulatedTime()
  const runtime = time.runtime()
  const store = memory({ clocks: time.runtime() })
  const slow = faulty(store, (verb, _, n) => (verb === 'renew' && n === 1 ? { replyMs: 200 } : undefined), { runtime })
  const told = Object.assign(slow, { attend: store.attend.bind(store) })
  const lease = await time.during(connect(told, { runtime }).acquire('n', { ttl: '30s' }))
  await time.advance(10_100)
  await store.evict('lock:n', lease.fence)
  await time.advance(1000)
  expect(lease.state).toBe('lost')
})

// Seed 1794 of etcd: it was held for its whole maxHold.
test('a holder that never renews hears of its loss as well', async () => {
  const time = simulatedTime()
  const store = memory({ clocks: time.runtime() })
  const lease = await connect(store, { runtime: time.runtime() }).acquire('n', { ttl: '30s', maxHold: '5s' })
  await store.evict('lock:n', lease.fence)
  await time.advance(1000)
  expect(lease.state).toBe('lost')
})
