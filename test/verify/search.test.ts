/** The sweeps of the checkers against a search for any order at all, which knows nothing of sweeps. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exclusion } from '../../src/verify/checkers/exclusion.ts'
import { fenceOrder } from '../../src/verify/checkers/fence-order.ts'
import { permits } from '../../src/verify/checkers/permits.ts'
import { readersWriters } from '../../src/verify/checkers/readers-writers.ts'
import type { Belief, History } from '../../src/verify/history.ts'
import { historyOf } from '../../src/verify/history.ts'
import { CAPACITY, histories } from './search/histories.ts'
import type { Model } from './search/linearizable.ts'
import { linearizable } from './search/linearizable.ts'
import { lockOf, noReaderBesideWriter, oneWriter, stepsOf, within } from './search/locks.ts'

/** `sweep` and `search` say the same of each history; and of both kinds there are many. */
function agree(
  of: fc.Arbitrary<History>,
  sweep: (history: History) => boolean,
  search: (history: History) => boolean,
): void {
  const seen = { good: 0, bad: 0 }
  fc.assert(
    fc.property(of, (history) => {
      const good = sweep(history)
      seen[good ? 'good' : 'bad'] += 1
      expect(good).toBe(search(history))
    }),
    { numRuns: 5000 },
  )
  expect(seen.good).toBeGreaterThan(900)
  expect(seen.bad).toBeGreaterThan(900)
}

/** An object that can be read from paper: what was written last is read. */
const register: Model<number, { readonly does: 'reads' | 'writes'; readonly value: number }> = {
  initial: 0,
  step: (state, { does, value }) => (does === 'writes' ? value : value === state ? state : undefined),
  keyOf: String,
}
const reads = (value: number, from: number, until: number) => ({ call: { does: 'reads', value }, from, until }) as const
const writes = (value: number, from: number, until: number) =>
  ({ call: { does: 'writes', value }, from, until }) as const

test('the search finds an order when there is one, and none when there is none', () => {
  const both = [writes(1, 0, 10), writes(2, 0, 10)]
  expect(linearizable([], register)).toBe(true)
  expect(linearizable([...both, reads(1, 11, 12), reads(1, 13, 14)], register)).toBe(true)
  expect(linearizable([...both, reads(2, 11, 12)], register)).toBe(true)
  expect(linearizable([...both, reads(1, 11, 12), reads(2, 13, 14)], register)).toBe(false)
  expect(linearizable([...both, reads(0, 5, 6), reads(1, 7, 8), reads(2, 9, 9)], register)).toBe(true)
  expect(linearizable([...both, reads(0, 5, 6), reads(1, 7, 8), reads(0, 9, 9)], register)).toBe(false)
})

test('whoever ends at an instant may come before or after whoever begins at it', () => {
  expect(linearizable([writes(1, 0, 5), reads(0, 5, 6)], register)).toBe(true)
  expect(linearizable([writes(1, 0, 5), reads(0, 5.1, 6)], register)).toBe(false)
})

test('what nobody heard the end of may have happened at any time, or never', () => {
  expect(linearizable([writes(1, 0, Infinity), reads(0, 8, 9)], register)).toBe(true)
  expect(linearizable([writes(1, 0, Infinity), reads(1, 8, 9)], register)).toBe(true)
  expect(linearizable([writes(1, 0, Infinity), reads(1, 3, 4), reads(0, 8, 9)], register)).toBe(false)
  expect(linearizable([writes(1, 5, Infinity), reads(1, 3, 4)], register)).toBe(false)
})

test('exclusion objects just when exclusive holds have no serial order', () => {
  const lock = lockOf(oneWriter)
  agree(
    histories('exclusive'),
    (history) => exclusion(history).length === 0,
    (history) => linearizable(stepsOf(history, 'n'), lock),
  )
})

test('exclusion and readers-writers together object just when no lock of both kinds behaves like that', () => {
  const lock = lockOf((shapes) => oneWriter(shapes) && noReaderBesideWriter(shapes))
  agree(
    histories('exclusive', 'shared', 'shared'),
    (history) => exclusion(history).length + readersWriters(history).length === 0,
    (history) => linearizable(stepsOf(history, 'n'), lock),
  )
})

test('permits objects just when no semaphore behaves like that', () => {
  const semaphore = lockOf(within(CAPACITY))
  agree(
    histories('permits'),
    (history) => permits(history).length === 0,
    (history) => linearizable(stepsOf(history, 'n'), semaphore),
  )
})

test('fence-order is what a lock with fences adds to exclusion', () => {
  const lock = lockOf(oneWriter, true)
  agree(
    histories('exclusive').map(believed),
    (history) => exclusion(history).length + fenceOrder(history).length === 0,
    (history) => linearizable(stepsOf(history, 'n'), lock),
  )
})

/** Without whoever did not begin to believe at its grant: no order is asked of what was over then, and revived later. */
function believed({ events, beliefs }: History): History {
  const ids = new Set(beliefs.filter(beginsAtGrant).map(({ hold }) => hold.id))
  return historyOf(events.filter((event) => !('hold' in event) || event.hold === undefined || ids.has(event.hold)))
}

function beginsAtGrant({ hold: { granted }, mode, from }: Belief): boolean {
  return mode === 'exclusive' && granted?.at === from && granted.until > from
}
