import { describe, expect, test } from 'vitest'
import type { Plan, Verb } from '../../src/testing/faults.ts'
import { outcomeOf, world } from '../core/kit.ts'

test('several names are held together, in the order of their names', async () => {
  const { locks, isFree } = world()
  const set = await locks.acquire(['b', 'a', 'c'])
  expect(set.names).toEqual(['a', 'b', 'c'])
  const fences = set.names.map((name) => set.fences.get(name)!)
  expect(fences).toEqual([...fences].sort((x, y) => (x < y ? -1 : 1)))
  for (const name of set.names) expect(await isFree(name)).toBe(false)
  set.assertHeld()
  await set.renew('1m')
  expect(set.remainingMs).toBeGreaterThan(50_000)
  expect(await set.release()).toBe('released')
  for (const name of set.names) expect(await isFree(name)).toBe(true)
})

test('those who take the same names in another order do not wait for each other', async () => {
  const { time, process } = world()
  let done = 0
  const runs = [
    ['a', 'b', 'c'],
    ['c', 'b', 'a'],
    ['b', 'c'],
    ['c', 'a'],
  ].flatMap((names) => Array.from({ length: 5 }, () => process().locks.run(names, () => void (done += 1))))
  await time.during(Promise.all(runs), 10_000)
  expect(done).toBe(20)
})

test('a try takes all or nothing', async () => {
  const { locks, other, isFree } = world()
  await other.locks.acquire('b')
  expect(await locks.tryAcquire(['a', 'b', 'c'])).toBeUndefined()
  expect([await isFree('a'), await isFree('c')]).toEqual([true, true])
})

test('one deadline holds for all of them, and what was held is given back', async () => {
  const { time, locks, other, process, isFree } = world()
  const first = await other.locks.acquire('a')
  await process().locks.acquire('b')
  const waiting = outcomeOf(locks.acquire(['a', 'b'], { wait: '10s' }))
  await time.advance(6000)
  await first.release()
  await time.advance(3900)
  expect([waiting.settled, await isFree('a')]).toEqual([false, false])
  await time.advance(200)
  expect(waiting.error).toMatchObject({ code: 'WAIT_TIMEOUT', lock: 'b' })
  expect(await isFree('a')).toBe(true)
})

test('an abort while waiting for the last gives back the first', async () => {
  const { time, locks, other, isFree } = world()
  await other.locks.acquire('b')
  const controller = new AbortController()
  const waiting = outcomeOf(locks.acquire(['a', 'b'], { signal: controller.signal }))
  await time.advance(60_000)
  expect(await isFree('a')).toBe(false)
  controller.abort('enough')
  await time.advance(1)
  expect(waiting.error).toBe('enough')
  expect(await isFree('a')).toBe(true)
  expect((await locks.inspect('b'))?.waiters).toEqual([])
})

test('when one is lost while another is waited for, all are taken anew', async () => {
  const { time, locks, other, process } = world()
  const last = await other.locks.acquire('b')
  const waiting = outcomeOf(locks.acquire(['a', 'b']))
  await time.advance(1000)
  const [holder] = (await locks.inspect('a'))!.holders
  await other.locks.evict('a', holder!.fence)
  const between = await process().locks.acquire('a')
  await time.advance(20_000)
  expect(waiting.settled).toBe(false)
  // Anew from the first: nobody stands before the second while the first is missing.
  expect((await locks.inspect('a'))?.waiters).toHaveLength(1)
  expect((await locks.inspect('b'))?.waiters).toHaveLength(0)
  await last.release()
  await time.advance(10)
  expect(waiting.settled).toBe(false)
  await between.release()
  await time.advance(10)
  expect(waiting.value?.fences.get('a')).toBeGreaterThan(between.fence)
  waiting.value?.assertHeld()
})

test('when one of them is lost, the set is', async () => {
  const { time, locks, other } = world()
  const set = await locks.acquire(['a', 'b'])
  await other.locks.evict('b', set.fences.get('b')!)
  await time.advance(11_000)
  expect(set.signal.aborted).toBe(true)
  expect(set.signal.reason).toMatchObject({ code: 'LEASE_LOST', lock: 'b' })
  expect(() => set.assertHeld()).toThrow('"b"')
  expect(set.remainingMs).toBe(0)
  expect(await set.release()).toBe('gone')
})

test('run over several names hands on the loss of any of them', async () => {
  const { time, locks, other, runtime } = world()
  const ran = locks.run(['a', 'b'], async (set) => {
    await other.locks.evict('a', set.fences.get('a')!)
    await new Promise<void>((resolve) => runtime.after(15_000, resolve))
  })
  await expect(time.during(ran)).rejects.toMatchObject({ code: 'LEASE_LOST', lock: 'a' })
  expect(await locks.run(['a', 'b'], { ttl: '5s' }, (set) => set.waited)).toBe(false)
})

test('one name in an array is a set of one', async () => {
  const { locks } = world()
  const set = await locks.acquire(['a'])
  expect([set.names, set.waited, set.waitedMs]).toEqual([['a'], false, 0])
  await set[Symbol.asyncDispose]()
  expect(await locks.inspect('a')).toBeUndefined()
})

describe('in one step', () => {
  /** A coordinator that takes several names in one step, and what it was asked. */
  function together(plan: Plan = () => undefined) {
    const asked: Verb[] = []
    const noted: Plan = (verb, target, n) => {
      asked.push(verb)
      return plan(verb, target, n)
    }
    return { asked, ...world({ plan: noted }) }
  }

  test('they are taken while nobody is in the way, without a round for each', async () => {
    const { locks, asked, isFree } = together()
    const set = await locks.acquire(['a', 'b', 'c'])
    expect(asked).toEqual(['joinAll'])
    expect([set.waited, set.names]).toEqual([false, ['a', 'b', 'c']])
    for (const name of set.names) expect(await isFree(name)).toBe(false)
    expect(await set.release()).toBe('released')
  })

  test('if one is in the way, nothing is taken, and they are waited for one after the other', async () => {
    const { time, locks, other, asked, isFree } = together()
    const first = await other.locks.acquire('b')
    const waiting = outcomeOf(locks.acquire(['a', 'b', 'c']))
    await time.advance(1)
    expect(asked.filter((verb) => verb.startsWith('join'))).toEqual(['joinAll', 'join', 'join'])
    await first.release()
    await time.advance(1)
    expect(waiting.value?.names).toEqual(['a', 'b', 'c'])
    expect(await isFree('c')).toBe(false)
  })

  test('they are kept alive like any other, and lost together', async () => {
    const { time, locks, other } = together()
    const set = await locks.acquire(['a', 'b'], { ttl: '3s' })
    await time.advance(20_000)
    set.assertHeld()
    await other.locks.evict('a', set.fences.get('a')!)
    await time.advance(1000)
    expect(() => set.assertHeld()).toThrow('"a"')
  })

  test.each(['request', 'reply'] as const)('if the %s is lost, nothing is left of them', async (lose) => {
    const { time, locks, isFree } = together((verb) => (verb === 'joinAll' ? { lose } : undefined))
    const failed = outcomeOf(locks.acquire(['a', 'b']))
    await time.advance(1)
    expect(failed.error).toMatchObject({ code: 'UNAVAILABLE' })
    for (const name of ['a', 'b']) expect(await isFree(name)).toBe(true)
  })

  test('if the answer comes too late, they are given back', async () => {
    const { time, locks, coordinator, isFree } = together((verb) =>
      verb === 'joinAll' ? { requestMs: 7000 } : undefined,
    )
    const failed = outcomeOf(locks.acquire(['a', 'b']))
    await time.advance(5100)
    expect(failed.error).toMatchObject({ code: 'UNREACHABLE' })
    await time.advance(2000)
    for (const name of ['a', 'b']) expect(await isFree(name)).toBe(true)
    const views = []
    for await (const view of coordinator.inspect('')) views.push(view)
    expect(views).toEqual([])
  })

  test('if the lease would be over when the answer comes, it is not handed out', async () => {
    const { time, locks, isFree } = together((verb, _, n) =>
      verb === 'joinAll' && n === 1 ? { replyMs: 2000 } : undefined,
    )
    const acquired = outcomeOf(locks.acquire(['a', 'b'], { ttl: '1s' }))
    await time.advance(2100)
    acquired.value?.assertHeld()
    expect(acquired.value?.waitedMs).toBeGreaterThanOrEqual(2000)
    await acquired.value?.release()
    for (const name of ['a', 'b']) expect(await isFree(name)).toBe(true)
  })

  test('whoever is told to stop meanwhile gets nothing, and nothing is left', async () => {
    const { time, locks, isFree } = together((verb) => (verb === 'joinAll' ? { replyMs: 1000 } : undefined))
    const controller = new AbortController()
    const failed = outcomeOf(locks.acquire(['a', 'b'], { signal: controller.signal }))
    await time.advance(500)
    controller.abort('enough')
    await time.advance(1000)
    expect(failed.error).toBe('enough')
    for (const name of ['a', 'b']) expect(await isFree(name)).toBe(true)
  })

  test('locks that are closed meanwhile take nothing with them', async () => {
    const { time, locks, isFree } = together((verb) => (verb === 'joinAll' ? { replyMs: 1000 } : undefined))
    const failed = outcomeOf(locks.acquire(['a', 'b']))
    await time.advance(500)
    const closed = outcomeOf(locks.close())
    await time.advance(20_000)
    expect(closed.settled).toBe(true)
    expect(failed.error).toMatchObject({ code: 'CLOSED' })
    for (const name of ['a', 'b']) expect(await isFree(name)).toBe(true)
  })
})
