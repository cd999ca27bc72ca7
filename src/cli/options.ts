/** Options are rows of a table: reading, help, manual and completion all come from it. */
import { constants } from 'node:os'
import { parseArgs } from 'node:util'
import { parseDuration } from '../core/duration.ts'
import { clean, didYouMean } from '../core/text.ts'
import { usageError } from './exit.ts'

interface Switch {
  readonly short?: string
  readonly help: string
}

export interface Option<V> extends Switch {
  /** What to write in its place, in the help. */
  readonly value: string
  /** All that it can be, if that is few. */
  readonly choices?: readonly string[]
  /** Read the text that was given; throws a usage error. */
  readonly read: (text: string, flag: string) => V
}

/** A row for each value. A switch is true or false, and an option that was not given is undefined. */
export type Table<V> = { readonly [K in keyof V]: V[K] extends boolean ? Switch : Option<V[K]> }

export type Row = readonly [name: string, row: Switch | Option<unknown>]

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
      const text = clean(error.message.split(/\.(?:\s|$)/, 1).join())
      const unknown = /^Unknown option '--([^'=]+)/.exec(text)?.[1]
      throw usageError(unknown === undefined ? text : `${text}${didYouMean(unknown, Object.keys(options))}`)
    }
    throw error
  }
}

/** The rows of a table, with the names of their options. */
export function rowsOf<V>(table: Table<V>): Row[] {
  return Object.entries(table) as [string, Switch | Option<unknown>][]
}

/** `-w, --wait TIME` */
export function flagsOf([name, row]: Row): string {
  return `${row.short ? `-${row.short}, ` : ''}--${name}${'value' in row ? ` ${row.value}` : ''}`
}

// What can be read.

/** A bare number is seconds, as for flock, timeout and sleep. */
export function duration(value: string, flag: string): number {
  if (/^\d+(\.\d+)?$|^\.\d+$/.test(value)) return Number(value) * 1000
  try {
    return parseDuration(value, flag)
  } catch {
    throw usageError(`${flag} is '${clean(value)}'; give seconds, or a number with a unit: 250ms, 30s, 5m, 1h`)
  }
}

/** Above 0, perhaps with a fraction. */
export function number(value: string, flag: string): number {
  if (!/^\d{1,9}(\.\d{1,9})?$/.test(value) || Number(value) === 0)
    throw usageError(`${flag} is '${clean(value)}'; give a number above 0`)
  return Number(value)
}

export function count(value: string, flag: string): number {
  if (!/^\d{1,10}$/.test(value)) throw usageError(`${flag} is '${clean(value)}'; give a whole number`)
  return Number(value)
}

export function exitCode(value: string, flag: string): number {
  if (!/^\d{1,3}$/.test(value) || Number(value) > 255)
    throw usageError(`${flag} is '${clean(value)}'; give a number from 0 to 255`)
  return Number(value)
}

/** So many of so many. */
export interface Permits {
  readonly take: number
  readonly of: number
}

export function permits(value: string, flag: string): Permits {
  const match = /^(\d{1,9})\/(\d{1,9})$/.exec(value)
  const [take, of] = [Number(match?.[1]), Number(match?.[2])]
  if (!match || take < 1) throw usageError(`${flag} is '${clean(value)}'; give two numbers: 1/4 for one permit of four`)
  if (take > of)
    throw usageError(`${flag} is '${value}'; there would be only ${of} permits, so nobody could take ${take}`)
  return { take, of }
}

export function signalName(value: string, flag: string): NodeJS.Signals {
  const name = `SIG${value.toUpperCase().replace(/^SIG/, '')}`
  const byNumber = Object.entries(constants.signals).find(([, number]) => String(number) === value)?.[0]
  const known = name in constants.signals ? name : byNumber
  if (known === undefined)
    throw usageError(`${flag} is '${clean(value)}'; there is no such signal, but TERM, INT, HUP and others`)
  if (known === 'SIGSTOP') throw usageError(`${flag} is '${value}', which ends nothing`)
  return known as NodeJS.Signals
}

export function fence(value: string, flag: string): bigint {
  if (!/^\d{1,16}$/.test(value))
    throw usageError(`${flag} is '${clean(value)}'; give a number, as holdfast show prints it`)
  return BigInt(value)
}

export function oneOf<V extends string>(choices: readonly V[]): (value: string, flag: string) => V {
  return (value, flag) => {
    const found = choices.find((choice) => choice === value)
    if (found === undefined) throw usageError(`${flag} is '${clean(value)}'; give ${listed(choices)}`)
    return found
  }
}

export function text(value: string): string {
  return value
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}
