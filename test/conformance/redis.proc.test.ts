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
import { MATRIX } from '../kit/effort.ts'
import { ReplicaGroup } from '../kit/redis-groups.ts'
import { RedisServer } from '../kit/redis.ts'

let server: RedisServer
let group: ReplicaGroup
beforeAll(async () => {
  ;[server, group] = await Promise.all([RedisServer.start(), ReplicaGroup.start()])
})
afterAll(() => Promise.all([server.end(), group.end()]))

/** A client that is connected to a server, and how to end it. */
type Connect = (server: RedisServer) => Promise<readonly [client: RedisLike, end: () => void]>

const clients: readonly (readonly [name: string, connect: Connect])[] = [
  ['ioredis 6', async ({ port }) => ioRedis(new Redis(port))],
  ['ioredis 5', async ({ port }) => ioRedis(new Redis5(port))],
  ['node-redis 6', async ({ url }) => nodeRedis(createClient({ url }))],
  ['node-redis 5', async ({ url }) => nodeRedis(createClient5({ url }))],
]

function ioRedis(client: Redis | Redis5): readonly [RedisLike, () => void] {
  return [client, () => client.disconnect()]
}

async function nodeRedis<T extends RedisLike & { connect(): Promise<unknown>; destroy(): void }>(client: T) {
  await client.connect()
  return [client, () => client.destroy()] as const
}

function through(connect: Connect, replicas = 0): () => Promise<Coordinator> {
  return async () => {
    const [client, end] = await connect(replicas === 0 ? server : group.primary)
    return {
      backend: redis(client, { replicas }),
      another: async () => redis(client, { replicas }),
      advance: sleep,
      end: async () => end(),
    }
  }
}

function atAddress(url: () => string): () => Promise<Coordinator> {
  return async () => ({ backend: backendFor(url()), another: async () => backendFor(url()), advance: sleep })
}

/** In the matrix each client and version of it; here the newest of both clients, and with a replica one of them. */
const plain = MATRIX ? clients : clients.filter(([name]) => name.endsWith('6'))
const replicated = MATRIX ? clients : clients.slice(0, 1)

const ways = [
  ...plain.map(([name, connect]) => [`through ${name}`, through(connect)] as const),
  ['at an address', atAddress(() => server.url)] as const,
  ...replicated.map(([name, connect]) => [`with a replica, through ${name}`, through(connect, 1)] as const),
]

describe.each(ways)('redis %s', (_, make) => {
  test.concurrent.for(conformance(make))('$name', async ({ run }, { skip, expect }) => {
    const outcome = await run()
    skip(outcome === 'skipped')
    expect(outcome).toBe('passed')
  })
})
