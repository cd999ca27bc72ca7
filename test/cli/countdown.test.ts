import { expect, test } from 'vitest'
import { Countdown } from '../../src/cli/countdown.ts'
import { ElapsedClock } from '../../src/core/clock.ts'
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
  expect(countdown.due()).toBe(undefined)
  time.block(100)
  expect(countdown.due()).toBe('ask')
  expect(countdown.due()).toBe(undefined)
  time.block(4900)
  expect(countdown.due()).toBe('kill')
  expect(countdown.due()).toBe('kill')
})

test('a command that the wrapper has asked is not asked again', () => {
  const { time, holdsFor } = setUp()
  const countdown = holdsFor(30_000)
  countdown.asked()
  time.block(29_000)
  expect(countdown.due()).toBe(undefined)
  time.block(1000)
  expect(countdown.due()).toBe('kill')
})

test('sleeps and steps of the wall clock from before a deadline was heard do not count', () => {
  const { time, machine, holdsFor, sleep } = setUp()
  const first = holdsFor(30_000)
  sleep(3_600_000)
  machine.jumpWall(60_000)
  expect(first.due()).toBe('kill')
  const next = holdsFor(30_000)
  expect(next.due()).toBe(undefined)
  time.block(25_000)
  expect(next.due()).toBe(undefined)
  time.block(5000)
  expect(next.due()).toBe('kill')
})

test('those from after it count: the lease may have ended in them', () => {
  for (const ms of [26_000, 31_000]) {
    const { holdsFor, sleep } = setUp()
    const countdown = holdsFor(30_000)
    sleep(ms)
    expect(countdown.due()).toBe(ms < 30_000 ? 'ask' : 'kill')
  }
})

test('it is looked at once a second at least, and when something is due', () => {
  const { time, holdsFor } = setUp()
  const countdown = holdsFor(6000)
  expect(countdown.pauseMs).toBe(1000)
  time.block(1050)
  expect(countdown.pauseMs).toBeCloseTo(100, 3)
  time.block(100)
  expect(countdown.due()).toBe('ask')
  time.block(4500)
  expect(countdown.pauseMs).toBeCloseTo(350, 3)
  time.block(350)
  expect(countdown.pauseMs).toBe(1000)
})
