/** Every fault has a test whose name begins with its number, and a row in the table of docs/evidence/etcd-faults.md. */
import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

/** Those that have a meaning on etcd. */
const FAULTS = [
  [1, 16],
  [36, 48],
  [55, 60],
].flatMap(([first, last]) => Array.from({ length: last! - first! + 1 }, (_, index) => first! + index))

function numbersIn(texts: readonly string[], sign: RegExp): number[] {
  const numbers = texts.flatMap((text) => [...text.matchAll(sign)].map((match) => Number(match[1])))
  return [...new Set(numbers)].sort((a, b) => a - b)
}

test('every fault has a test', () => {
  const texts = globSync('test/etcd/faults/*.proc.test.ts').map((path) => readFileSync(path, 'utf8'))
  expect(numbersIn(texts, /(?:^\s*|[([])['"](\d+) /gm)).toEqual(FAULTS)
})

test('every fault has a row in the evidence', () => {
  const text = readFileSync('docs/evidence/etcd-faults.md', 'utf8')
  expect(numbersIn([text], /^\| (\d+) \|/gm)).toEqual(FAULTS)
})
