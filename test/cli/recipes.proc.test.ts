/** The recipes of docs/cli.md: what each is for, seen to happen. The leader that hands over is in lead.proc.test.ts. */
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { sectionOf } from '../docs/pages.ts'
import { BIN, Place } from './kit/holdfast.ts'

/** The words behind `holdfast run NAME` of a recipe, as its page has them, up to its command. */
function wordsOf(recipe: string): string[] {
  const line = /^npx holdfast (\S+) (\S+) (.*?)-- /m.exec(sectionOf('docs/cli.md', recipe))!
  return line[3]!.trim().split(' ')
}

test('cron on three hosts: one of them runs the job, the others say nothing, also one that is late', async () => {
  const place = new Place()
  const words = wordsOf('A job of cron on three hosts')
  expect(words).toEqual(['--try', '-E', '0', '--min-hold', '5'])
  // Three at once, and one whose clock is late: the job has ended by then.
  const host = () => place.run('report', ...words, '--', 'sh', '-c', 'echo ran >> $DIR/log').ended
  const ended = await Promise.all([host(), host(), host()])
  ended.push(await host())
  expect(ended).toEqual(ended.map(() => ({ code: 0, signal: null, stdout: '', stderr: '' })))
  expect(place.read('log')).toBe('ran\n')
})

test('a migration at deploy: all replicas wait, and one of them does it', async () => {
  const place = new Place()
  const words = wordsOf('A migration at deploy')
  expect(words).toEqual(['--wait', '10m'])
  const migrate = 'test -e $DIR/migrated || { echo migrating; sleep 0.5; touch $DIR/migrated; }'
  const all = await Promise.all(
    [1, 2, 3].map(() => place.run('migrate', ...words, '-q', '--', 'sh', '-c', migrate).ended),
  )
  expect(all.map(({ code }) => code)).toEqual([0, 0, 0])
  expect(all.map(({ stdout }) => stdout).sort()).toEqual(['', '', 'migrating\n'])
})

test('two at a time', async () => {
  const place = new Place()
  const words = wordsOf('Two at a time')
  expect(words).toEqual(['--permits', '1/2'])
  const work = 'echo + >> $DIR/log; sleep 0.2; echo - >> $DIR/log'
  const all = await Promise.all(
    [1, 2, 3, 4, 5].map(() => place.run('api', ...words, '-q', '--', 'sh', '-c', work).ended),
  )
  expect(all.map(({ code }) => code)).toEqual([0, 0, 0, 0, 0])
  let inside = 0
  const most = place
    .read('log')
    .trim()
    .split('\n')
    .map((line) => (inside += line === '+' ? 1 : -1))
  expect(Math.max(...most)).toBe(2)
})

const canUnshare = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0

test.skipIf(!canUnshare)(
  'in a container, as its first process: TERM goes to the command, and its end is told by the code (needs root and unshare)',
  async () => {
    const place = new Place()
    const trap = `trap 'echo asked >> $DIR/got; exit 3' TERM; touch $DIR/up; while :; do sleep 0.02; done`
    const container = (script: string) => {
      const words = ['run', 'worker', '--url', place.url, '--', 'sh', '-c', script]
      const child = spawn(
        'unshare',
        ['--pid', '--fork', '--kill-child', '--mount-proc', process.execPath, BIN, ...words],
        {
          env: { ...process.env, DIR: place.dir },
          stdio: ['ignore', 'ignore', 'inherit'],
        },
      )
      onTestFinished(() => void child.kill('SIGKILL'))
      const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)))
      return { pid: child.pid!, ended }
    }
    /** The one process that unshare has started. */
    const first = (pid: number): number => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim())
    const traps = container(trap)
    await place.has('up')
    process.kill(first(traps.pid), 'SIGTERM')
    expect(await traps.ended).toBe(3)
    expect(place.read('got')).toBe('asked\n')
    const dies = container('touch $DIR/up2; sleep 60')
    await place.has('up2')
    process.kill(first(dies.pid), 'SIGTERM')
    expect(await dies.ended).toBe(143)
  },
)
