/** What --help prints. */
import type { Row } from './options.ts'
import { rowsOf } from './options.ts'
import type { AnyCommand } from './table.ts'
import { COMMANDS, PROGRAM } from './table.ts'
import { columns } from './text.ts'

/** As wide as a page of help is. */
const WIDTH = 79

export function programHelp(): string {
  const commands = Object.entries(COMMANDS).map(([name, { usage, summary }]) => {
    return [`holdfast ${name} ${usage.replace(' [options]', '')}`, summary]
  })
  return `usage:\n${columns(commands, '  ')}\n${optionLines(rowsOf(PROGRAM))}\nholdfast COMMAND --help tells more.\n`
}

export function commandHelp(name: string, { usage, about, rows, exits, examples }: AnyCommand): string {
  const parts = [
    `usage: holdfast ${name} ${usage}\n`,
    ...about.map((paragraph) => wrapped(paragraph, '', WIDTH)),
    optionLines(rows),
    `examples:\n${examples.map(({ text, line }) => `  # ${text}\n  ${line}\n`).join('')}`,
    `exit codes:\n${table(exits.map(({ codes, when }) => [codes, when]))}`,
  ]
  return parts.join('\n')
}

/** The options of a table as lines of help; those without a short name stand as if they had one. */
function optionLines(options: readonly Row[]): string {
  const rows = options.map(([name, row]) => {
    const flag = `${row.short ? `-${row.short},` : '   '} --${name}${'value' in row ? ` ${row.value}` : ''}`
    return [flag, row.help] as const
  })
  return table(rows)
}

/** Two columns, of which the second is wrapped. */
function table(rows: readonly (readonly [string, string])[]): string {
  const widest = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => hanging(`  ${left.padEnd(widest)}  `, right, WIDTH)).join('')
}

/** A paragraph that hangs on what it begins with. */
export function hanging(start: string, text: string, columns: number): string {
  return start + wrapped(text, ' '.repeat(start.length), columns).slice(start.length)
}

/** Lines of so many columns at most. */
export function wrapped(text: string, indent: string, columns: number): string {
  const lines: string[] = []
  let line = indent
  for (const word of text.split(' ')) {
    if (line.length > indent.length && line.length + 1 + word.length > columns) {
      lines.push(line)
      line = indent
    }
    line += line.length > indent.length ? ` ${word}` : word
  }
  return [...lines, line].map((each) => `${each}\n`).join('')
}
