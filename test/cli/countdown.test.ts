import { expect, test } from 'vitest'
import { Countdown } from '../../src/cli/hold/countdown.ts'
import { ElapsedClock } from '../../src/elapsed.ts'
import { simulatedTime } from '../../src/testing/simulated.ts'

/** A machine, the clock of a guardian on it, and its wrapper, which holds for so long from now on. */
function setUp() {
  const time = simulatedTime()
  const machine = time.runtime()
  const clock = new ElapsedClock(machine)
  const holdsFor = (ms: number): Countdown => {
    const killAt = machine.monotonicMs() + ms
    return new Countdown(clock, { about: 'deadline', killAt, killAfterMs: 5000, signal: 'SIGTERM' })
  }
  const sleep = (ms: number): void => {
    machine.sleep(ms)
    time.block(ms)
  }
  return { time, machine, holdsFor, sleep }
}

test('what is due when: to ask once, a moment after the wrapper would; to kill for as long as nobody says otherwise', () => {
  const { time, holdsFor } = setUp()
  const countdown = holdsFor(30_000)
  time.block(25_100)
  expect(countdown.look().due).toBe(undefined)
  time.block(100)
  expect(countdown.look().due).toBe('ask')
  expect(countdown.look().due).toBe(undefined)
  time.block(4900)
  expect(countdown.look().due).toBe('kill')
  expect(countdown.look().due).toBe('kill')
})

test('a command that the wrapper has asked is not asked again', () => {
  const { time, holdsFor } = setUp()
  const countdown = holdsFor(30_000)
  countdown.asked()
  time.block(29_000)
  expect(countdown.look().due).toBe(undefined)
  time.block(1000)
  expect(countdown.look().due).toBe('kill')
})

test('sleeps and steps of the wall clock from before a deadline was heard do not count', () => {
  const { time, machine, holdsFor, sleep } = setUp()
  const first = holdsFor(30_000)
  sleep(3_600_000)
  machine.jumpWall(60_000)
  expect(first.look().due).toBe('kill')
  const next = holdsFor(30_000)
  expect(next.look().due).toBe(undefined)
  time.block(25_000)
  expect(next.look().due).toBe(undefined)
  time.block(5000)
  expect(next.look().due).toBe('kill')
})

test('those from after it count: the lease may have ended in them', () => {
  for (const ms of [26_000, 31_000]) {
    const { holdsFor, sleep } = setUp()
    const countdown = holdsFor(30_000)
    sleep(ms)
    expect(countdown.look().due).toBe(ms < 30_000 ? 'ask' : 'kill')
  }
})

test('it is looked at once a second at least, and when something is due', () => {
  const { time, holdsFor } = setUp()
  const countdown = holdsFor(6000)
  expect(countdown.look().pauseMs).toBe(1000)
  time.block(1050)
  expect(countdown.look().pauseMs).toBeCloseTo(100, 3)
  time.block(100)
  expect(countdown.look()).toMatchObject({ due: 'ask', pauseMs: 1000 })
  time.block(4500)
  expect(countdown.look().pauseMs).toBeCloseTo(350, 3)
  time.block(350)
  expect(countdown.look()).toEqual({ due: 'kill', pauseMs: 1000 })
})

test('a deadline that passes while it is looked at is not slept over', () => {
  // A timer may come a part of a millisecond early, and each reading of the clock takes a moment.
  for (let early = 0; early < 0.02; early += 0.001) {
    let at = 0
    const clock = new ElapsedClock({ monotonicMs: () => (at += 0.003), wallMs: () => at })
    const countdown = new Countdown(clock, { about: 'deadline', killAt: 1000, killAfterMs: 500, signal: 'SIGTERM' })
    countdown.asked()
    at = 1000 - early
    for (let look = countdown.look(); look.due !== 'kill'; look = countdown.look()) at += Math.max(1, look.pauseMs)
    expect(at).toBeLessThan(1002)
  }
})
