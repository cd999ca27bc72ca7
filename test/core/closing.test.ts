import { expect, test } from 'vitest'
import { outcomeOf, world } from './kit.ts'

test('what is asked for while the locks are being closed is refused, and nothing is left behind', async () => {
  const { locks, calls, isFree } = world()
  const lease = await locks.acquire('a')
  let asked: ReturnType<typeof outcomeOf> | undefined
  lease.signal.addEventListener('abort', () => (asked = outcomeOf(locks.acquire('b'))))
  await locks.close()
  expect(asked?.error).toMatchObject({ code: 'CLOSED' })
  expect(calls.filter((verb) => verb === 'join')).toHaveLength(1)
  expect(await isFree('b')).toBe(true)
})

test('a listener that closes the locks once more closes them once', async () => {
  const { locks, calls } = world()
  const lease = await locks.acquire('a')
  let again: Promise<void> | undefined
  lease.on('lost', () => void (again = locks.close()))
  await locks.close()
  await again
  expect(calls.filter((verb) => verb === 'leave')).toHaveLength(1)
})

test('what is held twice and was released once is given back', async () => {
  const { locks, isFree } = world()
  const inner = await locks.run('a', { reentrant: true }, () => locks.acquire('a', { reentrant: true }))
  expect(await isFree('a')).toBe(false)
  await locks.close()
  expect(inner.state).toBe('lost')
  expect(await isFree('a')).toBe(true)
  expect(await inner.release()).toBe('gone')
})
