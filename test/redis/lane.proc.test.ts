/** How verbs leave: in parts, by heads, and in turns of the event loop. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { expect, onTestFinished, test } from 'vitest'
import type { Entry, Held, Standing } from '../../src/backend.ts'
import { redis } from '../../src/backends/redis/index.ts'
import { connect } from '../../src/index.ts'
import { ownRedis } from '../kit/own-redis.ts'

const own = ownRedis()

function entry(name: string, id: string): Entry {
  return { name, id, weight: 1, capacity: 1, ttlMs: 60_000, waitTtlMs: 60_000, wait: true }
}

/** The words of all script calls of a client from now on, in their order. The answer of the second one comes `lateMs` later. */
function wordsSent(client: { evalsha: unknown }, lateMs = 0): string[] {
  const words: string[] = []
  const send = client.evalsha as (sha: string, keys: number, ...args: string[]) => Promise<unknown>
  client.evalsha = (sha: string, keys: number, ...args: string[]) => {
    words.push(args[keys]!)
    const answer = send.call(client, sha, keys, ...args)
    return words.length === 2 && lateMs > 0 ? sleep(lateMs).then(() => answer) : answer
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
    for (const [index, renewal] of renewals.entries())
      expect(renewal?.state, `of ${index}`).toBe(index === 600 ? 'lost' : 'held')
    expect(words.splice(0).toSorted()).toEqual(calls.toSorted())
  }
  await own.client.flushall()
})

test('of a burst, who finds others there is asked for once more, before whoever comes later, and then never again', async () => {
  const others = redis(own.client)
  const backend = redis(own.client)
  onTestFinished(() => Promise.all([others.close(), backend.close()]).then(() => {}))
  await others.join(entry('hot', 'holder'))
  await others.join(entry('hot', 'waiter'))
  const cold = Array.from({ length: 40 }, (_, index) => entry(`cold-${index}`, `id-${index}`))
  /** 43 in two calls, of which the second one is answered later; `next` is asked for in between. */
  const burst = async (first: string, second: string, next: string): Promise<Standing[]> => {
    const asked: Promise<Standing>[] = []
    for (const [index, each] of cold.entries()) {
      asked.push(backend.join(each))
      if (index === 3) asked.push(backend.join(entry('hot', first)))
      if (index === 35) asked.push(backend.join(entry('hot', second)))
    }
    const between = asked[0]!.then(() => backend.join(entry('hot', next)))
    const standings = await Promise.all(asked)
    expect(standings.filter(({ state }) => state === 'held')).toHaveLength(40)
    return [standings[4]!, standings[37]!, await between]
  }
  const words = wordsSent(own.client, 20)
  expect(await burst('one', 'two', 'three')).toMatchObject(
    [1, 2, 3].map((each) => ({ state: 'waiting', ahead: each + 1 })),
  )
  expect(words.splice(0)).toHaveLength(3)
  for (const each of cold) await backend.leave(each)
  words.length = 0
  expect(await burst('four', 'five', 'six')).toMatchObject(
    [4, 5, 6].map((each) => ({ state: 'waiting', ahead: each + 1 })),
  )
  expect(words.filter((each) => each.includes('"four"') || each.includes('"five"'))).toHaveLength(2)
  await own.client.flushall()
})

test('who is renewed with the same others as the last time gets its own answer, and so does who is not', async () => {
  const backend = redis(own.client)
  onTestFinished(() => backend.close())
  const entries = Array.from({ length: 600 }, (_, index) => entry(`kept-${index}`, `id-${index}`))
  const standings = await Promise.all(entries.map((each) => backend.join(each)))
  const placed = entries.map(({ name, id }, index) => {
    const standing = standings[index]!
    return { name, id, fence: standing.state === 'held' ? standing.fence : undefined }
  })
  /** Which of these are answered, and how; of those who are not, all is as it was. */
  const said = async (claims: typeof placed): Promise<unknown[]> => {
    const renewals = await backend.renewAll(claims, 60_000)
    expect(renewals).toHaveLength(claims.length)
    return renewals.flatMap((renewal, index) => (renewal ? [[claims[index]!.name, renewal.state]] : []))
  }
  expect(await said(placed)).toEqual([])
  expect(await said(placed)).toEqual([])
  await backend.evict('kept-3', placed[3]!.fence!)
  await backend.leave(placed[599]!)
  const gone = [
    ['kept-3', 'lost'],
    ['kept-599', 'lost'],
  ]
  expect(await said(placed)).toEqual(gone)
  // Another one with the same token, as a join that comes twice would make it.
  const again = await backend.join(entries[3]!)
  expect(again).toMatchObject({ state: 'held' })
  expect(await said(placed)).toEqual([['kept-3', 'held'], gone[1]])
  const known = placed.map((each, index) => (index === 3 ? { ...each, fence: (again as Held).fence } : each))
  expect(await said(known)).toEqual([gone[1]])
  expect(await said(known.slice(4))).toEqual([gone[1]])
  expect(await said(known.toReversed())).toEqual([gone[1]])
  expect(await said(known.slice(0, 20))).toEqual([])
  expect(await said(known)).toEqual([gone[1]])
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
