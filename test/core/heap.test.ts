import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Heap } from '../../src/core/heap.ts'

const deeds = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ does: fc.constant('push' as const), value: fc.integer({ min: 0, max: 20 }) }) },
    { weight: 2, arbitrary: fc.record({ does: fc.constant('pop' as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({ does: fc.constant('filter' as const), value: fc.integer({ min: 2, max: 5 }) }),
    },
  ),
  { maxLength: 60 },
)

test('the first of a heap is the least of what is in it, whatever came and went', () => {
  fc.assert(
    fc.property(deeds, (all) => {
      // What is no item has no value, and asking it for one throws.
      const heap = new Heap<{ readonly value: number }>((one, other) => one.value < other.value)
      let values: number[] = []
      for (const each of all) {
        if (each.does === 'push') {
          heap.push({ value: each.value })
          values = [...values, each.value].sort((a, b) => a - b)
        } else if (each.does === 'pop') {
          expect(heap.pop()?.value).toBe(values.shift())
        } else {
          heap.filter(({ value }) => value % each.value > 0)
          values = values.filter((value) => value % each.value > 0)
        }
        expect(heap.size).toBe(values.length)
        expect(heap.first?.value).toBe(values[0])
      }
    }),
    { numRuns: 1000 },
  )
})

test('a heap asks for few comparisons, and takes back what comes already in order without any more', () => {
  let comparisons = 0
  const heap = new Heap<number>((one, other) => ((comparisons += 1), one < other))
  for (let value = 0; value < 1024; value += 1) heap.push(value)
  expect(comparisons).toBe(1023)
  for (let value = 0; value < 1024; value += 1) expect(heap.pop()).toBe(value)
  // Two at each of ten levels.
  expect(comparisons).toBeLessThan(1023 + 1024 * 20)
})
