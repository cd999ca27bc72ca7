import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Entry, Waiting } from '../../src/backend.ts'
import { WHOLE } from '../../src/backend.ts'
import type { Moment, TableState } from '../../src/queue/table.ts'
import { Table } from '../../src/queue/table.ts'
import { Model } from './model.ts'

const at = (monotonicMs: number, wallMs = 1_000_000 + monotonicMs): Moment => ({ monotonicMs, wallMs })

const entry = (id: string, more: Partial<Entry> = {}): Entry => ({
  name: 'a',
  id,
  weight: WHOLE,
  capacity: WHOLE,
  ttlMs: 100,
  waitTtlMs: 50,
  wait: true,
  ...more,
})

type Verb =
  | { readonly verb: 'join'; readonly entry: Entry }
  | { readonly verb: 'renew'; readonly name: string; readonly id: string; readonly ttlMs: number }
  | { readonly verb: 'leave'; readonly name: string; readonly id: string; readonly lingerMs: number }
  | { readonly verb: 'lighten'; readonly name: string; readonly id: string; readonly weight: number }
  | { readonly verb: 'evict'; readonly name: string; readonly place: number }

type Step = Verb & { readonly passMs: number }

/** An id names one try, so no id is used under two names. */
const claim = fc
  .tuple(fc.constantFrom('a', 'b'), fc.integer({ min: 1, max: 6 }))
  .map(([name, n]) => ({ name, id: `${name}${n}` }))
const ms = fc.constantFrom(0, 10, 30, 50, 100, 300)

const entries: fc.Arbitrary<Entry> = fc
  .record({
    claim,
    weight: fc.integer({ min: 1, max: 4 }),
    capacity: fc.constantFrom(4, 4, 4, 5),
    ttlMs: fc.constantFrom(40, 100, 200),
    waitTtlMs: fc.constantFrom(20, 60, 100),
    wait: fc.boolean(),
    waitersMax: fc.constantFrom(0, 1, 2, 9),
    lockDelayMs: fc.constantFrom(0, 0, 50),
  })
  .map(({ claim, ...rest }) => ({ ...rest, ...claim }))

const verb: fc.Arbitrary<Verb> = fc.oneof(
  { weight: 4, arbitrary: entries.map((entry) => ({ verb: 'join' as const, entry })) },
  { weight: 3, arbitrary: fc.tuple(claim, ms).map(([claim, ttlMs]) => ({ verb: 'renew' as const, ...claim, ttlMs })) },
  {
    weight: 2,
    arbitrary: fc.tuple(claim, ms).map(([claim, lingerMs]) => ({ verb: 'leave' as const, ...claim, lingerMs })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(claim, fc.integer({ min: 1, max: 4 }))
      .map(([claim, weight]) => ({ verb: 'lighten' as const, ...claim, weight })),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(claim, fc.nat(3)).map(([{ name }, place]) => ({ verb: 'evict' as const, name, place })),
  },
)

/** Mostly little: or else whoever waits has lapsed before anything can happen to it. */
const pass = fc.constantFrom(0, 0, 0, 0, 5, 10, 30, 100, 300)

const step: fc.Arbitrary<Step> = fc.tuple(verb, pass).map(([each, passMs]) => ({ ...each, passMs }))

const steps = fc.array(step, { minLength: 1, maxLength: 60 })

/** Carry out one verb; `fence` is the one to evict. */
function apply(queue: Table | Model, each: Verb, now: Moment, fence: number): unknown {
  switch (each.verb) {
    case 'join':
      return queue.join(each.entry, now)
    case 'renew':
      return queue.renew(each, each.ttlMs, now)
    case 'leave':
      return queue.leave(each, now, each.lingerMs)
    case 'lighten':
      return queue.lighten(each, each.weight, now)
    case 'evict':
      return queue.evict(each.name, fence, now)
  }
}

/** The fence that an `evict` speaks of: that of whoever stands at a place. */
function fenceFor(each: Verb, table: Table): number {
  return each.verb === 'evict' ? (table.queue(each.name)?.seats[each.place]?.fence ?? 0) : 0
}

/** Run steps on a table, and look at it after each. */
function run(
  all: readonly Step[],
  look: (table: Table, now: Moment, answer: unknown, each: Step, fence: number) => void,
): Table {
  const table = new Table()
  let nowMs = 1000
  for (const each of all) {
    nowMs += each.passMs
    const now = at(nowMs)
    const fence = fenceFor(each, table)
    look(table, now, apply(table, each, now, fence), each, fence)
  }
  return table
}

test('the table answers and stands as the plain model does, whatever is asked in whatever order', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const model = new Model()
      run(all, (table, now, answer, each, fence) => {
        expect(answer).toEqual(apply(model, each, now, fence))
        expect([...table.view('', now)]).toEqual(model.view('', now))
      })
    }),
    { numRuns: 500 },
  )
})

test('holders are the longest prefix that fits, and seats stand in the order of their fences', () => {
  fc.assert(
    fc.property(steps, (all) => {
      run(all, (table) => {
        for (const queue of ['a', 'b'].map((each) => table.queue(each)).filter((each) => each !== undefined)) {
          let sum = 0
          const fitting = queue.seats.findIndex(({ weight }) => (sum += weight) > queue.capacity)
          expect(queue.holders).toBe(fitting < 0 ? queue.seats.length : fitting)
          expect(queue.seats.map(({ heldAt }) => heldAt !== undefined)).toEqual(
            queue.seats.map((_, place) => place < queue.holders),
          )
          const fences = queue.seats.map(({ fence }) => fence)
          expect(fences).toEqual([...new Set(fences)].sort((a, b) => a - b))
        }
      })
    }),
  )
})

test('a seat that holds goes on holding until it ends, and one that waits never moves back', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const places = new Map<number, number>()
      run(all, (table) => {
        for (const queue of ['a', 'b'].map((each) => table.queue(each)).filter((each) => each !== undefined)) {
          for (const [place, { fence, heldAt }] of queue.seats.entries()) {
            const rank = heldAt === undefined ? place : -1
            expect(rank).toBeLessThanOrEqual(places.get(fence) ?? Infinity)
            places.set(fence, rank)
          }
        }
      })
    }),
  )
})

test('no fence is drawn twice, and none is smaller than an earlier one', () => {
  fc.assert(
    fc.property(steps, fc.array(fc.integer({ min: 0, max: 2e6 }), { minLength: 1 }), (all, walls) => {
      const table = new Table()
      let last = 0
      for (const [index, each] of all.entries()) {
        // The wall clock jumps as it likes, also back.
        apply(table, each, at(index * 10, walls[index % walls.length]), fenceFor(each, table))
        expect(table.lastFence).toBeGreaterThanOrEqual(last)
        const known = ['a', 'b'].flatMap((queue) => table.queue(queue)?.seats.map(({ fence }) => fence) ?? [])
        expect(Math.max(0, ...known)).toBeLessThanOrEqual(table.lastFence)
        last = table.lastFence
      }
    }),
  )
})

test('a table that was dumped and loaded goes on like the one it came from', () => {
  fc.assert(
    fc.property(steps, steps, (before, after) => {
      let nowMs = 0
      const table = run(before, (_, { monotonicMs }) => (nowMs = monotonicMs))
      const copy = Table.load(JSON.parse(JSON.stringify(table.dump())) as TableState)
      expect(copy.dump()).toEqual(table.dump())
      expect(copy.seatCount).toBe(table.seatCount)
      for (const each of after) {
        nowMs += each.passMs
        const fence = fenceFor(each, table)
        const answers = [table, copy].map((one) => apply(one, each, at(nowMs), fence))
        expect(answers[1]).toEqual(answers[0])
        expect([...copy.view('', at(nowMs))]).toEqual([...table.view('', at(nowMs))])
      }
    }),
  )
})

test('a fence is the wall clock in microseconds, or one more than the last where that has not moved on', () => {
  const table = new Table()
  expect(table.join(entry('1'), at(0, 5))).toMatchObject({ fence: 5000n })
  expect(table.join(entry('2'), at(0, 5))).toMatchObject({ fence: 5001n })
  expect(table.join(entry('3'), at(0, 1))).toMatchObject({ fence: 5002n })
  table.raiseFence(9000)
  expect(table.join(entry('4'), at(0, 6))).toMatchObject({ fence: 9001n })
})

test('an id that joins again while its old seat lingers keeps the new one', () => {
  const table = new Table()
  table.join(entry('1', { lockDelayMs: 50 }), at(0))
  const again = table.join(entry('1'), at(120))
  expect(again).toMatchObject({ state: 'waiting', ahead: 1 })
  expect(table.renew(entry('1'), 100, at(155))).toMatchObject({ state: 'held', fence: (again as Waiting).fence })
  expect(table.leave(entry('1'), at(155))).toBe(true)
})

test('a weight above the capacity is refused', () => {
  expect(new Table().join(entry('1', { weight: 3, capacity: 2 }), at(0))).toMatchObject({
    state: 'refused',
    reason: 'capacity',
    capacity: 2,
  })
})

test('what came to hold and whose holders changed is told once', () => {
  const table = new Table()
  table.join(entry('1'), at(0))
  table.join(entry('2'), at(0))
  table.join(entry('3', { name: 'b' }), at(0))
  expect(table.granted.splice(0).map(({ id }) => id)).toEqual(['1', '3'])
  expect([...table.changed]).toEqual(['a', 'b'])
  table.changed.clear()
  table.leave(entry('1'), at(0))
  expect(table.granted.map(({ id }) => id)).toEqual(['2'])
  expect([...table.changed]).toEqual(['a'])
})

test('the dead are buried with all they had, but for what lingers', () => {
  const table = new Table()
  table.join(entry('1'), at(0), 'dead')
  table.join(entry('2'), at(0), 'dead')
  table.join(entry('3'), at(0), 'alive')
  table.join(entry('4', { name: 'b' }), at(0), 'dead')
  table.leave(entry('4', { name: 'b' }), at(0), 500)
  table.join(entry('5', { name: 'c', lockDelayMs: 70 }), at(0), 'dead')
  table.bury('dead', at(10))
  expect(table.queue('a')?.seats.map(({ id }) => id)).toEqual(['3'])
  expect(table.seat('3')).toMatchObject({ heldAt: 10 })
  expect(table.seat('4')).toMatchObject({ lingering: true, until: 500 })
  expect(table.seat('5')).toMatchObject({ lingering: true, until: 80 })
  table.pruneAll(at(500))
  expect(table.seatCount).toBe(0)
})
