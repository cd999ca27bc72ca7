/** What a server may say, or keep, that is not as it should be. What goes wrong with it and on the way to it: `faults/`. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { redisAt } from '../../src/backends/redis/index.ts'
import type { ConnectOptions, Lease, Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { Proxy } from '../../src/verify/torture/wire.ts'
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

test('a queue of which a part is gone counts as gone', async () => {
  const locks = locksAt(server.port)
  const lease = await locks.acquire('x', { ttl: '3s' })
  const waiter = locks.acquire('x', { ttl: '3s' })
  await expect.poll(async () => (await locks.inspect('x'))?.waiters.length).toBe(1)
  await admin.del('holdfast:{lock:x}:order')
  expect(await lossOf(lease)).toBe('gone')
  expect((await waiter).fence).toBeGreaterThan(lease.fence)
})

test('a queue of another format is refused, and its neighbours are not', async () => {
  const locks = locksAt(server.port)
  await admin.set('holdfast:{lock:x}', Buffer.from([0x07, 0x01]))
  const [x, y] = await Promise.allSettled([locks.tryAcquire('x'), locks.tryAcquire('y')])
  expect(x).toMatchObject({ status: 'rejected', reason: { code: 'STORE_VERSION' } })
  expect(y.status).toBe('fulfilled')
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
  // A renewal is waited for half of what is left, which is less than this network takes: until its answer comes it is in doubt.
  await expect.poll(() => lease.state).toBe('held')
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

test('a user who lacks the right to one command of many leases is told so by diagnose', async () => {
  const page = readFileSync(new URL('../../docs/backends/redis.md', import.meta.url), 'utf8')
  const [, words] = /^ACL SETUSER holdfast (.*)$/m.exec(page)!
  await admin.call('ACL', 'SETUSER', 'older', ...words!.split(' '), '-mget')
  const locks = connect(`redis://older:secret@127.0.0.1:${server.port}`)
  onTestFinished(() => locks.close())
  await (await locks.acquire('x')).release()
  const findings = await locks.diagnose()
  expect(findings.filter(({ level }) => level === 'error')).toMatchObject([{ subject: 'rights' }])
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
