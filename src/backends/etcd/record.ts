/**
 * What stands in a key: an entry, as JSON for whoever looks with `etcdctl`. What is not ours counts as an exclusive entry.
 *
 * Before what belongs to nobody any more stands a `~`, so that a condition on the value can tell it from the others.
 */
import { BackendError, WHOLE } from '../../backend.ts'
import type { Compare, KeyValue } from './messages.ts'
import { IS, OF } from './messages.ts'

const VERSION = 1
const LINGERS = '~'

/** What an entry says of itself. Durations in milliseconds. */
export interface Record {
  /** The owner token; of what others have put in, nothing. */
  readonly id: string
  readonly weight: number
  readonly capacity: number
  /** How long it is kept without renewal, lock delay included. */
  readonly keptMs: number
  /** When it joined and when it came to hold, by the wall clock of whoever made it; for people. */
  readonly joinedAt: number
  readonly heldAt?: number | undefined
  readonly lingering?: boolean
  readonly info?: string | undefined
  /** Made by a holdfast that writes otherwise. */
  readonly version?: number | undefined
}

export function encode({ id, weight, capacity, keptMs, joinedAt, heldAt, lingering, info }: Record): Buffer {
  const text = JSON.stringify({ holdfast: VERSION, id, weight, capacity, keptMs, joinedAt, heldAt, info })
  return Buffer.from(lingering ? LINGERS + text : text)
}

export function decode(value: Buffer): Record {
  const text = value.toString()
  const lingering = text.startsWith(LINGERS)
  const said = parsed(lingering ? text.slice(1) : text)
  if (said?.holdfast === VERSION) return { ...said, lingering }
  return { id: '', weight: WHOLE, capacity: WHOLE, keptMs: Infinity, joinedAt: 0, version: said?.holdfast }
}

function parsed(text: string): (Record & { readonly holdfast: number }) | undefined {
  if (!text.startsWith('{"holdfast":')) return undefined
  try {
    return JSON.parse(text) as Record & { readonly holdfast: number }
  } catch {
    return undefined
  }
}

/** @throws BackendError `STORE_VERSION` if one of them was made by a holdfast that we do not understand */
export function checkVersions(records: Iterable<Record>): void {
  for (const { version } of records) {
    if (version !== undefined)
      throw new BackendError('STORE_VERSION', `etcd: an entry was made by another version of holdfast (${version})`)
  }
}

/** Condition: the key is there, and somebody's. */
export function owned(key: Buffer): Partial<Compare> {
  return { key, of: OF.value, is: IS.less, value: Buffer.from(LINGERS) }
}

/** Condition: nothing has changed it since. */
export function unchanged({ key, modRevision }: Pick<KeyValue, 'key' | 'modRevision'>): Partial<Compare> {
  return { key, of: OF.modified, is: IS.equal, modRevision }
}

/** Condition: it is the one that drew this ticket. */
export function ticket({ key, fence }: { readonly key: Buffer; readonly fence: number }): Partial<Compare> {
  return { key, of: OF.create, is: IS.equal, createRevision: fence }
}
