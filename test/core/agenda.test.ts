/** The one timer of an agenda: when it is set and for how long, whether it keeps the process alive, and what rings. */
import { expect, test } from 'vitest'
import { Agenda } from '../../src/core/agenda.ts'
import { ElapsedClock } from '../../src/elapsed.ts'
import { handTimers } from '../kit/timers.ts'

function setUp() {
  const timers = handTimers()
  return { ...timers, agenda: new Agenda(timers.runtime, new ElapsedClock(timers.runtime)) }
}

test('there is one timer, for what comes first, and no longer than a second', () => {
  const { agenda, standing, count, pass, ring } = setUp()
  const kept: number[] = []
  expect(standing()).toEqual([])
  agenda.at(5000, () => kept.push(5000))
  expect(standing()).toEqual([1000])
  agenda.at(300, () => kept.push(300))
  expect(standing()).toEqual([300])
  agenda.at(300, () => kept.push(300))
  agenda.at(400, () => kept.push(400))
  expect(count()).toBe(2)
  pass(300)
  ring()
  expect(kept).toEqual([300, 300])
  expect(standing()).toEqual([100])
  pass(99)
  ring()
  expect(standing()).toEqual([1])
  pass(1)
  ring()
  expect(kept).toEqual([300, 300, 400])
  expect(standing()).toEqual([1000])
  pass(4600)
  ring()
  expect(kept).toEqual([300, 300, 400, 5000])
  expect(standing()).toEqual([])
})

test('what is cancelled is not kept, and when it comes up first it is passed over', () => {
  const { agenda, standing, pass, ring } = setUp()
  const kept: number[] = []
  const first = agenda.at(100, () => kept.push(100))
  agenda.at(200, () => kept.push(200))
  first.cancel()
  expect(standing()).toEqual([100])
  pass(50)
  // The timer is early. What is cancelled is gone then, what is due later is not.
  ring()
  expect(kept).toEqual([])
  expect(standing()).toEqual([150])
  pass(150)
  ring()
  expect(kept).toEqual([200])
  first.cancel()
  expect(standing()).toEqual([])
})

test('what is made for this instant while it rings waits for the next timer', () => {
  const { agenda, standing, pass, ring } = setUp()
  let rounds = 0
  const again = (): void => void agenda.at(100, () => ((rounds += 1), again()))
  again()
  pass(100)
  ring()
  expect(rounds).toBe(1)
  expect(standing()).toEqual([0])
  ring()
  expect(rounds).toBe(2)
})

test('cancelled appointments are thrown away when there are many more of them than of live ones', () => {
  const { agenda, standing, pass, ring } = setUp()
  for (let times = 0; times < 10; times += 1) agenda.at(0, () => {})
  ring()
  let looks = 0
  // An appointment's time is looked at when it is put in its place.
  const counted = { valueOf: () => ((looks += 1), 500) } as unknown as number
  const all = Array.from({ length: 288 }, () => agenda.at(counted, () => {}))
  const before = looks
  for (const each of all.slice(0, 272)) each.cancel()
  // Sixteen are live: twice that and 256 are no more than there are. Nobody is cancelled twice.
  all[0]!.cancel()
  expect(looks).toBe(before)
  all[272]!.cancel()
  expect(looks).toBeGreaterThan(before)
  for (const each of all) each.cancel()
  pass(500)
  ring()
  expect(standing()).toEqual([])
})

test('the timer keeps the process alive while somebody awaits what it brings, also a timer that is set meanwhile', () => {
  const { agenda, alive, pass, ring } = setUp()
  const early = agenda.keepAlive()
  early()
  agenda.at(500, () => {})
  expect(alive()).toEqual([false])
  const one = agenda.keepAlive()
  expect(alive()).toEqual([true])
  const other = agenda.keepAlive()
  expect(alive()).toEqual([true])
  agenda.at(400, () => {})
  expect(alive()).toEqual([true])
  one()
  one()
  expect(alive()).toEqual([true])
  pass(400)
  ring()
  expect(alive()).toEqual([true])
  other()
  expect(alive()).toEqual([false])
  agenda.at(450, () => {})
  expect(alive()).toEqual([false])
})
