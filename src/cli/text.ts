/** Text for people at a terminal: how to print it, how wide it is, and how long something took. */
import { writeSync } from 'node:fs'
import { isatty } from 'node:tty'

/** Print all of it, or what can be printed: nobody must fail because nobody reads. @returns whether somebody may read */
export function print(file: 1 | 2, text: string): boolean {
  for (let left = Buffer.from(text), tries = 0; left.length > 0 && tries < 1000;) {
    try {
      left = left.subarray(writeSync(file, left))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return false
      tries += 1
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
  return true
}

/** Columns on a terminal, near enough: marks take none, East Asian characters and emoji two. */
export function width(text: string): number {
  let columns = 0
  for (const character of text) columns += widthOf(character)
  return columns
}

/** Cut to so many columns, with a sign that something is missing. */
export function cut(text: string, columns: number): string {
  if (width(text) <= columns) return text
  let kept = ''
  let used = 1
  for (const character of text) {
    used += widthOf(character)
    if (used > columns) break
    kept += character
  }
  return columns > 0 ? `${kept}…` : ''
}

const WIDE =
  /[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{20000}-\u{3FFFD}]|\p{Emoji_Presentation}/u

function widthOf(character: string): number {
  if (/\p{Mn}|\p{Me}/u.test(character)) return 0
  return WIDE.test(character) ? 2 : 1
}

/** `0:14`, `3:07`, `2:05:09`, `3d 4:00:00`: as a stopwatch counts. */
export function stopwatch(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000))
  const days = Math.floor(total / 86_400)
  const hours = Math.floor(total / 3600) % 24
  const minutes = Math.floor(total / 60) % 60
  const two = (value: number): string => String(value).padStart(2, '0')
  const clock = `${hours || days ? `${hours}:${two(minutes)}` : minutes}:${two(total % 60)}`
  return days ? `${days}d ${clock}` : clock
}

/** `1st`, `2nd`, `3rd`, `11th`. */
export function ordinal(n: number): string {
  const teen = n % 100 >= 11 && n % 100 <= 13
  return `${n}${teen ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th')}`
}

/** Rows as lines: what belongs together stands below each other. The last one of a row is as long as it is. */
export function columns(rows: readonly (readonly string[])[], indent = '', gap = '  '): string {
  const widths: number[] = []
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, width(cell))
  const lines = rows.map((row) => {
    const cells = row.map((cell, at) => (at === row.length - 1 ? cell : cell + ' '.repeat(widths[at]! - width(cell))))
    return `${indent}${cells.join(gap)}`.trimEnd()
  })
  return lines.map((line) => `${line}\n`).join('')
}

/** How wide the terminal is that we print to; without one there is no end. While no command runs, whose stderr it is as well. */
export function pageWidth(file: 1 | 2 = 1): number {
  const stream = file === 1 ? process.stdout : process.stderr
  return isatty(file) ? stream.columns || 80 : Infinity
}

/** Less than this of a name tells nobody anything. */
export const LEAST_COLUMNS = 8

/** Columns that fit into so many: the `flexible` ones are cut, the longest first, and no number is. */
export function fitted(rows: readonly (readonly string[])[], flexible: readonly number[], room: number): string {
  const widest = (at: number): number => Math.max(...rows.map((row) => width(row[at] ?? '')))
  const widths = rows[0]!.map((_, at) => widest(at))
  const total = (): number => widths.reduce((sum, each) => sum + each + 2, -2)
  while (total() > room) {
    const at = flexible.reduce((a, b) => (widths[a]! >= widths[b]! ? a : b))
    if (widths[at]! <= LEAST_COLUMNS) break
    widths[at]! -= 1
  }
  return columns(rows.map((row) => row.map((cell, at) => (flexible.includes(at) ? cut(cell, widths[at]!) : cell))))
}
