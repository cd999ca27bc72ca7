import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Entry, Waiting } from '../../src/backend.ts'
import { WHOLE } from '../../src/backend.ts'
import type { Moment, Seat, TableState } from '../../src/queue/table.ts'
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
  | { readonly verb: 'describe'; readonly name: string; readonly id: string; readonly info: string }
  | { readonly verb: 'joinAll'; readonly entries: readonly [Entry, Entry] }
  /** Of all that stand under a name, and of one that is not there; those who cannot be claimed may be among them. */
  | { readonly verb: 'renewAll'; readonly name: string; readonly ttlMs: number }
  | { readonly verb: 'evict'; readonly name: string; readonly place: number }

type Step = Verb & { readonly passMs: number }

/**
 * An id names one try, so no id is used under two names. Ids are few, and most entries live for long beside the steps of time:
 * otherwise what is said of an entry would hardly ever find one.
 */
const claim = fc
  .tuple(fc.constantFrom('a', 'b'), fc.integer({ min: 1, max: 4 }))
  .map(([name, n]) => ({ name, id: `${name}${n}` }))
const ms = fc.constantFrom(0, 10, 30, 50, 100, 300)

const entries: fc.Arbitrary<Entry> = fc
  .record({
    claim,
    weight: fc.integer({ min: 1, max: 4 }),
    capacity: fc.constantFrom(4, 4, 4, 5),
    ttlMs: fc.constantFrom(40, 100, 400, 1000),
    waitTtlMs: fc.constantFrom(20, 60, 300, 1000),
    wait: fc.constantFrom(true, true, true, false),
    waitersMax: fc.constantFrom(0, 1, 2, 9, 9, 9),
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
    arbitrary: fc
      .tuple(claim, fc.constantFrom('c', 'd'))
      .map(([claim, info]) => ({ verb: 'describe' as const, ...claim, info })),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(entries, entries).map(([one, other]) => ({
      verb: 'joinAll' as const,
      entries: [
        { ...one, name: 'a', id: `a${one.id.slice(1)}` },
        { ...other, name: 'b', id: `b${other.id.slice(1)}` },
      ] as const,
    })),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(claim, ms).map(([{ name }, ttlMs]) => ({ verb: 'renewAll' as const, name, ttlMs })),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(claim, fc.nat(3)).map(([{ name }, place]) => ({ verb: 'evict' as const, name, place })),
  },
)

/** Mostly little: or else whoever waits has lapsed before anything can happen to it. */
const pass = fc.constantFrom(0, 0, 0, 0, 0, 10, 30, 50, 100, 300)

const step: fc.Arbitrary<Step> = fc.tuple(verb, pass).map(([each, passMs]) => ({ ...each, passMs }))

/** Without a word about it, hardly any would be longer than ten. */
const steps = fc.array(step, { minLength: 1, maxLength: 60, size: 'max' })

/** Carry out one verb; `fences` are those that it speaks of. */
function apply(queue: Table | Model, each: Verb, now: Moment, fences: readonly number[]): unknown {
  switch (each.verb) {
    case 'join':
      return queue.join(each.entry, now)
    case 'joinAll':
      return queue.joinAll(each.entries, now)
    case 'renew':
      return queue.renew(each, each.ttlMs, now)
    case 'renewAll':
      return queue.renewAll(each.name, fences, each.ttlMs, now)
    case 'leave':
      return queue.leave(each, now, each.lingerMs)
    case 'lighten':
      return queue.lighten(each, each.weight, now)
    case 'describe':
      return queue.describe(each, each.info, now)
    case 'evict':
      return queue.evict(each.name, fences[0] ?? 0, now)
  }
}

/** Of an `evict`, the fence of whoever stands at a place; of a `renewAll`, those of all, and one that nobody has. */
function fencesFor(each: Verb, table: Table): readonly number[] {
  if (each.verb !== 'evict' && each.verb !== 'renewAll') return []
  const fences = fencesOf(table.queue(each.name)?.seats ?? [])
  return each.verb === 'evict' ? fences.slice(each.place, each.place + 1) : [1, ...fences]
}

function fencesOf(seats: readonly Seat[]): number[] {
  return seats.map(({ fence }) => fence)
}

/** Who stands right before whoever has this fence; 0 for nobody. */
function neighbourOf({ holders, waiters }: ReturnType<Model['standing']>, fence: number): number {
  return [...holders, ...waiters].findLast((other) => other < fence) ?? 0
}

/** Run steps on a table, and look at it after each. */
function run(
  all: readonly Step[],
  look: (table: Table, now: Moment, answer: unknown, each: Step, fences: readonly number[]) => void,
): Table {
  const table = new Table()
  let nowMs = 1000
  for (const each of all) {
    nowMs += each.passMs
    const now = at(nowMs)
    const fences = fencesFor(each, table)
    look(table, now, apply(table, each, now, fences), each, fences)
  }
  return table
}

test('the table answers and stands as the plain model does, whatever is asked in whatever order', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const model = new Model()
      run(all, (table, now, answer, each, fences) => {
        expect(answer).toEqual(apply(model, each, now, fences))
        expect([...table.view('', now)]).toEqual(model.view('', now))
      })
    }),
    { numRuns: 500 },
  )
})

test('what is told is what has changed, as the plain model sees it', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const model = new Model()
      run(all, (table, now, _, each, fences) => {
        const before = ['a', 'b'].map((name) => model.standing(name))
        const claimed = 'id' in each ? model.fenceOf(each) : undefined
        const done = apply(model, each, now, fences) === true
        for (const [index, name] of ['a', 'b'].entries()) {
          const was = before[index]!
          const is = model.standing(name)
          const told = (seats: readonly Seat[]): number[] => fencesOf(seats.filter((seat) => seat.name === name))
          const holds = done && is.holders.some((fence) => fence === claimed)
          const nobodys = [...model.view(name, now)].flatMap(({ holders }) =>
            holders.filter(({ lingering }) => lingering),
          )
          const left = new Set(nobodys.map(({ fence }) => Number(fence)))
          const come = is.holders.filter((fence) => !was.holders.includes(fence) && !left.has(fence))
          expect(told(table.granted)).toEqual(come)
          const stood = is.waiters.filter((fence) => was.waiters.includes(fence))
          const moved = stood.filter((fence) => neighbourOf(was, fence) !== neighbourOf(is, fence))
          expect(told(table.shifted)).toEqual(expect.arrayContaining(moved))
          expect(told(table.sooner)).toEqual(each.verb === 'leave' && holds ? is.waiters.slice(0, 1) : [])
          const news = String(is.holders) !== String(was.holders) || (each.verb === 'describe' && holds)
          // Somebody may have come to hold by the end of another one, and have gone by the same verb.
          const passing = done && (each.verb === 'leave' || each.verb === 'evict')
          if (news || !passing) expect(table.changed.has(name)).toBe(news)
        }
        for (const list of [table.granted, table.shifted, table.sooner]) list.length = 0
        table.changed.clear()
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
        apply(table, each, at(index * 10, walls[index % walls.length]), fencesFor(each, table))
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
        const fences = fencesFor(each, table)
        const answers = [table, copy].map((one) => apply(one, each, at(nowMs), fences))
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

test('an old seat that lingers is counted, also when its id had another one since', () => {
  const table = new Table()
  table.join(entry('x'), at(0))
  table.leave({ name: 'a', id: 'x' }, at(0), 300)
  table.join(entry('x'), at(0))
  table.pruneAll(at(200))
  expect(table.seatCount).toBe(1)
  expect(Table.load(JSON.parse(JSON.stringify(table.dump())) as TableState).seatCount).toBe(1)
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
