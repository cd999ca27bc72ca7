/** The wall clock by which fences are drawn. */
import { expect, test } from 'vitest'
import { FineWall } from '../../src/backends/file/clock.ts'

/** How far a wall clock is ahead of the monotonic one in these tests. */
const AHEAD_MS = 1_767_225_600_000.4321
/** Of a reading: a number of this size has fractions of about 0.0002. */
const EXACT_MS = 0.002

/** Readings that are not taken at whole milliseconds. */
function readAll(wall: FineWall, fromMs: number, count: number, aheadMs: number): number {
  let last = 0
  for (let n = 0; n < count; n += 1) {
    const monotonicMs = fromMs + n * 0.0107
    last = wall.at(monotonicMs, Math.floor(monotonicMs + aheadMs)) - monotonicMs
  }
  return last
}

test('what it begins with is kept as long as no reading says otherwise', () => {
  expect(Math.abs(readAll(new FineWall(AHEAD_MS), 5000, 1, AHEAD_MS) - AHEAD_MS)).toBeLessThan(EXACT_MS)
  expect(Math.abs(readAll(new FineWall(AHEAD_MS), 5000, 1000, AHEAD_MS) - AHEAD_MS)).toBeLessThan(EXACT_MS)
})

test.each([
  ['ahead', 0.8],
  ['behind', -0.8],
  ['an hour off', 3.6e6],
])('one that begins %s is within a millisecond at once, and soon right', (_, off) => {
  const wall = new FineWall(AHEAD_MS + off)
  expect(Math.abs(readAll(wall, 5000, 1, AHEAD_MS) - AHEAD_MS)).toBeLessThan(1)
  expect(Math.abs(readAll(wall, 5000, 500, AHEAD_MS) - AHEAD_MS)).toBeLessThan(0.02)
})

test.each([
  ['forward', 7_200_000.25],
  ['back', -7_200_000.25],
])('a clock that is set %s is followed', (_, byMs) => {
  const wall = new FineWall(AHEAD_MS)
  readAll(wall, 5000, 10, AHEAD_MS)
  expect(Math.abs(readAll(wall, 6000, 500, AHEAD_MS + byMs) - AHEAD_MS - byMs)).toBeLessThan(0.02)
})
