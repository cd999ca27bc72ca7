/** What goes wrong with a server and on the way to it, and what comes of a lock meanwhile. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { redisAt } from '../../src/backends/redis/index.ts'
import type { ConnectOptions, Lease, Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { Proxy } from '../kit/proxy.ts'
import { RedisServer } from '../kit/redis.ts'

let server: RedisServer
let admin: Redis
beforeEach(async () => {
  server = await RedisServer.start()
  admin = new Redis(server.port)
  admin.on('error', () => {})
})
afterEach(async () => {
  admin.disconnect()
  await server.end()
})

function locksAt(port: number, options: ConnectOptions = {}): Locks {
  const locks = connect(`redis://127.0.0.1:${port}`, { requestTimeout: '1s', ...options })
  onTestFinished(() => locks.close())
  return locks
}

/** Behind a wire of its own. */
async function wired(options: ConnectOptions = {}): Promise<readonly [Locks, Proxy]> {
  const proxy = await Proxy.start(server.port)
  onTestFinished(() => proxy.end())
  return [locksAt(proxy.port, options), proxy]
}

async function lossOf(lease: Lease): Promise<string> {
  if (!lease.signal.aborted) {
    await new Promise((resolve) => lease.signal.addEventListener('abort', resolve, { once: true }))
  }
  return (lease.signal.reason as { reason: string }).reason
}

test('SCRIPT FLUSH: the scripts are told again', async () => {
  const locks = locksAt(server.port)
  const lease = await locks.acquire('x')
  await admin.script('FLUSH')
  await lease.renew()
  expect(await lease.release()).toBe('released')
})

test('FLUSHALL: the holder is told at its next renewal, and the next fence is larger', async () => {
  const locks = locksAt(server.port)
  const lease = await locks.acquire('x', { ttl: '3s' })
  await admin.flushall()
  expect(await lossOf(lease)).toBe('gone')
  const next = await locks.acquire('x')
  expect(next.fence).toBeGreaterThan(lease.fence)
})

test('a queue of which a part is gone counts as gone', async () => {
  const locks = locksAt(server.port)
  const lease = await locks.acquire('x', { ttl: '3s' })
  const waiter = locks.acquire('x', { ttl: '3s' })
  await expect.poll(async () => (await locks.inspect('x'))?.waiters.length).toBe(1)
  await admin.del('holdfast:{lock:x}:order')
  expect(await lossOf(lease)).toBe('gone')
  expect((await waiter).fence).toBeGreaterThan(lease.fence)
})

test('a key that others have overwritten: an error that says so, and the lease ends by its deadline', async () => {
  const locks = locksAt(server.port)
  const lease = await locks.acquire('x', { ttl: '1s' })
  await admin.del('holdfast:{lock:x}')
  await admin.lpush('holdfast:{lock:x}', 'mine')
  await expect(locks.tryAcquire('x')).rejects.toMatchObject({ code: 'STORE_DAMAGED' })
  expect(await lossOf(lease)).toBe('expired')
  await locks.run('y', async () => {})
})

test('a queue of another format is refused, and its neighbours are not', async () => {
  const locks = locksAt(server.port)
  await admin.set('holdfast:{lock:x}', Buffer.from([0x07, 0x01]))
  const [x, y] = await Promise.allSettled([locks.tryAcquire('x'), locks.tryAcquire('y')])
  expect(x).toMatchObject({ status: 'rejected', reason: { code: 'STORE_VERSION' } })
  expect(y.status).toBe('fulfilled')
})

test('a full memory: nothing new is granted, what is held can be renewed and released, and passes on', async () => {
  const locks = locksAt(server.port)
  const lease = await locks.acquire('x', { ttl: '2s' })
  const waiter = locks.acquire('x')
  await expect.poll(async () => (await locks.inspect('x'))?.waiters.length).toBe(1)
  await admin.config('SET', 'maxmemory', '1')
  await expect(locks.tryAcquire('y')).rejects.toMatchObject({ code: 'STORE_FULL' })
  await sleep(2500)
  expect(lease.state).toBe('held')
  expect(await lease.release()).toBe('released')
  expect(await (await waiter).release()).toBe('released')
  await admin.config('SET', 'maxmemory', '0')
  await (await locks.acquire('y')).release()
})

test('a server that is killed and comes back empty: the holder is told, and the next fence is larger', async () => {
  const locks = locksAt(server.port)
  const lease = await locks.acquire('x', { ttl: '3s' })
  await server.kill()
  await server.start()
  expect(await lossOf(lease)).toBe('gone')
  const next = await locks.acquire('x')
  expect(next.fence).toBeGreaterThan(lease.fence)
})

test('connections that are reset again and again end no lease', async () => {
  const [locks, proxy] = await wired()
  const lease = await locks.acquire('x', { ttl: '3s' })
  for (let n = 0; n < 40; n += 1) {
    proxy.reset()
    await sleep(100)
  }
  expect(lease.state).not.toBe('gone')
  await expect.poll(() => lease.state).toBe('held')
  expect(await lease.release()).toBe('released')
})

test('the connection for messages is lost: a waiter is served all the same', async () => {
  const locks = locksAt(server.port)
  const lease = await locks.acquire('x')
  const waiter = locks.acquire('x')
  await expect.poll(async () => (await locks.inspect('x'))?.waiters.length).toBe(1)
  await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await lease.release()
  await (await waiter).release()
})

test('silence in both directions: the lease ends in time by the clock of its holder, and another holds after that', async () => {
  const [locks, proxy] = await wired()
  const others = locksAt(server.port)
  const lease = await locks.acquire('x', { ttl: '2s' })
  const waiter = others.acquire('x')
  proxy.silence()
  expect(await lossOf(lease)).toBe('expired')
  const lostAt = performance.now()
  const next = await waiter
  expect(performance.now()).toBeGreaterThanOrEqual(lostAt)
  expect(next.fence).toBeGreaterThan(lease.fence)
})

test('a server that stands still for longer than the ttl: the lease has ended before it answers', async () => {
  const locks = locksAt(server.port)
  const lease = await locks.acquire('x', { ttl: '1s' })
  server.freeze()
  expect(await lossOf(lease)).toBe('expired')
  server.thaw()
  expect(() => lease.assertHeld()).toThrow('the lease on "x"')
  await (await locks.acquire('x')).release()
})

test.each([
  ['whose answer is lost', 'down'],
  ['that arrives when its sender has given up', 'up'],
] as const)('an acquisition %s rejects, and leaves nobody in the queue', async (_, way) => {
  const [locks, proxy] = await wired()
  await (await locks.acquire('warm')).release()
  proxy.silence(way)
  await expect(locks.acquire('x')).rejects.toMatchObject({ code: 'UNREACHABLE' })
  proxy.heal()
  await (await locksAt(server.port).acquire('x', { wait: '10s' })).release()
})

test('a connection that is lost in the middle of an acquisition is told at once', async () => {
  const [locks, proxy] = await wired({ requestTimeout: '60s' })
  await (await locks.acquire('warm')).release()
  proxy.silence('down')
  const asked = locks.tryAcquire('x').catch((error: unknown) => error)
  const others = locksAt(server.port)
  await expect.poll(async () => (await others.inspect('x'))?.holders.length).toBe(1)
  proxy.reset()
  proxy.heal()
  expect(await asked).toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('connection was lost') })
})

test('a slow network: what is granted is held, and what would come too late is not handed out', async () => {
  const [locks, proxy] = await wired({ requestTimeout: '3s' })
  await (await locks.acquire('warm')).release()
  proxy.slow(300)
  const lease = await locks.acquire('x', { ttl: '2s' })
  await sleep(3000)
  expect(lease.state).toBe('held')
  expect(await lease.release()).toBe('released')
  await expect(locks.tryAcquire('y', { ttl: '500ms' })).rejects.toMatchObject({ code: 'UNREACHABLE' })
})

test('whoever follows hears of changes again after the server has come back empty', async () => {
  const backend = redisAt(server.url)
  onTestFinished(() => backend.close())
  let changes = 0
  await backend.follow('lock:x', () => void (changes += 1))
  await server.kill()
  await server.start()
  const locks = locksAt(server.port)
  await expect
    .poll(async () => {
      await (await locks.acquire('x')).release()
      const seen = changes
      changes = 0
      // Being reconnected is a hint as well; a hold and its end are two.
      return seen
    })
    .toBe(2)
})

test('a user without rights is told so', async () => {
  await admin.call('ACL', 'SETUSER', 'poor', 'on', '>secret', '~other:*', '&*', '+@all')
  const locks = connect(`redis://poor:secret@127.0.0.1:${server.port}`)
  onTestFinished(() => locks.close())
  await expect(locks.acquire('x')).rejects.toMatchObject({ code: 'DENIED' })
  const wrong = connect(`redis://poor:wrong@127.0.0.1:${server.port}`)
  onTestFinished(() => wrong.close())
  await expect(wrong.acquire('x')).rejects.toMatchObject({ code: 'DENIED' })
})

test('the rights that the documentation asks for are enough', async () => {
  const page = readFileSync(new URL('../../docs/backends/redis.md', import.meta.url), 'utf8')
  const [, words] = /^ACL (SETUSER .*)$/m.exec(page)!
  await admin.call('ACL', ...(words!.split(' ') as [string]))
  const locks = connect(`redis://holdfast:secret@127.0.0.1:${server.port}`)
  onTestFinished(() => locks.close())
  const lease = await locks.acquire('x', { ttl: '120s' })
  await lease.renew()
  const waiters = Array.from({ length: 3 }, () => locks.acquire('x', { lockDelay: '10ms', minHold: '10ms' }))
  expect(await lease.release()).toBe('released')
  for (const each of waiters) expect(await (await each).release()).toBe('released')
  expect(await (await locks.acquire('short')).release()).toBe('released')
  expect(await locks.tryAcquire('y')).toMatchObject({ state: 'held' })
  expect(await locks.tryAcquire('y')).toBeUndefined()
})

test('no key stays: after the last release of a name it is forgotten within two minutes', async () => {
  const locks = locksAt(server.port)
  await Promise.all(Array.from({ length: 200 }, (_, n) => locks.run(`x${n}`, async () => {})))
  const lease = await locks.acquire('crowded')
  const waiters = Array.from({ length: 5 }, () => locks.acquire('crowded'))
  await lease.release()
  for (const each of waiters) await (await each).release()
  const keys = await admin.keys('*')
  expect(keys).toHaveLength(201)
  for (const key of keys) {
    const leftMs = await admin.pttl(key)
    expect(leftMs).toBeGreaterThan(0)
    expect(leftMs).toBeLessThanOrEqual(120_000)
  }
})
