import { expect, test } from 'vitest'
import type { Backend, Supports } from '../../src/index.ts'
import type { World } from '../core/kit.ts'
import { world } from '../core/kit.ts'

/** On a coordinator that says of itself that it can do this and no more. */
const on = (sharing: Supports['sharing']): World =>
  world({ wrap: (backend): Backend => ({ ...backend, supports: { ...backend.supports, sharing } }) })

const refusal = (can: string): unknown =>
  expect.objectContaining({
    name: 'NotSupportedError',
    code: 'NOT_SUPPORTED',
    lock: 'a',
    message: `"a": the coordinator (memory) ${can}.`,
  })

test('a coordinator of exclusive holders is asked for neither readers nor permits', () => {
  const { locks, calls } = on('none')
  const alone = refusal('lets only one hold at a time')
  expect(() => locks.rw('a').read()).toThrow(alone)
  expect(() => locks.semaphore('a', 2)).toThrow(alone)
  expect(calls).toEqual([])
})

test('a coordinator of readers and writers is not asked for permits', async () => {
  const { locks, calls } = on('shared')
  expect(() => locks.semaphore('a', 2)).toThrow(refusal('has readers and writers, but counts no permits'))
  expect(calls).toEqual([])
  expect(
    await locks
      .rw('a')
      .read()
      .run(({ mode }) => mode),
  ).toBe('shared')
})

test.each(['none', 'shared', 'permits'] as const)('exclusive holders need no more than %j', async (sharing) => {
  const { locks } = on(sharing)
  const modes = [
    await locks.run('a', ({ mode }) => mode),
    await locks
      .rw('a')
      .write()
      .run(({ mode }) => mode),
    await locks.semaphore('a', 1).run(({ mode }) => mode),
    await locks.election('a').run(({ mode }) => mode),
    await locks.run(['a', 'b'], ({ names }) => names.join()),
  ]
  expect(modes).toEqual(['exclusive', 'exclusive', 'permits', 'leader', 'a,b'])
  expect(await locks.once('c', { every: '1m' }, () => 1)).toEqual({ ran: true, value: 1 })
})

test('a writer is no reader where there are none', async () => {
  const { locks, calls } = on('none')
  const lease = await locks.rw('a').write().acquire()
  await expect(lease.downgrade()).rejects.toEqual(refusal('lets only one hold at a time'))
  expect([lease.mode, lease.state, calls.includes('lighten')]).toEqual(['exclusive', 'held', false])
})
