/** The guard on real servers, through each client. */
import { Cluster, Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import { createClient, createCluster } from 'redis'
import { createClient as createClient5 } from 'redis5'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RedisLike } from '../../src/backends/redis/index.ts'
import type { Holder, RedisGuard } from '../../src/guards/index.ts'
import { redisGuard } from '../../src/guards/index.ts'
import { connect } from '../../src/index.ts'
import { ClusterGroup } from '../kit/redis-groups.ts'
import { textOf } from '../docs/pages.ts'
import { RedisServer } from '../kit/redis.ts'
import type { Cell, Found } from './kit/cell.ts'
import { everyGuard } from './kit/cell.ts'

let server: RedisServer
let cluster: ClusterGroup
let admin: Redis
const ends: (() => void)[] = []

beforeAll(async () => {
  server = await RedisServer.start()
  cluster = await ClusterGroup.start()
  admin = new Redis(server.port)
  ends.push(() => admin.disconnect())
})
afterAll(async () => {
  for (const end of ends) end()
  await Promise.all([server.end(), cluster.end()])
})

async function ioRedis<T extends Redis | Redis5 | Cluster>(client: T): Promise<T> {
  ends.push(() => client.disconnect())
  return client
}

async function nodeRedis<T extends { connect(): Promise<unknown>; destroy(): void }>(client: T): Promise<T> {
  await client.connect()
  ends.push(() => client.destroy())
  return client
}

const nodes = () => cluster.addresses.map(({ host, port }) => ({ url: `redis://${host}:${port}` }))
const clients: readonly (readonly [name: string, open: () => Promise<RedisLike>])[] = [
  ['ioredis 6', () => ioRedis(new Redis(server.port))],
  [
    'ioredis 5, with a prefix and numbers as text',
    () => ioRedis(new Redis5(server.port, { keyPrefix: 'io5:', stringNumbers: true })),
  ],
  ['node-redis 6', () => nodeRedis(createClient({ url: server.url, database: 1 }))],
  ['node-redis 5', () => nodeRedis(createClient5({ url: server.url, database: 2 }))],
  ['ioredis 6, a cluster', () => ioRedis(new Cluster([...cluster.addresses]))],
  ['node-redis 6, a cluster', () => nodeRedis(createCluster({ rootNodes: nodes() }))],
]

describe.each(clients)('%s', (title, open) => {
  // Some of them share a server.
  const own = title.replaceAll(/\W+/g, '-')
  let guard: RedisGuard
  let raw: (holder: Holder, key: string) => Promise<unknown>
  beforeAll(async () => {
    const client = await open()
    guard = redisGuard(client, { keyPrefix: own })
    const past = redisGuard(client, { keyPrefix: `${own}-past` }).script(`return { ${TOUCH} }`)
    // Whoever comes by a name of its own is let in by any guard: that is "past the guard".
    raw = (holder, key) => past(holder, { keys: [key] })
  })

  everyGuard(async (name) => inRedis(guard, (holder, key) => raw(holder, key), name, own), { runs: 15 })

  test('GET, SET and DEL, and any other command', async () => {
    const key = `{plain}:${own}`
    const [old, now] = [1n, 2n].map((fence) => ({ name: 'plain', fence })) as [Holder, Holder]
    expect(await guard.get(old, key)).toBe(null)
    expect(await guard.set(old, key, 5, 'PX', 60_000)).toBe('OK')
    expect(await guard.get(now, key)).toBe('5')
    expect(Number(await guard.call(now, 'INCRBY', key, 2n))).toBe(7)
    for (const late of [
      guard.get(old, key),
      guard.set(old, key, 1),
      guard.del(old, key),
      guard.call(old, 'INCRBY', key, 1),
      guard.check(old),
    ])
      await expect(late).rejects.toMatchObject({ code: 'STALE_FENCE', lock: 'plain', fence: 1n, newest: 2n })
    expect(await guard.get(now, key)).toBe('7')
    expect(await guard.del(now, key)).toBe(true)
    expect(await guard.del(now, key)).toBe(false)
    await guard.check(now)
  })

  test('keys in braces lie with the fence of their name, and names may have braces', async () => {
    expect(await guard.set({ name: 'acct:7', fence: 1n }, '{acct:7}:balance', 'a')).toBe('OK')
    expect(await guard.set({ name: 'u:{7}', fence: 1n }, 'profile:{7}', 'b')).toBe('OK')
    expect(await guard.get({ name: '{acct:7}', fence: 1n }, 'acct:7')).toBe(null)
    await expect(guard.get({ name: 'u:{7}', fence: 1n }, 'profile:{7}')).resolves.toBe('b')
  })

  test('what the server says of the command passes through, and the fence has been seen', async () => {
    await guard.set({ name: 'w', fence: 1n }, 'w', 'text')
    await expect(guard.call({ name: 'w', fence: 4n }, 'INCR', 'w')).rejects.toThrow('not an integer')
    await expect(guard.get({ name: 'w', fence: 3n }, 'w')).rejects.toMatchObject({ code: 'STALE_FENCE', newest: 4n })
  })
})

const TOUCH = `tonumber(redis.call('HGET', KEYS[1], 'version') or 0), redis.call('HINCRBY', KEYS[1], 'accesses', 1)`

function inRedis(
  guard: RedisGuard,
  raw: (holder: Holder, key: string) => Promise<unknown>,
  name: string,
  own: string,
): Cell {
  const key = `{${name}}:${own}`
  const touch = guard.script(`return { ${TOUCH} }`)
  const put = guard.script(`local found = { ${TOUCH} } redis.call('HSET', KEYS[1], 'version', ARGV[1]) return found`)
  const found = async (reply: Promise<unknown>): Promise<Found> => {
    const [version, order] = ((await reply) as (number | string)[]).map(Number)
    return { version: version!, order: order! }
  }
  return {
    read: (holder) => found(touch(holder, { keys: [key] })),
    write: (holder, version) => found(put(holder, { keys: [key], args: [version] })),
    peek: () => found(raw({ name, fence: 1n, mode: 'shared' }, key)),
  }
}

test('the fence does not expire unless that is asked for', async () => {
  const guard = redisGuard(admin)
  await guard.set({ name: 'kept', fence: 3n }, 'kept', 'x', 'PX', 1)
  expect(await admin.ttl('holdfast:fence:{kept}')).toBe(-1)
  expect(await admin.hgetall('holdfast:fence:{kept}')).toEqual({ x: '3', s: '3' })
  await redisGuard(admin, { keep: '10s' }).check({ name: 'passing', fence: 3n })
  expect(await admin.pttl('holdfast:fence:{passing}')).toBeGreaterThan(0)
  await redisGuard(admin, { keep: 1 }).check({ name: 'gone', fence: 3n })
  await expect.poll(() => admin.exists('holdfast:fence:{gone}')).toBe(0)
  await expect(guard.check({ name: 'gone', fence: 1n })).resolves.toBeUndefined()
})

test('the rights that the page names are enough', async () => {
  const rights = /`(\+evalsha [+\w ]+)`/.exec(textOf('docs/guards.md'))![1]!.split(' ')
  await admin.call(
    'ACL',
    'SETUSER',
    'app',
    'on',
    '>secret',
    '~holdfast:fence:*',
    '~own',
    '-@all',
    ...rights,
    '+get',
    '+set',
  )
  const client = await ioRedis(new Redis(server.port, { username: 'app', password: 'secret', enableReadyCheck: false }))
  const guard = redisGuard(client, { keep: '1m' })
  await guard.set({ name: 'own', fence: 1n }, 'own', 'x')
  expect(await guard.get({ name: 'own', fence: 1n }, 'own')).toBe('x')
})

test('a server that has forgotten the scripts is told them again', async () => {
  const guard = redisGuard(admin)
  await guard.check({ name: 'flushed', fence: 1n })
  await admin.script('FLUSH')
  await guard.check({ name: 'flushed', fence: 2n })
})

test('a fence that something else has overwritten lets nobody in', async () => {
  await admin.set('holdfast:fence:{spoilt}', 'x')
  await expect(redisGuard(admin).get({ name: 'spoilt', fence: 1n }, 'spoilt')).rejects.toThrow('WRONGTYPE')
  await admin.hset('holdfast:fence:{odd}', 'x', 'y', 's', 'z')
  await expect(redisGuard(admin).get({ name: 'odd', fence: 1n }, 'odd')).rejects.toThrow('compare')
})

test('a lock on the same server: the lease ends, the next one writes, and the first can neither read nor write', async () => {
  const locks = connect(admin)
  const guard = redisGuard(admin)
  const first = await locks.acquire('real')
  expect(await guard.get(first, 'real')).toBe(null)
  await locks.evict('real', first.fence)
  await locks.run('real', async (lease) => void (await guard.set(lease, 'real', 'second')))
  await expect(guard.set(first, 'real', 'first')).rejects.toMatchObject({ code: 'STALE_FENCE', fence: first.fence })
  await expect(guard.get(first, 'real')).rejects.toMatchObject({ code: 'STALE_FENCE' })
  expect(await admin.get('real')).toBe('second')
  await locks.close()
})

test('wrong arguments are errors that say what to give, and nothing is sent', async () => {
  expect(() => redisGuard({} as never)).toThrow(expect.objectContaining({ code: 'MISCONFIGURED' }))
  expect(() => redisGuard(admin, { keyprefix: 'a' } as never)).toThrow("there is no option 'keyprefix'")
  expect(() => redisGuard(admin, { keyPrefix: 'a{b' })).toThrow('keyPrefix must be a text without braces')
  expect(() => redisGuard(admin, { keep: 0 })).toThrow('keep is 0')
  expect(() => redisGuard(admin, { keep: Infinity })).toThrow('keep is Infinity')
  const guard = redisGuard(admin)
  expect(() => guard.script('#!lua flags=no-writes\nreturn 1')).toThrow('give it without that line')
  expect(() => guard.script('')).toThrow('a script is')
  const holder = { name: 'args', fence: 1n }
  const wrong: readonly (readonly [promise: Promise<unknown>, message: string])[] = [
    [guard.get(undefined as never, 'a'), 'the holder is undefined'],
    [guard.get(holder, undefined as never), 'a key is undefined'],
    [guard.get(holder, ''), 'a key is'],
    [guard.set(holder, 'a', undefined as never), 'an argument is undefined'],
    [guard.call(holder, '', 'a'), 'a command is'],
    [guard.script('return 1')(holder, { keys: 'a' } as never), 'keys and args are arrays'],
    [guard.script('return 1')(holder, { key: ['a'] } as never), "there is no option 'key'"],
    [guard.get({ ...holder, mode: 'permits' }, 'a'), 'cannot be ordered'],
  ]
  for (const [promise, message] of wrong) await expect(promise).rejects.toThrow(message)
  expect(await admin.exists('holdfast:fence:{args}')).toBe(0)
})
