import { expect, onTestFinished, test } from 'vitest'
import type { Backend } from '../../src/backend.ts'
import { BackendError } from '../../src/backend.ts'
import { memory } from '../../src/backends/memory/index.ts'
import type { Locks } from '../../src/locks.ts'
import { connect } from '../../src/connect.ts'
import type { SimulatedTime } from '../../src/testing/simulated.ts'
import { simulatedTime } from '../../src/testing/simulated.ts'

interface Crowd {
  readonly time: SimulatedTime
  readonly locks: Locks
  readonly backend: Backend
  /** How many entries each request renewed. */
  readonly sizes: number[]
}

/** A process straight on the coordinator: what stands between them elsewhere speaks of one entry at a time. */
function crowd(change: (backend: Backend) => void = () => {}): Crowd {
  const time = simulatedTime()
  const backend = memory({ clocks: time.runtime() }) as Backend
  const sizes: number[] = []
  const renew = backend.renew.bind(backend)
  const renewAll = backend.renewAll!.bind(backend)
  backend.renew = (...words) => (sizes.push(1), renew(...words))
  backend.renewAll = (claims, ...words) => (sizes.push(claims.length), renewAll(claims, ...words))
  change(backend)
  const locks = connect(backend, { runtime: time.runtime() })
  onTestFinished(() => locks.close())
  return { time, locks, backend, sizes }
}

const names = Array.from({ length: 20 }, (_, index) => `name ${index}`)

test('entries of one ttl are renewed in one request, those of another in another', async () => {
  const { time, locks, sizes } = crowd()
  const leases = await Promise.all(names.map((name) => locks.acquire(name)))
  const long = await Promise.all(['a', 'b'].map((name) => locks.acquire(name, { ttl: '36s' })))
  await time.advance(10_001)
  expect(sizes).toEqual([20, 2])
  for (const lease of leases) expect(lease.remainingMs).toBeGreaterThan(26_900)
  for (const lease of long) expect(lease.remainingMs).toBeGreaterThan(32_300)
})

test('one alone is renewed by itself', async () => {
  const { time, locks, sizes } = crowd()
  await locks.acquire('a')
  await time.advance(10_001)
  expect(sizes).toEqual([1])
})

test('each hears its own answer', async () => {
  const { time, locks, backend } = crowd()
  const leases = await Promise.all(names.map((name) => locks.acquire(name)))
  const [, evicted] = leases
  expect(await backend.evict(`lock:${evicted!.name}`, evicted!.fence)).toBe(true)
  await time.advance(10_001)
  expect(leases.map(({ state }) => state)).toEqual(names.map((_, index) => (index === 1 ? 'lost' : 'held')))
})

test('a request that fails puts all of its entries into doubt, and the next one takes it away', async () => {
  let failures = 1
  const { time, locks } = crowd((backend) => {
    const renewAll = backend.renewAll!
    backend.renewAll = (...words) =>
      failures-- > 0 ? Promise.reject(new BackendError('UNAVAILABLE', 'for once')) : renewAll(...words)
  })
  const leases = await Promise.all(names.map((name) => locks.acquire(name)))
  await time.advance(10_001)
  expect(new Set(leases.map(({ state }) => state))).toEqual(new Set(['doubtful']))
  await time.advance(5000)
  expect(new Set(leases.map(({ state }) => state))).toEqual(new Set(['held']))
})

test('a request that is not answered puts all of its entries into doubt; a late answer is still heard', async () => {
  let hold = true
  const { time, locks } = crowd((backend) => {
    const renewAll = backend.renewAll!
    backend.renewAll = async (...words) => {
      const answers = await renewAll(...words)
      if (hold) await sleep(time, 6000)
      return answers
    }
  })
  const leases = await Promise.all(names.map((name) => locks.acquire(name)))
  await time.advance(15_001)
  expect(new Set(leases.map(({ state }) => state))).toEqual(new Set(['doubtful']))
  hold = false
  await time.advance(1001)
  expect(new Set(leases.map(({ state }) => state))).toEqual(new Set(['held']))
})

function sleep(time: SimulatedTime, ms: number): Promise<void> {
  return new Promise((resolve) => void time.runtime().after(ms, resolve))
}
