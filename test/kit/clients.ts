/** Clients of Redis that users have, by the name under which their package is installed here. */
import type * as IoRedis from 'ioredis'
import type * as NodeRedis from 'redis'
import type { RedisLike } from '../../dist/backends/redis/index.js'

export interface Client {
  readonly client: RedisLike
  end(): void | Promise<void>
}

/** Connected, with nothing set that a user need not set. */
export async function clientAt(name: string, url: string): Promise<Client> {
  const [host, port] = url.replace('redis://', '').split(':')
  switch (name) {
    case 'ioredis':
    case 'ioredis5': {
      const { Redis } = (await import(name)) as typeof IoRedis
      const client = new Redis(Number(port), host!)
      client.on('error', () => {})
      return { client, end: () => client.disconnect() }
    }
    case 'redis':
    case 'redis5': {
      const { createClient } = (await import(name)) as typeof NodeRedis
      const client = createClient({ url })
      client.on('error', () => {})
      await client.connect()
      return { client, end: () => client.destroy() }
    }
    default:
      throw new Error(`there is no client '${name}'`)
  }
}
