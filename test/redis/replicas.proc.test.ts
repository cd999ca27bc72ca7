/** With `replicas`: what counts is on the replicas, and what is not there does not count. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Cluster, Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { RedisLike } from '../../src/backends/redis/index.ts'
import { redis, redisAt } from '../../src/backends/redis/index.ts'
import type { ConnectOptions, Lease, Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { exclusion } from '../../src/verify/checkers/exclusion.ts'
import { fenceOrder } from '../../src/verify/checkers/fence-order.ts'
import type { History } from '../../src/verify/history.ts'
import { MemoryRecorder, historyOf } from '../../src/verify/history.ts'
import { ReplicaGroup } from '../kit/redis-groups.ts'

let group: ReplicaGroup
let admin: Redis
beforeAll(async () => {
  group = await ReplicaGroup.start()
  admin = new Redis(group.primary.port)
})
afterEach(() => group.heal())
afterAll(async () => {
  admin.disconnect()
  await group.end()
})

function locksAt(url: string, options: ConnectOptions = {}): Locks {
  const locks = connect(url, options)
  onTestFinished(() => locks.close())
  return locks
}

/** Through a client that stands until the locks are closed. */
function locksThrough(client: RedisLike & { on: Redis['on'] }, end: () => void): Locks {
  client.on('error', () => {})
  const locks = connect(redis(client, { replicas: 1 }))
  onTestFinished(async () => {
    await locks.close()
    end()
  })
  return locks
}

function ioRedis(options: object = {}): Locks {
  const client = new Redis(group.primary.port, options)
  return locksThrough(client, () => client.disconnect())
}

async function nodeRedis(): Promise<Locks> {
  const client = createClient({ url: group.primary.url })
  await client.connect()
  return locksThrough(client as never, () => client.destroy())
}

/** Whether it has settled by now. */
function settled(work: Promise<unknown>): () => boolean {
  let done = false
  const settle = (): void => void (done = true)
  work.then(settle, settle)
  return () => done
}

/** End the connection that is blocked by WAIT; how many that were. */
async function killBlocked(): Promise<unknown> {
  const clients = String(await admin.call('CLIENT', 'LIST'))
  const blocked = clients.split('\n').find((line) => /\bflags=b\b/.test(line))
  const id = /\bid=(\d+)/.exec(blocked ?? '')?.[1]
  return id === undefined ? 0 : admin.call('CLIENT', 'KILL', 'ID', id)
}

const unreplicated = { code: 'NOT_REPLICATED', message: expect.stringContaining('0 of 1 replicas') }

describe.each([
  ['at an address', async () => locksAt(`${group.primary.url}?replicas=1`)],
  ['through ioredis', async () => ioRedis()],
  ['through ioredis, which would put commands together', async () => ioRedis({ enableAutoPipelining: true })],
  ['through node-redis', nodeRedis],
])('%s', (_, open) => {
  test('a replica stands still: nothing is granted, what was is given back; then it goes on, and so do all', async () => {
    const locks = await open()
    const [replica] = group.replicas
    expect(await (await locks.acquire('x')).release()).toBe('released')
    const lease = await locks.acquire('kept')
    replica!.freeze()
    await expect(locks.tryAcquire('x')).rejects.toMatchObject(unreplicated)
    await expect(locks.acquire('y')).rejects.toMatchObject(unreplicated)
    // Refused is refused, with or without replicas.
    expect(await locks.tryAcquire('kept')).toBeUndefined()
    for (const name of ['x', 'y']) await expect.poll(() => locks.inspect(name)).toBeUndefined()
    replica!.thaw()
    await lease.renew()
    expect(await lease.release()).toBe('released')
    expect(await (await locks.acquire('x')).release()).toBe('released')
  })

  test('the connection on which replicas are waited for is lost: that is no grant', async () => {
    const locks = await open()
    await (await locks.acquire('x')).release()
    group.wires[0]!.silence()
    const asked = locks.tryAcquire('x').catch((error: unknown) => error)
    await expect.poll(killBlocked).toBe(1)
    expect(await asked).toMatchObject({ name: 'BackendError', message: expect.stringContaining('connection was lost') })
  })
})

test('whose turn it is while the replica is out of reach holds when the replica has it', async () => {
  const locks = locksAt(`${group.primary.url}?replicas=1`, { waitTtl: '60s' })
  const first = await locks.acquire('x')
  const next = locks.acquire('x')
  const granted = settled(next)
  await expect.poll(async () => (await locks.inspect('x'))?.waiters.length).toBe(1)
  const waits = async (): Promise<number> =>
    Number(/cmdstat_wait:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1] ?? 0)
  group.wires[0]!.silence()
  expect(await first.release()).toBe('released')
  // The primary lets it hold and says so; it asks, and hears that the replica has not got it.
  const before = await waits()
  await expect.poll(waits).toBeGreaterThan(before)
  expect((await locks.inspect('x'))?.holders).toHaveLength(1)
  expect(granted()).toBe(false)
  group.wires[0]!.heal()
  expect(await (await next).release()).toBe('released')
})

test.each([1, 3])(
  '%i leases are in doubt while renewals are not replicated, and held again afterwards',
  async (count) => {
    const locks = locksAt(`${group.primary.url}?replicas=1`)
    const names = Array.from({ length: count }, (_, index) => `x${index}`)
    const leases = await Promise.all(names.map((name) => locks.acquire(name, { ttl: '6s' })))
    const states = (): string[] => leases.map(({ state }) => state)
    for (const lease of leases) await lease.renew()
    const doubts: unknown[] = []
    const note = (event: unknown): void => void doubts.push((event as { error: { code: string } }).error.code)
    subscribe('holdfast:doubt', note)
    onTestFinished(() => void unsubscribe('holdfast:doubt', note))
    group.wires[0]!.silence()
    await expect.poll(states, { timeout: 10_000 }).toEqual(names.map(() => 'doubtful'))
    group.wires[0]!.heal()
    await expect.poll(states).toEqual(names.map(() => 'held'))
    expect(doubts).toContain('NOT_REPLICATED')
  },
)

test('while a join waits for replicas, releases and renewals go on', async () => {
  const backend = redisAt(group.primary.url, { replicas: 1, replicaTimeoutMs: 30_000 })
  const locks = connect(backend, { requestTimeout: '30s' })
  onTestFinished(() => locks.close())
  const [kept, evicted] = [await locks.acquire('kept'), await locks.acquire('evicted')]
  group.wires[0]!.silence()
  const join = locks.acquire('x')
  const granted = settled(join)
  await expect.poll(async () => (await locks.inspect('x'))?.holders.length).toBe(1)
  expect(await kept.release()).toBe('released')
  expect(await locks.evict('evicted', evicted.fence)).toBe(true)
  await expect(evicted.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
  expect(granted()).toBe(false)
  group.wires[0]!.heal()
  expect(await (await join).release()).toBe('released')
})

describe('a failover after renewals that were not replicated', () => {
  interface Failover {
    readonly history: History
    /** By how much the beliefs of the two holders overlap. */
    readonly overlapMs: number
  }

  /** A holds; the replica is cut off; A renews, twice at least; the primary dies; the replica takes over; B waits there. */
  async function failover(replicas: number): Promise<Failover> {
    const group = await ReplicaGroup.start()
    onTestFinished(() => group.end())
    const recorder = new MemoryRecorder(() => performance.now())
    const backend = redisAt(group.primary.url, { replicas, replicaTimeoutMs: 700 })
    const a = connect(backend, { ttl: '3s', requestTimeout: '2s' })
    onTestFinished(() => a.close())
    const held = await a.acquire('x')
    granted('a', held)
    let asked = 0
    const renewed = (): void => {
      asked += 1
      recorder.note('a', { kind: 'deadline', hold: 'a', until: performance.now() + held.remainingMs })
    }
    const doubted = (): void => void (asked += 1)
    subscribe('holdfast:renew', renewed)
    subscribe('holdfast:doubt', doubted)
    const lost = new Promise<void>((resolve) =>
      held.signal.addEventListener('abort', () => {
        recorder.note('a', { kind: 'lost', hold: 'a', by: 'signal', reason: 'expired' })
        resolve()
      }),
    )
    group.wires[0]!.silence()
    await expect.poll(() => asked, { interval: 10, timeout: 20_000 }).toBeGreaterThanOrEqual(2)
    const next = await group.failOver()
    unsubscribe('holdfast:renew', renewed)
    unsubscribe('holdfast:doubt', doubted)
    granted('b', await locksAt(next.url).acquire('x'))
    await lost
    const history = historyOf(recorder.events)
    const [first, second] = ['a', 'b'].map((id) => history.beliefs.filter(({ hold }) => hold.id === id))
    return { history, overlapMs: first!.at(-1)!.until - second![0]!.from }

    function granted(process: string, lease: Lease): void {
      const about = { hold: process, name: 'x', mode: 'exclusive', weight: 1, capacity: 1 } as const
      const until = performance.now() + lease.remainingMs
      recorder.note(process, { kind: 'granted', ...about, fence: Number(lease.fence), until })
    }
  }

  test('without replicas: two believe at the same time', async () => {
    const { history, overlapMs } = await failover(0)
    expect(exclusion(history)).toHaveLength(1)
    expect(overlapMs).toBeGreaterThan(0)
    expect(fenceOrder(history)).toEqual([])
  })

  test('with replicas: 1, the next one holds after the first has lost', async () => {
    const { history, overlapMs } = await failover(1)
    expect(exclusion(history)).toEqual([])
    expect(overlapMs).toBeLessThanOrEqual(0)
    expect(fenceOrder(history)).toEqual([])
  })
})

test('all replicas, or some: what is asked for is what counts', async () => {
  const two = await ReplicaGroup.start(2)
  onTestFinished(() => two.end())
  const [one, both] = [locksAt(`${two.primary.url}?replicas=1`), locksAt(`${two.primary.url}?replicas=2`)]
  await (await both.acquire('x')).release()
  two.replicas[1]!.freeze()
  await (await one.acquire('x')).release()
  await expect(both.acquire('x')).rejects.toMatchObject({ message: expect.stringContaining('1 of 2 replicas') })
  two.replicas[1]!.thaw()
})

test.each([
  [{ replicas: -1 }, 'replicas must be a whole number from 0 to 99'],
  [{ replicas: 1.5 }, 'replicas must be'],
  [{ replicas: '1' as never }, 'replicas must be'],
  [{ replicas: 1, replicaTimeoutMs: 0 }, 'replicaTimeoutMs must be'],
])('%j is refused', (options, message) => {
  expect(() => redisAt('redis://h', options)).toThrow(message)
})

test('a cluster is refused, and why', () => {
  const cluster = new Cluster([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true })
  expect(() => redis(cluster, { replicas: 1 })).toThrow('a cluster cannot wait for replicas')
  expect(() => redisAt('redis+cluster://h', { replicas: 1 })).toThrow('a cluster cannot wait for replicas')
})

test('diagnose() tells how many replicas there are, and how many count', async () => {
  const finding = async (replicas: number): Promise<unknown> => {
    const backend = redisAt(group.primary.url, { replicas, replicaTimeoutMs: 100 })
    const findings = await backend.diagnose()
    await backend.close()
    return findings.find(({ subject }) => subject === 'replication')
  }
  expect(await finding(0)).toMatchObject({ level: 'advice', text: expect.stringContaining('with replicas: 1') })
  expect(await finding(1)).toMatchObject({ level: 'ok' })
  expect(await finding(2)).toMatchObject({ level: 'error', text: expect.stringContaining('nothing is granted') })
})
