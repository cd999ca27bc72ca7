import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Agenda } from '../../src/core/agenda.ts'
import { ElapsedClock } from '../../src/elapsed.ts'
import { simulatedTime } from '../../src/testing/simulated.ts'

function setUp(drift = 0) {
  const time = simulatedTime()
  const runtime = time.runtime({ drift })
  const clock = new ElapsedClock(runtime)
  return { time, runtime, clock, agenda: new Agenda(runtime, clock), from: clock.now() }
}

test('whatever the clocks do, elapsed time never goes back and is never less than the monotonic clock says', () => {
  const move = fc.oneof(
    fc.record({ what: fc.constant('block' as const), ms: fc.nat(5000) }),
    fc.record({ what: fc.constant('sleep' as const), ms: fc.nat(5000) }),
    fc.record({ what: fc.constant('jump' as const), ms: fc.integer({ min: -1e7, max: 1e7 }) }),
  )
  fc.assert(
    fc.property(fc.array(move), (moves) => {
      const { time, runtime, clock } = setUp()
      const monotonicFrom = runtime.monotonicMs()
      const from = clock.now()
      let last = from
      for (const { what, ms } of moves) {
        if (what === 'block') time.block(ms)
        if (what === 'sleep') {
          runtime.sleep(ms)
          time.block(ms)
        }
        if (what === 'jump') runtime.jumpWall(ms)
        const now = clock.now()
        const least = what === 'sleep' && ms > 20 ? last + ms - 20 : last
        expect(now).toBeGreaterThanOrEqual(least)
        expect(now - from).toBeGreaterThanOrEqual(runtime.monotonicMs() - monotonicFrom)
        last = now
      }
    }),
  )
})

test('the wall clock counts when it jumps ahead by more than it is ever slewed, from the first reading on', () => {
  const { time, runtime } = setUp()
  time.block(5000)
  const clock = new ElapsedClock(runtime)
  let leaps = 0
  clock.onLeap(() => (leaps += 1))
  const from = runtime.monotonicMs()
  const added = (jumpMs: number): number => {
    runtime.jumpWall(jumpMs)
    return clock.now() - from
  }
  expect(added(100)).toBe(100)
  expect(added(10)).toBe(100)
  expect(added(1)).toBe(111)
  expect(added(-5000)).toBe(111)
  expect(added(0)).toBe(111)
  expect(added(20)).toBe(131)
  expect(leaps).toBe(3)
})

test('appointments are kept in their order, whatever was made and cancelled before', async () => {
  const { time, agenda, from } = setUp()
  const kept: number[] = []
  const made = Array.from({ length: 2000 }, (_, n) => (n * 7919) % 2000)
  const appointments = made.map((ms) => agenda.at(from + ms, () => kept.push(ms)))
  for (const [n, each] of appointments.entries()) if (n % 10 > 0) each.cancel()
  await time.advance(3000)
  const expected = made.filter((_, n) => n % 10 === 0).sort((a, b) => a - b)
  expect(kept).toEqual(expected)
})

test('an appointment is kept on time after a sleep that no timer has noticed', async () => {
  const { time, runtime, clock, agenda, from } = setUp()
  let keptAt = 0
  agenda.at(from + 30_000, () => (keptAt = clock.now() - from))
  await time.advance(100)
  runtime.sleep(60_000)
  await time.advance(61_100)
  expect(keptAt).toBeGreaterThan(0)
})

// Seed 26284 of the simulation: a lease heard by a renewal that its end had come closer, and was told of it late.
test('an appointment is kept on time after a jump of the wall clock that any reading has noticed', async () => {
  const { time, runtime, clock, agenda, from } = setUp()
  let keptAt = Infinity
  agenda.at(from + 100, () => (keptAt = time.now))
  await time.advance(20)
  runtime.jumpWall(50)
  clock.now()
  await time.advance(200)
  expect(keptAt).toBeCloseTo(50, 0)
})

test('an appointment that is made or cancelled while another is kept is heeded', async () => {
  const { time, agenda, from } = setUp()
  const kept: string[] = []
  const cancelled = agenda.at(from + 20, () => kept.push('cancelled'))
  agenda.at(from + 10, () => {
    kept.push('first')
    cancelled.cancel()
    cancelled.cancel()
    agenda.at(from + 15, () => kept.push('second'))
  })
  await time.advance(100)
  expect(kept).toEqual(['first', 'second'])
})

test('a reading of the monotonic clock that comes from elsewhere leaves out the sleeps of before, and counts those to come', () => {
  const { time, runtime, clock } = setUp()
  const sleep = (ms: number): void => {
    runtime.sleep(ms)
    time.block(ms)
  }
  sleep(3_600_000)
  const untilMs = runtime.monotonicMs() + 1000
  const until = clock.at(untilMs)
  expect(until - clock.now()).toBeCloseTo(1000, 0)
  time.block(400)
  expect(until - clock.now()).toBeCloseTo(600, 0)
  sleep(10_000)
  expect(until - clock.now()).toBeLessThan(0)
})
