import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exclusion } from '../../../src/verify/checkers/exclusion.ts'
import { permits } from '../../../src/verify/checkers/permits.ts'
import { readersWriters } from '../../../src/verify/checkers/readers-writers.ts'
import type { History, Mode } from '../../../src/verify/history.ts'
import { overlapsOf } from '../../../src/verify/report/overlaps.ts'
import { story } from '../story.ts'

const told = (history: History): string[] =>
  overlapsOf(history).map(
    ({ name, from, until, beliefs }) => `${name} ${from}-${until} ${beliefs.map(({ hold }) => hold.id).join('')}`,
  )

test('two exclusive beliefs overlap from the later begin to the earlier end', () => {
  expect(told(story().hold('a', 1, [0, 0, 10]).hold('b', 2, [0, 4, 20]).history())).toEqual(['n 4-10 ab'])
})

test('beliefs one after the other do not overlap, nor those of two names', () => {
  const good = story().hold('a', 1, [0, 0, 10]).hold('b', 2, [0, 10, 20]).hold('c', 3, [0, 5, 15], { name: 'm' })
  expect(told(good.history())).toEqual([])
})

test('where one more joins in, another stretch begins, so that each says exactly who believed', () => {
  const bad = story().hold('a', 1, [0, 0, 10]).hold('b', 2, [0, 4, 20]).hold('c', 3, [0, 6, 8])
  expect(told(bad.history())).toEqual(['n 4-6 ab', 'n 6-8 abc', 'n 8-10 ab'])
})

test('readers may believe at once, and not beside a writer', () => {
  const readers = story().hold('a', 1, [0, 0, 10], { mode: 'shared' }).hold('b', 2, [0, 4, 20], { mode: 'shared' })
  expect(told(readers.history())).toEqual([])
  expect(told(readers.hold('c', 3, [0, 8, 9]).history())).toEqual(['n 8-9 abc'])
})

test('permits overlap where they are more than there are', () => {
  const shape = { mode: 'permits', weight: 2, capacity: 3 } as const
  expect(told(story().hold('a', 1, [0, 0, 10], shape).hold('b', 2, [0, 4, 20], shape).history())).toEqual(['n 4-10 ab'])
  const fitting = { ...shape, weight: 1 }
  expect(told(story().hold('a', 1, [0, 0, 10], shape).hold('b', 2, [0, 4, 20], fitting).history())).toEqual([])
})

test('there are overlaps exactly where the checkers object', () => {
  const hold = fc.record({
    from: fc.integer({ min: 0, max: 30 }),
    lasts: fc.integer({ min: 1, max: 10 }),
    mode: fc.constantFrom<Mode>('exclusive', 'shared'),
  })
  fc.assert(
    fc.property(fc.array(hold, { maxLength: 6 }), fc.boolean(), (holds, ofPermits) => {
      const tale = story()
      for (const [index, { from, lasts, mode }] of holds.entries())
        tale.hold('abcdef'[index]!, index, [0, from, from + lasts], {
          mode: ofPermits ? 'permits' : mode,
          capacity: 2,
        })
      const history = tale.history()
      const objections = [exclusion, readersWriters, permits].flatMap((checker) => checker(history))
      expect(overlapsOf(history).length > 0).toBe(objections.length > 0)
    }),
  )
})
