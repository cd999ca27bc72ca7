/** The codec, beside the examples of the format's own page, and with random messages there and back. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Message } from '../../src/backends/etcd/proto.ts'

interface Inner {
  readonly a: number
}

interface Whole {
  readonly count: number
  readonly id: bigint
  readonly yes: boolean
  readonly raw: Buffer
  readonly text: string
  readonly inner?: Inner
  readonly many: readonly number[]
  readonly inners: readonly Inner[]
  readonly far: number
}

const INNER = new Message<Inner>({ a: [1, 'int'] })
const WHOLE = new Message<Whole>({
  count: [1, 'int'],
  id: [2, 'id'],
  yes: [3, 'bool'],
  raw: [4, 'bytes'],
  text: [5, 'text'],
  inner: [6, INNER],
  many: [7, 'int', 'many'],
  inners: [8, INNER, 'many'],
  far: [1000, 'int'],
})
const EMPTY: Whole = { count: 0, id: 0n, yes: false, raw: Buffer.alloc(0), text: '', many: [], inners: [], far: 0 }

// https://protobuf.dev/programming-guides/encoding/
describe('the examples of the format', () => {
  test('150 in field 1', () => {
    expect(INNER.encode({ a: 150 }).toString('hex')).toBe('089601')
    expect(INNER.decode(Buffer.from('089601', 'hex'))).toEqual({ a: 150 })
  })

  test('the text "testing" in field 2, and a message in field 3', () => {
    const text = new Message<{ readonly b: string }>({ b: [2, 'text'] })
    expect(text.encode({ b: 'testing' }).toString('hex')).toBe('120774657374696e67')
    const outer = new Message<{ readonly c?: Inner }>({ c: [3, INNER] })
    expect(outer.encode({ c: { a: 150 } }).toString('hex')).toBe('1a03089601')
    expect(outer.decode(Buffer.from('1a03089601', 'hex'))).toEqual({ c: { a: 150 } })
  })

  test('-2 is ten bytes', () => {
    const signed = new Message<{ readonly a: bigint }>({ a: [1, 'id'] })
    expect(signed.encode({ a: -2n }).toString('hex')).toBe('08feffffffffffffffff01')
    expect(signed.decode(Buffer.from('08feffffffffffffffff01', 'hex'))).toEqual({ a: -2n })
    // As etcd says of a lease that is gone.
    expect(INNER.decode(Buffer.from('08ffffffffffffffffff01', 'hex'))).toEqual({ a: -1 })
  })
})

test('a message in a message in a message, of any length, in front of others, behind room for a frame', () => {
  interface Level<T> {
    readonly raw: Buffer
    readonly inner?: T
    readonly last: number
  }
  const fields = { raw: [1, 'bytes'], last: [3, 'int'] } as const
  const third = new Message<{ readonly raw: Buffer; readonly last: number }>(fields)
  const second = new Message<Level<{ readonly raw: Buffer; readonly last: number }>>({ ...fields, inner: [2, third] })
  const first = new Message<Level<Level<{ readonly raw: Buffer; readonly last: number }>>>({
    ...fields,
    inner: [2, second],
  })
  // Around 127 and 16,383 a length takes a byte more, and around 1,024 and its doubles what is written into grows.
  const lengths = [
    0,
    1,
    2,
    ...range(110, 135),
    ...range(990, 1040),
    ...range(2030, 2060),
    ...range(16_360, 16_390),
    100_000,
  ]
  for (const length of lengths) {
    const raw = Buffer.alloc(length, length % 251)
    const message = { raw: Buffer.from('a'), inner: { raw, inner: { raw, last: 1 }, last: 300 }, last: 2 }
    const bytes = first.encode(message, 5)
    expect(first.decode(bytes.subarray(5)), String(length)).toEqual(message)
  }
  expect(third.encode({ last: 1 }, 5).subarray(5).toString('hex')).toBe('1801')
})

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}

const int = fc.oneof(fc.nat(), fc.maxSafeNat())
const messages = fc.record({
  count: int,
  id: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  yes: fc.boolean(),
  raw: fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
  text: fc.string({ unit: 'grapheme' }),
  inner: fc.record({ a: int }),
  many: fc.array(int),
  inners: fc.array(fc.record({ a: int })),
  far: int,
})

test('what was written is read', () => {
  fc.assert(
    fc.property(messages, (message) => {
      expect(WHOLE.decode(WHOLE.encode(message))).toEqual(message)
    }),
  )
})

test('what is left out has its default, and what is not known is skipped', () => {
  expect(WHOLE.decode(Buffer.alloc(0))).toEqual(EMPTY)
  fc.assert(
    fc.property(messages, (message) => {
      const { count } = message
      const some = new Message<Pick<Whole, 'count'>>({ count: [1, 'int'] })
      expect(some.decode(WHOLE.encode(message))).toEqual({ count })
    }),
  )
  // A fixed64 in field 15, and a fixed32 in field 14.
  const fixed = Buffer.from('79010203040506070875010203040805', 'hex')
  expect(INNER.decode(fixed)).toEqual({ a: 5 })
})

test('half a message is an error, and never a wrong message of its own making', () => {
  fc.assert(
    fc.property(messages, fc.double({ min: 0, max: 1, noNaN: true }), (message, share) => {
      const bytes = WHOLE.encode(message)
      const half = bytes.subarray(0, Math.floor(share * bytes.length))
      try {
        WHOLE.decode(half)
      } catch (error) {
        expect((error as Error).message).toMatch(/protocol buffers/)
      }
    }),
  )
  expect(() => INNER.decode(Buffer.from('0896', 'hex'))).toThrow('in the middle of a field')
  expect(() => WHOLE.decode(Buffer.from('2a05616263', 'hex'))).toThrow('in the middle of a field')
  expect(() => INNER.decode(Buffer.from('1b', 'hex'))).toThrow('no wire type')
})
