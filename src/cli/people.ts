/** Those in a queue, as text for people and as values for programs; and the commands that look at it and free it. */
import { clean } from '../core/text.ts'
import { whoText } from '../core/who.ts'
import type { Inspected, Inspection } from '../locks.ts'
import { LEAST_COLUMNS, cut, stopwatch, width } from './text.ts'
import type { Someone } from './voice.ts'

/** What stands before the second column of a report, at most. */
export const MARGIN = 13

/** `web-2 pid 4121 (alice, nightly) since 18:31:02 (3:37), fence 4711, lease 0:24 left` */
export function holderText(holder: Inspected): string {
  return `${nameOf(holder)} since ${sinceText(holder)}`
}

/** The same as two rows of a report: who, cut to the width of the terminal, and since when. */
export function holderRows(what: string, holder: Inspected, columns: number): string[][] {
  return [
    [what, cut(nameOf(holder), columns - MARGIN)],
    ['since', sinceText(holder)],
  ]
}

function sinceText({ heldMs, ageMs, lingering, fence, remainingMs }: Inspected): string {
  const ms = heldMs ?? ageMs
  const since = new Date(Date.now() - ms).toTimeString().slice(0, 8)
  const state = lingering ? 'minimum hold, ' : ''
  return `${since} (${stopwatch(ms)}), ${state}fence ${fence}, lease ${stopwatch(remainingMs)} left`
}

/** `web-2 pid 4121 (alice, nightly) for 0:14, fence 4712`, in so many columns: who is long is cut, and no number. */
export function waiterText(waiter: Inspected, room: number): string {
  const numbers = ` for ${stopwatch(waiter.ageMs)}, fence ${waiter.fence}`
  return `${cut(nameOf(waiter), Math.max(room - width(numbers), LEAST_COLUMNS))}${numbers}`
}

export function nameOf({ who }: Inspected): string {
  return whoText(who) ?? 'somebody'
}

export function someone({ fence, who, weight, ageMs, heldMs, remainingMs, lingering }: Inspected): Someone {
  const { host, pid, user, label, value } = who
  return {
    host,
    pid,
    user,
    label,
    value,
    fence: String(fence),
    weight,
    ageMs: Math.round(ageMs),
    heldMs: heldMs === undefined ? undefined : Math.round(heldMs),
    ttlMs: Math.round(remainingMs),
    ...(lingering ? { lingering } : {}),
  }
}

/** A queue, for a program. */
export function queueOf({ name, kind, capacity, holders, waiters }: Inspection): object {
  return { name, kind, capacity, holders: holders.map(someone), waiters: waiters.map(someone) }
}

/** `holdfast show deploy/api`, to be typed as it is. */
export function showCommand({ name }: Pick<Inspection, 'name'>): string {
  return `holdfast show ${quoted(name)}`
}

export function releaseCommand({ name, kind }: Pick<Inspection, 'name' | 'kind'>, fence: bigint): string {
  return `holdfast release ${quoted(name)} --fence ${fence}${kind === 'lock' ? '' : ` --kind ${kind}`}`
}

/** For a shell of the kind of sh. */
function quoted(name: string): string {
  const text = clean(name)
  const plain = /^[\w@%+=:,./-]+$/.test(text) && !text.startsWith('-')
  return plain ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}
