/** `holdfast release NAME --fence N`: end the hold of whoever drew that fence, and of nobody else. */
import { clean } from '../../core/text.ts'
import { withLocks } from '../coordinator.ts'
import type { Ending } from '../exit.ts'
import { EXIT, ExitError, usageError } from '../exit.ts'
import { oneName } from '../names.ts'
import { cutWho, holderRows, releaseCommand, showCommand } from '../people.ts'
import type { Given, ReleaseValues } from '../table.ts'
import { columns, pageWidth, print } from '../text.ts'

export async function release({ values, words }: Given<ReleaseValues>): Promise<Ending> {
  const name = oneName('release', words)
  const { fence, kind = 'lock' } = values
  if (fence === undefined)
    throw usageError(`release needs --fence N: the fence of whom to end, which ${showCommand({ name })} prints`)
  const { done, view } = await withLocks(values.url, async (locks) => {
    const done = await locks.evict(name, fence, { kind })
    return { done, view: done ? undefined : await locks.inspect(name, { kind }) }
  })
  if (!done) {
    const holders = view?.holders ?? []
    const rows = holders.flatMap((holder) => [
      ...holderRows('holder', holder),
      ['release', releaseCommand({ name, kind }, holder.fence)],
    ])
    const now = holders.length === 0 ? 'nobody holds it' : 'others hold it'
    const more = rows.length === 0 ? '' : `\n${columns(cutWho(rows, pageWidth(2)), '  ').trimEnd()}`
    throw new ExitError(
      EXIT.held,
      `"${clean(name)}": fence ${fence} is not there, and nothing was changed; ${now}`,
      more,
    )
  }
  if (values.json) print(1, `${JSON.stringify({ name, kind, fence: String(fence), released: true })}\n`)
  else print(1, `released ${clean(name)}, fence ${fence}; its holder is told at its next renewal at the latest\n`)
  return { code: 0 }
}
