/** A state packed into words: how bits are laid out in them. */

/** A few bits of a word. */
export class Field {
  readonly #at: number
  readonly #mask: number

  constructor(at: number, bits: number) {
    this.#at = at
    this.#mask = (1 << bits) - 1
  }

  /** A field without bits is always 0. */
  get used(): boolean {
    return this.#mask !== 0
  }

  of(word: number): number {
    return (word >>> this.#at) & this.#mask
  }

  put(word: number, value: number): number {
    if (value > this.#mask) throw new RangeError(`${value} is more than a field of the state has room for`)
    return (word & ~(this.#mask << this.#at)) | (value << this.#at)
  }
}

/** Hands out the bits of one word, from the lowest on. */
export function fieldsOfWord(): (bits: number) => Field {
  let at = 0
  return (bits) => {
    at += bits
    if (at > 32) throw new RangeError('these rules need more than 32 bits for a word of the state')
    return new Field(at - bits, bits)
  }
}
