/** Every fault has a test whose name begins with its number, and a row in the table of docs/evidence/redis-faults.md. */
import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

/** Those that have a meaning on Redis; 30 to 33 on a quorum. 39 to 54 belong to other coordinators. */
const FAULTS = [
  [1, 38],
  [55, 60],
].flatMap(([first, last]) => Array.from({ length: last! - first! + 1 }, (_, index) => first! + index))

function numbersIn(texts: readonly string[], sign: RegExp): number[] {
  const numbers = texts.flatMap((text) => [...text.matchAll(sign)].map((match) => Number(match[1])))
  return [...new Set(numbers)].sort((a, b) => a - b)
}

test('every fault has a test', () => {
  const texts = globSync('test/{redis/faults,redlock}/*.proc.test.ts').map((path) => readFileSync(path, 'utf8'))
  expect(numbersIn(texts, /(?:^\s*|[([])['"](\d+) /gm)).toEqual(FAULTS)
})

test('every fault has a row in the evidence', () => {
  const text = readFileSync('docs/evidence/redis-faults.md', 'utf8')
  expect(numbersIn([text], /^\| (\d+) \|/gm)).toEqual(FAULTS)
})
