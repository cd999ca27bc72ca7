/** `holdfast release NAME --fence N`: end the hold of whoever drew that fence, and of nobody else. */
import type { QueueKind } from '../../core/request.ts'
import { clean } from '../../core/text.ts'
import { withLocks } from '../coordinator.ts'
import type { Ending } from '../exit.ts'
import { EXIT, ExitError, usageError } from '../exit.ts'
import { oneName, queuesOf } from '../names.ts'
import { holderRows, releaseCommand, showCommand } from '../people.ts'
import type { Given, ReleaseValues } from '../table.ts'
import { columns, pageWidth, print } from '../text.ts'

export async function release({ values, words }: Given<ReleaseValues>): Promise<Ending> {
  const name = oneName('release', words)
  const { fence, kind = 'lock' } = values
  if (fence === undefined)
    throw usageError(`release needs --fence N: the fence of whom to end, which ${showCommand({ name })} prints`)
  const done = await withLocks(values.url, (locks) => locks.evict(name, fence, { kind }))
  if (!done) throw await notThere(values.url, name, kind, fence)
  if (values.json) print(1, `${JSON.stringify({ name, kind, fence: String(fence), released: true })}\n`)
  else print(1, `released ${clean(name)}, fence ${fence}; its holder is told at its next renewal at the latest\n`)
  return { code: 0 }
}

/** Nothing was changed: who is there, of whichever kind, and what would end them. */
async function notThere(url: string | undefined, name: string, kind: QueueKind, fence: bigint): Promise<ExitError> {
  const views = await queuesOf(url, name, undefined)
  const holders = views.flatMap((view) => view.holders.map((holder) => ({ view, holder })))
  const rows = holders.flatMap(({ view, holder }) => [
    ...holderRows('holder', holder, pageWidth(2)),
    ['release', releaseCommand(view, holder.fence)],
  ])
  const now = holders.length === 0 ? 'nobody holds it' : 'this is who holds it'
  const more = rows.length === 0 ? '' : `\n${columns(rows, '  ').trimEnd()}`
  const what = kind === 'lock' ? '' : ` (${kind})`
  return new ExitError(
    EXIT.held,
    `"${clean(name)}"${what}: fence ${fence} is not there, and nothing was changed; ${now}`,
    more,
  )
}
