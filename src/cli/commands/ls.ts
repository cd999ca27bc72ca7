/** `holdfast ls [GLOB]`: what is held, as a table. */
import { clean } from '../../core/text.ts'
import type { Inspected, Inspection } from '../../locks.ts'
import { withLocks } from '../coordinator.ts'
import type { Ending } from '../exit.ts'
import { matching, onePattern } from '../names.ts'
import { nameOf, queueOf } from '../people.ts'
import { fitted, ordinal, print, stopwatch, pageWidth } from '../text.ts'
import type { Given, LsValues } from '../table.ts'

export async function ls({ values, words }: Given<LsValues>): Promise<Ending> {
  const pattern = onePattern('ls', words)
  const views = await withLocks(values.url, (locks) => matching(locks, pattern))
  if (values.quiet) print(1, [...new Set(views.map(({ name }) => `${clean(name)}\n`))].join(''))
  else if (values.json) print(1, `${JSON.stringify(views.map(queueOf), undefined, 2)}\n`)
  else print(1, tableOf(views, values.all, pageWidth()))
  return { code: 0 }
}

const HEAD = ['NAME', 'KIND', 'HELD BY', 'FOR', 'LEASE', 'WAITING', 'FENCE']

/** @param columns of the terminal; names, and those who hold, are cut to fit */
export function tableOf(views: readonly Inspection[], all: boolean, columns: number): string {
  const rows = views.flatMap((view) => rowsOf(view, all))
  if (rows.length === 0) return 'nothing is held\n'
  return fitted([HEAD, ...rows], [0, 2], columns)
}

function rowsOf(view: Inspection, all: boolean): string[][] {
  const { holders, waiters, capacity } = view
  const kind = view.kind === 'permits' ? `permits of ${capacity}` : view.kind
  const held = holders.map((holder, at) => [
    at === 0 ? clean(view.name) : '',
    at === 0 ? (holder.exclusive || view.kind !== 'lock' ? kind : 'shared lock') : '',
    `${nameOf(holder)}${weightText(view, holder)}`,
    `${stopwatch(holder.heldMs ?? holder.ageMs)}${holder.lingering ? ' (over)' : ''}`,
    stopwatch(holder.remainingMs),
    at === 0 && waiters.length > 0 ? String(waiters.length) : '',
    String(holder.fence),
  ])
  const first = holders.length === 0 ? [[clean(view.name), kind, '', '', '', String(waiters.length), '']] : []
  const waiting = waiters.map((waiter, at) => [
    '',
    '',
    `${nameOf(waiter)}${weightText(view, waiter)}`,
    stopwatch(waiter.ageMs),
    stopwatch(waiter.remainingMs),
    ordinal(at + 1),
    String(waiter.fence),
  ])
  return [...first, ...held, ...(all ? waiting : [])]
}

/** How many permits, where it is not one. */
function weightText({ kind }: Inspection, { weight }: Inspected): string {
  return kind === 'permits' && weight > 1 ? `, ${weight} permits` : ''
}
