/** What is loaded, and what is written down, when a command runs under a lock. */
import { readFileSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { connect } from '../../src/index.ts'
import { Place } from './kit/holdfast.ts'

const RECORD = resolve('test/cli/record-loads.mjs')

/** The files that a command loads. */
async function loadedBy(place: Place, words: readonly string[]): Promise<string[]> {
  const { code } = await place.start(words, { node: ['--import', RECORD] }).ended
  expect(code).toBe(0)
  return place
    .read('loaded')
    .split('\n')
    .filter((url) => url.startsWith('file:'))
}

test.each(['--help', '--version', 'run --help'])('%s: no coordinator is loaded', async (words) => {
  const loaded = await loadedBy(new Place(), words.split(' '))
  const own = loaded.filter((url) => url.includes('/dist/'))
  expect(own.map((url) => url.replace(/.*\/dist\//, ''))).toEqual(['bin/main.cjs'])
})

// connect() is synchronous, so it brings both embedded coordinators; drivers of servers would be in node_modules.
test('a run loads nothing from outside of the package', async () => {
  const place = new Place()
  const loaded = await loadedBy(place, ['run', '--url', place.url, 'x', '--', 'true'])
  const own = loaded.filter((url) => url.includes('/dist/'))
  expect(own.map((url) => url.replace(/.*\/dist\//, ''))).toEqual(['bin/main.cjs'])
  expect(loaded.filter((url) => !/\/(bin|dist)\//.test(url) || url.includes('/node_modules/'))).toEqual([])
})

test('what was compiled is kept where nobody else can write, and not in the folder for temporary files', async () => {
  const place = new Place()
  const words = ['run', '--url', place.url, 'x', '--', 'true']
  expect(await place.start(words, { env: { TMPDIR: place.dir } }).ended).toMatchObject({ code: 0, stderr: '' })
  expect(readdirSync(place.dir)).toEqual(['store'])
})

test('neither the words of a command nor its environment are written into the store, or shown to who asks', async () => {
  const place = new Place()
  const start = (...command: string[]) =>
    place.start(['run', '--url', place.url, 'x', '--', ...command, '--password=hunter2'], {
      env: { API_TOKEN: 'swordfish' },
    })
  const holder = start('sh', '-c', 'touch $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done')
  await place.has('up')
  const waiter = start('echo')
  await waiter.says(/1st of 1/)
  const secret = /hunter2|password|swordfish|API_TOKEN|touch/
  const files = readdirSync(place.path('store'), { recursive: true, withFileTypes: true }).filter((each) =>
    each.isFile(),
  )
  const text = files.map((each) => readFileSync(join(each.parentPath, each.name), 'latin1')).join('\n')
  // Both have written there, so it is the right place to look.
  for (const { pid } of [holder, waiter]) expect(text).toContain(String(pid))
  expect(text).not.toMatch(secret)
  const locks = connect(place.url)
  const view = await locks.inspect('x')
  await locks.close()
  expect(view).toMatchObject({ holders: [{ who: { pid: holder.pid } }], waiters: [{ who: { pid: waiter.pid } }] })
  expect(inspect(view, { depth: Infinity })).not.toMatch(secret)
})
