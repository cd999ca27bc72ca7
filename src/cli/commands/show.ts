/** `holdfast show NAME`: who holds it, who waits for it, and how to free it. */
import { clean } from '../../core/text.ts'
import type { Inspected, Inspection } from '../../locks.ts'
import type { Ending } from '../exit.ts'
import { oneName, queuesOf } from '../names.ts'
import { MARGIN, holderRows, queueOf, releaseCommand, waiterText } from '../people.ts'
import type { Given, ShowValues } from '../table.ts'
import { columns, ordinal, pageWidth, print } from '../text.ts'

export async function show({ values, words }: Given<ShowValues>): Promise<Ending> {
  const name = oneName('show', words)
  const views = await queuesOf(values.url, name, values.kind)
  if (values.json) print(1, `${JSON.stringify(views.map(queueOf), undefined, 2)}\n`)
  else if (views.length === 0) print(1, `${clean(name)} is free\n`)
  else print(1, views.map((view) => showText(view, pageWidth())).join('\n'))
  return { code: 0 }
}

/** What a leader says of itself. Whoever wrote it is not trusted. */
function valueRow({ who }: Inspected): string[][] {
  const value: unknown = who.value
  return typeof value === 'string' ? [['value', clean(value)]] : []
}

/** @param width of the terminal; those who are long are cut, and neither numbers nor what is to be typed */
export function showText(view: Inspection, width: number): string {
  const { holders, waiters } = view
  const kind = view.kind === 'permits' ? `permits, ${view.capacity} in all` : view.kind
  const rows = [
    ...holders.flatMap((holder) => [
      ...holderRows(holder.exclusive ? 'held by' : 'shared by', holder, width),
      ...valueRow(holder),
    ]),
    ...waiters.map((waiter, at) => [ordinal(at + 1), waiterText(waiter, width - MARGIN)]),
    ...holders.flatMap(({ lingering, fence }) => (lingering ? [] : [['release', releaseCommand(view, fence)]])),
  ]
  return `${clean(view.name)}: ${kind}\n${columns(rows, '  ')}`
}
