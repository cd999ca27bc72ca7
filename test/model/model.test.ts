import { expect, test } from 'vitest'
import { models } from './models.ts'
import { quorum } from './quorum/quorum.ts'
import { search } from './search.ts'

/** It is all computing, and shares the machine with other tests. */
const timeout = 60_000

const variants = models.flatMap((model) => model.variants)
const quick = variants.filter(({ long }) => long !== true)

test.for(quick)('$name: $shows', { timeout }, ({ model, finds }) => {
  const { complete, states, violation } = search(model())
  const told = violation?.trace.join('\n')
  expect(complete).toBe(true)
  if ('states' in finds) {
    expect(violation?.broken, told).toBeUndefined()
    expect(states).toBe(finds.states)
  } else {
    expect(violation?.broken).toBe(finds.broken)
    expect(violation?.trace.length, told).toBe(finds.steps)
  }
})

test('the shortest way to a violation is told step by step', () => {
  const { violation } = search(quorum({ nodes: 3, attempts: 2, raise: 'never' }))
  expect(violation?.trace).toEqual([
    'node 1 grants A: 1',
    'node 2 grants B: 1',
    'the entry of A on node 1 ends',
    'node 1 grants B: 2',
    'B holds with the fence 2, by the answers of nodes 1, 2',
    'the entry of B on node 2 ends',
    'node 2 grants A: 2',
    'A holds with the fence 2, by the answers of nodes 1, 2',
  ])
})

test('every variant has a name of its own', () => {
  const names = models.flatMap(({ name, variants }) => [name, ...variants.map((variant) => variant.name)])
  expect(new Set(names).size).toBe(names.length)
})

/** With how many times as many states at most. */
const overlooked: [what: string, most: number, names: string[]][] = [
  // Twelve ways to name three nodes and two attempts.
  [
    'which node and which attempt is which',
    12,
    ['conditional', 'no-raise', 'unconditional', 'unanswered', 'by-join', 'wiped', 'exclusion'],
  ],
  // Two ways to name two processes, and more to name the files.
  [
    'which process is which, and which file was made first',
    Infinity,
    ['one-log', 'void-counts', 'in-place', 'renames'],
  ],
  [
    'which try is which, and what is under way to those that are over',
    Infinity,
    ['wakes-alone', 'subscribes-late', 'any-ticket', 'from-reply', 'stays', 'left-once', 'renewal-joins'],
  ],
]

test.for(overlooked)('nothing is overlooked by forgetting %s', { timeout }, ([, most, names]) => {
  for (const { name, model } of variants.filter((variant) => names.includes(variant.name))) {
    const known = search(model())
    const all = search({ ...model(), canonical: () => undefined })
    expect(all.violation?.trace.length, name).toBe(known.violation?.trace.length)
    expect(all.states, name).toBeGreaterThan(known.states)
    if (!all.violation) expect(all.states, name).toBeLessThanOrEqual(known.states * most)
  }
})

test('a search that is cut off does not call itself complete', () => {
  const { complete, violation } = search(quorum({ nodes: 3, attempts: 2, raise: 'owned' }), { statesMax: 1000 })
  expect(complete).toBe(false)
  expect(violation).toBeUndefined()
})
