/** Every fault has a test whose name begins with its number, and a row in the evidence of its coordinator. */
import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

function numbersIn(texts: readonly string[], sign: RegExp): number[] {
  const numbers = texts.flatMap((text) => [...text.matchAll(sign)].map((match) => Number(match[1])))
  return [...new Set(numbers)].sort((a, b) => a - b)
}

/** @param ranges the faults that have a meaning there, from one to another */
function faultsOf(coordinator: string, ranges: readonly (readonly [number, number])[], files: string): void {
  const faults = ranges.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, index) => first + index),
  )

  test(`every fault of ${coordinator} has a test`, () => {
    const texts = globSync(files).map((path) => readFileSync(path, 'utf8'))
    expect(numbersIn(texts, /(?:^\s*|[([])['"](\d+) /gm)).toEqual(faults)
  })

  test(`every fault of ${coordinator} has a row in the evidence`, () => {
    const text = readFileSync(`docs/evidence/${coordinator}-faults.md`, 'utf8')
    expect(numbersIn([text], /^\| (\d+) \|/gm)).toEqual(faults)
  })
}

// 30 to 33 on a quorum; 39 to 54 belong to other coordinators.
faultsOf(
  'redis',
  [
    [1, 38],
    [55, 60],
  ],
  'test/{redis/faults,redlock}/*.proc.test.ts',
)
faultsOf(
  'etcd',
  [
    [1, 16],
    [36, 48],
    [55, 60],
  ],
  'test/etcd/faults/*.proc.test.ts',
)
