import { expect, test } from 'vitest'
import type { Leader } from '../../src/index.ts'
import { outcomeOf, world } from '../core/kit.ts'

test('the first candidate leads, and the next one when it resigns', async () => {
  const { time, locks, other } = world()
  const first = await locks.election('a').acquire({ value: 'http://one' })
  expect(first.mode).toBe('leader')
  const second = outcomeOf(other.locks.election('a').acquire({ value: 'http://two' }))
  await time.advance(60_000)
  expect(second.settled).toBe(false)
  expect(await locks.election('a').leader()).toMatchObject({ fence: first.fence, value: 'http://one' })
  expect(await first.resign()).toBe('released')
  await time.advance(1)
  expect(second.value?.fence).toBeGreaterThan(first.fence)
  expect(await locks.election('a').leader()).toMatchObject({ value: 'http://two', who: { host: 'host-2' } })
})

test('one turn of the loop is one term, and its end resigns', async () => {
  const { locks, other } = world()
  const fences: bigint[] = []
  for await (const term of locks.elect('a')) {
    fences.push(term.fence)
    expect((await other.locks.election('a').leader())?.fence).toBe(term.fence)
    if (fences.length === 3) break
  }
  expect(new Set(fences).size).toBe(3)
  expect(await other.locks.election('a').leader()).toBeUndefined()
})

test('leaving the loop by an error resigns, too', async () => {
  const { locks, other } = world()
  const lead = async () => {
    for await (const term of locks.elect('a')) throw new Error(`broken in ${term.name}`)
  }
  await expect(lead()).rejects.toThrow('broken in a')
  expect(await other.locks.election('a').tryAcquire()).toBeDefined()
})

test('terms end when the signal aborts, also while campaigning', async () => {
  const { time, locks, other } = world()
  const leader = await other.locks.election('a').acquire()
  const controller = new AbortController()
  let terms = 0
  const campaign = outcomeOf(
    (async () => {
      for await (const term of locks.elect('a', { signal: controller.signal })) {
        terms += 1
        expect(term.state).toBe('held')
        controller.abort()
      }
    })(),
  )
  await time.advance(1000)
  await leader.resign()
  await time.advance(10)
  expect([campaign.settled, campaign.error, terms]).toEqual([true, undefined, 1])
  const again = new AbortController()
  await other.locks.election('a').acquire()
  const waiting = locks.elect('a', { signal: again.signal }).next()
  await time.settle()
  again.abort('enough')
  expect(await waiting).toEqual({ done: true, value: undefined })
  expect(await locks.elect('a', { signal: AbortSignal.abort() }).next()).toEqual({ done: true, value: undefined })
})

test('a loss ends a term, and the loop goes on with the next', async () => {
  const { time, locks, other } = world()
  const seen: string[] = []
  const leading = outcomeOf(
    (async () => {
      for await (const term of locks.elect('a', { ttl: '30s' })) {
        if (seen.push(`term ${seen.length}`) === 2) return
        await new Promise<void>((resolve) => term.signal.addEventListener('abort', () => resolve()))
        expect(term.state).toBe('lost')
      }
    })(),
  )
  await time.advance(1000)
  await other.locks.evict('a', (await other.locks.election('a').leader())!.fence, { kind: 'election' })
  await time.advance(20_000)
  expect([leading.settled, leading.error, seen]).toEqual([true, undefined, ['term 0', 'term 1']])
})

test('other errors end the loop', async () => {
  const { time, locks, other } = world()
  await other.locks.election('a').acquire()
  await expect(time.during(locks.elect('a', { wait: '1s' }).next())).rejects.toMatchObject({ code: 'WAIT_TIMEOUT' })
  expect(await locks.election('a').tryAcquire()).toBeUndefined()
})

test('observers see each leader and each value, from now on', async () => {
  const { time, locks, other } = world()
  const controller = new AbortController()
  const seen: (Leader['value'] | null)[] = []
  const observing = outcomeOf(
    (async () => {
      for await (const leader of locks.election('a').observe({ signal: controller.signal }))
        seen.push(leader ? leader.value : null)
    })(),
  )
  await time.advance(10)
  const term = await other.locks.election('a').acquire({ value: 'one' })
  await time.advance(10)
  await term.proclaim('two')
  await time.advance(10)
  await term.resign()
  await time.advance(10)
  await other.locks.election('a').acquire()
  await time.advance(60_000)
  expect(seen).toEqual([null, 'one', 'two', null, undefined])
  controller.abort()
  await time.advance(1)
  expect([observing.settled, observing.error]).toEqual([true, undefined])
})

test('an observer that hears nothing looks by itself, and ends when the locks are closed', async () => {
  const { time, locks, other } = world({ plan: 'deaf' })
  const seen: (bigint | undefined)[] = []
  const observing = outcomeOf(
    (async () => {
      for await (const leader of locks.election('a').observe()) seen.push(leader?.fence)
    })(),
  )
  await time.advance(100)
  const term = await other.locks.election('a').acquire()
  await time.advance(5001)
  expect(seen).toEqual([undefined, term.fence])
  await locks.close()
  await time.advance(1)
  expect(observing).toMatchObject({ settled: true, value: undefined })
})

test('an observer that gives up leaves no subscription behind, however late that was confirmed', async () => {
  let followers = 0
  const { time, locks } = world({
    plan: (verb) => (verb === 'follow' ? { replyMs: 60_000 } : undefined),
    wrap: (backend) => ({
      ...backend,
      follow: async (name, wake) => {
        const unfollow = await backend.follow(name, wake)
        followers += 1
        return () => {
          followers -= 1
          unfollow()
        }
      },
    }),
  })
  const { observe } = locks.election('a')
  await expect(time.during(observe().next())).rejects.toMatchObject({ code: 'UNREACHABLE' })
  expect(followers).toBe(1)
  await time.advance(60_000)
  expect(followers).toBe(0)
})

test('a new value is refused once the term is over', async () => {
  const { locks, other } = world()
  const term = await locks.election('a').acquire()
  await expect(term.proclaim(5 as never)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  await other.locks.evict('a', term.fence, { kind: 'election' })
  await expect(term.proclaim('late')).rejects.toMatchObject({ code: 'LEASE_LOST', reason: 'gone' })
  expect(await term.resign()).toBe('gone')
})

test('run leads while its function runs', async () => {
  const { locks, other } = world()
  const value = await locks.election('a').run({ value: 'here' }, async (term) => {
    term.assertHeld()
    await term.renew()
    expect([term.remainingMs > 20_000, term.waited, term.waitedMs]).toEqual([true, false, 0])
    return (await other.locks.election('a').leader())?.value
  })
  expect(value).toBe('here')
  const term = await locks.election('a').acquire()
  await term[Symbol.asyncDispose]()
  expect(await locks.election('a').leader()).toBeUndefined()
})
