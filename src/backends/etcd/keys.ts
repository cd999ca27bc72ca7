/**
 * What the keys of a name are called, and which ranges of keys the verbs look at.
 *
 * `holdfast/lock/NAME/w/ID` is an exclusive entry, `…/r/ID` one of readers, `…/n3/ID` one that counts in a capacity of 3. The
 * class stands before the id so that a condition on a range can ask for all of one class, or for all but one.
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

/** `w`, `r`, or `n` and a capacity. */
export type Class = string

/** What a key says. */
export interface Parsed {
  readonly name: string
  readonly class: Class
  readonly id: string
}

/** Comes right after `/`: where the keys of a folder end. */
const BEHIND_SLASH = '0'

export class Naming {
  readonly #locks: string
  readonly #processes: string
  readonly #plain: boolean

  /**
   * @param prefix what all keys begin with
   * @param plain names are written as they are, right at the top, as `etcdctl lock` does
   * @throws BackendError `MISCONFIGURED`
   */
  constructor(prefix: string, plain: boolean) {
    if (typeof prefix !== 'string' || !/^[^\p{Cc}]+$/u.test(prefix))
      throw new BackendError('MISCONFIGURED', 'keyPrefix must be a text without control characters')
    this.#locks = plain ? '' : `${prefix}/lock/`
    this.#processes = `${prefix}/process/`
    this.#plain = plain
  }

  key(name: string, kind: Class, id: string): Buffer {
    return Buffer.from(`${this.#folder(name)}${kind}/${id}`)
  }

  /** All keys of a name. */
  all(name: string): KeyRange {
    return this.#between(name, '', '')
  }

  /** Conditions: nobody is there whom an entry of this class has to count. */
  alone(name: string, kind: Class): Partial<Compare>[] {
    if (kind !== 'r') return [absent(this.all(name))]
    return [absent(this.#between(name, '', 'r/')), absent(this.#between(name, `r${BEHIND_SLASH}`, ''))]
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

  /** All keys of the names that start with `prefix`. */
  starting(prefix: string): KeyRange {
    return folderOf(`${this.#locks}${this.#escape(prefix)}`)
  }

  /** `undefined`: it is none of ours. */
  parse(key: Buffer): Parsed | undefined {
    const text = key.toString()
    if (!text.startsWith(this.#locks)) return undefined
    const match = /^(.*)\/([wr]|n\d+)\/([^/]+)$/s.exec(text.slice(this.#locks.length))
    return match ? { name: this.#unescape(match[1]!), class: match[2]!, id: match[3]! } : undefined
  }

  /** Whose entries a key is among that is not ours: what stands before its last part. */
  folderOf(key: Buffer): string {
    const text = key.toString().slice(this.#locks.length)
    return this.#unescape(text.slice(0, Math.max(0, text.lastIndexOf('/'))))
  }

  /** What says which joins of a process still count; see `leases.ts`. */
  epoch(lease: bigint): Buffer {
    return Buffer.from(`${this.#processes}${BigInt.asUintN(64, lease).toString(16)}`)
  }

  #folder(name: string): string {
    return `${this.#locks}${this.#escape(name)}/`
  }

  /** From one end of a class to another; '' is the end of them all. */
  #between(name: string, from: string, to: string): KeyRange {
    const folder = this.#folder(name)
    const end = to === '' ? `${folder.slice(0, -1)}${BEHIND_SLASH}` : `${folder}${to}`
    return { key: Buffer.from(`${folder}${from}`), rangeEnd: Buffer.from(end) }
  }

  /** A folder ends at the first slash. */
  #escape(name: string): string {
    return this.#plain ? name : name.replaceAll('%', '%25').replaceAll('/', '%2F')
  }

  #unescape(text: string): string {
    return this.#plain ? text : text.replaceAll('%2F', '/').replaceAll('%25', '%')
  }
}

export function classOf({ weight, capacity }: Pick<Entry, 'weight' | 'capacity'>): Class {
  if (capacity !== WHOLE) return `n${capacity}`
  return weight === WHOLE ? 'w' : 'r'
}

/** All keys that begin with a text. */
function folderOf(text: string): KeyRange {
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
