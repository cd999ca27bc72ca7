import { expect, test } from 'vitest'
import { FleetingMap, FleetingSet } from '../src/fleeting.ts'

/** Many more than it takes to be given a new table. */
const ROUNDS = 2000

test('a set keeps its members while thousands come and go', () => {
  const set = new FleetingSet<number>()
  for (let member = 0; member < ROUNDS; member += 1) {
    set.add(member)
    if (member >= 3) expect(set.delete(member - 3)).toBe(true)
  }
  expect(set.all()).toEqual([ROUNDS - 3, ROUNDS - 2, ROUNDS - 1])
  expect(set.size).toBe(3)
  expect(set.has(ROUNDS - 1)).toBe(true)
  expect(set.has(0)).toBe(false)
  expect(set.delete(0)).toBe(false)
})

test('a map keeps its entries while thousands come and go', () => {
  const map = new FleetingMap<string, number>()
  for (let index = 0; index < ROUNDS; index += 1) {
    map.set(`key ${index}`, index)
    if (index >= 2) expect(map.delete(`key ${index - 2}`)).toBe(true)
  }
  expect(map.keys()).toEqual([`key ${ROUNDS - 2}`, `key ${ROUNDS - 1}`])
  expect(map.values()).toEqual([ROUNDS - 2, ROUNDS - 1])
  expect(map.get(`key ${ROUNDS - 1}`)).toBe(ROUNDS - 1)
  expect(map.delete('key 0')).toBe(false)
  map.clear()
  expect(map.size).toBe(0)
})
