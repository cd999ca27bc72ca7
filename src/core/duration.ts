/** Durations at the public door: a number of milliseconds, or a number with a unit in a string. */
import { ArgumentRangeError, ArgumentTypeError } from './errors.ts'

/** Milliseconds as a number, or text such as `'250ms'`, `'30s'`, `'5m'`, `'1.5h'`, `'1d'`. */
export type Duration = number | string

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/**
 * Read a duration.
 *
 * @param what names the option in the error: `ttl`
 * @returns milliseconds, above or equal to 0; `Infinity` only if it was given as that number
 * @throws ArgumentTypeError when it is neither a number nor such text; ArgumentRangeError when negative or NaN
 */
export function parseDuration(value: Duration, what: string): number {
  if (typeof value === 'string') return parseText(value, what)
  if (typeof value !== 'number') {
    throw new ArgumentTypeError(`${what} is ${describe(value)}; give milliseconds as a number, or text such as '30s'`)
  }
  if (Number.isNaN(value) || value < 0) throw new ArgumentRangeError(`${what} is ${value}; a duration is 0 or more`)
  return value
}

function parseText(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  if (!match) {
    const hint = /^\d+$/.test(text) ? ` ('${text}s' for seconds, or the number ${text} for milliseconds)` : ''
    throw new ArgumentTypeError(
      `${what} is '${text}'; a duration is a number with a unit: '250ms', '30s', '5m', '1h'${hint}`,
    )
  }
  return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]
}

/** A value for an error message, without trusting it. */
export function describe(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return value.length > 40 ? `text of ${value.length} characters` : `'${value}'`
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined) return String(value)
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`
}
