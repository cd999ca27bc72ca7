/** The promise: the command is gone before anyone else can hold its lock, whatever is done to the wrapper. */
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { MATRIX } from '../kit/effort.ts'
import { Place, guardianOf, runs, until } from './kit/holdfast.ts'
import { TREES, trial } from './trials.ts'

const trials = Number(process.env['HOLDFAST_TRIALS'] ?? (MATRIX ? 3 : 1))

/** A command with a grandchild; both note their pids. */
const TREE = 'sleep 1000 & echo $$ $! > $DIR/pids; touch $DIR/up; wait'

describe('a wrapper that is killed -9', () => {
  test.each(Object.entries(TREES))('%s: all of it is gone before the next one starts', async (_, tree) => {
    for (let i = 0; i < trials; i += 1) {
      const { survivors, tookMs, first } = await trial({ kind: 'settled', afterMs: 20 * i }, tree)
      expect(survivors).toEqual([])
      expect(first.signal).toBe('SIGKILL')
      // 50 ms are usual; this leaves room for a busy machine.
      expect(tookMs).toBeLessThan(5000)
    }
  })

  test('at any moment from its start on', async () => {
    for (let i = 0; i < 4 * trials; i += 1) {
      const { survivors } = await trial({ kind: 'anywhere', afterMs: 30 + 20 * i }, TREES['a grandchild behind sh']!)
      expect(survivors).toEqual([])
    }
  })

  test.each(['before', 'after'] as const)('by itself, right %s the start of its command', async (when) => {
    for (let i = 0; i < trials; i += 1) {
      const { survivors, first } = await trial({ kind: 'at-start', when }, TREES['a daemon in its own session']!)
      expect(survivors).toEqual([])
      expect(first.signal).toBe('SIGKILL')
    }
  })

  test('in the middle of the start of its command', async () => {
    for (let i = 0; i < 6 * trials; i += 1) {
      const when = Math.round((i / (6 * trials)) * 4000)
      const { survivors } = await trial({ kind: 'at-start', when }, TREES['a grandchild behind sh']!)
      expect(survivors).toEqual([])
    }
  })

  test('a run inside of a run ends with the outer one, and its own lock is free only then', async () => {
    const place = new Place()
    const bin = ['bin/holdfast.cjs', 'run', '--url', place.url, 'inner', '--', 'sh', '-c', TREE]
    const outer = place.run('outer', '--', process.execPath, ...bin)
    await place.has('up')
    const next = place.run('inner', '--', 'sh', '-c', LOOK)
    await next.says(/1st of 1/)
    outer.kill('SIGKILL')
    expect(await next.ended).toMatchObject({ code: 0, stdout: '' })
  })
})

describe('a wrapper that is stopped', () => {
  test('past its ttl: the command is dead before the next one starts, and it ends with 79 when it goes on', async () => {
    const place = new Place()
    const holder = place.run('x', '--ttl', '2', '--', 'sh', '-c', `trap "" TERM; ${TREE}; ${TREE}`)
    await place.has('up')
    const next = place.run('x', '--', 'sh', '-c', LOOK)
    await next.says(/1st of 1/)
    holder.kill('SIGSTOP')
    expect(await next.ended).toMatchObject({ code: 0, stdout: '' })
    expect(runs(holder.pid)).toBe(true)
    holder.kill('SIGCONT')
    const { code, stderr } = await holder.ended
    expect(stderr).toContain('the lease on "x" ended')
    expect(code).toBe(79)
  })

  test('and a machine that stands still past its ttl: its guardian has its turn before the next one starts', async () => {
    const place = new Place()
    const holder = place.run('x', '--ttl', '3', '--', 'sh', '-c', `trap "" TERM; ${TREE}; ${TREE}`)
    await place.has('up')
    const next = place.run('x', '-v', '--', 'sh', '-c', LOOK)
    await next.says(/1st of 1/)
    const guardian = guardianOf(holder.pid)!
    holder.kill('SIGSTOP')
    next.kill('SIGSTOP')
    process.kill(guardian, 'SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, 4000))
    next.kill('SIGCONT')
    // What a busy machine may do to it, when all go on at once.
    await new Promise((resolve) => setTimeout(resolve, 300))
    process.kill(guardian, 'SIGCONT')
    const { code, stdout, stderr } = await next.ended
    expect(stderr).toContain('the machine stood still')
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
  })

  test('a command that heeds TERM has the time to end by itself', async () => {
    const place = new Place()
    const script = `trap 'echo asked >> $DIR/log; exit 0' TERM; touch $DIR/up; while :; do sleep 0.02; done`
    const holder = place.run('x', '--ttl', '3', '--kill-after', '1', '--', 'sh', '-c', script)
    await place.has('up')
    holder.kill('SIGSTOP')
    await place.has('log')
    expect(place.read('log')).toBe('asked\n')
    holder.kill('SIGCONT')
    // It exited with 0; but nobody knows what it left undone.
    expect((await holder.ended).code).toBe(79)
  })

  test('and continued in time: nothing has happened', async () => {
    const place = new Place()
    const holder = place.run('x', '--ttl', '10', '--', 'sh', '-c', 'touch $DIR/up; sleep 3; exit 5')
    await place.has('up')
    holder.kill('SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, 1500))
    holder.kill('SIGCONT')
    expect(await holder.ended).toMatchObject({ code: 5, stderr: '' })
  })
})

describe('a lease that is not renewed', () => {
  test('the command is asked to end, in time, then killed, and the code is 79', async () => {
    const place = new Place()
    const script = `trap 'echo asked >> $DIR/log' TERM USR1; touch $DIR/up; while :; do sleep 0.02; done`
    const options = ['--ttl', '3', '--kill-after', '1', '--signal', 'USR1']
    const words = ['run', '--url', place.url, 'x', ...options, '--', 'sh', '-c', script]
    const holder = place.start(words, { node: ['--import', resolve('test/cli/break-store.mjs')] })
    await place.has('up')
    writeFileSync(place.path('broken'), '')
    const { code, stderr } = await holder.ended
    expect(place.read('log')).toBe('asked\n')
    expect(stderr).toMatch(
      /"x" was not renewed in time; the command is asked to end \(SIGUSR1\), and killed in [\d.]+ m?s/,
    )
    expect(stderr).toContain('the command was ended')
    expect(code).toBe(79)
  })
})

describe('a guardian that is killed', () => {
  test('is replaced at once, and the new one does its work', async () => {
    const place = new Place()
    const holder = place.run('x', '-v', '--', 'sh', '-c', TREE)
    await place.has('up')
    const guardian = guardianOf(holder.pid)!
    process.kill(guardian, 'SIGKILL')
    await holder.says(/the guardian ended \(SIGKILL\); another takes its place/)
    await until(() => ![undefined, guardian].includes(guardianOf(holder.pid)), 'another guardian')
    const next = place.run('x', '--', 'sh', '-c', LOOK)
    await next.says(/1st of 1/)
    holder.kill('SIGKILL')
    expect(await next.ended).toMatchObject({ code: 0, stdout: '' })
  })

  test('pays no heed to what a service manager sends to all', async () => {
    const place = new Place()
    const holder = place.run('x', '-v', '--', 'sh', '-c', TREE)
    await place.has('up')
    const guardian = guardianOf(holder.pid)!
    await new Promise((resolve) => setTimeout(resolve, 500))
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(guardian, signal)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(guardianOf(holder.pid)).toBe(guardian)
    expect(holder.stderr).not.toContain('another takes its place')
  })

  test('goes with its wrapper', async () => {
    const place = new Place()
    const holder = place.run('x', '--', 'sh', '-c', 'touch $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done')
    await place.has('up')
    const guardian = guardianOf(holder.pid)!
    writeFileSync(place.path('go'), '')
    await holder.ended
    await until(() => !runs(guardian), 'the end of the guardian')
  })
})

// docs/cli.md says so: what escapes.
describe('what escapes', () => {
  /** Ends what is left, whatever a test found. */
  const mourned = (pid: number): number => {
    onTestFinished(() => {
      if (runs(pid)) process.kill(pid, 'SIGKILL')
    })
    return pid
  }

  test('everything, when wrapper and guardian are killed at once', async () => {
    const place = new Place()
    const holder = place.run('x', '-c', 'echo $$ > $DIR/pids; touch $DIR/up; exec sleep 60')
    await place.has('up')
    const child = mourned(Number(place.read('pids')))
    const guardian = guardianOf(holder.pid)!
    process.kill(guardian, 'SIGSTOP')
    holder.kill('SIGKILL')
    process.kill(guardian, 'SIGKILL')
    expect(await place.run('x', '--', 'true').ended).toMatchObject({ code: 0 })
    expect(runs(child)).toBe(true)
  })

  test('a process that lost its parent, left its session and dropped its environment; and nothing beside it', async () => {
    const place = new Place()
    const script = `(env -i DIR=$DIR PATH=$PATH setsid sh -c 'echo $$ > $DIR/free; exec sleep 60' &)
      sleep 60 & echo $$ $! > $DIR/pids; while [ ! -s $DIR/free ]; do sleep 0.02; done; touch $DIR/up; wait`
    const holder = place.run('x', '-c', script)
    await place.has('up')
    const free = mourned(Number(place.read('free')))
    holder.kill('SIGKILL')
    expect(await place.run('x', '--', 'sh', '-c', LOOK).ended).toMatchObject({ code: 0, stdout: '' })
    expect(runs(free)).toBe(true)
  })
})

/** Says which of the noted pids run. */
const LOOK = `read -r a b < $DIR/pids; for pid in $a $b; do
  { read -r c d state e < /proc/$pid/stat; } 2> /dev/null && [ "$state" != Z ] && echo $pid runs; done; exit 0`
