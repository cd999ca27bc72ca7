/** `holdfast check NAME`: whether it is free, as an exit code. */
import { QUEUE_KINDS } from '../../core/request.ts'
import { clean } from '../../core/text.ts'
import { withLocks } from '../coordinator.ts'
import type { Ending } from '../exit.ts'
import { EXIT } from '../exit.ts'
import { oneName } from '../names.ts'
import { holderText, queueOf } from '../people.ts'
import type { CheckValues, Given } from '../table.ts'
import { print } from '../text.ts'

export async function check({ values, words }: Given<CheckValues>): Promise<Ending> {
  const name = oneName('check', words)
  const kinds = values.kind ? [values.kind] : QUEUE_KINDS
  const views = await withLocks(values.url, async (locks) => {
    const all = await Promise.all(kinds.map((kind) => locks.inspect(name, { kind })))
    return all.filter((view) => view !== undefined)
  })
  const free = views.length === 0
  if (values.json) print(1, `${JSON.stringify({ name, free, queues: views.map(queueOf) })}\n`)
  else if (!values.quiet) {
    const [holder] = views.flatMap(({ holders }) => holders)
    const how = holder ? `held by ${holderText(holder)}` : 'waited for'
    print(1, `${clean(name)} is ${free ? 'free' : how}\n`)
  }
  return { code: free ? 0 : EXIT.held }
}
