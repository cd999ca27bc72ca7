/** The script of a queue on a stage: with a clock that the test sets, and with lists in the place of channels. */
import type { Redis } from 'ioredis'
import type { Script } from '../../src/backends/redis/client.ts'
import { scriptOf } from '../../src/backends/redis/client.ts'
import QUEUE from '../../src/backends/redis/script.ts'

/** 1 January 2026. */
export const START_MS = 1_767_225_600_000

const script = scriptOf(
  QUEUE.replace("redis.call('TIME')", "{ 0, redis.call('GET', 'test:now') }")
    .replaceAll("call('PUBLISH', seat.inbox,", "call('RPUSH', 'test:wakes',")
    .replaceAll("call('PUBLISH', head, '')", "call('RPUSH', 'test:changes', head)")
    .replaceAll("call('PUBLISH', q.head, '')", "call('RPUSH', 'test:changes', q.head)"),
)

export const staged: { readonly joins: Script; readonly others: Script } = { joins: script, others: script }

export async function setClock(client: Redis, ms: number): Promise<void> {
  await client.set('test:now', String(ms * 1000))
}

/** What was said on the channels of entries, and on those of names, since the last look. */
export async function said(client: Redis): Promise<{ wakes: string[]; changes: string[] }> {
  const wakes = await client.lrange('test:wakes', 0, -1)
  const changes = await client.lrange('test:changes', 0, -1)
  await client.del('test:wakes', 'test:changes')
  return { wakes, changes }
}
