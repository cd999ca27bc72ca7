import { expect, test } from 'vitest'
import type { Event } from '../../../src/verify/history.ts'
import { timelineOf } from '../../../src/verify/report/timeline.ts'
import type { Story } from '../story.ts'
import { story } from '../story.ts'
import { turns } from './samples.ts'

const drawn = (events: readonly Event[], at: number): string => timelineOf({ at, about: 'what there is', events }).text
const drawing = (tale: Story, at: number): string => drawn(tale.history().events, at)

/** Of each shape of this class: from when until when, from the middle. */
function spans(svg: string, kind: string): [number, number][] {
  const shapes = svg.matchAll(new RegExp(`<rect class="${kind}(?: off)?" data-a="([^"]+)" data-b="([^"]+)"`, 'g'))
  return [...shapes].map(([, a, b]) => [Number(a), Number(b)])
}

/** When each mark of this kind stands. */
function marks(svg: string, kind: string): number[] {
  return [...svg.matchAll(new RegExp(`href="#mark-${kind}" data-a="([^"]+)"`, 'g'))].map(([, a]) => Number(a))
}

test('waiting is a thin bar from the ask to the answer, belief a bar with its fence, release a mark', () => {
  const svg = drawing(story().hold('a', 12, [100, 150, 300]), 150)
  expect(spans(svg, 'waits')).toEqual([[-50, 0]])
  expect(spans(svg, 'exclusive')).toEqual([[0, 150]])
  expect(svg).toMatch(/<text class="inside" data-a="0" data-b="150"[^>]*>12<\/text>/)
  expect(marks(svg, 'released')).toEqual([150])
  expect(spans(svg, 'late')).toEqual([])
})

test('who gave up has waited until then', () => {
  const tale = story()
    .at(5, 'a', { kind: 'ask', hold: 'a', name: 'n', waits: true })
    .at(25, 'a', { kind: 'gave-up', hold: 'a', code: 'WAIT_TIMEOUT' })
  expect(spans(drawing(tale, 5), 'waits')).toEqual([[0, 20]])
  expect(marks(drawing(tale, 5), 'gave-up')).toEqual([20])
})

test('between the deadline and the loss that is told it is hatched, and the telling is a mark', () => {
  const tale = story()
    .hold('a', 1, [0, 0, 90], { until: 40 })
    .at(70, 'a', { kind: 'lost', hold: 'a', by: 'signal', reason: 'expired' })
    .at(95, 'coordinator', { kind: 'left', name: 'n', fence: 1 })
  const svg = drawing(tale, 0)
  expect(spans(svg, 'exclusive')).toEqual([[0, 40]])
  expect(spans(svg, 'late')).toEqual([[40, 70]])
  expect(marks(svg, 'lost')).toEqual([70])
  // A release that comes after it ends nothing any more.
  expect(marks(svg, 'released')).toEqual([])
})

test('where a renewal came late it is hatched, too', () => {
  const tale = story().hold('a', 1, [0, 0, 90], { until: 10 }).at(50, 'a', { kind: 'deadline', hold: 'a', until: 120 })
  expect(spans(drawing(tale, 0), 'exclusive')).toEqual([
    [0, 10],
    [50, 90],
  ])
  expect(spans(drawing(tale, 0), 'late')).toEqual([[10, 50]])
})

test('a death is a mark, and so is the end of the lease that it left behind', () => {
  const tale = story()
    .hold('a', 1, [0, 0], { until: 100 })
    .at(30, 'a', { kind: 'crash' })
    .at(110, 'coordinator', { kind: 'left', name: 'n', fence: 1 })
  const svg = drawing(tale, 0)
  expect(spans(svg, 'exclusive')).toEqual([[0, 30]])
  expect(marks(svg, 'crash')).toEqual([30])
  expect(marks(svg, 'left')).toEqual([110])
})

test('a pause is a band in the lanes of its process, and a band through all of them if it has none', () => {
  const tale = story().hold('a', 1, [0, 0, 90]).hold('b', 2, [5, 95, 99])
  const own = drawing(tale.at(20, 'a', { kind: 'pause', until: 60, asleep: false }), 0)
  expect(spans(own, 'pause')).toEqual([[20, 60]])
  expect(own).toContain('>stands still</text>')
  const all = drawing(tale.at(30, 'redis 1', { kind: 'pause', until: 70, asleep: false }), 0)
  expect(spans(all, 'fault')).toEqual([[30, 70]])
  expect(all).toContain('redis 1 stands still for 40 ms')
})

test('a fault is a line with its text, and says whose it is if it strikes one of the lanes', () => {
  const tale = story()
    .hold('a', 1, [0, 0, 90])
    .at(20, 'nemesis', { kind: 'fault', what: 'the server restarts' })
    .at(30, 'a', { kind: 'fault', what: 'requests cut' })
    .at(80, 'nemesis', { kind: 'healed' })
  const svg = drawing(tale, 20)
  expect(svg.match(/<rect class="fault line"/g)).toHaveLength(3)
  expect(svg).toContain('>the server restarts</text>')
  expect(svg).toContain('>a: requests cut</text>')
  expect(svg).toContain('>the last fault is over</text>')
})

test('an overlap is a red band with the fences of both, in the block that stands first', () => {
  const tale = story().hold('x', 1, [0, 0, 10], { name: 'another' }).hold('a', 7, [0, 0, 10]).hold('b', 8, [0, 4, 20])
  const svg = drawing(tale, 4)
  expect(spans(svg, 'overlap')).toEqual([[0, 6]])
  expect(svg).toContain('>7 and 8 at once, 6 ms</text>')
  expect(svg.indexOf('>n<title>')).toBeLessThan(svg.indexOf('>another<title>'))
})

test('accesses are marks: accepted or refused', () => {
  const svg = drawn(turns({ rounds: 3 }), 0)
  expect(marks(svg, 'accepted')).toHaveLength(5)
  expect(marks(svg, 'refused')).toHaveLength(1)
})

test('each process has a lane of its name, and another one for what it does at the same time', () => {
  const tale = story().hold('a', 1, [0, 0, 10]).hold('b', 2, [5, 11, 20])
  expect(drawing(tale, 0).match(/<text y="\d+">(?:a|b)</g)).toHaveLength(2)
  tale.at(3, 'a', { kind: 'ask', hold: 'a2', name: 'n', waits: true })
  expect(drawing(tale, 0).match(/<text y="\d+">a</g)).toHaveLength(2)
})

test('the middle is in the middle, and what happens there can be seen from its begin to its end', () => {
  const events = turns({ rounds: 100 })
  const refused = events.find((event) => event.kind === 'access' && !event.accepted)!
  const svg = drawn(events, refused.at)
  expect(svg).toMatch(/<rect class="middle line" data-a="0" x="50%"/)
  const [, from, span] = /data-from="([^"]+)" data-span="([^"]+)"/.exec(svg)!.map(Number)
  expect(from).toBe(-span! / 2)
  // Its holder was granted 1,424 ms before, and that is in sight.
  expect(from).toBeLessThan(-1424)
})

test('nothing at all is drawn as nothing', () => {
  expect(drawn([], 5)).toContain('<svg class="plot"')
})
