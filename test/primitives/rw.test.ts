import { expect, test } from 'vitest'
import { outcomeOf, world } from '../core/kit.ts'

test('readers hold together, and a writer holds alone', async () => {
  const { locks, other } = world()
  const first = await locks.rw('a').read().acquire()
  const second = await other.locks.rw('a').read().acquire()
  expect([first.mode, second.mode]).toEqual(['shared', 'shared'])
  expect(await locks.rw('a').write().tryAcquire()).toBeUndefined()
  await first.release()
  await second.release()
  const writer = await locks.rw('a').write().acquire()
  expect(writer.mode).toBe('exclusive')
  expect(await other.locks.rw('a').read().tryAcquire()).toBeUndefined()
})

test('a waiting writer stops later readers', async () => {
  const { time, locks, other, process } = world()
  const reader = await locks.rw('a').read().acquire()
  const writer = outcomeOf(other.locks.rw('a').write().acquire())
  await time.settle()
  const late = outcomeOf(process().locks.rw('a').read().acquire())
  await time.advance(60_000)
  expect([writer.settled, late.settled]).toEqual([false, false])
  await reader.release()
  await time.advance(1)
  expect([writer.settled, late.settled]).toEqual([true, false])
  await writer.value!.release()
  await time.advance(1)
  expect(late.value?.fence).toBeGreaterThan(writer.value!.fence)
})

test('a mutex of the same name is the write side', async () => {
  const { locks, other } = world()
  const reader = await locks.rw('a').read().acquire()
  expect(await other.locks.tryAcquire('a')).toBeUndefined()
  await reader.release()
  const lease = await other.locks.acquire('a')
  expect(await locks.rw('a').read().tryAcquire()).toBeUndefined()
  await lease.release()
})

test('a writer that downgrades lets readers in, keeps its fence, and goes on as a reader', async () => {
  const { time, locks, other, process } = world()
  const writer = await locks.rw('a').write().acquire({ ttl: '30s' })
  const reader = outcomeOf(other.locks.rw('a').read().acquire())
  await time.settle()
  const next = outcomeOf(process().locks.rw('a').write().acquire())
  await time.settle()
  const { fence } = writer
  await writer.downgrade()
  await writer.downgrade()
  await time.advance(60_000)
  expect([writer.mode, writer.fence, writer.state]).toEqual(['shared', fence, 'held'])
  expect([reader.value?.state, next.settled]).toEqual(['held', false])
  await writer.release()
  await reader.value!.release()
  await time.advance(1)
  expect(next.value?.state).toBe('held')
})

test('a downgrade of what is lost, or not answered, says so', async () => {
  const { locks, other } = world({
    plan: (verb, _, n) => (verb === 'lighten' && n === 2 ? { lose: 'request' } : undefined),
  })
  const lost = await locks.rw('a').write().acquire()
  await other.locks.evict('a', lost.fence)
  await expect(lost.downgrade()).rejects.toMatchObject({ code: 'LEASE_LOST' })
  const writer = await locks.rw('a').write().acquire()
  await expect(writer.downgrade()).rejects.toMatchObject({ code: 'UNREACHABLE' })
  // Readers may have been let in, so it is a reader from here on, whatever the coordinator believes.
  expect([writer.mode, writer.state]).toEqual(['shared', 'held'])
  expect(await other.locks.rw('a').read().tryAcquire()).toBeUndefined()
  await writer.downgrade()
  expect((await other.locks.rw('a').read().acquire({ wait: 0 })).state).toBe('held')
})

test('a writer that waited and downgrades at once is renewed like any other', async () => {
  const { time, locks, other } = world()
  const first = await other.locks.acquire('a')
  const downgraded = locks
    .rw('a')
    .write()
    .run({ ttl: '30s' }, async (writer) => {
      await writer.downgrade()
      await time.advance(60_000)
      writer.assertHeld()
    })
  await time.advance(100)
  await first.release()
  await time.during(downgraded)
})

test('run works on both sides', async () => {
  const { locks } = world()
  const lock = locks.rw('a')
  expect(await lock.read().run((lease) => lease.mode)).toBe('shared')
  expect(
    await lock.write().run(async (lease) => {
      await lease.downgrade()
      return lease.mode
    }),
  ).toBe('shared')
})
