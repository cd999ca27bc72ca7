import { describe, expect, test } from 'vitest'
import { pauseAfter } from '../../src/cli/commands/lead.ts'
import { tableOf } from '../../src/cli/commands/ls.ts'
import { showText } from '../../src/cli/commands/show.ts'
import { changes, seenIn } from '../../src/cli/commands/watch.ts'
import { wrapped } from '../../src/cli/help.ts'
import { matching } from '../../src/cli/names.ts'
import { fitted, width } from '../../src/cli/text.ts'
import { TimeLimit } from '../../src/cli/hold/time-limit.ts'
import type { Inspected, Inspection } from '../../src/locks.ts'
import { connect } from '../../src/index.ts'
import { entry, view } from './kit/views.ts'

const who = { host: 'web-2', pid: 4121, user: 'alice', label: 'the nightly report' }
const nightly = (fence: bigint, more: Partial<Inspected> = {}): Inspected => entry(fence, { who, ...more })
const held = (more: Partial<Inspection> = {}): Inspection =>
  view({ holders: [nightly(4711n)], waiters: [nightly(4712n), nightly(4713n)], ...more })

describe('the table of ls', () => {
  test('says who holds, for how long, and how many wait', () => {
    expect(tableOf([held()], false, Infinity)).toBe(
      'NAME        KIND  HELD BY                                     FOR   LEASE  WAITING  FENCE\n' +
        'deploy/api  lock  web-2 pid 4121 (alice, the nightly report)  3:07  0:24   2        4711\n',
    )
  })

  test.each([80, 200])('fits into %i columns, and cuts no number', (columns) => {
    const names = ['x', 'n'.repeat(200), '漢'.repeat(100)]
    const views = names.map((name) => held({ name, holders: [nightly(1795674345955000n)] }))
    const lines = tableOf(views, true, columns).trimEnd().split('\n')
    expect(Math.max(...lines.map(width))).toBeLessThanOrEqual(columns)
    expect(lines.filter((line) => line.endsWith('1795674345955000'))).toHaveLength(3)
    expect(lines.filter((line) => line.includes('3:07'))).toHaveLength(3)
    expect(lines[4]).toContain('nnnnn…')
  })

  test('without a terminal nothing is cut', () => {
    expect(tableOf([held({ name: 'n'.repeat(200) })], false, Infinity)).toContain('n'.repeat(200))
  })

  test('shared holders, permits, and a name that only has waiters', () => {
    const shared = held({
      capacity: 9,
      holders: [nightly(1n, { exclusive: false }), nightly(2n, { exclusive: false })],
    })
    expect(tableOf([shared], false, Infinity)).toMatch(/deploy\/api {2}shared lock .* 1\n {12} {11} .* 2\n$/)
    const permits = held({ kind: 'permits', capacity: 3, holders: [nightly(1n, { weight: 2, exclusive: false })] })
    expect(tableOf([permits], false, Infinity)).toContain(
      'permits of 3  web-2 pid 4121 (alice, the nightly report), 2 permits',
    )
    expect(tableOf([held({ holders: [] })], false, Infinity)).toMatch(/deploy\/api {2}lock .* 2 *\n$/)
    expect(tableOf([held({ holders: [nightly(1n, { lingering: true })] })], false, Infinity)).toContain('3:07 (over)')
  })

  test('what could steer a terminal is not printed', () => {
    const evil = held({ name: 'a\u001B[2Jb', holders: [nightly(1n, { who: { label: '\u001B]0;x\u0007' } })] })
    expect(tableOf([evil], true, Infinity)).not.toContain('\u001B')
    expect(showText(evil, Infinity)).not.toContain('\u001B')
  })
})

describe('show', () => {
  test.each([80, 200])('fits into %i columns but for what is to be typed', (columns) => {
    const who = { host: 'h'.repeat(100), pid: 1, label: 'l'.repeat(100) }
    const text = showText(
      held({
        name: 'n'.repeat(200),
        holders: [nightly(1n, { who })],
        waiters: [nightly(4712n, { who: { ...who, label: 'l'.repeat(300) } })],
      }),
      columns,
    )
    const lines = text.trimEnd().split('\n')
    expect(lines[0]).toBe(`${'n'.repeat(200)}: lock`)
    expect(Math.max(...lines.slice(1, -1).map(width))).toBeLessThanOrEqual(columns)
    expect(text).toContain('lease 0:24 left')
    expect(text).toMatch(/1st .*… for 3:20, fence 4712\n/)
    expect(lines.at(-1)).toBe(`  release  holdfast release ${'n'.repeat(200)} --fence 1`)
  })

  test('a leader has a value that others see', () => {
    const holders = [nightly(1n, { who: { ...who, value: '10.0.0.1:80' } })]
    expect(showText(held({ kind: 'election', holders, waiters: [] }), Infinity)).toContain('\n  value    10.0.0.1:80\n')
  })

  test('every queue of a name has its own command', () => {
    expect(showText(held({ kind: 'permits', capacity: 3 }), Infinity)).toContain('--fence 4711 --kind permits\n')
    expect(showText(held({ holders: [nightly(1n, { lingering: true })] }), Infinity)).not.toContain('release')
  })
})

describe('columns', () => {
  test('the longest are cut first, and evenly', () => {
    expect(fitted([['aaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb', '1']], [0, 1], 24)).toBe('aaaaaaaa…  bbbbbbbbb…  1\n')
    expect(fitted([['aaaa', '1']], [0], 80)).toBe('aaaa  1\n')
  })

  test('help is wrapped at words', () => {
    expect(wrapped('one two three', '  ', 9)).toBe('  one two\n  three\n')
    expect(wrapped('a-word-that-is-long b', '', 5)).toBe('a-word-that-is-long\nb\n')
  })
})

test('a pattern: * is any characters, ? is one, and all others are themselves', async () => {
  const locks = connect('memory:')
  const names = ['a/b', 'a/bc', 'a.b', 'x', 'a*b', '[ab]']
  await Promise.all(names.map((name) => locks.acquire(name)))
  const found = async (pattern: string): Promise<string[]> => (await matching(locks, pattern)).map(({ name }) => name)
  expect(await found('*')).toEqual([...names].sort())
  expect(await found('a/?')).toEqual(['a/b'])
  expect(await found('a.b')).toEqual(['a.b'])
  expect(await found('a*b')).toEqual(['a*b', 'a.b', 'a/b'])
  expect(await found('[ab]')).toEqual(['[ab]'])
  expect(await found('nothing')).toEqual([])
  await locks.close()
})

test('watch: who came, who came to hold, and who is gone, between two looks', () => {
  const [waits, holds] = [nightly(2n, { heldMs: undefined }), nightly(2n)]
  const before = seenIn([held({ holders: [nightly(1n)], waiters: [waits] })])
  const after = seenIn([held({ holders: [holds], waiters: [nightly(3n)] })])
  const said = changes(before, after).map(({ entry, happened, place }) => [Number(entry.fence), happened, place])
  expect(said).toEqual([
    [1, 'gone', undefined],
    [2, 'holds', undefined],
    [3, 'waits', 1],
  ])
  expect(changes(after, after)).toEqual([])
  expect(changes(after, seenIn([])).map(({ happened }) => happened)).toEqual(['gone', 'gone'])
})

test('lead: the pause after short terms doubles, up to a minute; a long one ends it', () => {
  const pauses: number[] = []
  for (let term = 0; term < 8; term += 1) pauses.push(pauseAfter(100, pauses.at(-1) ?? 0))
  expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000])
  expect(pauseAfter(10_000, 60_000)).toBe(0)
})

test('a time limit asks, and then kills; a leap of the wall clock counts', async () => {
  const said: string[] = []
  let [now, wall] = [0, 0]
  const clocks = { monotonicMs: () => now, wallMs: () => now + wall }
  const events = { ask: (ms: number) => said.push(`ask ${ms}`), kill: () => said.push('kill') }
  const limit = new TimeLimit({ maxTimeMs: 20, killAfterMs: 10 }, events, clocks)
  expect([limit.over, limit.graceMs]).toEqual([false, Infinity])
  wall = 50
  await expect.poll(() => said).toEqual(['ask 10'])
  expect([limit.over, limit.graceMs]).toEqual([true, 10])
  now = 10
  await expect.poll(() => said).toEqual(['ask 10', 'kill'])
  expect(limit.graceMs).toBe(0)
})
