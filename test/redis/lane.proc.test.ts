/** How verbs leave: in parts, by heads, and in turns of the event loop. */
import { createClient } from 'redis'
import { expect, onTestFinished, test } from 'vitest'
import type { Entry } from '../../src/backend.ts'
import { redis } from '../../src/backends/redis/index.ts'
import { connect } from '../../src/index.ts'
import { ownRedis } from '../kit/own-redis.ts'

const own = ownRedis()

function entry(name: string, id: string): Entry {
  return { name, id, weight: 1, capacity: 1, ttlMs: 60_000, waitTtlMs: 60_000, wait: true }
}

/** The words of all script calls of a client from now on, in their order. */
function wordsSent(client: { evalsha: unknown }): string[] {
  const words: string[] = []
  const send = client.evalsha as (sha: string, keys: number, ...args: string[]) => Promise<unknown>
  client.evalsha = (sha: string, keys: number, ...args: string[]) => {
    words.push(args[keys]!)
    return send.call(client, sha, keys, ...args)
  }
  onTestFinished(() => void (client.evalsha = send))
  return words
}

test('renewals of many leave in parts, by the heads; what has waiters is asked for once more, and then at once', async () => {
  const backend = redis(own.client)
  onTestFinished(() => backend.close())
  const entries = Array.from({ length: 1100 }, (_, index) => entry(`kept-${index}`, `id-${index}`))
  await Promise.all(entries.map((each) => backend.join(each)))
  await backend.join(entry('kept-7', 'waiter'))
  await backend.leave(entries[600]!)
  const words = wordsSent(own.client)
  for (const calls of [
    ['renewEach', 'renewEach', 'renewEach', 'renew'],
    ['renewEach', 'renewEach', 'renewEach', 'renew'],
  ]) {
    const renewals = await backend.renewAll(entries, 60_000)
    expect(renewals).toHaveLength(1100)
    for (const [index, { state }] of renewals.entries())
      expect(state, `of ${index}`).toBe(index === 600 ? 'lost' : 'held')
    expect(words.splice(0).toSorted()).toEqual(calls.toSorted())
  }
  await own.client.flushall()
})

test('a name that is something else on the server is an error of its own', async () => {
  const backend = redis(own.client)
  onTestFinished(() => backend.close())
  await own.client.hset('holdfast:{other}', 'field', 'value')
  await backend.join(entry('mine', 'id'))
  const claims = [
    { name: 'mine', id: 'id' },
    { name: 'other', id: 'id' },
  ]
  await expect(backend.renewAll(claims, 60_000)).rejects.toThrow('WRONGTYPE')
  const both = await Promise.allSettled([backend.renew(claims[0]!, 60_000), backend.renew(claims[1]!, 60_000)])
  expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  expect(await own.client.hget('holdfast:{other}', 'field')).toBe('value')
  await own.client.flushall()
})

test('through a client that writes when a turn is over, a burst leaves in two turns, and nothing is lost', async () => {
  const client = createClient({ url: `redis://127.0.0.1:${own.server.port}` })
  await client.connect()
  onTestFinished(() => client.destroy())
  const locks = connect(redis(client))
  onTestFinished(() => locks.close())
  let turn = 0
  const sent: { readonly turn: number; readonly verbs: number }[] = []
  const send = client.evalSha.bind(client)
  Reflect.set(client, 'evalSha', (sha: string, options: { keys: string[]; arguments: string[] }) => {
    const [list = ''] = options.arguments
    sent.push({ turn, verbs: list.startsWith('[') ? (JSON.parse(list) as unknown[]).length / 5 : 1 })
    return send(sha, options)
  })
  await locks.run('first', () => {})
  sent.length = 0
  const leases = Promise.all(Array.from({ length: 50 }, (_, index) => locks.acquire(`name-${index}`)))
  setImmediate(() => (turn += 1))
  const all = await leases
  expect(sent).toEqual([
    { turn: 0, verbs: 32 },
    { turn: 1, verbs: 18 },
  ])
  expect(new Set(all.map(({ name }) => name)).size).toBe(50)
  expect(await Promise.all(all.map((lease) => lease.release()))).toEqual(Array(50).fill('released'))
})
