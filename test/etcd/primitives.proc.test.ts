/** What users call, on three members: elections that are observed, readers and writers, permits, several names. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { Etcd } from '../kit/etcd.ts'

let cluster: Etcd
beforeAll(async () => {
  cluster = await Etcd.start(3)
})
afterAll(() => cluster.end())

function process(): Locks {
  const locks = connect(`etcd://${cluster.members.map(({ port }) => `127.0.0.1:${port}`).join()}`)
  onTestFinished(() => locks.close())
  return locks
}

test('an election: who leads is observed, and what it proclaims; the next one follows', async () => {
  const [one, two, watcher] = [process(), process(), process()]
  const stop = new AbortController()
  const seen: (string | undefined)[] = []
  const observing = (async () => {
    for await (const leader of watcher.election('led').observe({ signal: stop.signal })) seen.push(leader?.value)
  })()
  const first = await one.election('led').acquire({ value: 'a' })
  await expect.poll(() => seen.at(-1), { timeout: 20_000 }).toBe('a')
  await first.proclaim('b')
  await expect.poll(() => seen.at(-1), { timeout: 20_000 }).toBe('b')
  const second = two.election('led').acquire({ value: 'c' })
  await expect.poll(async () => (await one.inspect('led', { kind: 'election' }))?.waiters.length).toBe(1)
  expect(seen.at(-1)).toBe('b')
  await first.resign()
  expect((await second).fence).toBeGreaterThan(first.fence)
  await expect.poll(() => seen.at(-1), { timeout: 20_000 }).toBe('c')
  stop.abort()
  await observing
  await (await second).resign()
})

test('a writer waits for readers, and a reader for the writer before it', async () => {
  const [one, two] = [process(), process()]
  const readers = [await one.rw('shared').read().acquire(), await two.rw('shared').read().acquire()]
  const writer = two.rw('shared').write().acquire()
  await expect.poll(async () => (await one.inspect('shared'))?.waiters.length).toBe(1)
  const late = one.rw('shared').read().acquire()
  await expect.poll(async () => (await one.inspect('shared'))?.waiters.length).toBe(2)
  for (const reader of readers) await reader.release()
  const wrote = await writer
  await wrote.downgrade()
  const read = await late
  expect(read.fence).toBeGreaterThan(wrote.fence)
  await Promise.all([wrote.release(), read.release()])
})

test('permits are no more than there are, and tries leave nothing', async () => {
  const [one, two] = [process(), process()]
  const both = await one.semaphore('gpu', 3).acquire({ permits: 2 })
  const last = await two.semaphore('gpu', 3).tryAcquire()
  expect(await two.semaphore('gpu', 3).tryAcquire()).toBeUndefined()
  await expect(two.semaphore('gpu', 4).acquire()).rejects.toMatchObject({ code: 'CAPACITY_MISMATCH' })
  await both.release()
  await last?.release()
  expect(await one.inspect('gpu', { kind: 'permits' })).toBeUndefined()
})

test('several names are one transaction while they are free, and waited for otherwise', async () => {
  const [one, two] = [process(), process()]
  const set = await one.acquire(['s1', 's2', 's3'])
  // What one transaction puts in has one revision.
  expect(new Set(set.fences.values()).size).toBe(1)
  const waiting = two.acquire(['s3', 's4'])
  await expect.poll(async () => (await one.inspect('s3'))?.waiters.length).toBe(1)
  await set.release()
  const next = await waiting
  expect(next.fences.get('s3')).toBeGreaterThan(set.fences.get('s3')!)
  await next.release()
})
