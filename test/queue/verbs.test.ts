/** One verb of a table after the other: what it answers, and what it tells the caller to have changed. */
import { expect, test } from 'vitest'
import type { Entry } from '../../src/backend.ts'
import { Table } from '../../src/queue/table.ts'

const at = (monotonicMs: number) => ({ monotonicMs, wallMs: 1_000_000 + monotonicMs })

/** One of two permits of `a`, unless said otherwise. */
const entry = (id: string, more: Partial<Entry> = {}): Entry => ({
  name: 'a',
  id,
  weight: 1,
  capacity: 2,
  ttlMs: 100,
  waitTtlMs: 50,
  wait: true,
  ...more,
})

/** A table in which these have joined, in their order, and nothing is left to tell. */
function tableOf(...entries: Entry[]): Table {
  const table = new Table()
  for (const each of entries) table.join(each, at(0))
  heard(table)
  return table
}

const heavy = { weight: 2 }
const long = { ttlMs: 500, waitTtlMs: 500 }
const ids = (seats: readonly { readonly id: string }[]) => seats.map(({ id }) => id)
const standing = (table: Table, name = 'a') => ids(table.queue(name)?.seats ?? [])

/** What it says to have changed since it was last asked. */
function heard(table: Table) {
  const [granted, shifted, sooner] = [table.granted, table.shifted, table.sooner].map((seats) => ids(seats.splice(0)))
  const changed = [...table.changed]
  table.changed.clear()
  const { moved } = table
  table.moved = false
  return { granted, shifted, sooner, changed, moved }
}

const nothing = { granted: [], shifted: [], sooner: [], changed: [], moved: false }

test('an empty table tells of nothing, but a first look is due', () => {
  expect(heard(new Table())).toEqual({ ...nothing, moved: true })
})

test('who joins holds if it fits behind all others, and waits if not', () => {
  const table = tableOf(entry('1'))
  expect(table.join(entry('2', heavy), at(0))).toMatchObject({ state: 'waiting', ahead: 1, ttlMs: 50 })
  expect(heard(table)).toEqual({ ...nothing, moved: true })
  // It would fit beside the holder, but not behind the one that waits.
  expect(table.join(entry('3'), at(0))).toMatchObject({ state: 'waiting', ahead: 2 })
  expect(table.join(entry('4', { wait: false }), at(0))).toMatchObject({ state: 'refused', reason: 'held' })
  expect(table.join(entry('5', { waitersMax: 2 }), at(0))).toMatchObject({ state: 'refused', reason: 'full' })
  expect(table.join(entry('6', { waitersMax: 3 }), at(0))).toMatchObject({ state: 'waiting', ahead: 3 })
  expect(table.join(entry('7', { name: 'b', waitersMax: 0 }), at(0))).toMatchObject({ state: 'held', ttlMs: 100 })
  expect(heard(table)).toEqual({ ...nothing, granted: ['7'], changed: ['b'], moved: true })
})

test('a refusal says who holds, if that is known, and what the capacity is, if that is what differs', () => {
  const table = tableOf(entry('1', { ...heavy, info: 'me' }), entry('2', { name: 'b', ...heavy }))
  const refused = { state: 'refused', retryAfterMs: 100 } as const
  expect(table.join(entry('3', { wait: false }), at(0))).toEqual({ ...refused, reason: 'held', holder: 'me' })
  expect(table.join(entry('4', { name: 'b', wait: false }), at(0))).toStrictEqual({ ...refused, reason: 'held' })
  const other = table.join(entry('5', { capacity: 3 }), at(0))
  expect(other).toEqual({ ...refused, reason: 'capacity', capacity: 2, holder: 'me' })
})

test('an id is known under its name only', () => {
  const table = tableOf(entry('1'), entry('2', { name: 'b' }))
  expect(table.renew({ name: 'b', id: '1' }, 500, at(0))).toEqual({ state: 'lost' })
  expect(table.leave({ name: 'b', id: '1' }, at(0))).toBe(false)
  expect(table.leave({ name: 'a', id: '3' }, at(0))).toBe(false)
  expect(standing(table)).toEqual(['1'])
})

test('a renewal gives a holder its ttl, a waiter no more than its waiting time, and nobody less than it had', () => {
  const table = tableOf(entry('1', heavy), entry('2'))
  expect(table.renew(entry('1'), 300, at(10))).toMatchObject({ state: 'held', ttlMs: 300 })
  expect(table.renew(entry('1'), 20, at(10))).toMatchObject({ state: 'held', ttlMs: 300 })
  expect(table.renew(entry('2'), 300, at(10))).toMatchObject({ state: 'waiting', ttlMs: 50, retryAfterMs: 300 })
  expect(table.renew(entry('2'), 60, at(20))).toMatchObject({ state: 'waiting', ttlMs: 50 })
  expect(table.renew(entry('2'), 20, at(50))).toMatchObject({ state: 'waiting', ttlMs: 20 })
  expect(heard(table)).toEqual(nothing)
})

test('a holder that leaves lets the next ones hold; a waiter that leaves moves those behind it', () => {
  const table = tableOf(entry('1', heavy), entry('2', heavy), entry('3'), entry('4'))
  expect(table.leave(entry('2'), at(0))).toBe(true)
  expect(heard(table)).toEqual({ ...nothing, shifted: ['3'], moved: true })
  expect(table.leave(entry('1'), at(0))).toBe(true)
  expect(heard(table)).toEqual({ ...nothing, granted: ['3', '4'], shifted: ['3'], changed: ['a'], moved: true })
  table.leave(entry('3'), at(0))
  expect(heard(table)).toEqual({ ...nothing, changed: ['a'], moved: true })
  table.leave(entry('4'), at(0))
  expect(table.queue('a')).toBe(undefined)
  expect(table.seatCount).toBe(0)
})

test('a holder may linger, and the first waiter hears of the new end; a waiter does not linger', () => {
  const table = tableOf(entry('1', heavy), entry('2'), entry('3'))
  table.leave(entry('3'), at(0), 10)
  expect(standing(table)).toEqual(['1', '2'])
  heard(table)
  table.leave(entry('1'), at(0), 10)
  expect(heard(table)).toEqual({ ...nothing, sooner: ['2'], moved: true })
  expect(table.seat('1')).toMatchObject({ lingering: true, owner: undefined, until: 10 })
  expect(table.renew(entry('1'), 100, at(9))).toEqual({ state: 'lost' })
  expect(table.renew(entry('2'), 100, at(9))).toMatchObject({ state: 'waiting', retryAfterMs: 1 })
  expect(table.renew(entry('2'), 100, at(10))).toMatchObject({ state: 'held' })
  table.leave(entry('2'), at(10), 5)
  expect(heard(table)).toMatchObject({ sooner: [], moved: true })
})

test('who has come to hold and lingers before that was told is not told any more', () => {
  const table = tableOf(entry('1', heavy), entry('2', heavy))
  table.leave(entry('1'), at(0))
  table.leave(entry('2'), at(0), 10)
  expect(heard(table)).toMatchObject({ granted: [], changed: ['a'] })
  expect(table.seat('2')).toMatchObject({ lingering: true, until: 10 })
})

test('what has lapsed is gone with the next verb, and with it a queue in which nobody is left', () => {
  const table = tableOf(entry('1', heavy), entry('2'), entry('3', { waitTtlMs: 200, ttlMs: 200 }))
  table.pruneAll(at(49))
  expect(heard(table)).toEqual(nothing)
  table.pruneAll(at(50))
  expect(heard(table)).toEqual({ ...nothing, shifted: ['3'], moved: true })
  table.pruneAll(at(100))
  expect(heard(table)).toEqual({ ...nothing, granted: ['3'], shifted: ['3'], changed: ['a'], moved: true })
  table.pruneAll(at(200))
  expect(table.queue('a')).toBe(undefined)
  expect(heard(table)).toEqual({ ...nothing, changed: ['a'], moved: true })
})

test('a lapsed holder stands for its lock delay; that changes whose it is, and not who stands where', () => {
  const table = tableOf(entry('1', { ...heavy, lockDelayMs: 30 }), entry('2', long))
  expect(table.renew(entry('2'), 1, at(99))).toMatchObject({ state: 'waiting', retryAfterMs: 31 })
  expect(table.renew(entry('2'), 1, at(129))).toMatchObject({ state: 'waiting', retryAfterMs: 1 })
  expect(heard(table)).toEqual({ ...nothing, moved: true })
  expect(table.renew(entry('2'), 1, at(130))).toMatchObject({ state: 'held' })
})

test('who takes less makes room; who takes more, or waits, changes nothing', () => {
  const table = tableOf(entry('1', heavy), entry('2'), entry('3', heavy))
  expect(table.lighten(entry('3'), 1, at(0))).toMatchObject({ state: 'waiting' })
  expect(table.seat('3')?.weight).toBe(2)
  expect(table.lighten(entry('1'), 3, at(0))).toMatchObject({ state: 'held' })
  expect(heard(table)).toEqual(nothing)
  expect(table.lighten(entry('1'), 1, at(0))).toMatchObject({ state: 'held' })
  expect(table.queue('a')).toMatchObject({ holders: 2, heldWeight: 2 })
  expect(heard(table)).toEqual({ ...nothing, granted: ['2'], changed: ['a'], moved: true })
  expect(table.lighten(entry('9'), 1, at(0))).toEqual({ state: 'lost' })
})

test('all of several entries hold at once, or none is there', () => {
  const [one, two] = [entry('1', { name: 'a', ...heavy }), entry('2', { name: 'b', ...heavy })]
  const table = new Table()
  expect(table.joinAll([one, two], at(0))).toMatchObject([{ state: 'held' }, { state: 'held' }])
  const fences = [table.seat('1')!.fence, table.seat('2')!.fence]
  const again = table.joinAll([one, two], at(0))
  expect(again?.map(({ fence }) => Number(fence))).toEqual(fences)
  expect(table.joinAll([entry('3', { name: 'c' }), entry('4')], at(0))).toBe(undefined)
  expect(table.joinAll([entry('3', { name: 'c', weight: 3 })], at(0))).toBe(undefined)
  expect(table.seatCount).toBe(2)
  table.join(entry('5'), at(0))
  // It is known, and waits.
  expect(table.joinAll([entry('5')], at(0))).toBe(undefined)
  table.lighten(one, 1, at(0))
  expect(table.joinAll([entry('5'), two], at(0))).toMatchObject([{ state: 'held' }, { state: 'held' }])
  table.leave(one, at(0))
  expect(table.joinAll([entry('6', { capacity: 3 })], at(0))).toBe(undefined)
  expect(table.joinAll([entry('6', heavy)], at(0))).toBe(undefined)
  expect(table.joinAll([entry('6')], at(0))).toMatchObject([{ state: 'held' }])
})

test('renewals by fence say of each entry what its own renewal would say', () => {
  const names = Array.from({ length: 30 }, (_, index) => entry(String(index), { waitTtlMs: 500 }))
  const [one, other, third] = [tableOf(...names), tableOf(...names), tableOf(...names)]
  // Neighbours, one that is some places further, one far away, one that lingers, and fences that nobody has.
  for (const table of [one, other, third]) table.leave(entry('1'), at(0), 400)
  const asked = [0, 1, 2, 3, 8, 9, 28, 29]
  const fences = asked.map((index) => one.seat(String(index))!.fence)
  const last = fences.at(-1)!
  const answers = asked.map((index) => other.renew(entry(String(index)), 300, at(10)))
  expect(answers.map(({ state }) => state)).toEqual(['held', 'lost', ...Array<string>(6).fill('waiting')])
  expect(one.renewAll('a', fences, 300, at(10))).toEqual(answers)
  third.prolongAll('a', fences, 300, at(10))
  for (const table of [one, third]) expect(table.dump()).toEqual(other.dump())
  expect(one.renewAll('a', [1, last + 1], 300, at(10))).toEqual([{ state: 'lost' }, { state: 'lost' }])
  expect(one.renewAll('b', fences.slice(0, 1), 300, at(10))).toEqual([{ state: 'lost' }])
  third.prolongAll('a', [1, last + 1], 900, at(10))
  third.prolongAll('b', fences, 900, at(10))
  expect(third.dump()).toEqual(other.dump())
  // In any order.
  expect(one.renewAll('a', fences.toReversed(), 300, at(10))).toEqual(answers.toReversed())
})

test('what an entry says of itself is shown; only of holders it is news', () => {
  const table = tableOf(entry('1', heavy), entry('2'))
  expect(table.describe(entry('2'), 'two', at(0))).toBe(true)
  expect(heard(table)).toEqual(nothing)
  expect(table.describe(entry('1'), 'one', at(0))).toBe(true)
  expect(heard(table)).toEqual({ ...nothing, changed: ['a'] })
  expect(table.describe(entry('3'), 'three', at(0))).toBe(false)
  expect(table.describe(entry('1', { name: 'b' }), 'three', at(0))).toBe(false)
  const [view] = table.view('', at(0))
  expect([view?.holders, view?.waiters]).toMatchObject([[{ info: 'one' }], [{ info: 'two' }]])
  const [other] = tableOf(entry('1')).view('', at(0))
  expect(Object.keys(other!.holders[0]!)).not.toContain('info')
})

test('a fence is confirmed to who stands alone and drew that ticket, or has the fence already', () => {
  const table = tableOf(entry('1'))
  const drawn = table.seat('1')!.fence
  const fence = drawn + 5000
  expect(table.confirm(entry('1'), drawn + 1, fence, at(0))).toEqual({ state: 'lost' })
  expect(table.confirm(entry('2'), drawn, fence, at(0))).toEqual({ state: 'lost' })
  expect(table.confirm(entry('1', { name: 'b' }), drawn, fence, at(0))).toEqual({ state: 'lost' })
  for (let times = 0; times < 2; times += 1)
    expect(table.confirm(entry('1'), drawn, fence, at(0))).toMatchObject({ state: 'held', fence: BigInt(fence) })
  expect(table.lastFence).toBe(fence)
  expect(table.join(entry('2'), at(0))).toMatchObject({ fence: BigInt(fence + 1) })
  expect(table.confirm(entry('1'), drawn, fence, at(0))).toEqual({ state: 'lost' })
})

test('an entry is seeded where nobody is', () => {
  const table = tableOf(entry('1'))
  const fence = table.lastFence + 5000
  expect(table.seed(entry('2'), fence, at(0))).toEqual({ state: 'refused', reason: 'held', retryAfterMs: 100 })
  expect(table.seed(entry('1'), fence, at(0))).toMatchObject({ state: 'held', fence: BigInt(table.seat('1')!.fence) })
  expect(table.lastFence).toBeLessThan(fence)
  const seeded = table.seed(entry('2', { name: 'b' }), fence, at(0))
  expect(seeded).toEqual({ state: 'held', fence: BigInt(fence), ttlMs: 100 })
  expect(table.lastFence).toBe(fence)
})

test('who is evicted is gone, and nobody is told that it holds when the eviction itself let it hold', () => {
  const table = tableOf(entry('1', heavy), entry('2', { ...heavy, ...long }), entry('3', long))
  expect(table.evict('a', 1, at(0))).toBe(false)
  expect(table.evict('b', table.seat('2')!.fence, at(0))).toBe(false)
  expect(heard(table)).toEqual(nothing)
  // The first has lapsed by then.
  expect(table.evict('a', table.seat('2')!.fence, at(100))).toBe(true)
  expect(heard(table)).toEqual({ ...nothing, granted: ['3'], shifted: ['2', '3'], changed: ['a'], moved: true })
  expect(table.queue('a')).toMatchObject({ holders: 1, heldWeight: 1 })
})

test('who is forgotten takes no earlier grant away with it', () => {
  const table = tableOf(entry('1', heavy))
  table.join(entry('2', { name: 'b', ...heavy }), at(0))
  table.leave(entry('1'), at(0))
  expect(heard(table)).toMatchObject({ granted: ['2'] })
})

test('the dead are buried: waiters hear that the lock delay of a holder ends sooner, or hold', () => {
  const table = new Table()
  table.join(entry('1', { ...heavy, lockDelayMs: 50 }), at(0), 'dead')
  table.join(entry('2'), at(0))
  table.join(entry('3', { name: 'b', ...heavy }), at(0), 'dead')
  table.join(entry('4', { name: 'b' }), at(0))
  table.join(entry('5', { name: 'c' }), at(0), 'dead')
  table.join(entry('6', { name: 'd', ...heavy }), at(0), 'alive')
  table.join(entry('7', { name: 'd' }), at(0), 'alive')
  heard(table)
  table.bury('dead', at(10))
  expect(heard(table)).toEqual({ granted: ['4'], shifted: ['4'], sooner: ['2'], changed: ['b', 'c'], moved: true })
  expect(table.seat('1')).toMatchObject({ lingering: true, until: 60 })
  expect(table.queue('c')).toBe(undefined)
})

test('a view shows the names with a prefix, in their order, without what has lapsed', () => {
  const table = tableOf(
    entry('1', { name: 'x:b', ...heavy, lockDelayMs: 30 }),
    entry('2', { name: 'x:b', ...long }),
    entry('3', { name: 'x:a' }),
    entry('4', { name: 'y:x:' }),
  )
  const names = (prefix: string, ms: number) => [...table.view(prefix, at(ms))].map(({ name }) => name)
  expect(names('x:', 0)).toEqual(['x:a', 'x:b'])
  expect(names('', 0)).toEqual(['x:a', 'x:b', 'y:x:'])
  expect(names('', 100)).toEqual(['x:b'])
  const entries = (ms: number) =>
    [...table.view('x:b', at(ms))].flatMap(({ holders, waiters }) => [...holders, ...waiters])
  expect(entries(99)).toMatchObject([{ ttlMs: 31, lingering: false, heldMs: 99, ageMs: 99 }, { lingering: false }])
  expect(entries(100)).toMatchObject([{ ttlMs: 30, lingering: true }, {}])
  expect(entries(129)).toHaveLength(2)
  // The waiter is not told yet that it holds: a view changes nothing.
  expect(entries(130)).toMatchObject([{ heldMs: 0, ttlMs: 370 }])
  expect(table.seat('1')).toMatchObject({ lingering: false })
})
