import { once } from 'node:events'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { FenceStore, Holder } from '../../src/guards/index.ts'
import { fenceHeaders, fencedFetch, httpGuard, sqlGuard } from '../../src/guards/index.ts'
import { StaleFenceError, connect } from '../../src/index.ts'
import type { Cell, Found } from './kit/cell.ts'
import { everyGuard } from './kit/cell.ts'

/** A value of one process, whose accesses take a while: what is late is late by the time it takes effect. */
class Value {
  #version = 0
  #accesses = 0

  async access(next?: number): Promise<Found> {
    await sleep(1)
    const version = this.#version
    if (next !== undefined) this.#version = next
    return { version, order: (this.#accesses += 1) }
  }
}

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** What a client of ours does with an answer, for a handler that no server stands before. */
async function heard(answer: Promise<Response>, { name, fence }: Holder): Promise<Found> {
  const response = await answer
  if (response.status === 200) return (await response.json()) as Found
  const { code, newest } = (await response.json()) as { code: string; newest: string }
  expect([response.status, code]).toEqual([412, 'STALE_FENCE'])
  throw new StaleFenceError(name, fence, BigInt(newest))
}

const versionIn = (url: string): number | undefined => {
  const version = new URL(url, 'http://here').searchParams.get('version')
  return version === null ? undefined : Number(version)
}

describe('a handler of node:http', () => {
  everyGuard(
    async (name) => {
      const value = new Value()
      const handler = httpGuard().node(name, async (request: IncomingMessage, response: ServerResponse) => {
        response.end(JSON.stringify(await value.access(versionIn(request.url!))))
      })
      const url = await serve((request, response) => void handler(request, response))
      const ask = async (holder: Holder, query = ''): Promise<Found> =>
        (await (await fencedFetch(holder, url + query)).json()) as Found
      return {
        read: (holder) => ask(holder),
        write: (holder, version) => ask(holder, `/?version=${version}`),
        peek: () => value.access(),
      }
    },
    { runs: 15 },
  )
})

describe('a handler of Request and Response', () => {
  everyGuard(async (name): Promise<Cell> => {
    const value = new Value()
    const handler = httpGuard().fetch(name, async ({ url }) => Response.json(await value.access(versionIn(url))))
    const ask = (holder: Holder, query = ''): Promise<Found> =>
      heard(handler(new Request(`http://here/${query}`, { headers: fenceHeaders(holder) })), holder)
    return {
      read: (holder) => ask(holder),
      write: (holder, version) => ask(holder, `?version=${version}`),
      peek: () => value.access(),
    }
  })
})

const request = (holder: Holder, headers: Record<string, string> = {}): Request =>
  new Request('http://here/', { headers: { ...fenceHeaders(holder), ...headers } })
const exclusive = (fence: bigint): Holder => ({ name: 'a', fence })
const shared = (fence: bigint): Holder => ({ name: 'a', fence, mode: 'shared' })

/** A handler that stays inside until it is let go, and what it has done. */
function slow() {
  const done: string[] = []
  const going: (() => void)[] = []
  const handler = httpGuard().fetch('a', async (_, { fence }) => {
    done.push(`${fence} in`)
    await new Promise<void>((go) => going.push(go))
    done.push(`${fence} out`)
    return new Response('done')
  })
  const letGo = async (): Promise<void> => {
    going.shift()?.()
    await sleep(1)
  }
  return { handler, done, letGo }
}

test('a newer holder waits for the handler of an older one, and keeps later ones of it out', async () => {
  const { handler, done, letGo } = slow()
  const first = handler(request(exclusive(1n)))
  await sleep(1)
  const second = handler(request(exclusive(2n)))
  await sleep(1)
  expect((await handler(request(exclusive(1n)))).status).toBe(412)
  expect(done).toEqual(['1 in'])
  await letGo()
  expect((await first).status).toBe(200)
  await letGo()
  expect((await second).status).toBe(200)
  expect(done).toEqual(['1 in', '1 out', '2 in', '2 out'])
})

test('who became too old while it waited is refused', async () => {
  const { handler, done, letGo } = slow()
  const first = handler(request(exclusive(1n)))
  await sleep(1)
  const second = handler(request(exclusive(2n)))
  const third = handler(request(exclusive(3n)))
  await letGo()
  await letGo()
  expect((await first).status).toBe(200)
  expect((await second).status).toBe(412)
  await letGo()
  expect((await third).status).toBe(200)
  expect(done.filter((text) => text.startsWith('2'))).toEqual([])
})

test('requests of one holder, and readers, are inside together', async () => {
  const { handler, done, letGo } = slow()
  const inside = [handler(request(exclusive(1n))), handler(request(exclusive(1n)))]
  await sleep(1)
  expect(done).toEqual(['1 in', '1 in'])
  await letGo()
  await letGo()
  inside.push(handler(request(shared(2n))), handler(request(shared(3n))), handler(request(shared(2n))))
  await sleep(1)
  expect(done.slice(4)).toEqual(['2 in', '3 in', '2 in'])
  for (let n = 0; n < 3; n += 1) await letGo()
  expect((await Promise.all(inside)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
})

test('a handler of node:http that gives no promise is inside until its response is closed', async () => {
  const done: string[] = []
  const answers: (() => void)[] = []
  const handler = httpGuard().node('a', (_: IncomingMessage, response: ServerResponse, { fence }) => {
    done.push(`${fence} in`)
    answers.push(() => {
      done.push(`${fence} out`)
      response.end()
    })
  })
  const asked: string[] = []
  const url = await serve((request, response) => {
    asked.push(String(request.headers['lock-fence']))
    void handler(request, response)
  })
  const first = fencedFetch(exclusive(1n), url)
  await expect.poll(() => done).toEqual(['1 in'])
  const second = fencedFetch(exclusive(2n), url)
  await expect.poll(() => asked).toEqual(['1', '2'])
  expect(done).toEqual(['1 in'])
  answers[0]!()
  await first
  await expect.poll(() => done).toEqual(['1 in', '1 out', '2 in'])
  answers[1]!()
  await second
})

test('a client that leaves while it waits at the door does not close it for those behind it', async () => {
  const answers: (() => void)[] = []
  const handler = httpGuard().node('a', (_: IncomingMessage, response: ServerResponse) => {
    answers.push(() => response.end())
  })
  const left: string[] = []
  const url = await serve((request, response) => {
    response.on('close', () => left.push(String(request.headers['lock-fence'])))
    void handler(request, response)
  })
  const first = fencedFetch(exclusive(1n), url)
  await expect.poll(() => answers.length).toBe(1)
  const leaving = new AbortController()
  const second = fencedFetch(exclusive(2n), url, { signal: leaving.signal })
  // It stands at the door when the first one is refused by its fence.
  await expect.poll(() => fencedFetch(exclusive(1n), url).catch(() => 'refused')).toBe('refused')
  leaving.abort()
  await expect(second).rejects.toThrow('abort')
  await expect.poll(() => left).toContain('2')
  answers[0]!()
  await first
  const third = fencedFetch(exclusive(3n), url)
  await expect.poll(() => answers.length).toBe(3)
  answers[2]!()
  expect((await third).status).toBe(200)
})

test('a request that is refused is told why, in a form that programs read, and the handler is not called', async () => {
  let calls = 0
  const handler = httpGuard().fetch('a', () => new Response(String((calls += 1))))
  const answer = async (headers: Record<string, string>): Promise<readonly [number, Record<string, unknown>]> => {
    const response = await handler(new Request('http://here/', { headers }))
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(response.headers.get('cache-control')).toBe('no-store')
    return [response.status, (await response.json()) as Record<string, unknown>]
  }
  expect((await handler(request(exclusive(5n)))).status).toBe(200)
  expect(await answer(fenceHeaders(exclusive(4n)))).toEqual([
    412,
    {
      title: 'Stale fence',
      status: 412,
      code: 'STALE_FENCE',
      name: 'a',
      fence: '4',
      newest: '5',
      detail: 'fence 4 of "a" is refused: the resource has seen fence 5. Stop: somebody else holds, or held.',
    },
  ])
  expect(await answer({})).toEqual([428, expect.objectContaining({ code: 'FENCE_REQUIRED', status: 428, name: 'a' })])
  for (const fence of ['', '0', '-1', '05', '1.5', '1e3', '0x5', 'a', '9007199254740992', '6, 7'])
    expect(await answer({ 'lock-fence': fence })).toEqual([400, expect.objectContaining({ code: 'BAD_ARGUMENT' })])
  expect(await answer({ 'lock-fence': '6', 'lock-mode': 'permits' })).toEqual([400, expect.anything()])
  expect(await answer({ 'lock-fence': '6', 'lock-name': 'b' })).toEqual([
    400,
    expect.objectContaining({ detail: 'Lock-Name is b, but this is protected by a' }),
  ])
  expect(calls).toBe(1)
  // A fence by itself is exclusive, and enough.
  expect((await handler(new Request('http://here/', { headers: { 'lock-fence': '6' } }))).status).toBe(200)
})

test('an answer that was let through is not for caches', async () => {
  const handler = httpGuard().fetch(
    'a',
    () => new Response('5', { status: 201, headers: { 'cache-control': 'public', 'x-own': '1' } }),
  )
  const response = await handler(request(exclusive(1n)))
  expect([response.status, await response.text(), response.headers.get('x-own')]).toEqual([201, '5', '1'])
  expect(response.headers.get('cache-control')).toBe('no-store')
  const url = await serve((...both) => void httpGuard().node('a', (_, answer) => answer.end('5'))(...both))
  expect((await fencedFetch(exclusive(1n), url)).headers.get('cache-control')).toBe('no-store')
})

test('names in any alphabet travel, and are found for each request', async () => {
  const name = 'счёт:7/é?&'
  const handler = httpGuard().fetch(
    ({ url }) => decodeURIComponent(new URL(url).pathname.slice(1)),
    (_, holder) => Response.json(holder.name),
  )
  const to = (fence: bigint): Promise<Response> =>
    handler(new Request(`http://here/${encodeURIComponent(name)}`, { headers: fenceHeaders({ name, fence }) }))
  expect(await (await to(5n)).json()).toBe(name)
  expect((await to(4n)).status).toBe(412)
})

test('a transaction in the handler that refuses is answered the same way; other errors are those of the handler', async () => {
  const database = new DatabaseSync(':memory:')
  const guard = sqlGuard('sqlite')
  database.exec(guard.schema)
  const check = (holder: Holder): void => guard.check(holder, (sql, params) => database.prepare(sql).all(...params))
  check(exclusive(9n))
  const handler = httpGuard().fetch('a', (_, holder) => {
    check(holder)
    return new Response('done')
  })
  expect((await handler(request(exclusive(8n)))).status).toBe(412)
  expect((await handler(request(exclusive(9n)))).status).toBe(200)
  const elsewhere = new StaleFenceError('b', 1n, 2n)
  for (const error of [new Error('mine'), elsewhere]) {
    const failing = httpGuard().fetch('a', () => Promise.reject(error))
    await expect(failing(request(exclusive(1n)))).rejects.toBe(error)
    const failingNode = httpGuard().node('a', () => Promise.reject(error))
    const failed: unknown[] = []
    const url = await serve((...both) => {
      failingNode(...both).catch((reason: unknown) => {
        failed.push(reason)
        both[1].end()
      })
    })
    await fencedFetch(exclusive(1n), url)
    expect(failed).toEqual([error])
  }
})

test('a process that was started anew forgets, unless it has a store', async () => {
  const database = new DatabaseSync(':memory:')
  const sql = sqlGuard('sqlite')
  database.exec(sql.schema)
  const store: FenceStore = {
    check: (holder) => sql.check(holder, (text, params) => database.prepare(text).all(...params)),
  }
  const statusOf = async (options: { store?: FenceStore }, fence: bigint): Promise<number> =>
    (await httpGuard(options).fetch('a', () => new Response())(request(exclusive(fence)))).status
  expect([await statusOf({}, 2n), await statusOf({}, 1n)]).toEqual([200, 200])
  expect([await statusOf({ store }, 2n), await statusOf({ store }, 1n)]).toEqual([200, 412])
})

test('a store that fails lets nobody in', async () => {
  const store = { check: () => Promise.reject(new Error('no store')) }
  let calls = 0
  const handler = httpGuard({ store }).fetch('a', () => new Response(String((calls += 1))))
  await expect(handler(request(exclusive(1n)))).rejects.toThrow('no store')
  expect(calls).toBe(0)
})

test('a client is told by its own error; another 412 is an answer', async () => {
  const handler = httpGuard().node('a', (_, response) => response.end('5'))
  const url = await serve((...both) => void handler(...both))
  await connect('memory:').run('a', async (lease) => {
    const response = await fencedFetch(lease, url, { headers: { 'x-own': '1' } })
    expect(await response.text()).toBe('5')
  })
  await expect(fencedFetch(exclusive(1n), new URL(url))).rejects.toMatchObject({
    name: 'StaleFenceError',
    code: 'STALE_FENCE',
    lock: 'a',
    fence: 1n,
  })
  const other = await serve((_, response) => response.writeHead(412).end('if-match'))
  expect(await (await fencedFetch(exclusive(1n), other)).text()).toBe('if-match')
})

test('wrong arguments are errors that say what to give', async () => {
  expect(() => httpGuard({ stroe: 1 } as never)).toThrow("there is no option 'stroe'")
  expect(() => httpGuard({ store: {} } as never)).toThrow('give an object with check(holder)')
  expect(() => httpGuard().fetch('', () => new Response())).toThrow('a name is empty')
  expect(() => httpGuard().node('a', undefined as never)).toThrow('a guard needs a function')
  expect(() => fenceHeaders({ name: 'a', fence: 1n, mode: 'permits' })).toThrow('cannot be ordered')
  await expect(fencedFetch(undefined as never, 'http://here/')).rejects.toThrow('the holder is undefined')
  const nameless = httpGuard().fetch(
    () => undefined as never,
    () => new Response(),
  )
  await expect(nameless(request(exclusive(1n)))).rejects.toThrow('a name is undefined')
})
