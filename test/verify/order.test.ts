import { expect, test } from 'vitest'
import { fenceOrder } from '../../src/verify/checkers/fence-order.ts'
import { fifoOrder } from '../../src/verify/checkers/fifo-order.ts'
import type { Story } from './story.ts'
import { story, texts } from './story.ts'

test('fences that grow are in order, whatever the distance', () => {
  expect(fenceOrder(story().hold('a', 1, [0, 1, 5]).hold('b', 7, [0, 6, 9]).history())).toEqual([])
})

test('a fence that comes twice is found, also in the hands of readers', () => {
  const bad = story().hold('a', 1, [0, 1, 5], { mode: 'shared' }).hold('b', 1, [0, 2, 9], { mode: 'shared' })
  expect(texts(fenceOrder(bad.history()))).toEqual(['"n": a and b both have fence 1'])
})

test('the same fence on two names is nothing', () => {
  expect(fenceOrder(story().hold('a', 1, [0, 1]).hold('b', 1, [2, 3], { name: 'm' }).history())).toEqual([])
})

test('who asks after a grant must get a larger fence', () => {
  const bad = story().hold('a', 5, [0, 1, 2], { mode: 'shared' }).hold('b', 4, [3, 4], { mode: 'shared' })
  expect(texts(fenceOrder(bad.history()))).toEqual(['"n": b asked after the grant of a, and got a smaller fence'])
})

test('who asked before a grant may have a smaller fence, if it shares', () => {
  const good = story().hold('a', 5, [0, 3], { mode: 'shared' }).hold('b', 4, [1, 4], { mode: 'shared' })
  expect(fenceOrder(good.history())).toEqual([])
})

test('exclusive grants come in the order of their fences, although both were asked for at once', () => {
  const bad = story().hold('a', 5, [0, 3, 4]).hold('b', 4, [1, 5, 6])
  expect(texts(fenceOrder(bad.history()))).toEqual(['"n": b was granted after a, with a smaller fence'])
})

test('of two grants at one instant the first in the history is the first, whoever asked first', () => {
  const first = (s: Story) => s.at(0, 'a', { kind: 'ask', hold: 'a', name: 'n', waits: true })
  expect(fenceOrder(first(story()).hold('b', 4, [1, 5, 5]).hold('a', 5, [5, 5, 6]).history())).toEqual([])
  expect(texts(fenceOrder(first(story()).hold('b', 5, [1, 5, 5]).hold('a', 4, [5, 5, 6]).history()))).toEqual([
    '"n": a was granted after b, with a smaller fence',
  ])
})

test('a grant that is over when its user gets it has no place in that order', () => {
  const late = story().hold('a', 5, [0, 3, 4]).hold('b', 4, [1, 5, 6], { until: 5 })
  expect(fenceOrder(late.history())).toEqual([])
})

test("a grant that was on its way when its entry was evicted is in nobody's order", () => {
  const late = story()
    .hold('a', 5, [0, 3, 4])
    .at(2, 'c', { kind: 'evicted', name: 'n', fence: 4 })
    .hold('b', 4, [1, 5, 6])
  expect(fenceOrder(late.history())).toEqual([])
})

test('nor has one that was on its way when the coordinator forgot; one that asked later has', () => {
  const forgets = (s: Story, at = 2, name = 'n') => s.at(at, 'c', { kind: 'forgotten', name, until: at + 0.5 })
  const late = (s: Story) => texts(fenceOrder(s.hold('a', 5, [1, 3, 4]).hold('b', 4, [1, 5, 6]).history()))
  const outOfOrder = ['"n": b was granted after a, with a smaller fence']
  expect(late(forgets(story()))).toEqual([])
  expect(late(forgets(story(), 2, 'other'))).toEqual(outOfOrder)
  // What is forgotten after the grant excuses nothing, and neither does what was forgotten before the ask.
  expect(late(forgets(story(), 5))).toEqual([])
  expect(late(forgets(story(), 5.1))).toEqual(outOfOrder)
  expect(late(forgets(story(), 0.5))).toEqual([])
  expect(late(forgets(story(), 0.4))).toEqual(outOfOrder)
  const bad = forgets(story()).hold('a', 5, [2.6, 3, 4]).hold('b', 4, [2.7, 5, 6])
  expect(texts(fenceOrder(bad.history()))).toEqual(outOfOrder)
})

test('one whose ask was not recorded may have asked at any time', () => {
  const granted = { kind: 'granted', name: 'n', mode: 'exclusive', weight: 1, capacity: 1 } as const
  const told = () =>
    story()
      .at(3, 'a', { ...granted, hold: 'a', fence: 5, until: 4 })
      .at(5, 'b', { ...granted, hold: 'b', fence: 4, until: 6 })
  expect(fenceOrder(told().history())).toHaveLength(1)
  expect(fenceOrder(told().at(2, 'c', { kind: 'forgotten', name: 'n', until: 2 }).history())).toEqual([])
})

const entered = (s: Story, at: number, fence: number, weight = 2, capacity = 2) =>
  s.at(at, 'c', { kind: 'entered', name: 'n', fence, weight, capacity })
const holds = (s: Story, at: number, fence: number) => s.at(at, 'c', { kind: 'holds', name: 'n', fence })
const left = (s: Story, at: number, fence: number) => s.at(at, 'c', { kind: 'left', name: 'n', fence })

test('tickets that hold in their order are fair', () => {
  const s = story()
  holds(entered(s, 0, 1), 0, 1)
  entered(s, 1, 2)
  entered(s, 2, 3)
  left(s, 3, 1)
  holds(s, 3, 2)
  left(s, 4, 3)
  left(s, 5, 2)
  expect(fifoOrder(s.history())).toEqual([])
})

test('a ticket that holds before an earlier one is found', () => {
  const s = story()
  holds(entered(s, 0, 1), 0, 1)
  entered(s, 1, 2)
  entered(s, 2, 3)
  left(s, 3, 1)
  holds(s, 3, 3)
  expect(texts(fifoOrder(s.history()))[0]).toBe('"n": ticket 3 holds before 2, which waits')
})

test('a light ticket does not slip in before a heavy one that waits', () => {
  const s = story()
  holds(entered(s, 0, 1, 1), 0, 1)
  entered(s, 1, 2, 2)
  holds(entered(s, 2, 3, 1), 2, 3)
  expect(texts(fifoOrder(s.history()))).toEqual(['"n": ticket 3 holds before 2, which waits'])
})

test('whoever fits does not wait', () => {
  const s = story()
  holds(entered(s, 0, 1), 0, 1)
  entered(s, 1, 2)
  left(s, 3, 1)
  expect(texts(fifoOrder(s.history()))).toEqual(['"n": ticket 2 waits at 3, though it fits'])
})

test('whoever holds is not told to wait', () => {
  const s = story()
  entered(s, 0, 1).at(0, 'c', { kind: 'waits', name: 'n', fence: 1 })
  holds(s, 0, 1)
  expect(fifoOrder(s.history())).toEqual([])
  s.at(1, 'c', { kind: 'waits', name: 'n', fence: 1 })
  expect(texts(fifoOrder(s.history()))).toEqual(['"n": ticket 1 is told to wait, though it holds'])
})

test('when the coordinator has forgotten all, everybody enters anew, also with an old ticket', () => {
  const s = story()
  holds(entered(s, 0, 5), 0, 5)
  entered(s, 1, 6)
  s.at(2, 'c', { kind: 'forgotten', name: 'n', until: 2 })
  holds(entered(s, 3, 5), 3, 5)
  expect(fifoOrder(s.history())).toEqual([])
  holds(entered(s, 4, 4), 4, 4)
  expect(texts(fifoOrder(s.history()))[0]).toBe('"n": ticket 4 was drawn after 5')
})

test('more than the capacity is found', () => {
  const s = story()
  holds(entered(s, 0, 1), 0, 1)
  holds(entered(s, 1, 2), 1, 2)
  expect(texts(fifoOrder(s.history()))).toEqual(['"n": ticket 2 holds, but 4 of 2 are taken'])
})

test('a ticket that is heavier than the capacity holds alone', () => {
  expect(fifoOrder(holds(entered(story(), 0, 1, 3), 0, 1).history())).toEqual([])
})

test('a holder that became lighter makes room', () => {
  const s = story()
  holds(entered(s, 0, 1), 0, 1)
  entered(s, 1, 2, 1)
  s.at(2, 'c', { kind: 'lightened', name: 'n', fence: 1, weight: 1 })
  holds(s, 2, 2)
  expect(fifoOrder(s.history())).toEqual([])
})

test('a ticket that comes back is found', () => {
  const s = story()
  holds(entered(s, 0, 1), 0, 1)
  left(s, 1, 1)
  holds(entered(s, 2, 1), 2, 1)
  expect(texts(fifoOrder(s.history()))).toEqual(['"n": ticket 1 came a second time'])
})

test('a ticket that is drawn behind a larger one is found, and one that holds without a place', () => {
  const s = story()
  holds(entered(s, 0, 5), 0, 5)
  entered(s, 1, 3)
  expect(texts(fifoOrder(s.history()))).toEqual(['"n": ticket 3 was drawn after 5'])
  expect(texts(fifoOrder(holds(story(), 0, 1).history()))).toEqual([
    '"n": ticket 1 holds, and does not stand in the queue',
  ])
})
