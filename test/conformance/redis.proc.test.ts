/** The suite on a real server, through each client. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
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
  [
    'ioredis',
    async () => {
      const client = new Redis(server.port)
      return [client, () => client.disconnect()]
    },
  ],
  [
    'node-redis',
    async () => {
      const client = createClient({ url: server.url })
      await client.connect()
      return [client, () => client.destroy()]
    },
  ],
]

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
