/** A Redis server of one test file, and a client of it: there from before its first test until after its last one. */
import { Redis } from 'ioredis'
import { afterAll, beforeAll } from 'vitest'
import { RedisServer } from './redis.ts'

export interface OwnRedis {
  readonly server: RedisServer
  readonly client: Redis
}

export function ownRedis(): OwnRedis {
  let server: RedisServer
  let client: Redis
  beforeAll(async () => {
    server = await RedisServer.start()
    client = new Redis(server.port)
  })
  afterAll(async () => {
    client.disconnect()
    await server.end()
  })
  return {
    get server() {
      return server
    },
    get client() {
      return client
    },
  }
}
