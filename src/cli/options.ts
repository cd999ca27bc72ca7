/** The one table of options: parsing and help both come from it. Short letters follow flock(1). */
import { parseArgs } from 'node:util'
import { parseDuration } from '../core/duration.ts'
import { constants } from 'node:os'
import { usageError } from './exit.ts'

/** What `holdfast run` can be told. A switch is true or false; durations are in milliseconds. */
export interface RunValues {
  readonly wait: number | undefined
  readonly try: boolean
  readonly 'conflict-exit-code': number | undefined
  readonly shared: boolean
  readonly permits: Permits | undefined
  readonly ttl: number | undefined
  readonly 'kill-after': number | undefined
  readonly signal: NodeJS.Signals | undefined
  readonly 'min-hold': number | undefined
  readonly label: string | undefined
  readonly url: string | undefined
  readonly quiet: boolean
  readonly verbose: boolean
  readonly help: boolean
}

export interface ProgramValues {
  readonly help: boolean
  readonly version: boolean
}

export interface Permits {
  readonly take: number
  readonly of: number
}

interface Switch {
  readonly short?: string
  readonly help: string
}

interface Option<V> extends Switch {
  /** What to write in its place, in the help. */
  readonly value: string
  /** Read the text that was given; throws a usage error. */
  readonly read: (text: string, flag: string) => V
}

/** A row for each value. */
export type Table<V> = { readonly [K in keyof V]: V[K] extends boolean ? Switch : Option<V[K]> }

export const RUN: Table<RunValues> = {
  wait: { short: 'w', value: 'TIME', help: 'wait so long for the lock; default: without end', read: duration },
  try: { short: 'n', help: 'do not wait: the same as --wait 0' },
  'conflict-exit-code': {
    short: 'E',
    value: 'N',
    help: 'exit code when it was not acquired; default: 75; 0 says nothing',
    read: exitCode,
  },
  shared: { short: 's', help: 'hold it together with other shared holders' },
  permits: { short: 'p', value: 'K/N', help: 'take K of the N permits of this name', read: permits },
  ttl: { value: 'TIME', help: 'how long the lease lasts without renewal; default: 30', read: duration },
  'kill-after': {
    value: 'TIME',
    help: 'how long before its end to ask the command to end; default: 5',
    read: duration,
  },
  signal: { value: 'SIG', help: 'how to ask it; default: TERM', read: signalName },
  'min-hold': { value: 'TIME', help: 'others wait so long, however early the command ends', read: duration },
  label: { value: 'TEXT', help: 'shown to whoever waits for the lock', read: text },
  url: { value: 'URL', help: 'the coordinator; default: HOLDFAST_URL, or this machine', read: text },
  quiet: { short: 'q', help: 'say nothing but errors' },
  verbose: { short: 'v', help: 'say what happens' },
  help: { short: 'h', help: 'print this' },
}

export const PROGRAM: Table<ProgramValues> = {
  help: { short: 'h', help: 'print this' },
  version: { short: 'V', help: 'print the version' },
}

/** Read `args` by a table. @throws ExitError 64 */
export function parse<V>(table: Table<V>, args: readonly string[]): { values: V; words: string[] } {
  const rows = rowsOf(table)
  const options = Object.fromEntries(
    rows.map(([name, row]) => [
      name,
      { type: 'read' in row ? ('string' as const) : ('boolean' as const), ...(row.short ? { short: row.short } : {}) },
    ]),
  )
  try {
    const parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
    const values = rows.map(([name, row]) => {
      const given = parsed.values[name]
      if ('read' in row) return [name, typeof given === 'string' ? row.read(given, `--${name}`) : undefined]
      return [name, given === true]
    })
    return { values: Object.fromEntries(values) as V, words: parsed.positionals }
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')) {
      // The first sentence says what is wrong; those behind it speak of a -- that means something else here.
      throw usageError(error.message.split(/\.(?:\s|$)/, 1).join())
    }
    throw error
  }
}

/** The options of a table as lines of help. */
export function optionLines<V>(table: Table<V>): string {
  const rows = rowsOf(table).map(([name, row]) => {
    const flag = `${row.short ? `-${row.short},` : '   '} --${name}${'value' in row ? ` ${row.value}` : ''}`
    return [flag, row.help] as const
  })
  const widest = Math.max(...rows.map(([flag]) => flag.length))
  return rows.map(([flag, help]) => `  ${flag.padEnd(widest)}  ${help}\n`).join('')
}

function rowsOf<V>(table: Table<V>): [name: string, row: Switch | Option<unknown>][] {
  return Object.entries(table) as [string, Switch | Option<unknown>][]
}

/** A bare number is seconds, as for flock, timeout and sleep. */
function duration(value: string, flag: string): number {
  if (/^\d+(\.\d+)?$|^\.\d+$/.test(value)) return Number(value) * 1000
  try {
    return parseDuration(value, flag)
  } catch {
    throw usageError(`${flag} is '${value}'; give seconds, or a number with a unit: 250ms, 30s, 5m, 1h`)
  }
}

function exitCode(value: string, flag: string): number {
  if (!/^\d{1,3}$/.test(value) || Number(value) > 255)
    throw usageError(`${flag} is '${value}'; give a number from 0 to 255`)
  return Number(value)
}

function permits(value: string, flag: string): Permits {
  const match = /^(\d{1,9})\/(\d{1,9})$/.exec(value)
  const [take, of] = [Number(match?.[1]), Number(match?.[2])]
  if (!match || take < 1) throw usageError(`${flag} is '${value}'; give two numbers: 1/4 for one permit of four`)
  if (take > of)
    throw usageError(`${flag} is '${value}'; there would be only ${of} permits, so nobody could take ${take}`)
  return { take, of }
}

function signalName(value: string, flag: string): NodeJS.Signals {
  const name = `SIG${value.toUpperCase().replace(/^SIG/, '')}`
  const byNumber = Object.entries(constants.signals).find(([, number]) => String(number) === value)?.[0]
  const known = name in constants.signals ? name : byNumber
  if (known === undefined)
    throw usageError(`${flag} is '${value}'; there is no such signal, but TERM, INT, HUP and others`)
  if (known === 'SIGSTOP') throw usageError(`${flag} is '${value}', which ends nothing`)
  return known as NodeJS.Signals
}

function text(value: string): string {
  return value
}
