/** When a keeper renews what, and what it makes of the answers, with timers that fire when they are told to. */
import { expect, test } from 'vitest'
import type { Backend, Claim, Renewal } from '../../src/backend.ts'
import { Agenda } from '../../src/core/agenda.ts'
import { UnreachableError } from '../../src/core/errors.ts'
import type { Charge } from '../../src/core/keeper.ts'
import { Keeper } from '../../src/core/keeper.ts'
import { ElapsedClock } from '../../src/elapsed.ts'
import { handTimers } from '../kit/timers.ts'

interface Call {
  readonly ids: readonly string[]
  readonly ttlMs: number
  readonly signal: AbortSignal | undefined
  answer(renewals: readonly Renewal[]): Promise<void>
  fail(error: unknown): Promise<void>
}

const held: Renewal = { state: 'held', fence: 1n, ttlMs: 100 }

async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
}

/** A keeper whose requests time out after 40 ms, if nothing ends sooner. */
function setUp({ together = true } = {}) {
  const timers = handTimers()
  const clock = new ElapsedClock(timers.runtime)
  const from = clock.now()
  const calls: Call[] = []
  const call = <T>(
    claims: readonly Claim[],
    ttlMs: number,
    signal: AbortSignal | undefined,
    pick: (all: readonly Renewal[]) => T,
  ) =>
    new Promise<T>((resolve, reject) => {
      calls.push({
        ids: claims.map(({ id }) => id),
        ttlMs,
        signal,
        answer: (renewals) => (resolve(pick(renewals)), settled()),
        fail: (error) => (reject(error), settled()),
      })
    })
  const renew: Backend['renew'] = (claim, ttlMs, signal) => call([claim], ttlMs, signal, ([only]) => only!)
  const renewAll: Backend['renewAll'] = (claims, ttlMs, signal) => call(claims, ttlMs, signal, (all) => all)
  const backend = { renew, ...(together ? { renewAll } : {}) } as Partial<Backend> as Backend
  const keeper = new Keeper(backend, clock, new Agenda(timers.runtime, clock), 40)
  const heard: unknown[] = []
  return {
    ...timers,
    keeper,
    /** The requests since. */
    calls: () => calls.splice(0),
    /** What charges were told since. */
    heard: () => heard.splice(0),
    charge(
      id: string,
      more: Partial<Pick<Charge, 'ttlMs' | 'intervalMs'>> & { renewMs?: number; endsMs?: number } = {},
    ) {
      const { ttlMs = 100, intervalMs = 30, renewMs = 30, endsMs = 100 } = more
      const charge = {
        claim: { name: 'n', id },
        ttlMs,
        intervalMs,
        renewAt: from + renewMs,
        endsAt: from + endsMs,
        answered: (renewal: Renewal, sentAt: number) => void heard.push([id, renewal.state, sentAt - from]),
        unanswered: (error: unknown) => void heard.push([id, error]),
        ended: (): void => void heard.push([id, 'ended']),
      }
      keeper.add(charge)
      return charge
    },
  }
}

test('a charge is renewed when it is due, and hears its answer with the time of sending', async () => {
  const { charge, calls, heard, pass, ring, standing } = setUp()
  const one = charge('1')
  expect(standing()).toEqual([30])
  pass(29)
  ring()
  expect(calls()).toEqual([])
  pass(1)
  ring()
  const [call] = calls()
  expect(call).toMatchObject({ ids: ['1'], ttlMs: 100 })
  expect(one.renewAt).toBe(Infinity)
  // Until the time limit of the request.
  expect(standing()).toEqual([35])
  pass(5)
  await call!.answer([held])
  expect(heard()).toEqual([['1', 'held', 30]])
  // Whoever was answered has no time limit any more.
  pass(30)
  ring()
  expect(call!.signal?.aborted).toBe(false)
  expect(heard()).toEqual([])
})

test('whatever has lived through half of its interval goes along, those of one ttl in one request', () => {
  const { charge, calls, pass, ring } = setUp()
  charge('due')
  charge('half', { renewMs: 45 })
  charge('young', { renewMs: 46 })
  charge('long', { ttlMs: 300, renewMs: 60, intervalMs: 100 })
  charge('longer', { ttlMs: 300, renewMs: 60, intervalMs: 100 })
  pass(30)
  ring()
  expect(calls().map(({ ids, ttlMs }) => [ids, ttlMs])).toEqual([
    [['due', 'half'], 100],
    [['long', 'longer'], 300],
  ])
  // The young one is still due in its own time.
  pass(16)
  ring()
  expect(calls().map(({ ids }) => ids)).toEqual([['young']])
})

test('nobody is renewed early because another one has ended', () => {
  const { charge, calls, heard, pass, ring } = setUp()
  charge('1', { renewMs: Infinity, endsMs: 50 })
  charge('2', { renewMs: 60 })
  pass(50)
  ring()
  expect(heard()).toEqual([['1', 'ended']])
  expect(calls()).toEqual([])
})

test('a backend that renews one by one is asked one by one', () => {
  const { charge, calls, pass, ring } = setUp({ together: false })
  charge('1')
  charge('2')
  pass(30)
  ring()
  expect(calls().map(({ ids }) => ids)).toEqual([['1'], ['2']])
})

test('nothing is renewed on demand while a renewal is on its way; else at once, with whatever may go along', () => {
  const { charge, calls, keeper, pass } = setUp()
  const one = charge('1')
  charge('2', { renewMs: 15 })
  pass(10)
  keeper.renewNow(one)
  expect(calls().map(({ ids }) => ids)).toEqual([['1', '2']])
  expect(one.renewAt).toBe(Infinity)
  keeper.renewNow(one)
  expect(calls()).toEqual([])
})

test('a charge that ends is told so, at its end and not before, and one that was taken away is not', () => {
  const { charge, heard, keeper, calls, pass, ring, standing } = setUp()
  const [one, other] = [charge('1', { renewMs: Infinity, endsMs: 50 }), charge('2', { renewMs: Infinity, endsMs: 50 })]
  const third = charge('3', { renewMs: Infinity, endsMs: 50 })
  // Whoever hears that it has ended may end others.
  const { ended } = one
  one.ended = () => (ended(), keeper.remove(one), keeper.remove(other))
  keeper.remove(third)
  keeper.plan(third)
  pass(49)
  ring()
  expect(heard()).toEqual([])
  expect(standing()).toEqual([1])
  pass(1)
  ring()
  expect(heard()).toEqual([['1', 'ended']])
  expect(calls()).toEqual([])
  expect(standing()).toEqual([])
  keeper.plan(one)
  expect(standing()).toEqual([])
})

test('a charge that set its times anew is heeded, whether they came closer or not', () => {
  const { charge, calls, keeper, pass, ring, standing, count } = setUp()
  const one = charge('1')
  const before = count()
  one.renewAt += 5
  keeper.plan(one)
  one.renewAt -= 5
  keeper.plan(one)
  expect(count()).toBe(before)
  one.renewAt -= 10
  keeper.plan(one)
  expect(standing()).toEqual([20])
  pass(20)
  ring()
  expect(calls()).toHaveLength(1)
})

test('a request that is not answered in time is given up: half of what is left, at most the time limit', async () => {
  const { charge, calls, heard, pass, ring, standing } = setUp()
  charge('1')
  charge('2', { endsMs: 80 })
  pass(30)
  ring()
  const [call] = calls()
  // Of the 50 ms that are left of the second.
  expect(standing()).toEqual([25])
  pass(25)
  ring()
  const told = heard() as [string, UnreachableError][]
  expect(told.map(([id]) => id)).toEqual(['1', '2'])
  expect(told[0]![1]).toBeInstanceOf(UnreachableError)
  expect(told[0]![1].message).toContain('a renewal was not answered within 25 ms')
  expect(call!.signal?.reason).toBe(told[0]![1])
  // An answer that comes later is true all the same; an error that comes later says nothing new.
  await call!.answer([held, { state: 'lost' }])
  expect(heard()).toEqual([
    ['1', 'held', 30],
    ['2', 'lost', 30],
  ])
})

test('a long lease is waited for no longer than the time limit', () => {
  const { charge, pass, ring, standing } = setUp()
  charge('1', { endsMs: 900 })
  pass(30)
  ring()
  expect(standing()).toEqual([40])
})

test('an error is heard by those who were asked for together, once', async () => {
  const { charge, calls, heard, pass, ring, standing } = setUp()
  charge('1', { endsMs: 900 })
  charge('2', { endsMs: 900 })
  charge('3', { endsMs: 900, ttlMs: 300 })
  pass(30)
  ring()
  const [call, other] = calls()
  const error = new Error('broken')
  await call!.fail(error)
  expect(heard()).toEqual([
    ['1', error],
    ['2', error],
  ])
  // The other request still has its time limit.
  pass(40)
  ring()
  const told = heard() as [string, unknown][]
  expect(told).toEqual([['3', expect.any(UnreachableError)]])
  await other!.fail(new Error('aborted'))
  expect(heard()).toEqual([])
  pass(900)
  expect(standing()).toHaveLength(1)
})
