import { describe, expect, test } from 'vitest'
import { cut, ordinal, stopwatch, width } from '../../src/cli/text.ts'
import { waitingText } from '../../src/cli/waiting.ts'
import { clean } from '../../src/core/text.ts'
import { whoText } from '../../src/core/who.ts'
import { entry, view } from './kit/views.ts'

describe('the waiting line', () => {
  test('says the name, the place, who holds it, since when, and the lease', () => {
    expect(waitingText(view(), 3n, 14_000, Infinity)).toBe(
      'waiting for deploy/api: 2nd of 3, 0:14; held 3:07 by web-2 pid 4121 (alice), lease 0:24',
    )
  })

  test.each([40, 79, 199])('fits into %i columns, whatever is long', (columns) => {
    const label = '漢字'.repeat(100)
    for (const name of ['x', 'n'.repeat(200), '漢'.repeat(170)]) {
      for (const who of [{}, { host: 'h', pid: 1, user: 'u', label }]) {
        for (const count of [1, 3]) {
          const holders = Array.from({ length: count }, () => entry(1n, { who }))
          const line = waitingText(view({ name, holders }), 2n, 3_600_000, columns)
          expect(width(line)).toBeLessThanOrEqual(columns)
          if (columns > 79) expect(line).toMatch(/1st of 3, 1:00:00; held 3:07 by .*, lease 0:24$/)
        }
      }
    }
  })

  test('at 80 columns the numbers stay, the name and the holder share what is left', () => {
    expect(waitingText(view({ name: 'n'.repeat(200) }), 2n, 14_000, 79)).toMatch(
      /^waiting for n+…: 1st of 3, 0:14; held 3:07 by web-2 pid .*, lease 0:24$/,
    )
  })

  test('without a holder or a place it says what it knows', () => {
    expect(waitingText(view({ holders: [] }), 9n, 1000, Infinity)).toBe('waiting for deploy/api: 0:01')
  })
})

test('nothing that steers a terminal gets through', () => {
  expect(clean('a\u001B[2Jb\u0007\r\n\u009B1mc\u202Ed\u2028e\u200Bf')).toBe('a[2Jb1mcdef')
  expect(whoText({ host: 'a\u001B]0;x\u0007b', pid: '7\n' as never, label: { toString: 'evil' } as never })).toBe(
    'a]0;xb pid 7',
  )
  expect(whoText({})).toBeUndefined()
})

test('width counts columns', () => {
  expect(['abc', '漢字', 'e\u0301', '🔒', ''].map(width)).toEqual([3, 4, 1, 2, 0])
  expect([cut('abcdef', 4), cut('漢字漢字', 4), cut('abc', 3), cut('abc', 0)]).toEqual(['abc…', '漢…', 'abc', ''])
})

test('durations as a stopwatch, places as people say them', () => {
  expect([0, 14_900, 187_000, 7_509_000, 352_800_000].map(stopwatch)).toEqual([
    '0:00',
    '0:14',
    '3:07',
    '2:05:09',
    '4d 2:00:00',
  ])
  expect([1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111].map(ordinal).join(' ')).toBe(
    '1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 101st 111th',
  )
})
