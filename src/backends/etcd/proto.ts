/**
 * The wire format of protocol buffers, as far as etcd needs it: a message is a table of its fields, which writes and reads it.
 *
 * What is left out when writing has its default for the other side; what was not sent has its default when reading, and a
 * field that the table does not know is skipped. The format: https://protobuf.dev/programming-guides/encoding/
 */

interface Codec {
  write(writer: Writer, message: object): void
  decode(bytes: Buffer): unknown
}

/** A message that contains itself is given as a function. */
type Kind = 'int' | 'id' | 'bool' | 'bytes' | 'text' | Codec | (() => Codec)

/** An `int` is an int64 that stays within 53 bits, as a revision or a count does; an `id` is any int64. */
type KindOf<V> = V extends number
  ? 'int'
  : V extends bigint
    ? 'id'
    : V extends boolean
      ? 'bool'
      : V extends Buffer
        ? 'bytes'
        : V extends string
          ? 'text'
          : Message<V> | (() => Message<V>)

/** How a field is written: its number, its kind, and whether there may be many of it. */
type FieldOf<V> = V extends readonly (infer E)[]
  ? readonly [number: number, kind: KindOf<E>, many: 'many']
  : readonly [number: number, kind: KindOf<V>]

type Field = readonly [number: number, kind: Kind, many?: 'many']

export type Fields<T> = { readonly [K in keyof T]-?: FieldOf<NonNullable<T[K]>> }

const [VARINT, FIXED64, LENGTH, FIXED32] = [0, 1, 2, 5]
const EMPTY = Buffer.alloc(0)

export class Message<T> {
  readonly #fields: readonly (readonly [name: string, ...Field])[]
  readonly #byNumber: (readonly [name: string, ...Field] | undefined)[] = []

  constructor(fields: Fields<T>) {
    const all: [string, Field][] = Object.entries(fields)
    this.#fields = all.map(([name, field]) => [name, ...field])
    for (const field of this.#fields) this.#byNumber[field[1]] = field
  }

  /** @param before so many bytes are left free in front of it */
  encode(message: Partial<T>, before = 0): Buffer {
    return WRITER.made(before, () => this.write(WRITER, message))
  }

  write(writer: Writer, message: Partial<T>): void {
    const values = message as Record<string, unknown>
    for (const [name, number, kind, many] of this.#fields) {
      const value = values[name]
      if (value === undefined) continue
      if (many) for (const each of value as readonly unknown[]) writer.field(number, kind, each)
      else writer.field(number, kind, value)
    }
  }

  /** @throws Error if these bytes are no such message */
  decode(bytes: Buffer): T {
    const message: Record<string, unknown> = {}
    for (const [name, , kind, many] of this.#fields) {
      const value = many ? [] : defaultOf(kind)
      if (value !== undefined) message[name] = value
    }
    const reader = new Reader(bytes)
    while (!reader.ended) {
      const tag = reader.int()
      const field = this.#byNumber[tag >>> 3]
      if (!field) {
        reader.skip(tag & 7)
        continue
      }
      const [name, , kind, many] = field
      const value = reader.value(kind)
      if (many) (message[name] as unknown[]).push(value)
      else message[name] = value
    }
    return message as T
  }
}

/** A message inside of a message has none. */
function defaultOf(kind: Kind): unknown {
  switch (kind) {
    case 'int':
      return 0
    case 'id':
      return 0n
    case 'bool':
      return false
    case 'bytes':
      return EMPTY
    case 'text':
      return ''
    default:
      return undefined
  }
}

function codecOf(kind: Codec | (() => Codec)): Codec {
  return typeof kind === 'function' ? kind() : kind
}

/** What a message is written into before it is known how long it is; the same for all, for buffers are what a call costs most. */
class Writer {
  #buffer = Buffer.allocUnsafeSlow(1024)
  #at = 0

  /** A copy of what `write` writes, behind so many bytes. */
  made(before: number, write: () => void): Buffer {
    this.#at = 0
    write()
    const made = Buffer.allocUnsafe(before + this.#at)
    this.#buffer.copy(made, before, 0, this.#at)
    return made
  }

  field(number: number, kind: Kind, value: unknown): void {
    switch (kind) {
      case 'int':
        this.#int(number * 8 + VARINT)
        return this.#int(value as number)
      case 'id':
        this.#int(number * 8 + VARINT)
        return this.#id(value as bigint)
      case 'bool':
        this.#int(number * 8 + VARINT)
        return this.#int(value ? 1 : 0)
      case 'bytes':
        return this.#bytes(number, value as Buffer)
      case 'text':
        return this.#bytes(number, Buffer.from(value as string))
      default:
        return this.#message(number, codecOf(kind), value as object)
    }
  }

  /** Its length stands before it, and takes a byte, unless it turns out to take more. */
  #message(number: number, codec: Codec, message: object): void {
    this.#int(number * 8 + LENGTH)
    this.#reserve(1)
    const start = this.#at
    this.#at += 1
    codec.write(this, message)
    const [end, length] = [this.#at, this.#at - start - 1]
    const more = bytesOfInt(length) - 1
    if (more > 0) {
      this.#reserve(more)
      this.#buffer.copyWithin(start + 1 + more, start + 1, end)
    }
    this.#at = start
    this.#put(length)
    this.#at = end + more
  }

  #bytes(number: number, bytes: Buffer): void {
    this.#int(number * 8 + LENGTH)
    this.#int(bytes.length)
    this.#reserve(bytes.length)
    bytes.copy(this.#buffer, this.#at)
    this.#at += bytes.length
  }

  /** Seven bits a byte, the lowest first; with division, since shifts end at 32 bits. Never negative. */
  #int(value: number): void {
    this.#reserve(8)
    this.#put(value)
  }

  #put(value: number): void {
    let rest = value
    while (rest > 0x7f) {
      this.#buffer[this.#at] = (rest % 0x80) | 0x80
      this.#at += 1
      rest = Math.floor(rest / 0x80)
    }
    this.#buffer[this.#at] = rest
    this.#at += 1
  }

  #id(value: bigint): void {
    this.#reserve(10)
    let rest = BigInt.asUintN(64, value)
    while (rest > 0x7fn) {
      this.#buffer[this.#at] = Number(rest & 0x7fn) | 0x80
      this.#at += 1
      rest >>= 7n
    }
    this.#buffer[this.#at] = Number(rest)
    this.#at += 1
  }

  #reserve(count: number): void {
    if (this.#at + count <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#buffer.length, this.#at + count))
    this.#buffer.copy(larger, 0, 0, this.#at)
    this.#buffer = larger
  }
}

const WRITER = new Writer()

function bytesOfInt(value: number): number {
  let bytes = 1
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes += 1
  return bytes
}

class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get ended(): boolean {
    return this.#at >= this.#bytes.length
  }

  value(kind: Kind): unknown {
    switch (kind) {
      case 'int':
        return this.int()
      case 'id':
        return this.#id()
      case 'bool':
        return this.int() !== 0
      case 'bytes':
        return this.#slice(this.int())
      case 'text':
        return this.#slice(this.int()).toString()
      default:
        return codecOf(kind).decode(this.#slice(this.int()))
    }
  }

  /** Up to 53 bits, and -1, which etcd says of a lease that is gone. */
  int(): number {
    const start = this.#at
    let value = 0
    let unit = 1
    for (;;) {
      const byte = this.#byte()
      value += (byte & 0x7f) * unit
      if (byte < 0x80) break
      unit *= 0x80
    }
    if (value <= Number.MAX_SAFE_INTEGER) return value
    this.#at = start
    return Number(this.#id())
  }

  skip(type: number): void {
    if (type === VARINT) while (this.#byte() >= 0x80);
    else if (type === LENGTH) this.#slice(this.int())
    else if (type === FIXED64) this.#slice(8)
    else if (type === FIXED32) this.#slice(4)
    else throw new Error(`protocol buffers: there is no wire type ${type}`)
  }

  #id(): bigint {
    let value = 0n
    for (let bits = 0n; ; bits += 7n) {
      const byte = this.#byte()
      value |= BigInt(byte & 0x7f) << bits
      if (byte < 0x80) return BigInt.asIntN(64, value)
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw new Error('protocol buffers: a message ends in the middle of a field')
    this.#at += 1
    return byte
  }

  #slice(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new Error('protocol buffers: a message ends in the middle of a field')
    const slice = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return slice
  }
}
