import fc from 'fast-check'
import { expect, test } from 'vitest'
import { describe as shown, parseDuration } from '../../src/core/duration.ts'
import { ArgumentTypeError } from '../../src/core/errors.ts'

test.each([
  [0, 0],
  [1.5, 1.5],
  [Infinity, Infinity],
  ['0s', 0],
  ['250ms', 250],
  ['30s', 30_000],
  ['1.5h', 5_400_000],
  ['5m', 300_000],
  ['1d', 86_400_000],
] as const)('%j is %d ms', (value, ms) => {
  expect(parseDuration(value, 'ttl')).toBe(ms)
})

test.each([
  [-1, RangeError, 'ttl is -1; a duration is 0 or more'],
  [NaN, RangeError, 'ttl is NaN'],
  [-Infinity, RangeError, 'ttl is -Infinity'],
  ['30', TypeError, "'30s' for seconds, or the number 30 for milliseconds"],
  ['', TypeError, "ttl is ''"],
  ['-5s', TypeError, "ttl is '-5s'"],
  ['5 s', TypeError, 'a duration is a number with a unit'],
  ['5S', TypeError, 'a duration is a number with a unit'],
  ['1e3ms', TypeError, 'a duration is a number with a unit'],
  ['Infinity', TypeError, 'a duration is a number with a unit'],
  ['5s\n', TypeError, 'a duration is a number with a unit'],
  ['x'.repeat(10_000), TypeError, 'a duration is a number with a unit'],
  [undefined, TypeError, 'ttl is undefined; give milliseconds as a number'],
  [null, TypeError, 'ttl is null'],
  [{}, TypeError, 'ttl is a object'],
])('%j is refused, with the reason', (value, type, message) => {
  const read = () => parseDuration(value as string, 'ttl')
  expect(read).toThrow(type)
  expect(read).toThrow(message)
  expect(read).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
})

test.each(['x30', '30x', '3 0', ''])('what is no number at all is not explained as one: %j', (text) => {
  const message = `ttl is '${text}'; a duration is a number with a unit: '250ms', '30s', '5m', '1h'`
  expect(() => parseDuration(text, 'ttl')).toThrow(new ArgumentTypeError(message))
})

test('every number with a unit is read as that number times that unit', () => {
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
  const numbers = fc.oneof(
    fc.nat(),
    fc.tuple(fc.nat(9999), fc.nat(999)).map(([whole, part]) => Number(`${whole}.${part}`)),
  )
  fc.assert(
    fc.property(numbers, fc.constantFrom(...(Object.keys(units) as (keyof typeof units)[])), (number, unit) => {
      expect(parseDuration(`${number}${unit}`, 'ttl')).toBe(number * units[unit])
    }),
  )
})

test('whatever is given, it is a duration of 0 or more, or an error with a code', () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      try {
        expect(parseDuration(value as string, 'ttl')).toBeGreaterThanOrEqual(0)
      } catch (error) {
        expect(error).toMatchObject({ code: 'BAD_ARGUMENT' })
      }
    }),
  )
})

test('a value in a message is short, and does not show what it holds', () => {
  expect([shown('a'), shown('x'.repeat(40)), shown('x'.repeat(41)), shown([1]), shown({ secret: 1 })]).toEqual([
    "'a'",
    `'${'x'.repeat(40)}'`,
    'text of 41 characters',
    'an array',
    'a object',
  ])
  expect([shown(true), shown(5), shown(undefined), shown(null)]).toEqual(['true', '5', 'undefined', 'null'])
})
