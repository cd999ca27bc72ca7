/**
 * What the keys of a name are called, and which ranges of keys the verbs look at.
 *
 * `holdfast/lock/NAME/w/SEAT` is an exclusive entry, `…/r/SEAT` one of readers, `…/n3/SEAT` one that counts in a capacity of 3.
 * The class stands before the seat so that a condition on a range can ask for all of one class, or for all but one.
 *
 * A seat is a process and a number, and is used again when it is free. etcd keeps the name of every key that ever was until it
 * is compacted, and looks at all of them to answer for a range: with a key for each entry, a name got slower with every use
 * (five times as slow after 16,000).
 */
import type { Entry } from '../../backend.ts'
import { BackendError, WHOLE } from '../../backend.ts'
import type { Compare } from './messages.ts'
import { IS, OF } from './messages.ts'

export interface KeyRange {
  readonly key: Buffer
  /** Behind the last key; empty for the one key. */
  readonly rangeEnd: Buffer
}

/** `w`, `r`, or `n` and a capacity; empty: another program has made it. */
export type Class = string

/** What a key says. */
export interface Parsed {
  readonly name: string
  readonly class: Class
  readonly seat: string
}

/** What the names of queues begin with that are locks, and that others may share. */
const LOCK = 'lock:'

/** What is often asked about a name. */
interface Known {
  readonly folder: string
  readonly all: KeyRange
  readonly nobody: readonly Partial<Compare>[]
  readonly onlyReaders: readonly Partial<Compare>[]
}

const KNOWN_MAX = 1000

/** Comes right after `/`: where the keys of a folder end. */
const BEHIND_SLASH = '0'

export class Naming {
  readonly #own: string
  readonly #interop: boolean
  /** Whoever locked a name is likely to lock it again. */
  readonly #known = new Map<string, Known>()

  /**
   * @param prefix what all keys begin with
   * @param interop locks are folders at the top, as those of `etcdctl lock` are, and their names are written as they are
   * @throws BackendError `MISCONFIGURED`
   */
  constructor(prefix: string, interop: boolean) {
    if (!isPrefix(prefix))
      throw new BackendError('MISCONFIGURED', 'keyPrefix must be a text without control characters')
    this.#own = `${prefix}/`
    this.#interop = interop
  }

  key(name: string, kind: Class, seat: string): Buffer {
    return Buffer.from(`${this.#knownOf(name).folder}${kind}/${seat}`)
  }

  /** All keys of a name. */
  all(name: string): KeyRange {
    return this.#knownOf(name).all
  }

  /** Conditions: nobody is there whom an entry of this class has to count. */
  alone(name: string, kind: Class): readonly Partial<Compare>[] {
    const { nobody, onlyReaders } = this.#knownOf(name)
    return kind === 'r' ? onlyReaders : nobody
  }

  /** Conditions: all that are there count in the same capacity. */
  agreeing(name: string, kind: Class): Partial<Compare>[] {
    if (!kind.startsWith('n')) return [absent(this.#between(name, 'n', 'o'))]
    const [mine, behindMine] = [`${kind}/`, `${kind}${BEHIND_SLASH}`]
    return [
      absent(this.#between(name, 'n', mine)),
      absent(this.#between(name, behindMine, 'o')),
      absent(this.#between(name, 'r/', `r${BEHIND_SLASH}`)),
      absent(this.#between(name, 'w/', `w${BEHIND_SLASH}`)),
    ]
  }

  /** Where the keys of the names that start with `prefix` lie, and some more. */
  starting(prefix: string): KeyRange[] {
    const own = beginningWith(`${this.#locks}${escape(prefix)}`)
    if (!this.#interop) return [own]
    if (prefix.startsWith(LOCK)) return [own, beginningWith(prefix.slice(LOCK.length))]
    return LOCK.startsWith(prefix) ? [own, beginningWith('')] : [own]
  }

  /** Whose key it is; `undefined`: nobody's. */
  parse(key: Buffer): Parsed | undefined {
    const text = key.toString()
    const [, folder, kind, seat] =
      /^(.*)\/([wr]|n\d+)\/([^/]+)$/s.exec(text) ?? /^(.*)\/()([\da-f]+)$/s.exec(text) ?? []
    if (folder === undefined || kind === undefined || seat === undefined) return undefined
    if (`${folder}/`.startsWith(this.#locks))
      return { name: unescape(folder.slice(this.#locks.length)), class: kind, seat }
    if (!this.#interop || text.startsWith(this.#own)) return undefined
    return { name: LOCK + folder, class: kind, seat }
  }

  /** What says which joins of a process still count; see `leases.ts`. */
  epoch(lease: bigint): Buffer {
    return Buffer.from(`${this.#own}process/${BigInt.asUintN(64, lease).toString(16)}`)
  }

  get #locks(): string {
    return `${this.#own}lock/`
  }

  #knownOf(name: string): Known {
    let known = this.#known.get(name)
    if (!known) {
      const all = this.#between(name, '', '')
      const others = [this.#between(name, '', 'r/'), this.#between(name, `r${BEHIND_SLASH}`, '')]
      known = { folder: this.#folder(name), all, nobody: [absent(all)], onlyReaders: others.map(absent) }
      if (this.#known.size === KNOWN_MAX) this.#known.clear()
      this.#known.set(name, known)
    }
    return known
  }

  #folder(name: string): string {
    if (this.#interop && name.startsWith(LOCK)) return `${name.slice(LOCK.length)}/`
    return `${this.#locks}${escape(name)}/`
  }

  /** From one end of a class to another; '' is the end of them all. */
  #between(name: string, from: string, to: string): KeyRange {
    const folder = this.#folder(name)
    const end = to === '' ? `${folder.slice(0, -1)}${BEHIND_SLASH}` : `${folder}${to}`
    return { key: Buffer.from(`${folder}${from}`), rangeEnd: Buffer.from(end) }
  }
}

export function isPrefix(prefix: unknown): boolean {
  return typeof prefix === 'string' && /^[^\p{Cc}]+$/u.test(prefix)
}

/** A folder ends at the first slash. */
function escape(name: string): string {
  return name.replaceAll('%', '%25').replaceAll('/', '%2F')
}

function unescape(text: string): string {
  return text.replaceAll('%2F', '/').replaceAll('%25', '%')
}

export function classOf({ weight, capacity }: Pick<Entry, 'weight' | 'capacity'>): Class {
  if (capacity !== WHOLE) return `n${capacity}`
  return weight === WHOLE ? 'w' : 'r'
}

/** All keys that begin with a text. */
function beginningWith(text: string): KeyRange {
  const key = Buffer.from(text)
  if (key.length === 0) return { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) }
  const rangeEnd = Buffer.from(key)
  rangeEnd[rangeEnd.length - 1]! += 1
  return { key, rangeEnd }
}

/** Of no key of the range it can be said when it was made. */
export function absent({ key, rangeEnd }: KeyRange): Partial<Compare> {
  return { key, rangeEnd, of: OF.create, is: IS.equal, createRevision: 0 }
}
