import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { EVENTS } from '../../src/index.ts'
import { outcomeOf, world } from './kit.ts'

let seen: [event: string, message: Record<string, unknown>][]
const note = (message: unknown, event: string | symbol) => {
  seen.push([String(event).slice('holdfast:'.length), message as Record<string, unknown>])
}

beforeEach(() => {
  seen = []
  for (const event of EVENTS) subscribe(event, note)
})

afterEach(() => {
  for (const event of EVENTS) unsubscribe(event, note)
})

test('waiting, holding, renewing and releasing are told', async () => {
  const { time, locks, other } = world()
  const first = await other.locks.acquire('a')
  const waiting = outcomeOf(locks.acquire('a'))
  await time.advance(1000)
  await first.release()
  await time.advance(1)
  const lease = waiting.value!
  await time.advance(9999)
  await lease.release()
  const about = { name: 'a', kind: 'lock' }
  expect(seen).toMatchObject([
    ['acquire', { ...about, fence: first.fence }],
    ['wait', { ...about, fence: lease.fence, ahead: 1 }],
    ['acquire', { ...about, fence: lease.fence }],
    ['release', { ...about, fence: first.fence, outcome: 'released' }],
    ['renew', { ...about, fence: lease.fence }],
    ['release', { ...about, fence: lease.fence, outcome: 'released' }],
  ])
  expect(seen[2]?.[1]['waitedMs']).toBeCloseTo(1000, 0)
  expect(seen[5]?.[1]['heldMs']).toBeCloseTo(10_000, 0)
})

test('doubt and loss are told, with the reason', async () => {
  const { time, locks } = world({ plan: (verb) => (verb === 'renew' ? { lose: 'request' } : undefined) })
  const lease = await locks.acquire('a', { ttl: '30s' })
  await time.advance(30_000)
  expect(seen[1]).toMatchObject(['doubt', { fence: lease.fence, error: { code: 'UNAVAILABLE' } }])
  expect(seen.at(-1)).toMatchObject(['lost', { fence: lease.fence, reason: 'expired' }])
})

test('giving up is told, with the code of the reason', async () => {
  const { time, locks, other } = world()
  await other.locks.acquire('a')
  seen = []
  await locks.tryAcquire('a')
  await time.during(locks.acquire('a', { wait: 10 })).catch(() => {})
  await locks.acquire('a', { signal: AbortSignal.abort() }).catch(() => {})
  await locks.acquire('a', { signal: AbortSignal.abort('text') }).catch(() => {})
  const codes = seen.filter(([event]) => event === 'give-up').map(([, { code }]) => code)
  expect(codes).toEqual(['HELD', 'WAIT_TIMEOUT', expect.anything(), 'ABORTED'])
})
