import { randomBytes } from 'node:crypto'
import { crc32 as zlibs } from 'node:zlib'
import { expect, test } from 'vitest'
import { byTable, crc32 } from '../../src/backends/file/crc32.ts'

test('it is that of zlib, at any length, by the table and by itself', () => {
  for (const length of [0, 1, 2, 3, 100, 255, 256, 1000, 100_000]) {
    const bytes = randomBytes(length)
    expect(byTable(bytes), String(length)).toBe(zlibs(bytes))
    // Behind the last of these it is zlib's.
    expect(crc32(bytes), String(length)).toBe(zlibs(bytes))
  }
  expect(crc32(randomBytes(0))).toBe(0)
  // The check value of the catalogue of CRCs.
  for (const each of [byTable, crc32]) expect(each(Buffer.from('123456789'))).toBe(0xcb_f4_39_26)
})
