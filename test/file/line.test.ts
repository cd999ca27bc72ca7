/** What one line of the log looks like; `rotation.test.ts` reads lines of every kind back, and cuts them off. */
import { expect, test } from 'vitest'
import type { Entry } from '../../src/backend.ts'
import type { Line, Verb } from '../../src/backends/file/line.ts'
import { decodeLine, decodeText, eachLine, encodeLine, encodeText } from '../../src/backends/file/line.ts'

const now = { monotonicMs: 1.5, wallMs: 7 }
const entry: Entry = { name: 'n', id: 'i', weight: 1, capacity: 2, ttlMs: 30, waitTtlMs: 20, wait: true }

/** As it stands in the file, without the line ends. */
function written(...verbs: Verb[]): Buffer {
  return encodeLine({ instance: 'x', now, verbs }).subarray(1, -1)
}

/** The same without its checksum, as JSON. */
function packed(...verbs: Verb[]): unknown[] {
  return JSON.parse(
    written(...verbs)
      .toString()
      .slice(0, -9),
  ) as unknown[]
}

const verbs: readonly Verb[] = [
  ['join', entry],
  ['join', { ...entry, info: 'me', wait: false }],
  ['join', { ...entry, waitersMax: 0 }],
  ['join', { ...entry, lockDelayMs: 0, info: '' }],
  ['join', { ...entry, waitersMax: 3, lockDelayMs: 4, info: 'me' }],
  ['renew', { name: 'n', id: 'i' }, 30],
  ['renewals', 'n', 30, [7, 8, 20]],
  ['leave', { name: 'n', id: 'i' }, 5],
  ['lighten', { name: 'n', id: 'i' }, 1],
  ['describe', { name: 'n', id: 'i' }, 'text'],
  ['evict', 'n', 7],
  ['follow', 'n', true],
  ['bury', 'other'],
  ['reserve', 9],
  ['seal'],
]

test('every verb is read as it was written, alone and among others', () => {
  for (const each of [...verbs.map((verb) => [verb]), verbs]) {
    const line: Line = { instance: 'x', now, verbs: each }
    expect(decodeLine(written(...each))).toStrictEqual(line)
  }
})

test('claims travel without keys, fences as distances, and what is rare only when it is there', () => {
  const [instance, monotonicMs, wallMs, list, ...infos] = packed(...verbs) as [string, number, number, unknown[]]
  expect([instance, monotonicMs, wallMs]).toEqual(['x', 1.5, 7])
  expect(infos).toEqual(['me', ''])
  expect(list).toEqual([
    ['join', 'n', 'i', 1, 2, 30, 20, true, null],
    ['join', 'n', 'i', 1, 2, 30, 20, false, 0],
    ['join', 'n', 'i', 1, 2, 30, 20, true, null, 0, null],
    ['join', 'n', 'i', 1, 2, 30, 20, true, 1, null, 0],
    ['join', 'n', 'i', 1, 2, 30, 20, true, 0, 3, 4],
    ['renew', 'n', 'i', 30],
    ['renewals', 'n', 30, [7, 1, 12]],
    ['leave', 'n', 'i', 5],
    ['lighten', 'n', 'i', 1],
    ['describe', 'n', 'i', 'text'],
    ['evict', 'n', 7],
    ['follow', 'n', true],
    ['bury', 'other'],
    ['reserve', 9],
    ['seal'],
  ])
})

test('a line is closed on both sides, and its checksum is that of its text, eight digits wide', () => {
  const bytes = encodeText('[159]')
  expect(bytes.toString()).toMatch(/^\n\[159\] [0-9a-f]{8}\n$/)
  expect(decodeText(bytes.subarray(1, -1))).toBe('[159]')
  // One whose checksum begins with a zero.
  const texts = Array.from({ length: 64 }, (_, index) => encodeText(String(index)).toString())
  expect(texts.some((text) => /^\n\d+ 0/.test(text))).toBe(true)
  for (const [index, text] of texts.entries()) expect(decodeText(Buffer.from(text.trim()))).toBe(String(index))
})

test('what is torn or changed in any byte is no line', () => {
  const whole = written(...verbs)
  for (let end = 0; end < whole.length; end += 1) {
    expect(decodeLine(whole.subarray(0, end))).toBe(undefined)
    const changed = Buffer.from(whole)
    changed[end]! ^= 0x02
    // What stands between the text and its checksum says nothing.
    if (end !== whole.length - 9) expect(decodeLine(changed), String(end)).toBe(undefined)
  }
  for (const nothing of ['', 'x', ' 00000000', 'x00000000']) expect(decodeText(Buffer.from(nothing))).toBe(undefined)
  expect(decodeText(encodeText('x').subarray(1, -1))).toBe('x')
})

test('lines are visited until one says no; empty ones are skipped, and one without its end is not read', () => {
  const bytes = Buffer.from('\none\n\n\ntwo\nthree\nfo')
  const visit = (last?: string): [string[], number] => {
    const seen: string[] = []
    const read = eachLine(bytes, (line) => seen.push(line.toString()) > 0 && line.toString() !== last)
    return [seen, read]
  }
  expect(visit()).toEqual([['one', 'two', 'three'], 17])
  expect(visit('two')).toEqual([['one', 'two'], 11])
  expect(eachLine(Buffer.from('fo'), () => true)).toBe(0)
})
