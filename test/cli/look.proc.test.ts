/** Those who look: `ls`, `show`, `watch`, `check`, `release`, `doctor`, at each coordinator. */
import { execFile } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RedisServer, freePort } from '../kit/redis.ts'
import type { Command, Ended } from './kit/holdfast.ts'
import { BIN, Place, until } from './kit/holdfast.ts'
import type { Coordinator } from './kit/servers.ts'
import { COORDINATORS, oneWaits } from './kit/servers.ts'

const UNTIL_GO = 'echo $HOLDFAST_FENCE > $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done'

type Finished = (end: () => Promise<void>) => void

/** One holds, and its fence is known; another one waits. */
class Queue {
  readonly place: Place
  readonly name: string
  readonly holder: Command
  waiter: Command | undefined

  constructor(url: string, name: string, finished: Finished, ...words: string[]) {
    this.place = new Place(url, finished)
    this.name = name
    this.holder = this.place.run(name, ...words, '--', 'sh', '-c', UNTIL_GO)
  }

  async fence(): Promise<string> {
    let fence = ''
    await this.place.has('up')
    await until(() => (fence = this.place.read('up').trim()) !== '', 'its fence')
    return fence
  }

  async withWaiter(): Promise<this> {
    await this.fence()
    this.waiter = this.place.run(this.name, '-q', '--', 'true')
    await oneWaits(this.name, this.place.url)
    return this
  }

  say(verb: string, ...words: string[]): Promise<Ended> {
    return this.place.start([verb, '--url', this.place.url, ...words]).ended
  }

  /** Lets go. @returns the exit codes of the holder, and of the waiter */
  async ends(): Promise<(number | null)[]> {
    writeFileSync(this.place.path('go'), '')
    const all = await Promise.all([this.holder.ended, this.waiter?.ended])
    return all.flatMap((each) => each?.code ?? [])
  }
}

describe.each(COORDINATORS)('at %s', (_, start) => {
  let coordinator: Coordinator
  beforeAll(async () => {
    coordinator = await start()
  })
  afterAll(() => coordinator.end())
  const queue = (name: string, finished: Finished, ...words: string[]): Queue =>
    new Queue(coordinator.url, name, finished, ...words)

  test.concurrent('ls lists who holds and how many wait, the names only, and as JSON', async ({ onTestFinished }) => {
    const it = await queue('list/a', onTestFinished, '--label', 'nightly').withWaiter()
    const fence = await it.fence()
    const permits = queue('list/b', onTestFinished, '--permits', '2/3')
    await permits.fence()
    const { stdout, stderr, code } = await it.say('ls', 'list/*')
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
    const [head, first, second, ...rest] = stdout.trimEnd().split('\n')
    expect(head).toMatch(/^NAME +KIND +HELD BY +FOR +LEASE +WAITING +FENCE$/)
    expect(first).toMatch(
      new RegExp(`^list/a +lock +\\S+ pid ${it.holder.pid} \\(\\S+, nightly\\) +0:\\d\\d +0:[0-3]\\d +1 +${fence}$`),
    )
    expect(second).toMatch(/^list\/b +permits of 3 +\S+ pid \d+ \(\S+\), 2 permits +0:\d\d +0:[0-3]\d +\d+$/)
    expect(rest).toEqual([])
    expect((await it.say('ls', '-a', 'list/?')).stdout).toMatch(
      new RegExp(`\n +\\S+ pid ${it.waiter!.pid} .* 1st +\\d+\n`),
    )
    expect(await it.say('ls', '-q', 'list/*')).toMatchObject({ stdout: 'list/a\nlist/b\n' })
    expect(await it.say('ls', 'nothing*')).toMatchObject({ stdout: 'nothing is held\n', code: 0 })
    const views = JSON.parse((await it.say('ls', '--json', 'list/a')).stdout) as object[]
    expect(views).toMatchObject([
      { name: 'list/a', kind: 'lock', holders: [{ pid: it.holder.pid, label: 'nightly', fence }], waiters: [{}] },
    ])
    expect(await it.ends()).toEqual([0, 0])
    expect(await permits.ends()).toEqual([0])
  })

  test.concurrent('show says who holds, who waits, and what would release it; check has it as an exit code', async ({
    onTestFinished,
  }) => {
    const name = "it's mine"
    const it = await queue(name, onTestFinished).withWaiter()
    const fence = await it.fence()
    const { stdout, code } = await it.say('show', name)
    const [head, holder, since, waiter, release] = stdout.split('\n')
    expect(code).toBe(0)
    expect(head).toBe("it's mine: lock")
    expect(holder).toMatch(new RegExp(`^  held by  \\S+ pid ${it.holder.pid} \\(\\S+\\)$`))
    expect(since).toMatch(
      new RegExp(`^  since    \\d\\d:\\d\\d:\\d\\d \\(0:\\d\\d\\), fence ${fence}, lease 0:\\d\\d left$`),
    )
    expect(waiter).toMatch(new RegExp(`^  1st      \\S+ pid ${it.waiter!.pid} .* for 0:\\d\\d, fence \\d+$`))
    expect(release).toBe(`  release  holdfast release 'it'\\''s mine' --fence ${fence}`)
    expect(JSON.parse((await it.say('show', '--json', name)).stdout)).toMatchObject([{ name, waiters: [{}] }])
    expect(await it.say('check', name)).toMatchObject({ code: 75, stdout: expect.stringContaining(`fence ${fence}`) })
    expect(await it.say('check', '-q', name)).toMatchObject({ code: 75, stdout: '', stderr: '' })
    expect(JSON.parse((await it.say('check', '--json', name)).stdout)).toMatchObject({ name, free: false })
    expect(await it.say('check', '--kind', 'permits', name)).toMatchObject({ code: 0 })
    expect(await it.ends()).toEqual([0, 0])
    expect(await it.say('show', name)).toMatchObject({ code: 0, stdout: "it's mine is free\n" })
    expect(await it.say('check', name)).toMatchObject({ code: 0, stdout: "it's mine is free\n" })
  })

  test.concurrent('release ends whom it names, and nobody else', async ({ onTestFinished }) => {
    const it = await queue('stuck', onTestFinished, '--ttl', '3').withWaiter()
    const fence = await it.fence()
    const wrong = await it.say('release', 'stuck', '--fence', '1')
    expect(wrong).toMatchObject({ code: 75, stdout: '' })
    expect(wrong.stderr).toContain('"stuck": fence 1 is not there, and nothing was changed; this is who holds it\n')
    expect(wrong.stderr).toContain(`pid ${it.holder.pid} `)
    expect(wrong.stderr).toContain(`holdfast release stuck --fence ${fence}`)
    expect(JSON.parse((await it.say('show', '--json', 'stuck')).stdout)).toMatchObject([{ holders: [{ fence }] }])
    const done = await it.say('release', 'stuck', '--fence', fence)
    expect(done).toMatchObject({ code: 0, stderr: '' })
    expect(done.stdout).toMatch(/^released stuck, fence \d+;/)
    expect(await it.waiter!.ended).toMatchObject({ code: 0 })
    expect(await it.holder.ended).toMatchObject({ code: 79 })
    const again = await it.say('release', 'stuck', '--fence', fence)
    expect(again.code).toBe(75)
    expect(again.stderr).toContain('nobody holds it')
  })

  test.concurrent('release of another kind says which', async ({ onTestFinished }) => {
    const it = queue('some', onTestFinished, '--permits', '1/2')
    const fence = await it.fence()
    const wrong = await it.say('release', 'some', '--fence', fence)
    expect(wrong.code).toBe(75)
    expect(wrong.stderr).toContain(`holdfast release some --fence ${fence} --kind permits\n`)
    expect(await it.say('release', 'some', '--fence', fence, '--kind', 'permits')).toMatchObject({ code: 0 })
    expect((await it.holder.ended).code).toBe(79)
  })

  test.concurrent('watch ends when nobody reads it any more', async ({ onTestFinished }) => {
    const it = queue('piped', onTestFinished)
    await it.fence()
    const [first, watch] = [it.place.path('first'), `'${process.execPath}' '${BIN}' watch --url '${it.place.url}'`]
    const script = `${watch} --every 100ms piped | head -n 1 > ${first}; echo "\${PIPESTATUS[0]}"`
    const piping = promisify(execFile)('bash', ['-c', script], { timeout: 60_000 })
    await until(() => existsSync(first) && it.place.read('first') !== '', 'its first line')
    expect(await it.ends()).toEqual([0])
    // That was the next line.
    expect((await piping).stdout).toBe('141\n')
    expect(it.place.read('first')).toMatch(/ {2}holds {2}piped {2}/)
  })

  test.concurrent('watch prints who waits, who holds and who is gone', async ({ onTestFinished }) => {
    const place = new Place(coordinator.url, onTestFinished)
    const words = ['watch', '--url', coordinator.url, '--every', '100ms', 'seen/*']
    const [people, program] = [place.start(words), place.start([...words, '--json'])]
    const it = await queue('seen/x', onTestFinished).withWaiter()
    const fence = await it.fence()
    const line = new RegExp(`^\\d\\d:\\d\\d:\\d\\d  waits  seen/x  \\S+ pid ${it.waiter!.pid} .*1st of 1`, 'm')
    await until(() => line.test(people.stdout), 'one who waits')
    expect(await it.ends()).toEqual([0, 0])
    const gone = new RegExp(`gone +seen/x .*fence ${fence}$`, 'm')
    await until(() => gone.test(people.stdout) && program.stdout.includes('"lock.gone"'), 'one who is gone')
    expect(people.stdout).toMatch(new RegExp(`holds  seen/x  \\S+ pid ${it.holder.pid} .*fence ${fence}$`, 'm'))
    const events = program.stdout.trimEnd().split('\n')
    expect(events.map((each) => JSON.parse(each) as unknown)[0]).toMatchObject({ name: 'seen/x', kind: 'lock' })
    people.kill('SIGINT')
    program.kill('SIGTERM')
    expect(await people.ended).toMatchObject({ signal: 'SIGINT', stderr: '' })
    expect(await program.ended).toMatchObject({ signal: 'SIGTERM', stderr: '' })
  })

  test.concurrent('doctor says how the coordinator is', async ({ onTestFinished }) => {
    const place = new Place(coordinator.url, onTestFinished)
    const { stdout, stderr, code } = await place.start(['doctor', '--url', coordinator.url]).ended
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
    expect(stdout).toMatch(/^ok      \S+/m)
    expect(stdout.trimEnd().split('\n').at(-1)).toMatch(/^(file|redis|etcd): well/)
    const json = await place.start(['doctor', '--json', '--url', coordinator.url]).ended
    expect(JSON.parse(json.stdout)).toMatchObject({ well: true })
  })
})

test('doctor: 69 where nobody is; 78 for a setting that endangers locks', async () => {
  const place = new Place()
  const nowhere = await place.start(['doctor', '--url', `redis://127.0.0.1:${await freePort()}`]).ended
  expect(nowhere).toMatchObject({ code: 69, stderr: '' })
  expect(nowhere.stdout).toMatch(/^ERROR   reachability /m)
  const server = await RedisServer.start()
  try {
    const admin = new Redis(server.port)
    await admin.config('SET', 'maxmemory', '100mb')
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    admin.disconnect()
    const bad = await place.start(['doctor', '--url', `redis://127.0.0.1:${server.port}`]).ended
    expect(bad.code).toBe(78)
    expect(bad.stdout).toMatch(/^ERROR   eviction/m)
    expect(bad.stdout).toContain('1 of these endanger what redis: promises')
  } finally {
    await server.end()
  }
})

test.each([
  [['ls', 'a', 'b'], 'ls takes one pattern'],
  [['show'], 'show needs the name of a lock'],
  [['show', 'a', 'b'], "show takes one name; what is 'b'?"],
  [['show', '--kind', 'mutex', 'a'], "--kind is 'mutex'; give lock, permits or election"],
  [['check', 'a\tb'], 'control character'],
  [['release', 'a'], 'release needs --fence N: the fence of whom to end, which holdfast show a prints'],
  [['release', 'a', '--fence', 'x'], "--fence is 'x'; give a number"],
  [['watch', '--every', '1ms'], '--every must be 50 ms or more'],
  [['doctor', 'a'], 'doctor takes no name'],
  [['ls', '--', 'true'], 'ls runs no command'],
  [['completion', 'tcsh'], "completion needs a shell: bash, zsh, fish, not 'tcsh'"],
])('%j: 64, and a line that says why', async (args, line) => {
  const { code, stdout, stderr } = await new Place().start(args, { env: { HOLDFAST_URL: 'memory:' } }).ended
  expect(stderr).toContain(line)
  expect({ code, stdout }).toEqual({ code: 64, stdout: '' })
})
