/** `holdfast run`: what --max-time, --on-lost and --json do. All else is in run.proc.test.ts. */
import { writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { connect } from '../../src/index.ts'
import { Command, Place, fenceOf, runs, until } from './kit/holdfast.ts'

/** Holds the name until the file `go` is there. */
const UNTIL_GO = 'touch $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done'

describe('--max-time', () => {
  test('124: asked to end, with whatever it has started', async () => {
    const place = new Place()
    const script = `sh -c 'trap "echo asked >> $DIR/got; exit" TERM; touch $DIR/up; while :; do sleep 0.02; done'; exit 0`
    const { code, stderr } = await place.run('x', '--max-time', '1', '-c', script).ended
    expect(code).toBe(124)
    expect(place.read('got')).toBe('asked\n')
    expect(stderr).toContain('the command has run for its --max-time of 1.0 s; the command is asked to end (SIGTERM)')
    expect(stderr).toContain('the command was ended after its --max-time of 1.0 s')
    expect(await place.run('x', '-n', '--', 'true').ended).toMatchObject({ code: 0 })
  })

  test('124: killed, when it does not end', async () => {
    const place = new Place()
    const script = 'trap "" TERM; (trap "" TERM; sleep 60) & echo $! > $DIR/pid; sleep 60; sleep 60'
    const { code } = await place.run('x', '--max-time', '500ms', '--kill-after', '500ms', '-c', script).ended
    expect(code).toBe(124)
    expect(runs(Number(place.read('pid')))).toBe(false)
  })

  test('what ends before it is not touched', async () => {
    expect(await new Place().run('x', '--max-time', '60', '--', 'sh', '-c', 'exit 3').ended).toMatchObject({ code: 3 })
  })
})

describe('--on-lost warn', () => {
  test('the command runs on, and its code is ours', async () => {
    const place = new Place()
    const script = 'echo $HOLDFAST_FENCE > $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done; exit 4'
    const holder = place.run('x', '--on-lost', 'warn', '--ttl', '3', '-c', script)
    await until(() => fenceOf(place) !== undefined, 'the fence')
    const locks = connect(place.url)
    expect(await locks.evict('x', fenceOf(place)!)).toBe(true)
    await locks.close()
    await holder.says(/the lease on "x" is gone.*; the command runs on without it/)
    writeFileSync(place.path('go'), '')
    expect(await holder.ended).toMatchObject({ code: 4 })
  })
})

describe('--json', () => {
  const events = (stderr: string): Record<string, unknown>[] =>
    stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)

  test('every line on stderr is an object: acquired, renewed, released', async () => {
    const place = new Place()
    const { code, stdout, stderr } = await place.run('x', '--json', '--ttl', '1', '-c', 'sleep 1; echo out').ended
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'out\n' })
    const all = events(stderr)
    expect(all.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['lock.acquired', 'lock.renewed', 'lock.released']),
    )
    expect(all[0]).toMatchObject({ type: 'lock.acquired', name: 'x', mode: 'exclusive' })
    expect(all.at(-1)).toMatchObject({ type: 'lock.released', outcome: 'released', fence: all[0]!['fence'] })
    for (const { at } of all) expect(Date.parse(String(at))).toBeGreaterThan(0)
  })

  test('waiting, and giving up', async () => {
    const place = new Place()
    const holder = place.run('x', '-c', UNTIL_GO)
    await place.has('up')
    const { code, stderr } = await place.run('x', '--json', '-w', '1', '--', 'true').ended
    expect(code).toBe(75)
    const all = events(stderr)
    expect(all.map(({ type }) => type)).toEqual(['lock.waiting', 'lock.not_acquired', 'error'])
    expect(all[0]).toMatchObject({ name: 'x', position: 1, waiters: 1, holder: { pid: holder.pid } })
    expect(all[1]).toMatchObject({ position: 1, holders: [{ pid: holder.pid }] })
    expect(all[2]).toMatchObject({ code: 75 })
  })

  test('at risk, and lost', async () => {
    const place = new Place()
    const script = 'trap "" TERM; echo $HOLDFAST_FENCE > $DIR/up; sleep 60'
    const holder = place.run('x', '--json', '--ttl', '3', '-c', script)
    await until(() => fenceOf(place) !== undefined, 'the fence')
    const locks = connect(place.url)
    await locks.evict('x', fenceOf(place)!)
    await locks.close()
    const { code, stderr } = await holder.ended
    expect(code).toBe(79)
    const types = events(stderr).map(({ type }) => type)
    expect(types).toContain('lock.lost')
    expect(events(stderr).at(-1)).toMatchObject({ type: 'error', code: 79 })
  })

  test('usage errors, too', async () => {
    const { code, stderr } = await new Command(['run', '--json', 'x']).ended
    expect(code).toBe(64)
    expect(events(stderr)).toMatchObject([{ type: 'error', code: 64, text: expect.stringContaining('needs --') }])
  })
})
