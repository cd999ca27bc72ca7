/**
 * `npm run manual`: writes the man page, and the reference in docs/cli.md, from the table of commands.
 *
 * A test compares what is there with what would be written.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { flagsOf, rowsOf } from '../../src/cli/options.ts'
import type { AnyCommand } from '../../src/cli/table.ts'
import { COMMANDS, PROGRAM } from '../../src/cli/table.ts'

export const MAN_PAGE = 'man/holdfast.1'
export const CLI_PAGE = 'docs/cli.md'

const [BEGIN, END] = ['<!-- from here on by npm run manual -->', '<!-- to here -->']

const ALL: readonly (readonly [string, AnyCommand])[] = Object.entries(COMMANDS)

/** The page, with a new reference in it. */
export function cliPage(page: string): string {
  const [before, , after] = split(page)
  return `${before}${BEGIN}\n\n${reference()}\n${END}${after}`
}

function split(page: string): [before: string, between: string, after: string] {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (from < 0 || to < from) throw new Error(`${CLI_PAGE} needs ${BEGIN} and ${END}`)
  return [page.slice(0, from), page.slice(from, to), page.slice(to + END.length)]
}

function reference(): string {
  const commands = ALL.map(([name, { usage, about, rows: options, exits, examples }]) => {
    const rows = options.map((row) => `| \`${flagsOf(row)}\` | ${cell(row[1].help)} |`)
    const codes = exits.map(({ codes, when }) => `| ${codes} | ${cell(when)} |`)
    const lines = examples.map(({ text, line }) => `- ${text}: \`${line}\``)
    return [
      `### holdfast ${name}`,
      `\`holdfast ${name} ${usage}\``,
      ...about.map(marked),
      `| option | is |\n|---|---|\n${rows.join('\n')}`,
      `| exit code | when |\n|---|---|\n${codes.join('\n')}`,
      lines.join('\n'),
    ].join('\n\n')
  })
  return `${commands.join('\n\n')}\n`
}

/** In a table of Markdown. */
function cell(text: string): string {
  return marked(text).replaceAll('|', String.raw`\|`)
}

/** What is to be typed, as code. */
function marked(text: string): string {
  return text
    .replaceAll(/(?<![\w`])(--?[a-zA-Z][\w-]*)/g, '`$1`')
    .replaceAll(/\b(HOLDFAST_[A-Z]+|NAME|GLOB|TIME)\b/g, '`$1`')
    .replaceAll('*', String.raw`\*`)
}

export function manPage(version: string): string {
  const parts = [
    `.\\" Written by npm run manual.`,
    `.TH HOLDFAST 1 "" "holdfast ${version}"`,
    '.SH NAME',
    roff('holdfast - locks that hold across processes and machines'),
    '.SH SYNOPSIS',
    ...ALL.map(([name, { usage }]) => `.B holdfast ${name}\n${roff(usage)}\n.br`),
    ...rowsOf(PROGRAM).map((row) => `.B holdfast\n${roff(`--${row[0]}`)}\n.br`),
    '.SH DESCRIPTION',
    roff(
      'Programs take turns: first come, first served, on one machine or on many. A lease frees what its holder does not ' +
        'release in time, and a fence, a number that grows, lets a resource refuse a late holder. Without a URL the ' +
        'coordinator is a store of this machine, one for each user, which needs no server.',
    ),
    ...ALL.flatMap(([name, command]) => section(name, command)),
    '.SH ENVIRONMENT',
    '.TP\n.B HOLDFAST_URL',
    roff('the coordinator, where no --url is given. No other variable is read.'),
    '.SH SEE ALSO',
    roff('flock(1), redis-server(1), etcd(1)'),
  ]
  return `${parts.join('\n')}\n`
}

function section(name: string, { usage, about, rows: options, exits, examples }: AnyCommand): string[] {
  return [
    `.SH ${name.toUpperCase()}`,
    `.B holdfast ${name}\n${roff(usage)}`,
    ...about.map((paragraph) => `.PP\n${roff(paragraph)}`),
    ...options.map((row) => `.TP\n.B ${roff(flagsOf(row))}\n${roff(row[1].help)}`),
    '.SS Exit codes',
    ...exits.map(({ codes, when }) => `.TP\n.B ${roff(codes)}\n${roff(when)}`),
    '.SS Examples',
    ...examples.map(({ text, line }) => `.TP\n${roff(text)}\n${roff(line)}`),
  ]
}

/** Text for a page of man: no line begins with a sign that commands it. */
function roff(text: string): string {
  const escaped = text.replaceAll('\\', String.raw`\e`).replaceAll('-', String.raw`\-`)
  return /^[.']/.test(escaped) ? String.raw`\&${escaped}` : escaped
}

export function versionNow(): string {
  return (JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string }).version
}

if (process.argv[1] === import.meta.filename) {
  writeFileSync(MAN_PAGE, manPage(versionNow()))
  writeFileSync(CLI_PAGE, cliPage(readFileSync(CLI_PAGE, 'utf8')))
  console.log(`wrote ${MAN_PAGE} and ${CLI_PAGE}`)
}
