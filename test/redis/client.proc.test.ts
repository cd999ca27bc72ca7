/** A client that the user has already: it is used, and left as it was. */
import { execFile, spawn } from 'node:child_process'
import type { EventEmitter } from 'node:events'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { RedisLike } from '../../src/backends/redis/index.ts'
import { redis } from '../../src/backends/redis/index.ts'
import { connect } from '../../src/index.ts'
import { ReplicaGroup } from '../kit/redis-groups.ts'
import { RedisServer } from '../kit/redis.ts'

let server: RedisServer
beforeAll(async () => {
  server = await RedisServer.start()
})
afterAll(() => server.end())

interface Client extends EventEmitter {
  ping(): Promise<string>
}

async function ioRedis(): Promise<RedisLike & Client> {
  const client = new Redis(server.port, { keyPrefix: 'app:', stringNumbers: true })
  onTestFinished(() => client.disconnect())
  await client.ping()
  return client
}

async function nodeRedis(): Promise<RedisLike & Client> {
  const client = createClient({ url: server.url })
  onTestFinished(() => client.destroy())
  await client.connect()
  return client
}

test.each([
  ['ioredis, with a prefix of its own, and numbers as text', ioRedis],
  ['node-redis', nodeRedis],
])('connect() takes a client of %s, and leaves it open and as it was', async (_, open) => {
  const client = await open()
  const looks = (): string => JSON.stringify([client.eventNames().map(String), Object.keys(client).sort()])
  const before = looks()
  const locks = connect(client)
  const first = await locks.acquire('x', { ttl: '5s' })
  const second = locks.acquire('x')
  await expect.poll(async () => (await locks.inspect('x'))?.waiters.length).toBe(1)
  for await (const { name } of locks.list()) expect(name).toBe('x')
  expect(await first.release()).toBe('released')
  expect((await second).fence).toBeGreaterThan(first.fence)
  await locks.close()
  expect(looks()).toBe(before)
  expect(await client.ping()).toBe('PONG')
})

test('close() does not wait for a server that is away', async () => {
  const away = await RedisServer.start()
  const client = createClient({ url: away.url })
  client.on('error', () => {})
  await client.connect()
  await away.kill()
  onTestFinished(() => client.destroy())
  onTestFinished(() => away.end())
  const backend = redis(client)
  const unfollow = backend.follow('x', () => {})
  await backend.close()
  await unfollow
})

test('what is no client is an error that says so', () => {
  expect(() => redis({} as never)).toThrow(expect.objectContaining({ code: 'MISCONFIGURED' }))
})

test('a program that has done its work ends, though nothing was closed', async () => {
  const program = `
    import { connect } from 'holdfast'
    const locks = connect('${server.url}')
    const first = await locks.acquire('y')
    setTimeout(() => void first.release(), 100)
    const second = await locks.acquire('y')
    await second.release()
    console.log('done')`
  const ran = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { timeout: 30_000 })
  expect(ran.stdout).toBe('done\n')
})

test.each(['', '?replicas=1'])(
  'a program ends though its server is gone for good (address with "%s")',
  async (query) => {
    const group = await ReplicaGroup.start()
    onTestFinished(() => group.end())
    const program = `
    import { connect } from 'holdfast'
    const locks = connect('${group.primary.url}${query}')
    const first = await locks.acquire('y')
    setTimeout(() => void first.release(), 100)
    await (await locks.acquire('y')).release()
    process.stdin.resume()
    console.log('done')`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    await group.primary.kill()
    // Until it has noticed, and tries to connect again.
    await sleep(1000)
    child.stdin.end()
    const [code] = (await once(child, 'exit')) as [number]
    expect(code).toBe(0)
  },
)
