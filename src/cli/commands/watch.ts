/** `holdfast watch [GLOB]`: what happens in the queues, seen by looking again and again. */
import { setTimeout as sleep } from 'node:timers/promises'
import { clean } from '../../core/text.ts'
import type { Inspected, Inspection } from '../../locks.ts'
import { withLocks } from '../coordinator.ts'
import type { Ending } from '../exit.ts'
import { exitCodeOf, EXIT, usageError } from '../exit.ts'
import { matching, onePattern } from '../names.ts'
import { nameOf, someone } from '../people.ts'
import type { Given, WatchValues } from '../table.ts'
import { ordinal, print, stopwatch } from '../text.ts'
import { say } from '../voice.ts'

const EVERY_MS = 1000
const EVERY_LEAST_MS = 50

/** What can be seen to have happened to somebody. `over`: it has left, and its minimum hold or lock delay runs out. */
export type Happened = 'waits' | 'holds' | 'over' | 'gone'

export interface Seen {
  readonly view: Inspection
  readonly entry: Inspected
  readonly happened: Happened
  /** Of one that waits. */
  readonly place: number | undefined
}

export async function watch({ values, words }: Given<WatchValues>): Promise<Ending> {
  const pattern = onePattern('watch', words)
  const everyMs = values.every ?? EVERY_MS
  if (everyMs < EVERY_LEAST_MS) throw usageError(`--every must be ${EVERY_LEAST_MS} ms or more`)
  return withLocks(values.url, async (locks) => {
    let known = new Map<string, Seen>()
    let away = false
    for (;;) {
      try {
        const views = await matching(locks, pattern)
        const now = seenIn(views)
        const at = new Date()
        const lines = changes(known, now).map((seen) => (values.json ? said(seen, at) : line(seen, at)))
        // As whoever writes into a pipe that nobody reads.
        if (!print(1, lines.join(''))) return { signal: 'SIGPIPE' }
        known = now
        if (away) say('the coordinator answers again')
        away = false
      } catch (error) {
        // It may come back; what was missed is not known.
        if (exitCodeOf(error) !== EXIT.unavailable) throw error
        if (!away) say((error as Error).message)
        away = true
      }
      await sleep(everyMs)
    }
  })
}

/** By queue and fence. */
export function seenIn(views: readonly Inspection[]): Map<string, Seen> {
  const seen = new Map<string, Seen>()
  const key = ({ name, kind }: Inspection, { fence }: Inspected): string => `${kind} ${fence} ${name}`
  for (const view of views) {
    for (const entry of view.holders)
      seen.set(key(view, entry), { view, entry, happened: entry.lingering ? 'over' : 'holds', place: undefined })
    for (const [at, entry] of view.waiters.entries())
      seen.set(key(view, entry), { view, entry, happened: 'waits', place: at + 1 })
  }
  return seen
}

/** What has happened between two looks: first who is gone, then who came, in the order of their names. */
export function changes(before: ReadonlyMap<string, Seen>, now: ReadonlyMap<string, Seen>): Seen[] {
  const gone = [...before].filter(([key]) => !now.has(key)).map(([, seen]): Seen => ({ ...seen, happened: 'gone' }))
  const come = [...now].filter(([key, seen]) => before.get(key)?.happened !== seen.happened).map(([, seen]) => seen)
  return [...gone, ...come]
}

function line({ view, entry, happened, place }: Seen, at: Date): string {
  const detail = {
    waits: `${place ? `${ordinal(place)} of ${view.waiters.length}, ` : ''}fence ${entry.fence}`,
    holds: `after ${stopwatch(entry.ageMs - (entry.heldMs ?? entry.ageMs))}, fence ${entry.fence}`,
    over: `minimum hold ${stopwatch(entry.remainingMs)} more, fence ${entry.fence}`,
    gone: `fence ${entry.fence}`,
  }[happened]
  const name = `${clean(view.name)}${view.kind === 'lock' ? '' : ` (${view.kind})`}`
  return `${at.toTimeString().slice(0, 8)}  ${happened.padEnd(5)}  ${name}  ${nameOf(entry)}, ${detail}\n`
}

function said({ view, entry, happened, place }: Seen, at: Date): string {
  const { name, kind } = view
  const event = { type: `lock.${happened}`, name, kind, position: place, entry: someone(entry), at: at.toISOString() }
  return `${JSON.stringify(event)}\n`
}
