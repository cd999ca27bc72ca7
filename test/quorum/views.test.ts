import { expect, test } from 'vitest'
import type { QueueView } from '../../src/backend.ts'
import { merged } from '../../src/quorum/views.ts'

/** What one node shows of one name: who holds, and for how long still. */
function queue(name: string, fence?: bigint, ttlMs = 100): QueueView {
  const holder = { fence: fence ?? 0n, weight: 1, ageMs: 0, ttlMs, lingering: false }
  return { name, capacity: 1, holders: fence === undefined ? [] : [holder], waiters: [] }
}

test('an entry is shown when a majority shows it, for as long as a majority will', () => {
  const shown = [[queue('a', 7n, 30)], [queue('a', 7n, 10)], [queue('a', 7n, 20)]]
  expect(merged(shown, 2)).toEqual([queue('a', 7n, 20)])
  expect(merged(shown.slice(1), 2)).toEqual([queue('a', 7n, 10)])
  expect(merged(shown.slice(2), 2)).toEqual([])
  expect(merged([], 2)).toEqual([])
  expect(merged([[queue('a')]], 1)).toEqual([])
})

test('of several entries of a name the one that most show is shown, in whatever order they come', () => {
  const [old, next] = [queue('a', 6n), queue('a', 7n)]
  expect(merged([[old], [next], [next]], 2)).toEqual([next])
  expect(merged([[next], [old], [next]], 2)).toEqual([next])
  expect(merged([[next], [next], [old]], 2)).toEqual([next])
  expect(merged([[old], [next]], 2)).toEqual([])
})

test('names are told apart, and come in their order; one that nobody holds is not shown', () => {
  const shown = [
    [queue('b', 7n), queue('a', 8n), queue('c')],
    [queue('c'), queue('b', 7n), queue('d', 9n)],
    [queue('a', 8n), queue('d', 7n)],
  ]
  expect(merged(shown, 2).map(({ name, holders }) => [name, holders[0]?.fence])).toEqual([
    ['a', 8n],
    ['b', 7n],
  ])
})
