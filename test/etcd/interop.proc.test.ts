/** Beside others on etcd: what `etcdctl lock`, and so Go's `concurrency.Mutex`, and we see of each other. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { EtcdClient, etcd } from '../../src/backends/etcd/index.ts'
import { etcdCondition } from '../../src/guards/index.ts'
import { Etcd } from '../kit/etcd.ts'

const ENV = { ...process.env, ETCDCTL_API: '3' }

let cluster: Etcd
beforeAll(async () => {
  cluster = await Etcd.start()
})
afterAll(() => cluster.end())

const address = (): string => cluster.endpoints[0]!.replace('http://', '')

async function etcdctl(...words: string[]): Promise<string> {
  const run = promisify(execFile)
  return (await run('etcdctl', ['--endpoints', address(), ...words], { env: ENV })).stdout.trim()
}

/** `etcdctl lock NAME` until it is told to end; its word is the key that it holds. */
function etcdctlLock(name: string) {
  const words = ['--endpoints', address(), 'lock', name]
  const child = spawn('etcdctl', words, { env: ENV, stdio: ['ignore', 'pipe', 'ignore'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  let key: string | undefined
  child.stdout.setEncoding('utf8').on('data', (text: string) => (key ??= text.trim()))
  return {
    key: () => key,
    async release(): Promise<void> {
      const ended = once(child, 'exit')
      child.kill('SIGINT')
      await ended
    },
  }
}

function locksAt(query: string): Locks {
  const locks = connect(`etcd://${address()}${query}`)
  onTestFinished(() => locks.close())
  return locks
}

describe('with ?interop=1', () => {
  test('while we hold, etcdctl waits; while it holds, we wait; in the order of coming', async () => {
    const locks = locksAt('?interop=1')
    const first = await locks.acquire('deploy/web')
    const theirs = etcdctlLock('deploy/web')
    await expect.poll(async () => (await locks.inspect('deploy/web'))?.waiters.length).toBe(1)
    const third = locks.acquire('deploy/web')
    await expect.poll(async () => (await locks.inspect('deploy/web'))?.waiters.length).toBe(2)
    expect(theirs.key()).toBeUndefined()
    await first.release()
    await expect.poll(theirs.key).toMatch(/^deploy\/web\/[\da-f]+$/)
    expect(await locks.tryAcquire('deploy/web')).toBeUndefined()
    await theirs.release()
    const lease = await third
    expect(lease.fence).toBeGreaterThan(first.fence)
    expect(await lease.release()).toBe('released')
    expect(await locks.inspect('deploy/web')).toBeUndefined()
  })

  test('what it holds is exclusive: readers wait for it, and it for readers', async () => {
    const locks = locksAt('?interop=1')
    const reader = await locks.rw('catalog').read().acquire()
    const theirs = etcdctlLock('catalog')
    await expect.poll(async () => (await locks.inspect('catalog'))?.waiters.length).toBe(1)
    const late = locks.rw('catalog').read().acquire()
    await expect.poll(async () => (await locks.inspect('catalog'))?.waiters.length).toBe(2)
    await reader.release()
    await expect.poll(theirs.key).toBeDefined()
    await theirs.release()
    await (await late).release()
  })

  test('a list shows locks, and no other data', async () => {
    const locks = locksAt('?interop=1')
    await etcdctl('put', 'config/web', 'x')
    const lease = await locks.acquire('listed')
    const names: string[] = []
    for await (const { name } of locks.list()) names.push(name)
    expect(names).toEqual(['listed'])
    await lease.release()
  })
})

test('otherwise they do not see each other, on the same name', async () => {
  const locks = locksAt('')
  const lease = await locks.acquire('apart')
  const theirs = etcdctlLock('apart')
  await expect.poll(theirs.key).toBeDefined()
  expect((await locks.inspect('apart'))?.waiters).toEqual([])
  await theirs.release()
  await lease.release()
})

test('what stands in etcd can be read by a person', async () => {
  const locks = locksAt('?prefix=shop')
  const lease = await locks.acquire('orders/42', { label: 'nightly' })
  const [key, value] = (await etcdctl('get', '--prefix', 'shop/lock/')).split('\n')
  expect(key).toMatch(/^shop\/lock\/lock:orders%2F42\/w\/[\w-]{22}\.0$/)
  expect(JSON.parse(value!)).toMatchObject({ holdfast: 1, info: expect.stringContaining('nightly') as string })
  await lease.release()
})

describe('a transaction of the user', () => {
  async function made() {
    const client = new EtcdClient({ endpoints: cluster.endpoints })
    const locks = connect(etcd(client))
    onTestFinished(async () => {
      await locks.close()
      client.close()
    })
    return { client, locks }
  }

  test('writes while the lease is held, and nothing afterwards', async () => {
    const { client, locks } = await made()
    const lease = await locks.acquire('account')
    const condition = etcdCondition(lease)
    const write = (value: string) =>
      client.transaction({
        if: [condition],
        do: [{ put: 'balance', value }, { get: 'balance' }],
        otherwise: [{ get: 'balance' }],
      })
    expect(await write('70')).toMatchObject({ succeeded: true, got: ['70'] })
    await lease.release()
    const next = await locks.acquire('account')
    expect(await write('40')).toMatchObject({ succeeded: false, got: ['70'] })
    const deleted = await client.transaction({ if: [etcdCondition(next)], do: [{ delete: 'balance' }] })
    expect(deleted.succeeded).toBe(true)
    await next.release()
    expect(() => etcdCondition(lease)).toThrow(expect.objectContaining({ code: 'LEASE_LOST' }))
  })

  test('counts for a lease that waited, and by its own name among many of one moment', async () => {
    const { client, locks } = await made()
    const names = Array.from({ length: 10 }, (_, index) => `many:${index}`)
    const first = await Promise.all(names.map((name) => locks.acquire(name)))
    expect(new Set(first.map((lease) => etcdCondition(lease).key)).size).toBe(10)
    const waiting = locks.acquire('many:3')
    await expect.poll(async () => (await locks.inspect('many:3'))?.waiters.length).toBe(1)
    await first[3]!.release()
    const lease = await waiting
    expect((await client.transaction({ if: [etcdCondition(lease)] })).succeeded).toBe(true)
    expect((await client.transaction({ if: [etcdCondition(first[4]!)] })).succeeded).toBe(true)
    await locks.evict('many:3', lease.fence)
    await expect.poll(() => lease.state).toBe('lost')
    await Promise.all(first.map((each) => each.release()))
  })

  test('needs a lease on etcd', async () => {
    const elsewhere = connect('memory:')
    const lease = await elsewhere.acquire('account')
    expect(() => etcdCondition(lease)).toThrow(expect.objectContaining({ code: 'NOT_SUPPORTED' }))
    await lease.release()
    await elsewhere.close()
  })
})
