/** How much is tested: in `npm test` each suite and each fault once; the matrix asks for more. */

/** Whether every client, version and topology is asked for: `npm run test:matrix` sets it. */
export const MATRIX = process.env['HOLDFAST_MATRIX'] === '1'

/** Whether what is random is run for longer, and what takes minutes at all. */
export const LONG = process.env['HOLDFAST_LONG'] === '1'

/** How often what is random is run, beside what `npm test` does. */
export const TIMES = LONG ? 10 : 1

/** What is always tested, and some `more` in the matrix. */
export function andInMatrix<T>(always: readonly T[], more: readonly T[]): readonly T[] {
  return MATRIX ? [...always, ...more] : always
}
