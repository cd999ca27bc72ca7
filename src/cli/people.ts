/** Those in a queue, as text for people and as values for programs; and the commands that look at it and free it. */
import { clean } from '../core/text.ts'
import { whoText } from '../core/who.ts'
import type { Inspected, Inspection } from '../locks.ts'
import { stopwatch } from './text.ts'
import type { Someone } from './voice.ts'

/** `web-2 pid 4121 (alice, nightly) since 18:31:02 (3:37), fence 4711, lease 0:24 left` */
export function holderText(holder: Inspected): string {
  const heldMs = holder.heldMs ?? holder.ageMs
  const since = new Date(Date.now() - heldMs).toTimeString().slice(0, 8)
  const state = holder.lingering ? 'minimum hold, ' : ''
  return `${nameOf(holder)} since ${since} (${stopwatch(heldMs)}), ${state}fence ${holder.fence}, lease ${stopwatch(holder.remainingMs)} left`
}

/** `web-2 pid 4121 (alice, nightly) for 0:14, fence 4712` */
export function waiterText(waiter: Inspected): string {
  return `${nameOf(waiter)} for ${stopwatch(waiter.ageMs)}, fence ${waiter.fence}`
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
