/** `holdfast doctor`: the diagnosis of the coordinator. */
import type { Finding } from '../../backend.ts'
import { clean } from '../../core/text.ts'
import { withLocks } from '../coordinator.ts'
import type { Ending } from '../exit.ts'
import { EXIT, usageError } from '../exit.ts'
import { hanging } from '../help.ts'
import type { Common, Given } from '../table.ts'
import { print, pageWidth, width } from '../text.ts'

/** What the first error is about says which code it is. */
function codeOf(findings: readonly Finding[]): number {
  const error = findings.find(({ level }) => level === 'error')
  if (!error) return 0
  if (error.subject.endsWith('reachability')) return EXIT.unavailable
  return error.subject.endsWith('rights') ? EXIT.denied : EXIT.config
}

const MARKS = { ok: 'ok', advice: 'advice', error: 'ERROR' } as const
/** Longer lines are hard to read, however wide the terminal is. */
const WIDEST = 120

export async function doctor({ values, words }: Given<Common>): Promise<Ending> {
  if (words.length > 0) throw usageError('doctor takes no name; say which coordinator with --url or HOLDFAST_URL')
  const { kind, findings } = await withLocks(values.url, async (locks) => {
    return { kind: locks.kind, findings: await locks.diagnose() }
  })
  const errors = findings.filter(({ level }) => level === 'error').length
  const code = codeOf(findings)
  if (values.json) {
    print(1, `${JSON.stringify({ kind, well: errors === 0, findings }, undefined, 2)}\n`)
    return { code }
  }
  const rows = findings.map(({ level, subject, text }) => [MARKS[level], clean(subject), clean(text)] as const)
  const subjects = Math.max(0, ...rows.map(([, subject]) => width(subject)))
  const columns = Math.min(pageWidth(), WIDEST)
  for (const [mark, subject, text] of rows) {
    const start = `${mark.padEnd(6)}  ${subject.padEnd(subjects)}  `
    print(1, hanging(start, text, Math.max(columns, start.length + 20)))
  }
  const advice = findings.filter(({ level }) => level === 'advice').length
  const verdict =
    errors > 0 ? `${errors} of these endanger what ${kind}: promises` : advice > 0 ? 'well, with advice' : 'well'
  print(1, `\n${kind}: ${verdict}\n`)
  return { code }
}
