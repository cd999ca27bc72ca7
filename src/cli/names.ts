/** The names that a command is about. */
import type { Inspection, Locks } from '../locks.ts'
import type { QueueKind } from '../core/request.ts'
import { QUEUE_KINDS, checkName } from '../core/request.ts'
import { clean } from '../core/text.ts'
import { withLocks } from './coordinator.ts'
import { usageError } from './exit.ts'

/** The one word that a command takes: a name. @throws ExitError 64 */
export function oneName(verb: string, words: readonly string[]): string {
  const [name, ...more] = words
  if (name === undefined) throw usageError(`${verb} needs the name of a lock`)
  if (more.length > 0) throw usageError(`${verb} takes one name; what is '${clean(more.join(' '))}'?`)
  checkName(name)
  return name
}

/** The one word that a command may take: a pattern. @throws ExitError 64 */
export function onePattern(verb: string, words: readonly string[]): string {
  if (words.length > 1)
    throw usageError(`${verb} takes one pattern; put it into quotes, or the shell makes names of files of it`)
  return words[0] ?? '*'
}

/** The queues of a name in which somebody stands: of one kind, or of all. */
export async function queuesOf(
  url: string | undefined,
  name: string,
  kind: QueueKind | undefined,
): Promise<Inspection[]> {
  const kinds = kind ? [kind] : QUEUE_KINDS
  const views = await withLocks(url, (locks) => Promise.all(kinds.map((each) => locks.inspect(name, { kind: each }))))
  return views.filter((view) => view !== undefined)
}

/** What is held or waited for, under the names that match a pattern: `*` is any characters, `?` is one. By name. */
export async function matching(locks: Locks, pattern: string): Promise<Inspection[]> {
  const [start = ''] = pattern.split(/[*?]/, 1)
  const matches = new RegExp(`^${pattern.replaceAll(/\W/gu, inPattern)}$`, 'su')
  const found: Inspection[] = []
  for await (const view of locks.list(start)) if (matches.test(view.name)) found.push(view)
  return found.sort((a, b) => compare(a.name, b.name) || compare(a.kind, b.kind))
}

/** What a character of a pattern is in a regular expression. */
function inPattern(character: string): string {
  if (character === '*') return '.*'
  if (character === '?') return '.'
  return character.replace(/[\\^$.|+()[\]{}/]/, String.raw`\$&`)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
