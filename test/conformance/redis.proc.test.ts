/** The suite on a real server, through each client. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import { createClient } from 'redis'
import { createClient as createClient5 } from 'redis5'
import { afterAll, beforeAll, describe, test } from 'vitest'
import type { RedisLike } from '../../src/backends/redis/index.ts'
import { redis } from '../../src/backends/redis/index.ts'
import { backendFor } from '../../src/connect.ts'
import type { Coordinator } from '../../src/testing/index.ts'
import { conformance } from '../../src/testing/index.ts'
import { RedisServer } from '../kit/redis.ts'

let server: RedisServer
beforeAll(async () => {
  server = await RedisServer.start()
})
afterAll(() => server.end())

/** A client that is connected, and how to end it. */
type Connect = () => Promise<readonly [client: RedisLike, end: () => void]>

const clients: readonly (readonly [name: string, connect: Connect])[] = [
  ['ioredis 6', async () => ioRedis(new Redis(server.port))],
  ['ioredis 5', async () => ioRedis(new Redis5(server.port))],
  ['node-redis 6', async () => nodeRedis(createClient({ url: server.url }))],
  ['node-redis 5', async () => nodeRedis(createClient5({ url: server.url }))],
]

function ioRedis(client: Redis | Redis5): readonly [RedisLike, () => void] {
  return [client, () => client.disconnect()]
}

async function nodeRedis<T extends RedisLike & { connect(): Promise<unknown>; destroy(): void }>(client: T) {
  await client.connect()
  return [client, () => client.destroy()] as const
}

function through(connect: Connect): () => Promise<Coordinator> {
  return async () => {
    const [client, end] = await connect()
    return {
      backend: redis(client),
      another: async () => redis(client),
      advance: sleep,
      end: async () => end(),
    }
  }
}

async function atAddress(): Promise<Coordinator> {
  return { backend: backendFor(server.url), another: async () => backendFor(server.url), advance: sleep }
}

const ways = [
  ...clients.map(([name, connect]) => [`through ${name}`, through(connect)] as const),
  ['at an address', atAddress] as const,
]

describe.each(ways)('redis %s', (_, make) => {
  test.concurrent.for(conformance(make))('$name', async ({ run }, { skip, expect }) => {
    const outcome = await run()
    skip(outcome === 'skipped')
    expect(outcome).toBe('passed')
  })
})
