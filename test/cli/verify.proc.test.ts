/** `holdfast verify`, as a user types it. */
import { expect, test } from 'vitest'
import { connect } from '../../src/index.ts'
import type { Report } from '../../src/verify/report/report.ts'
import { Place, until } from './kit/holdfast.ts'

test('it held: a line for each fault, the verdict, a report, and nothing left behind', async () => {
  const place = new Place()
  const words = ['verify', '--url', place.url, '--fault', 'holder-killed', '--minutes', '0.01', '--seed', '3']
  const { code, stdout, stderr } = await place.start([...words, '--report', place.path('report.html')]).ended
  expect(stderr).toBe(`holdfast: the report is in ${place.path('report.html')}\n`)
  const [line, verdict] = stdout.split('\n')
  expect(line).toMatch(
    /^held {12}file, holder-killed: \d+ strikes?, [\d,]+ operations, [\d,]+ stale access(es)? refused$/,
  )
  expect(verdict).toMatch(/^held: nothing that is promised was broken \(1 trial, /)
  expect(code).toBe(0)
  expect(place.read('report.html')).toContain('holder-killed')
  const locks = connect(place.url)
  const left: unknown[] = []
  for await (const each of locks.list()) left.push(each)
  await locks.close()
  expect(left).toEqual([])
})

test('for programs: one object, with the verdict, the seed and the figures', async () => {
  const place = new Place()
  const words = ['verify', '--url', place.url, '--fault', 'loop-blocked', '--minutes', '0.01', '--seed', '4', '--json']
  const { code, stdout, stderr } = await place.start(words).ended
  expect([code, stderr]).toEqual([0, ''])
  const report = JSON.parse(stdout) as Report & { readonly verdict: string }
  expect(report).toMatchObject({ verdict: 'held', command: 'holdfast verify --seed 4' })
  expect(report.trials).toMatchObject([{ coordinator: 'file', fault: 'loop-blocked', seed: 4, violations: [] }])
})

test('Ctrl-C ends it after the strike, and says what was found until then', async () => {
  const place = new Place()
  const command = place.start(['verify', '--url', place.url, '--minutes', '10'])
  const locks = connect(place.url)
  const isBusy = async (): Promise<boolean> => {
    for await (const { name } of locks.list()) if (name.startsWith('verify/')) return true
    return false
  }
  await until(isBusy, 'workers that take turns')
  await locks.close()
  command.kill('SIGINT')
  const { signal, stdout } = await command.ended
  expect(signal).toBe('SIGINT')
  expect(stdout).toMatch(/^(held|proved nothing) .*\n(.*\n)?(held|proved nothing): .*1 trial/)
})

test.each([
  [['x'], 64, 'verify takes no name'],
  [['--fault', 'holder-frozn'], 64, 'did you mean holder-frozen?; at file: there are holder-killed, '],
  [['--fault', 'cut-off'], 64, "--fault is 'cut-off'"],
  [['--minutes', '0'], 64, "--minutes is '0'; give a number above 0"],
  [['--url', 'memory:'], 64, 'memory: is one process'],
  [['--url', 'redis://127.0.0.1:1'], 69, 'redis: '],
])('%j ends with %i', async (words, code, text) => {
  const place = new Place()
  const ended = await place.start(['verify', '--url', place.url, ...words]).ended
  expect(ended.stderr).toContain(text)
  expect(ended).toMatchObject({ code, stdout: '' })
})
