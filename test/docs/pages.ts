/** The documents as text: their fenced blocks, headings and links. */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path/posix'

export interface Block {
  readonly page: string
  /** The line of its first line of code. */
  readonly line: number
  readonly language: string
  readonly code: string
}

/** What users and authors of backends read, and whose snippets are run. Reports of measurements are apart, and how to make
 * them: they take minutes. */
export const pages: readonly string[] = [
  'README.md',
  'SECURITY.md',
  ...globSync('docs/**/*.md')
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => !/^docs\/(decisions\/|evidence\/|bench|verify)/.test(path)),
].sort()

export function textOf(page: string): string {
  return readFileSync(page, 'utf8')
}

export function blocksOf(page: string): Block[] {
  const lines = textOf(page).split('\n')
  const blocks: Block[] = []
  for (let index = 0; index < lines.length; index += 1) {
    const language = /^```(.*)$/.exec(lines[index]!)?.[1]
    if (language === undefined) continue
    const end = lines.indexOf('```', index + 1)
    if (end === -1) throw new Error(`${page}:${index + 1}: the block has no end`)
    blocks.push({ page, line: index + 2, language, code: lines.slice(index + 1, end).join('\n') })
    index = end
  }
  return blocks
}

export function proseOf(page: string): string {
  return textOf(page).replace(/^```[\s\S]*?^```$/gm, '')
}

export function headingsOf(page: string): string[] {
  return [...proseOf(page).matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!)
}

/** The part of a page below a heading, up to the next heading of the same level or above. */
export function sectionOf(page: string, title: string): string {
  const lines = textOf(page).split('\n')
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === title)
  if (start === -1) throw new Error(`${page} has no section '${title}'`)
  const level = lines[start]!.indexOf(' ')
  const length = lines.slice(start + 1).findIndex((line) => /^#+ /.test(line) && line.indexOf(' ') <= level)
  return lines.slice(start, length === -1 ? undefined : start + 1 + length).join('\n')
}

/** As the usual hosts make them: lower case, no punctuation, hyphens for spaces. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}

export interface Link {
  readonly target: string
  readonly path: string
  readonly anchor: string | undefined
}

/** Links to files of the repository, with their paths from its root. */
export function linksOf(page: string): Link[] {
  return [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [path, anchor] = target.split('#', 2)
      return { target, path: path === '' ? page : normalize(join(dirname(page), path!)), anchor }
    })
}
