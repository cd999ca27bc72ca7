/** What the keys and channels of a name are called. All keys of one name lie in one slot of a cluster. */

import { BackendError } from '../../backend.ts'

/** head, order, ends, seats: see `script.ts`. */
export type Keys = readonly [head: string, order: string, ends: string, seats: string]

/** What is known of a name, for as long as it is remembered. */
export interface Known {
  readonly keys: Keys
  /** It was seen with more than one entry. */
  crowded: boolean
}

/** Whoever locks a name is likely to lock it again, or to renew it: 10,000 leases that are renewed by themselves cost a sixth less. */
const REMEMBERED_MAX = 20_000

export class Naming {
  readonly #prefix: string
  readonly #known = new Map<string, Known>()

  /** @throws BackendError `MISCONFIGURED`: a brace in the prefix would be taken for the hash tag */
  constructor(prefix: string) {
    if (typeof prefix !== 'string' || !/^[^{}\p{Cc}]+$/u.test(prefix))
      throw new BackendError('MISCONFIGURED', 'keyPrefix must be a text without braces and control characters')
    this.#prefix = prefix
  }

  of(name: string): Known {
    const known = this.#known.get(name)
    if (known) return known
    const head = `${this.#prefix}:{${escape(name)}}`
    const fresh: Known = { keys: [head, `${head}:order`, `${head}:ends`, `${head}:seats`], crowded: false }
    if (this.#known.size === REMEMBERED_MAX) this.#known.clear()
    this.#known.set(name, fresh)
    return fresh
  }

  /** Of a pattern that finds the heads of all names that start with `prefix`, and some keys that are none. */
  heads(prefix: string): string {
    return `${glob(`${this.#prefix}:{${escape(prefix)}`)}*}`
  }

  /** The name of a head; `undefined`: it is none. */
  nameOf(key: string): string | undefined {
    const start = `${this.#prefix}:{`
    if (!key.startsWith(start) || !key.endsWith('}')) return undefined
    return unescape(key.slice(start.length, -1))
  }

  /** What a node of a quorum knows of itself. No name has this key: there is no brace in it. */
  get memory(): string {
    return `${this.#prefix}:memory`
  }

  /** Told there: that the holders of a name are others, or their info. A channel with the name of the head. */
  changes(name: string): string {
    return this.of(name).keys[0]
  }

  /** Told there: what concerns the entries of one process. */
  inbox(process: string): string {
    return `${this.#prefix}:inbox:${process}`
  }
}

/** A hash tag ends at the first brace. */
function escape(name: string): string {
  return name.replaceAll(/[%{}]/g, (char) => `%${char.charCodeAt(0).toString(16)}`)
}

function unescape(tag: string): string {
  return tag.replaceAll(/%(25|7b|7d)/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
}

function glob(text: string): string {
  return text.replaceAll(/[\\*?[\]^]/g, (char) => `\\${char}`)
}
