/** `holdfast run` at a server: what is special about a coordinator that is elsewhere. */
import { writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { Etcd } from '../kit/etcd.ts'
import { Proxy } from '../../src/verify/torture/wire.ts'
import type { Topology } from '../kit/redis-groups.ts'
import { behindSentinel, clusterOfOne } from '../kit/redis-groups.ts'
import { freePort } from '../kit/redis.ts'
import { Place, runs, until } from './kit/holdfast.ts'
import type { Server } from './kit/servers.ts'
import { SERVERS, oneWaits, waiting } from './kit/servers.ts'

/** Holds the name until the file `go` is there. */
const UNTIL_GO = 'echo $$ > $DIR/pid; touch $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done'
/** A lease that a busy machine does not let end before somebody waits for it. It has stood still for three seconds. */
const LONG_ENOUGH = '6'

// One server after the other: each test starts several processes.
describe.each(SERVERS)('at %s', (scheme, start) => {
  let server: Server
  let url: string
  const through = ({ port }: { readonly port: number }): string => `${scheme}://127.0.0.1:${port}`
  beforeAll(async () => {
    server = await start()
    url = through(server)
  })
  afterAll(() => server.end())

  test.concurrent('the code of the command is ours, and the lock is free again', async ({ onTestFinished }) => {
    const place = new Place(url, onTestFinished)
    expect(await place.run('code', '--', 'sh', '-c', 'exit 7').ended).toMatchObject({ code: 7, stderr: '' })
    const { code, stdout } = await place.run('code', '-n', '--', 'sh', '-c', 'echo $HOLDFAST_FENCE').ended
    expect(code).toBe(0)
    expect(stdout).toMatch(/^\d+\n$/)
  })

  test.concurrent('75: held, and it would not wait, or not for so long', async ({ onTestFinished }) => {
    const place = new Place(url, onTestFinished)
    const holder = place.run('busy', '--', 'sh', '-c', UNTIL_GO)
    await place.has('up')
    const busy = await place.run('busy', '--try', '--', 'true').ended
    expect(busy).toMatchObject({ code: 75 })
    expect(busy.stderr).toContain(`pid ${holder.pid}`)
    expect(await place.run('busy', '-w', '0.5', '--', 'true').ended).toMatchObject({ code: 75 })
    const next = place.run('busy', '--', 'true')
    await oneWaits('busy', url)
    writeFileSync(place.path('go'), '')
    expect(await holder.ended).toMatchObject({ code: 0 })
    expect(await next.ended).toMatchObject({ code: 0 })
  })

  test.concurrent('the other rows of the table of exit codes', async ({ onTestFinished }) => {
    const place = new Place(url, onTestFinished)
    const code = async (...words: string[]): Promise<number | null> => (await place.run('row', ...words).ended).code
    expect(await code('-c', 'kill -KILL $$')).toBe(137)
    expect((await place.run('row', '-c', 'kill -TERM $$').ended).signal).toBe('SIGTERM')
    expect(await code('--permits', '2/1', '--', 'true')).toBe(64)
    expect(await code('--', '/no/such/command')).toBe(127)
    expect(await code('--', place.dir)).toBe(126)
    expect(await code('--max-time', '500ms', '--', 'sleep', '60')).toBe(124)
    const badUrl = new Place(`${url}/%zz?no=such&option`, onTestFinished)
    expect(await badUrl.run('row', '--', 'true').ended).toMatchObject({ code: 78, stdout: '' })
    const holder = place.run('row', '-c', UNTIL_GO)
    await place.has('up')
    expect(await code('-n', '-E', '0', '--', 'true')).toBe(0)
    expect(await code('-n', '-E', '9', '--', 'true')).toBe(9)
    writeFileSync(place.path('go'), '')
    expect(await holder.ended).toMatchObject({ code: 0 })
  })

  test.concurrent.for(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const)(
    '%s while the command runs goes to it and to what it has started, and its code is ours',
    async (signal, { onTestFinished }) => {
      const place = new Place(url, onTestFinished)
      const name = signal.slice(3)
      const script = `trap 'echo child >> $DIR/got; exit 42' ${name}
        sh -c 'trap "echo grandchild >> $DIR/got; exit" ${name}; touch $DIR/up; while :; do sleep 0.02; done'
        while :; do sleep 0.02; done`
      const command = place.run(`run-${signal}`, '-c', script)
      await place.has('up')
      command.kill(signal)
      // The shell may say by what its foreground command was ended.
      expect(await command.ended).toMatchObject({ code: 42, stderr: expect.not.stringContaining('holdfast') })
      await until(() => place.read('got').includes('grandchild'), 'the grandchild')
    },
  )

  test.concurrent('a wrapper that is stopped past its lease: the command is gone before another holds, and it is 79', async ({
    onTestFinished,
  }) => {
    const place = new Place(url, onTestFinished)
    const holder = place.run('stopped', '--ttl', LONG_ENOUGH, '-c', `trap '' TERM; ${UNTIL_GO}`)
    await place.has('up')
    const pid = Number(place.read('pid'))
    const next = new Place(url, onTestFinished).run('stopped', '-c', `! grep '^State:.[^Z]' /proc/${pid}/status`)
    await oneWaits('stopped', url)
    holder.kill('SIGSTOP')
    expect(await next.ended).toMatchObject({ code: 0 })
    holder.kill('SIGCONT')
    expect(await holder.ended).toMatchObject({ code: 79 })
  })

  test.concurrent('69: the server cannot be reached', async ({ onTestFinished }) => {
    const nowhere = new Place(through({ port: await freePort() }), onTestFinished)
    const refused = await nowhere.run('x', '--', 'true').ended
    expect(refused).toMatchObject({ code: 69, stdout: '' })
    expect(refused.stderr).toContain('ECONNREFUSED')
  })

  test.concurrent('69: the server says nothing', async ({ onTestFinished }) => {
    const wire = await Proxy.start(server.port)
    onTestFinished(() => wire.end())
    wire.silence()
    const silent = new Place(through(wire), onTestFinished)
    expect(await silent.run('x', '--', 'touch', silent.path('up')).ended).toMatchObject({ code: 69 })
  })

  test.concurrent('77: the server refuses the user, and no message shows the password', async ({ onTestFinished }) => {
    const strict = await start()
    onTestFinished(() => strict.end())
    await strict.refusePoor()
    for (const password of ['secret', 'wr0ng']) {
      const place = new Place(through(strict).replace('//', `//poor:${password}@`), onTestFinished)
      const { code, stderr } = await place.run('x', '--', 'true').ended
      expect(code).toBe(77)
      expect(stderr).not.toContain(password)
    }
  })

  test.concurrent('79: the lease is lost while the command runs, and the command is gone before another holds', async ({
    onTestFinished,
  }) => {
    const wire = await Proxy.start(server.port)
    onTestFinished(() => wire.end())
    const place = new Place(through(wire), onTestFinished)
    const holder = place.run('cut', '--ttl', LONG_ENOUGH, '--', 'sh', '-c', `trap '' TERM; ${UNTIL_GO}`)
    await place.has('up')
    const pid = Number(place.read('pid'))
    const next = new Place(url, onTestFinished).run('cut', '--', 'sh', '-c', `! kill -0 ${pid}`)
    await oneWaits('cut', url)
    wire.silence()
    // The next one looks for the process of the one before it, and finds none.
    expect(await next.ended).toMatchObject({ code: 0 })
    expect(await holder.ended).toMatchObject({ code: 79 })
  })

  test.concurrent('79: the server has forgotten it', async ({ onTestFinished }) => {
    const other = await start()
    onTestFinished(() => other.end())
    const place = new Place(through(other), onTestFinished)
    const holder = place.run('flushed', '--ttl', '4', '--', 'sh', '-c', UNTIL_GO)
    await place.has('up')
    await other.forget()
    const { code, stderr } = await holder.ended
    expect(code).toBe(79)
    expect(stderr).toContain('the lease on "flushed" is gone')
  })

  test.concurrent.for(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const)(
    '%s while it waits gives the place up',
    async (signal, { onTestFinished }) => {
      const place = new Place(url, onTestFinished)
      place.run(`wait-${signal}`, '--', 'sh', '-c', UNTIL_GO)
      await place.has('up')
      const waiter = place.run(`wait-${signal}`, '--', 'touch', place.path('never'))
      await oneWaits(`wait-${signal}`, url)
      expect(await waiting(`wait-${signal}`, url)).toBe(1)
      waiter.kill(signal)
      const ended = await waiter.ended
      expect(ended.code ?? 128 + constants.signals[ended.signal!]).toBe(128 + constants.signals[signal])
      expect(await waiting(`wait-${signal}`, url)).toBe(0)
    },
  )

  test.concurrent('a killed wrapper takes its command with it, and is succeeded when its ttl has passed', async ({
    onTestFinished,
  }) => {
    const place = new Place(url, onTestFinished)
    const holder = place.run('killed', '--ttl', '4', '--', 'sh', '-c', UNTIL_GO)
    await place.has('up')
    const pid = Number(place.read('pid'))
    const next = place.run('killed', '--', 'true')
    await oneWaits('killed', url)
    holder.kill('SIGKILL')
    await until(() => !runs(pid), 'the end of the command')
    expect(await next.ended).toMatchObject({ code: 0 })
  })
})

test.each([
  ['sentinels', (): Promise<Pick<Topology, 'url' | 'end'>> => behindSentinel()],
  ['a cluster', (): Promise<Pick<Topology, 'url' | 'end'>> => clusterOfOne()],
  ['three members of etcd', threeMembers],
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

async function threeMembers(): Promise<Pick<Topology, 'url' | 'end'>> {
  const etcd = await Etcd.start(3)
  return { url: `etcd://${etcd.members.map(({ port }) => `127.0.0.1:${port}`).join()}`, end: () => etcd.end() }
}
