/** `holdfast run` at a Redis server: what is special about a coordinator that is elsewhere. */
import { writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { connect } from '../../src/index.ts'
import { Proxy } from '../kit/proxy.ts'
import type { Topology } from '../kit/redis-groups.ts'
import { behindSentinel, clusterOfOne } from '../kit/redis-groups.ts'
import { RedisServer, freePort } from '../kit/redis.ts'
import { Place, runs, until } from './kit/holdfast.ts'

let server: RedisServer
beforeAll(async () => {
  server = await RedisServer.start()
})
afterAll(() => server.end())

/** Holds the name until the file `go` is there. */
const UNTIL_GO = 'echo $$ > $DIR/pid; touch $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done'

async function waiting(name: string, url = server.url): Promise<number> {
  const locks = connect(url)
  try {
    return (await locks.inspect(name))?.waiters.length ?? 0
  } finally {
    await locks.close()
  }
}

/** The line on stderr may be older than the place in the queue. */
function oneWaits(name: string, url = server.url): Promise<void> {
  return until(async () => (await waiting(name, url)) === 1, `a waiter of ${name}`)
}

describe.concurrent('at a server', () => {
  test('the code of the command is ours, and the lock is free again', async ({ onTestFinished }) => {
    const place = new Place(server.url, onTestFinished)
    expect(await place.run('code', '--', 'sh', '-c', 'exit 7').ended).toMatchObject({ code: 7, stderr: '' })
    const { code, stdout } = await place.run('code', '-n', '--', 'sh', '-c', 'echo $HOLDFAST_FENCE').ended
    expect(code).toBe(0)
    expect(stdout).toMatch(/^\d{16}\n$/)
  })

  test('75: held, and it would not wait, or not for so long', async ({ onTestFinished }) => {
    const place = new Place(server.url, onTestFinished)
    const holder = place.run('busy', '--', 'sh', '-c', UNTIL_GO)
    await place.has('up')
    const busy = await place.run('busy', '--try', '--', 'true').ended
    expect(busy).toMatchObject({ code: 75 })
    expect(busy.stderr).toContain(`pid ${holder.pid}`)
    expect(await place.run('busy', '-w', '0.5', '--', 'true').ended).toMatchObject({ code: 75 })
    const next = place.run('busy', '--', 'true')
    await oneWaits('busy')
    writeFileSync(place.path('go'), '')
    expect(await holder.ended).toMatchObject({ code: 0 })
    expect(await next.ended).toMatchObject({ code: 0 })
  })

  test('69: the server cannot be reached, or says nothing', async ({ onTestFinished }) => {
    const nowhere = new Place(`redis://127.0.0.1:${await freePort()}`, onTestFinished)
    const refused = await nowhere.run('x', '--', 'true').ended
    expect(refused).toMatchObject({ code: 69, stdout: '' })
    expect(refused.stderr).toContain('ECONNREFUSED')
    const wire = await Proxy.start(server.port)
    onTestFinished(() => wire.end())
    wire.silence()
    const silent = new Place(`redis://127.0.0.1:${wire.port}`, onTestFinished)
    expect(await silent.run('x', '--', 'touch', silent.path('up')).ended).toMatchObject({ code: 69 })
  })

  test('77: the server refuses the user, and no message shows the password', async ({ onTestFinished }) => {
    const admin = new Redis(server.port)
    await admin.call('ACL', 'SETUSER', 'poor', 'on', '>secret', '~other:*', '&*', '+@all')
    admin.disconnect()
    for (const password of ['secret', 'wr0ng']) {
      const place = new Place(`redis://poor:${password}@127.0.0.1:${server.port}`, onTestFinished)
      const { code, stderr } = await place.run('x', '--', 'true').ended
      expect(code).toBe(77)
      expect(stderr).not.toContain(password)
    }
  })

  test('79: the lease is lost while the command runs, and the command is gone before another holds', async ({
    onTestFinished,
  }) => {
    const wire = await Proxy.start(server.port)
    onTestFinished(() => wire.end())
    const place = new Place(`redis://127.0.0.1:${wire.port}`, onTestFinished)
    const holder = place.run('cut', '--ttl', '3', '--', 'sh', '-c', `trap '' TERM; ${UNTIL_GO}`)
    await place.has('up')
    const pid = Number(place.read('pid'))
    const next = new Place(server.url, onTestFinished).run('cut', '--', 'sh', '-c', `! kill -0 ${pid}`)
    await oneWaits('cut')
    wire.silence()
    // The next one looks for the process of the one before it, and finds none.
    expect(await next.ended).toMatchObject({ code: 0 })
    expect(await holder.ended).toMatchObject({ code: 79 })
  })

  test('79: the server has forgotten it', async ({ onTestFinished }) => {
    const other = await RedisServer.start()
    onTestFinished(() => other.end())
    const place = new Place(other.url, onTestFinished)
    const holder = place.run('flushed', '--ttl', '4', '--', 'sh', '-c', UNTIL_GO)
    await place.has('up')
    const admin = new Redis(other.port)
    await admin.flushall()
    admin.disconnect()
    const { code, stderr } = await holder.ended
    expect(code).toBe(79)
    expect(stderr).toContain('the lease on "flushed" is gone')
  })

  test.for(['SIGINT', 'SIGTERM'] as const)(
    '%s while it waits gives the place up',
    async (signal, { onTestFinished }) => {
      const place = new Place(server.url, onTestFinished)
      place.run(`wait-${signal}`, '--', 'sh', '-c', UNTIL_GO)
      await place.has('up')
      const waiter = place.run(`wait-${signal}`, '--', 'touch', place.path('never'))
      await oneWaits(`wait-${signal}`)
      expect(await waiting(`wait-${signal}`)).toBe(1)
      waiter.kill(signal)
      const ended = await waiter.ended
      expect(ended.code ?? 128 + constants.signals[ended.signal!]).toBe(128 + constants.signals[signal])
      expect(await waiting(`wait-${signal}`)).toBe(0)
    },
  )

  test('a killed wrapper takes its command with it, and is succeeded when its ttl has passed', async ({
    onTestFinished,
  }) => {
    const place = new Place(server.url, onTestFinished)
    const holder = place.run('killed', '--ttl', '4', '--', 'sh', '-c', UNTIL_GO)
    await place.has('up')
    const pid = Number(place.read('pid'))
    const next = place.run('killed', '--', 'true')
    await oneWaits('killed')
    holder.kill('SIGKILL')
    await until(() => !runs(pid), 'the end of the command')
    expect(await next.ended).toMatchObject({ code: 0 })
  })
})

test.each([
  ['sentinels', (): Promise<Topology> => behindSentinel()],
  ['a cluster', (): Promise<Topology> => clusterOfOne()],
])('at %s: it runs, it waits, it is refused, and it ends', async (_, start) => {
  const { url, end } = await start()
  onTestFinished(end)
  const place = new Place(url)
  const holder = place.run('x', '--', 'sh', '-c', UNTIL_GO)
  await place.has('up')
  expect(await place.run('x', '-n', '--', 'true').ended).toMatchObject({ code: 75 })
  const next = place.run('x', '--', 'sh', '-c', 'exit 3')
  await oneWaits('x', url)
  writeFileSync(place.path('go'), '')
  expect(await holder.ended).toMatchObject({ code: 0 })
  expect(await next.ended).toMatchObject({ code: 3 })
})
