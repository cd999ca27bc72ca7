/** What the goals of several sheets have in common. */
import type { Goal, Sheet } from './sheet.ts'

/** One number of a contestant, in every repetition. */
export function value(name: string, key: string, text: string, limit: Pick<Goal, 'most' | 'least' | 'unit'>): Goal {
  return { text, value: (sheet) => sheet.values(name, key), ...limit }
}

/** The same beside that of another one. */
export function beside(
  name: string,
  other: string,
  key: string,
  what: string,
  limit: Pick<Goal, 'most' | 'least'>,
  remark = '',
): Goal {
  const [word, bound] = limit.most === undefined ? ['least', limit.least!] : ['most', limit.most]
  return {
    text: `${what} of \`${name}\` beside ${other}, at ${word} ${bound}${remark}`,
    value: (sheet: Sheet) => quotients(sheet.values(name, key), sheet.values(other, key)),
    ...limit,
    unit: '×',
  }
}

export function quotients(some: readonly number[], others: readonly number[]): number[] {
  return some.map((each, round) => each / others[round]!)
}
