import { expect, test } from 'vitest'
import { backed } from '../../src/verify/checkers/backed.ts'
import type { Story } from './story.ts'
import { story, texts } from './story.ts'

const object = (s: Story) => texts(backed(s.history()))
const entry = { name: 'n', fence: 1 } as const
/** `a` holds by fence 1 from 0 on, as it believes and as the log says. */
const good = (...released: [] | [number]) =>
  story()
    .hold('a', 1, [0, 1, ...released], { until: 100 })
    .at(0, 'log', { kind: 'entered', ...entry, weight: 1, capacity: 1 })
    .at(0, 'log', { kind: 'holds', ...entry })
const left = (s: Story, at: number) => s.at(at, 'log', { kind: 'left', ...entry })

test('whoever believes while its entry holds is backed, and so is whoever still does', () => {
  expect(object(good())).toEqual([])
  expect(object(left(good(50), 60))).toEqual([])
  expect(object(left(good(), 100))).toEqual([])
})

test('a grant of which the log knows nothing is found: another fence, another name, a waiter', () => {
  const also = (name: string, fence: number) => good(50).hold('b', fence, [60, 61, 70], { name })
  expect(object(also('n', 2))).toEqual(['b: was granted 2, and the coordinator lets nobody hold by that'])
  expect(object(also('m', 1))).toHaveLength(1)
  expect(
    object(also('n', 2).at(55, 'log', { kind: 'entered', name: 'n', fence: 2, weight: 1, capacity: 1 })),
  ).toHaveLength(1)
})

test('without a log nothing is said', () => {
  expect(object(story().hold('a', 1, [0, 1, 50]))).toEqual([])
})

test('a belief that outlives its entry is found, with what shows it', () => {
  expect(object(left(good(), 95))).toEqual([])
  expect(object(left(good(), 94))).toEqual(['a: believed until 100, and its entry was gone at 94'])
  expect(object(left(good(60), 50))).toEqual(['a: believed until 60, and its entry was gone at 50'])
  const [violation] = backed(left(good(), 50).history())
  expect(violation!.events.map(({ kind }) => kind)).toEqual(['ask', 'granted', 'left'])
})

test('a renewal counts, and one that came back to life is two beliefs', () => {
  const renewed = good().at(50, 'a', { kind: 'deadline', hold: 'a', until: 300 })
  expect(object(left(renewed, 200))).toHaveLength(1)
  expect(object(left(renewed, 300))).toEqual([])
})

test('what the coordinator lost, or an operator evicted, nobody promised', () => {
  const forgotten = (name: string, at: number, until: number) =>
    left(good(), 50).at(at, 'log', { kind: 'forgotten', name, until })
  expect(object(forgotten('n', 40, 50))).toEqual([])
  expect(object(forgotten('n', 50, 60))).toEqual([])
  expect(object(forgotten('n', 40, 49))).toHaveLength(1)
  expect(object(forgotten('n', 51, 60))).toHaveLength(1)
  expect(object(forgotten('m', 40, 60))).toHaveLength(1)
  expect(object(left(good().at(50, 'log', { kind: 'evicted', ...entry }), 50))).toEqual([])
})
