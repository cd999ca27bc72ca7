import { expect, test } from 'vitest'
import { world } from '../core/kit.ts'

test('of many schedulers that fire together one runs, and the others do not', async () => {
  const { time, process } = world()
  const results = await Promise.all(
    Array.from({ length: 5 }, (_, n) => process().locks.once('report', { every: '55m' }, () => n)),
  )
  expect(results.filter(({ ran }) => ran)).toEqual([{ ran: true, value: 0 }])
  await time.advance(54 * 60_000)
  expect(await process().locks.once('report', { every: '55m' }, () => 1)).toEqual({ ran: false })
  await time.advance(61_000)
  expect(await process().locks.once('report', { every: '55m' }, () => 2)).toEqual({ ran: true, value: 2 })
})

test('a run that takes longer than the period excludes others until its end', async () => {
  const { time, locks, other, runtime } = world()
  const long = locks.once(
    'report',
    { every: '1m' },
    () => new Promise<void>((resolve) => runtime.after(150_000, resolve)),
  )
  await time.advance(140_000)
  expect(await other.locks.once('report', { every: '1m' }, () => {})).toEqual({ ran: false })
  await time.during(long)
  expect(await other.locks.once('report', { every: '1m' }, () => {})).toMatchObject({ ran: true })
})

test('a run that throws counts as a run', async () => {
  const { locks, other } = world()
  await expect(locks.once('report', { every: '1h' }, () => Promise.reject(new Error('broken')))).rejects.toThrow(
    'broken',
  )
  expect(await other.locks.once('report', { every: '1h' }, () => {})).toEqual({ ran: false })
})

test('the period outlives the process that ran', async () => {
  const { time, locks, runtime, other } = world()
  await locks.once('report', { every: '1h', ttl: '10s' }, (lease) => lease.assertHeld())
  runtime.kill()
  await time.advance(3_590_000)
  expect(await other.locks.once('report', { every: '1h' }, () => {})).toEqual({ ran: false })
})

test('once does not run under a lock that is held, and is a lock itself', async () => {
  const { locks, other, isFree } = world()
  const lease = await other.locks.acquire('report')
  expect(await locks.once('report', { every: 1 }, () => {})).toEqual({ ran: false })
  await lease.release()
  await locks.once('report', { every: 1 }, async () => expect(await isFree('report')).toBe(false))
})
