import { expect, test } from 'vitest'
import { WHOLE } from '../../src/backend.ts'
import { Table } from '../../src/queue/table.ts'
import { Wakes } from '../../src/queue/wakes.ts'

const at = (monotonicMs: number) => ({ monotonicMs, wallMs: monotonicMs })
const entry = (id: string) => ({
  name: 'a',
  id,
  weight: WHOLE,
  capacity: WHOLE,
  ttlMs: 100,
  waitTtlMs: 100,
  wait: true,
})

/** What was heard, in its order. */
function setUp() {
  const wakes = new Wakes()
  const heard: unknown[] = []
  const hear = (what: string) => (news?: unknown) => void heard.push(news === undefined ? what : [what, news])
  return { wakes, hear, heard: () => heard.splice(0) }
}

test('whoever watches an entry, or follows a name, is told; several are told in their order', () => {
  const { wakes, hear, heard } = setUp()
  wakes.watch('1', hear('one'))
  wakes.watch('1', hear('another'))
  wakes.watch('2', hear('two'))
  wakes.follow('a', hear('name'))
  wakes.wake('1', { held: 7n })
  expect(heard()).toEqual([
    ['one', { held: 7n }],
    ['another', { held: 7n }],
  ])
  wakes.wake('2')
  wakes.change('a')
  wakes.wake('3')
  wakes.change('b')
  expect(heard()).toEqual(['two', 'name'])
  wakes.wakeAll()
  expect(heard()).toEqual(['one', 'another', 'two', 'name'])
})

test('whoever stops is not told any more, and stopping twice takes nobody else away', () => {
  const { wakes, hear, heard } = setUp()
  const same = hear('same')
  const stops = [wakes.watch('1', same), wakes.watch('1', same), wakes.watch('1', hear('last'))]
  expect(wakes.watched()).toEqual(['1'])
  stops[0]!()
  stops[0]!()
  wakes.wake('1')
  expect(heard()).toEqual(['same', 'last'])
  stops[2]!()
  wakes.wake('1')
  expect(heard()).toEqual(['same'])
  expect(wakes.idle).toBe(false)
  stops[1]!()
  wakes.wake('1')
  expect(heard()).toEqual([])
  expect(wakes.watched()).toEqual([])
  expect(wakes.idle).toBe(true)
})

test('a name that is followed keeps it from being idle; after a clear nobody is told, and old stops do no harm', () => {
  const { wakes, hear, heard } = setUp()
  const stop = wakes.follow('a', hear('old'))
  expect(wakes.idle).toBe(false)
  wakes.watch('1', hear('entry'))
  wakes.clear()
  expect(wakes.idle).toBe(true)
  stop()
  const stopsOld = wakes.follow('a', hear('old'))
  wakes.clear()
  wakes.follow('a', hear('new'))
  stopsOld()
  wakes.change('a')
  wakes.wakeAll()
  expect(heard()).toEqual(['new', 'new'])
})

test('whoever is being told may stop others, who are told this once still', () => {
  const { wakes, hear, heard } = setUp()
  const stops: (() => void)[] = []
  stops.push(
    wakes.follow('a', () => {
      for (const stop of stops.splice(0)) stop()
      hear('first')()
    }),
    wakes.follow('a', hear('second')),
  )
  wakes.change('a')
  expect(heard()).toEqual(['first', 'second'])
  wakes.change('a')
  expect(heard()).toEqual([])
})

test('what a verb changed at a table is announced once', () => {
  const { wakes, hear, heard } = setUp()
  const table = new Table()
  table.join(entry('1'), at(0))
  const { fence } = table.seat('1')!
  for (const id of ['1', '2', '3']) wakes.watch(id, hear(id))
  wakes.follow('a', hear('a'))
  wakes.announce(table)
  expect(heard()).toEqual([['1', { held: BigInt(fence) }], 'a'])
  wakes.announce(table)
  expect(heard()).toEqual([])
  table.join(entry('2'), at(1))
  table.join(entry('3'), at(2))
  // The holder lingers for a shorter time than the first waiter was told.
  table.leave({ name: 'a', id: '1' }, at(3), 10)
  wakes.announce(table)
  expect(heard()).toEqual(['2'])
  table.leave({ name: 'a', id: '2' }, at(4))
  expect(table.shifted.map(({ id }) => id)).toEqual(['3'])
  wakes.announce(table)
  expect(heard()).toEqual([])
  expect(table.shifted).toEqual([])
})
