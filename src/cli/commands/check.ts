/** `holdfast check NAME`: whether it is free, as an exit code. */
import { clean } from '../../core/text.ts'
import type { Ending } from '../exit.ts'
import { EXIT } from '../exit.ts'
import { oneName, queuesOf } from '../names.ts'
import { holderText, queueOf } from '../people.ts'
import type { CheckValues, Given } from '../table.ts'
import { print } from '../text.ts'

export async function check({ values, words }: Given<CheckValues>): Promise<Ending> {
  const name = oneName('check', words)
  const views = await queuesOf(values.url, name, values.kind)
  const free = views.length === 0
  if (values.json) print(1, `${JSON.stringify({ name, free, queues: views.map(queueOf) })}\n`)
  else if (!values.quiet) {
    const [holder] = views.flatMap(({ holders }) => holders)
    const how = holder ? `held by ${holderText(holder)}` : 'waited for'
    print(1, `${clean(name)} is ${free ? 'free' : how}\n`)
  }
  return { code: free ? 0 : EXIT.held }
}
