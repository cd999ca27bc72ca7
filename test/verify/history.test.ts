import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { FileRecorder, historyOf, parseEvents, readEvents } from '../../src/verify/history.ts'
import { story } from './story.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-history-'))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('what several processes recorded is read as one list in the order of time', () => {
  let now = 0
  const paths = ['a', 'b'].map((process) => join(folder, process))
  const [a, b] = paths.map((path) => new FileRecorder(path, () => now))
  a!.note('a', { kind: 'ask', hold: 'a', name: 'n', waits: true })
  now = 2
  a!.note('a', { kind: 'gave-up', hold: 'a', code: 'HELD' })
  now = 1
  b!.note('b', { kind: 'crash' })
  a!.close()
  b!.close()
  appendFileSync(paths[0]!, '{"at":3,"proc')
  expect(readEvents(paths)).toEqual([
    { at: 0, process: 'a', kind: 'ask', hold: 'a', name: 'n', waits: true },
    { at: 1, process: 'b', kind: 'crash' },
    { at: 2, process: 'a', kind: 'gave-up', hold: 'a', code: 'HELD' },
  ])
})

test('a broken line in the middle is an error with its place', () => {
  expect(() => parseEvents('{"at":1}\nnonsense\n{"at":2}\n', 'worker.ndjson')).toThrow('worker.ndjson:2 is no event')
})

test('beliefs follow deadlines, downgrades and the end of the process', () => {
  const history = story()
    .hold('a', 1, [0, 1], { until: 10 })
    .at(5, 'a', { kind: 'deadline', hold: 'a', until: 20 })
    .at(8, 'a', { kind: 'reshaped', hold: 'a', mode: 'shared', weight: 1 })
    .at(25, 'a', { kind: 'deadline', hold: 'a', until: 40 })
    .at(30, 'a', { kind: 'crash' })
    .history()
  expect(history.beliefs.map(({ mode, from, until }) => [mode, from, until])).toEqual([
    ['exclusive', 1, 8],
    ['shared', 8, 20],
    ['shared', 25, 30],
  ])
})

test('an empty history is a history', () => {
  expect(historyOf([])).toMatchObject({ endedAt: 0, beliefs: [] })
})
