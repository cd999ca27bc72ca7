import { execFileSync } from 'node:child_process'
import { appendFileSync, chmodSync, chownSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Entry, Held } from '../../src/backend.ts'
import { WHOLE } from '../../src/backend.ts'
import { file } from '../../src/backends/file/index.ts'
import { decodeLine, encodeLine } from '../../src/backends/file/line.ts'
import type { Lease } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { NO_SMALL_DISK, SmallDisk } from '../kit/small-disk.ts'
import type { Worker } from '../kit/workers.ts'
import { crew, temporaryDirectory } from '../kit/workers.ts'
import { until } from '../../src/verify/torture/clock.ts'

const ROOT = process.getuid?.() === 0
const NOBODY = 65_534

const lost = (lease: Lease): Promise<string> =>
  new Promise((resolve) => void lease.on('lost', () => resolve((lease.signal.reason as { reason: string }).reason)))

test('on a full disk leases end by their deadline, errors say so, and all is well when there is room again', async ({
  skip,
}) => {
  const small = smallDisk()
  if (!small) return skip(NO_SMALL_DISK)
  const { disk, store } = small
  const locks = connect(`file:${store}`, { ttl: '1500ms' })
  onTestFinished(() => locks.close())
  const lease = await locks.acquire('a')
  const ended = lost(lease)
  disk.fill()
  // The last page of the log has room for some lines more.
  const error = await failure(async () => {
    const other = await locks.acquire('b')
    await other.release()
  })
  expect(error).toMatchObject({ code: 'STORE_FULL', message: expect.stringContaining('disk is full') })
  await expect(locks.tryAcquire('c')).rejects.toMatchObject({ code: 'STORE_FULL' })
  expect(await ended).toBe('expired')
  disk.free()
  const next = await locks.acquire('a')
  expect(next.fence).toBeGreaterThan(lease.fence)
  const others = connect(`file:${store}`)
  onTestFinished(() => others.close())
  expect(await others.tryAcquire('a')).toBeUndefined()
  // It may be that the release of this one found no room: then it ends by its ttl.
  await others.acquire('b')
})

test('a disk that is full just when a segment ends stops everybody, and loses nothing', async ({ skip }) => {
  const small = smallDisk()
  if (!small) return skip(NO_SMALL_DISK)
  const { disk, store } = small
  const opened = [1, 2, 3].map(() => file({ directory: store }))
  onTestFinished(async () => void (await Promise.all(opened.map((each) => each.close()))))
  const [one, two, three] = opened
  const holder = entry('holder')
  const { fence } = (await one!.join(holder)) as Held
  expect((await two!.join(entry('waiter'))).state).toBe('waiting')
  const now = { monotonicMs: 0, wallMs: 0 }
  appendFileSync(join(store, 'log.1'), encodeLine({ instance: 'x', now, verbs: [['seal']] }))
  disk.fill()
  for (let round = 0; round < 20; round += 1) {
    await expect(one!.renew(holder, 60_000)).rejects.toMatchObject({ code: 'STORE_FULL' })
    await expect(two!.join(entry('late'))).rejects.toMatchObject({ code: 'STORE_FULL' })
  }
  await expect(three!.join(entry('newcomer'))).rejects.toMatchObject({ code: 'STORE_FULL' })
  disk.free()
  expect(await one!.renew(holder, 60_000)).toMatchObject({ state: 'held', fence })
  expect(await two!.renew(entry('waiter'), 60_000)).toMatchObject({ state: 'waiting', ahead: 1 })
  expect(await three!.join(entry('newcomer'))).toMatchObject({ state: 'waiting', ahead: 2 })
  expect(await one!.leave(holder)).toBe(true)
  expect(await two!.renew(entry('waiter'), 60_000)).toMatchObject({ state: 'held' })
  expect(readdirSync(store).filter((name) => name.startsWith('tmp.'))).toEqual([])
})

test('a process that may write no more loses its lease at its deadline, and hurts nobody', async ({ skip }) => {
  skip(!can('prlimit', '--fsize=20000', 'true'), 'the size of files cannot be limited here')
  const store = temporaryDirectory()
  const workers = crew(`file:${store}`, { ttl: '2s', waitTtl: '2s' })
  const limited = await workers.start({ under: ['prlimit', '--fsize=20000'] })
  const other = await workers.start()
  await limited.do((stage) => stage.acquire('a').then(() => {}))
  await other.do((stage) => stage.sections({ name: 'b', count: 200 }))
  await expect(limited.do((stage) => stage.acquire('c'))).rejects.toMatchObject({ code: 'STORE_FULL' })
  await until(() => limited.do((stage) => stage.holds.get('a')!.lease.state === 'lost'), 'the loss')
  const { reason } = await limited.do((stage) => {
    const { lease } = stage.holds.get('a')!
    return { reason: (lease.signal.reason as { reason: string }).reason }
  })
  expect(reason).toBe('expired')
  await other.do((stage) => stage.acquire('a').then(() => {}))
  await other.do((stage) => stage.sections({ name: 'b', count: 50 }))
})

test('a line that is cut off at a limit counts for nobody, and its writer hears why', async ({ skip }) => {
  skip(!can('prlimit', '--fsize=20000', 'true'), 'the size of files cannot be limited here')
  const store = temporaryDirectory()
  const workers = crew(`file:${store}`)
  const limited = await workers.start({ under: ['prlimit', '--fsize=20000'] })
  const other = await workers.start()
  // The last line is so long that the limit cuts it off in the middle, wherever the one before it ended.
  const { taken, long, code } = await limited.do(
    async ({ locks }, log) => {
      const { statSync } = process.getBuiltinModule('node:fs')
      let taken = 0
      for (; taken === 0 || statSync(log).size < 19_500; taken += 1) await locks.acquire(`name ${taken}`)
      const long = 'long '.repeat(100)
      try {
        await locks.acquire(long)
        return { taken, long, code: 'none' }
      } catch (error) {
        return { taken, long, code: (error as { code: string }).code }
      }
    },
    join(store, 'log.1'),
  )
  expect(code).toBe('STORE_FULL')
  expect(statSync(join(store, 'log.1')).size).toBe(20_000)
  const tail = readFileSync(join(store, 'log.1'), 'utf8').split('\n').at(-1)!
  expect(tail).toContain('long long')
  expect(decodeLine(Buffer.from(tail))).toBeUndefined()
  const free = (name: string): Promise<boolean> =>
    other.do(({ locks }, name) => locks.tryAcquire(name).then((lease) => lease !== undefined), name)
  expect(await free(long)).toBe(true)
  expect(await free(`name ${taken - 1}`)).toBe(false)
})

test('a death that could not be written down is still there for the next one to see', async ({ skip }) => {
  skip(!can('prlimit', '--fsize=20000', 'true'), 'the size of files cannot be limited here')
  const store = temporaryDirectory()
  const workers = crew(`file:${store}`, { ttl: '120s', waitTtl: '2s' })
  const holder = await workers.start()
  const limited = await workers.start({ under: ['prlimit', '--fsize=20000'] })
  const other = await workers.start()
  await holder.do((stage) => stage.acquire('a').then(() => {}))
  const waiting = limited.do((stage) => stage.acquire('a').then(() => {}))
  await until(() => other.do(({ locks }) => locks.inspect('a').then((it) => it?.waiters.length === 1)), 'a waiter')
  await other.do((stage) => stage.sections({ name: 'b', count: 200 }))
  await holder.kill()
  await expect(waiting).rejects.toMatchObject({ code: 'UNREACHABLE' })
  await other.do((stage) => stage.acquire('a', { wait: '60s' }).then(() => {}))
})

test('a process without the right to the store hears that', async ({ skip }) => {
  skip(!ROOT, 'only root can become another user')
  const root = temporaryDirectory()
  chmodSync(root, 0o755)
  const make = (name: string, mode: number, owner: number): string => {
    const path = join(root, name)
    mkdirSync(path, mode)
    chownSync(path, owner, owner)
    chmodSync(path, mode)
    return path
  }
  const closed = make('closed', 0o700, 0)
  const foreign = make('foreign', 0o755, 0)
  await file({ directory: foreign }).diagnose()
  chmodSync(join(foreign, 's'), 0o755)
  const cases: [path: string, text: RegExp][] = [
    [closed, /no right/],
    [join(closed, 'deeper'), /no right/],
    [foreign, /belongs to another user|no right/],
    [join(root, 'new'), /no right/],
    [make('readonly', 0o500, NOBODY), /no right/],
  ]
  const workers = crew('memory:')
  const worker = await workers.start()
  await becomeNobody(worker)
  for (const [path, text] of cases) {
    const tried = worker.do(({ holdfast }, url) => holdfast.connect(url).tryAcquire('a'), `file:${path}`)
    await expect(tried).rejects.toMatchObject({ code: 'DENIED', message: expect.stringMatching(text) })
    await expect(tried).rejects.toThrow(path)
  }
  // And where it has it, all is well.
  const own = make('own', 0o700, NOBODY)
  expect(
    await worker.do(
      ({ holdfast }, url) =>
        holdfast
          .connect(url)
          .tryAcquire('a')
          .then((lease) => lease?.state),
      `file:${own}`,
    ),
  ).toBe('held')
})

test('a file system that became read-only is an error that says so, and the lease ends by its deadline', async ({
  skip,
}) => {
  const small = smallDisk()
  if (!small) return skip(NO_SMALL_DISK)
  const { disk, store } = small
  const locks = connect(`file:${store}`, { ttl: '1500ms' })
  onTestFinished(() => locks.close())
  const lease = await locks.acquire('a')
  const ended = lost(lease)
  run('umount', '-l', disk.directory)
  const other = connect(`file:${store}`)
  onTestFinished(() => other.close())
  // What was mounted is out of sight: for the holder it was moved away.
  expect(await ended).toBe('gone')
  run('mount', '-t', 'tmpfs', '-o', 'ro', 'tmpfs', disk.directory)
  await expect(other.tryAcquire('a')).rejects.toMatchObject({
    code: 'DENIED',
    message: expect.stringContaining('read-only'),
  })
})

test('under another clock a store in use is refused, and one at rest is not', async ({ skip }) => {
  const under = ['unshare', '-T', '--monotonic', '100000', '--fork', '--kill-child']
  skip(!can(...(under as [string, ...string[]]), 'true'), 'a time namespace needs root, and Linux 5.6')
  const workers = crew(`file:${temporaryDirectory()}`)
  const here = await workers.start()
  const there = await workers.start({ under })
  await here.do((stage) => stage.acquire('a').then(() => {}))
  await expect(there.do((stage) => stage.tryAcquire('b'))).rejects.toMatchObject({ code: 'STORE_MISMATCH' })
  await here.do((stage) => stage.release('a'))
  const fence = await there.do((stage) => stage.acquire('b').then(({ lease }) => Number(lease.fence)))
  await expect(here.do((stage) => stage.tryAcquire('c'))).rejects.toMatchObject({ code: 'STORE_MISMATCH' })
  await there.do((stage) => stage.release('b'))
  expect(await here.do((stage) => stage.acquire('b').then(({ lease }) => Number(lease.fence)))).toBeGreaterThan(fence)
})

function entry(id: string): Entry {
  return { name: 'a', id, weight: WHOLE, capacity: WHOLE, ttlMs: 60_000, waitTtlMs: 60_000, wait: true }
}

async function failure(work: () => Promise<unknown>): Promise<unknown> {
  for (let round = 0; round < 1000; round += 1) {
    try {
      await work()
    } catch (error) {
      return error
    }
  }
  throw new Error('it has not failed')
}

/** A file system of some pages, and a store on it. */
function smallDisk(): { disk: SmallDisk; store: string } | undefined {
  const disk = SmallDisk.mount('256k')
  if (!disk) return undefined
  onTestFinished(() => disk.end())
  return { disk, store: join(disk.directory, 'store') }
}

function becomeNobody(worker: Worker): Promise<void> {
  return worker.do((_, id) => {
    process.setgroups!([])
    process.setgid!(id)
    process.setuid!(id)
  }, NOBODY)
}

function run(command: string, ...words: string[]): void {
  execFileSync(command, words, { stdio: 'ignore' })
}

function can(command: string, ...words: string[]): boolean {
  try {
    run(command, ...words)
    return true
  } catch {
    return false
  }
}
