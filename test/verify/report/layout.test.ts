import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fits, placeOf, seatsOf, ticksOf } from '../../../src/verify/report/layout.ts'

const view = { from: -100, span: 200, px: 1000 }

test('a time stands at its share of the width, and is cut a little beyond the edges', () => {
  expect(placeOf(-50, 50, view)).toEqual({ x: 25, width: 50 })
  expect(placeOf(-1000, 0, view)).toEqual({ x: -1, width: 51 })
  expect(placeOf(0, 1e9, view)).toEqual({ x: 50, width: 51 })
  expect(placeOf(101, 200, view)).toBeUndefined()
  expect(placeOf(-200, -101, view)).toBeUndefined()
  expect(placeOf(0, 0, view)).toEqual({ x: 50, width: 0 })
})

test('the axis has its marks at round numbers, whatever the zoom, and no text that is cut', () => {
  expect(ticksOf(view).map(({ text }) => text)).toEqual([
    '',
    '−80',
    '−60',
    '−40',
    '−20',
    '0 ms',
    '+20',
    '+40',
    '+60',
    '+80',
    '',
  ])
  expect(ticksOf({ from: 0.01, span: 0.02, px: 300 }).map(({ text }) => text)).toEqual([
    '',
    '+0.015',
    '+0.02',
    '+0.025',
    '',
  ])
  expect(ticksOf({ from: -5e6, span: 1e7, px: 300 }).map(({ text }) => text)).toEqual(['', '0 ms', ''])
  fc.assert(
    fc.property(fc.double({ min: 0.01, max: 1e8, noNaN: true }), fc.integer({ min: 100, max: 3000 }), (span, px) => {
      expect(ticksOf({ from: -span / 2, span, px }).length).toBeLessThanOrEqual(px / 70 + 1)
    }),
  )
})

test('a text is shown on what can be seen of its bar, if it fits there', () => {
  expect(fits(4, { x: 10, width: 4 }, view)).toBe(true)
  expect(fits(4, { x: 10, width: 3 }, view)).toBe(false)
  expect(fits(4, { x: -1, width: 4 }, view)).toBe(false)
  expect(fits(4, { x: 97, width: 4 }, view)).toBe(false)
})

test('no text covers another, or is cut, and the one in the middle is there', () => {
  const label = fc.record({ at: fc.integer({ min: -150, max: 150 }), length: fc.integer({ min: 1, max: 30 }) })
  fc.assert(
    fc.property(fc.array(label, { maxLength: 12 }), fc.integer({ min: 1, max: 3 }), (others, rows) => {
      const labels = [...others, { at: 0, length: 20 }]
      const seats = seatsOf(labels, rows, view)
      const texts = seats.flatMap((seat, index) => {
        if (!seat) return []
        const { at, length } = labels[index]!
        const width = length * 7.7
        const x = (at + 100) * 5
        const from = { start: x, end: x - width, middle: x - width / 2 }[seat.anchor]
        return [{ row: seat.row, from, until: from + width }]
      })
      for (const one of texts) {
        expect(one.row).toBeLessThan(rows)
        expect(one.from).toBeGreaterThan(-9)
        expect(one.until).toBeLessThan(1009)
        const covered = texts.filter(
          (other) => other !== one && other.row === one.row && one.from < other.until && other.from < one.until,
        )
        expect(covered).toEqual([])
      }
      if (!others.some(({ at }) => at === 0)) expect(seats.at(-1)).toBeDefined()
    }),
  )
})

test.each(Object.entries({ fits, placeOf, seatsOf, ticksOf }))('%s uses nothing but its parameters', (_, each) => {
  // Whatever it took from its module would not be known here.
  const alone = runInNewContext(`(${each.toString()})`) as (...args: readonly unknown[]) => unknown
  const inputs: Record<string, readonly unknown[]> = {
    fits: [4, { x: 10, width: 4 }, view],
    placeOf: [0, 10, view],
    seatsOf: [
      [
        { at: 0, length: 5 },
        { at: 1, length: 9 },
        { at: 99, length: 9 },
      ],
      2,
      view,
    ],
    ticksOf: [view],
  }
  expect(alone(...inputs[each.name]!)).toEqual(
    (each as (...args: readonly unknown[]) => unknown)(...inputs[each.name]!),
  )
})
