import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { connect } from '../../src/index.ts'
import { BIN, Command, Place, fenceOf, runs, until } from './kit/holdfast.ts'

/** Holds the name until the file `go` is there. */
const UNTIL_GO = 'touch $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done'

describe('exit codes', () => {
  test('the code of the command is ours', async () => {
    const place = new Place()
    expect(await place.run('x', '--', 'true').ended).toMatchObject({ code: 0, stdout: '', stderr: '' })
    expect(await place.run('x', '--', 'sh', '-c', 'exit 7').ended).toMatchObject({ code: 7, stderr: '' })
  })

  test('a signal that killed the command kills us', async () => {
    const place = new Place()
    const ending = (signal: string) => place.run('x', '--', 'sh', '-c', `kill -${signal} $$`).ended
    expect(await ending('TERM')).toMatchObject({ code: null, signal: 'SIGTERM' })
    expect(await ending('USR1')).toMatchObject({ code: null, signal: 'SIGUSR1' })
  })

  test('where a signal would leave a core of ours, or cannot be had, the code says it', async () => {
    const place = new Place()
    const ending = (signal: string) => place.run('x', '--', 'sh', '-c', `ulimit -c 0; kill -${signal} $$`).ended
    expect(await ending('KILL')).toMatchObject({ code: 137, signal: null })
    expect(await ending('SEGV')).toMatchObject({ code: 128 + constants.signals.SIGSEGV, signal: null })
  })

  test.each([
    [['run'], 'needs the name of a lock'],
    [['run', 'x'], 'needs -- before its command'],
    [['run', 'x', 'echo', 'hi'], 'holdfast run x -- echo hi'],
    [['run', 'x', '--'], 'needs -- before its command'],
    [['run', 'x', '--nonsense', '--', 'true'], "Unknown option '--nonsense'"],
    [['run', 'x', '--wait', 'soon', '--', 'true'], "--wait is 'soon'; give seconds"],
    [['run', 'x', '-n', '-w', '5', '--', 'true'], '--try does not wait'],
    [['run', 'x', '-s', '-p', '1/2', '--', 'true'], 'two kinds of locks'],
    [['run', 'x', '-p', '5/4', '--', 'true'], 'nobody could take 5'],
    [['run', 'x', '-p', '4', '--', 'true'], '1/4 for one permit of four'],
    [['run', 'x', '-E', '256', '--', 'true'], 'from 0 to 255'],
    [['run', 'x', '--signal', 'NONE', '--', 'true'], 'no such signal'],
    [['run', 'x', '--ttl', '0', '--', 'true'], 'ttl is 0'],
    [['run', 'a\tb', '--', 'true'], 'control character'],
    [['run', 'x'.repeat(513), '--', 'true'], '513 bytes'],
    [['run', 'x', '-c', 'true', '--', 'true'], '-c takes the place of -- command'],
    [['run', 'x', '--max-time', '0', '--', 'true'], '--max-time must be more than 0'],
    [['run', 'x', '--on-lost', 'hope', '--', 'true'], "--on-lost is 'hope'; give term or warn"],
    [['rum'], "no command 'rum'; did you mean run?"],
    [['run', 'x', '--tll', '5', '--', 'true'], "Unknown option '--tll'; did you mean ttl?"],
    [[], 'say what to do'],
  ])('%j: 64, and a line that says why', async (args, line) => {
    const { code, stdout, stderr } = await new Command(args, { env: { HOLDFAST_URL: 'memory:' } }).ended
    expect(stderr).toContain(line)
    expect(stderr).toMatch(/^holdfast: .*\n$/)
    expect({ code, stdout }).toEqual({ code: 64, stdout: '' })
  })

  test('64: a ttl too short to end the command in, with the sum', async () => {
    const { code, stderr } = await new Command(['run', 'x', '--ttl', '10', '--kill-after', '8', '--', 'true']).ended
    expect(stderr).toContain('takes 12.33 s: 3.33 s between renewals + 8 s --kill-after + 1 s margin')
    expect(code).toBe(64)
  })

  test('a short ttl alone makes the time to end shorter', async () => {
    expect(await new Place().run('x', '--ttl', '1', '--', 'true').ended).toMatchObject({ code: 0, stderr: '' })
  })

  test('64: a command that runs itself under its own lock', async () => {
    const place = new Place()
    const { code, stderr } = await place.run('x', '--', process.execPath, ...inner(place, 'x')).ended
    expect(stderr).toContain('it would wait for itself')
    expect(code).toBe(64)
    expect(await place.run('x', '--', process.execPath, ...inner(place, 'y')).ended).toMatchObject({
      code: 0,
      stderr: '',
    })
    expect(await place.run('x', '--', process.execPath, ...inner(place, 'x', '-n')).ended).toMatchObject({ code: 75 })
  })

  test('a name that is no longer held may be locked by what its command left running', async () => {
    const place = new Place()
    const { stdout } = await place.run('x', '--', 'sh', '-c', 'echo $HOLDFAST_FENCE').ended
    const env = { HOLDFAST_NAME: 'x', HOLDFAST_FENCE: stdout.trim() }
    expect(await place.start(['run', '--url', place.url, 'x', '--', 'true'], { env }).ended).toMatchObject({ code: 0 })
  })

  test('75: held, and it would not wait', async () => {
    const place = new Place()
    const holder = place.run('x', '--label', 'nightly', '--', 'sh', '-c', UNTIL_GO)
    await place.has('up')
    const busy = await place.run('x', '-n', '--', 'true').ended
    expect(busy.code).toBe(75)
    expect(busy.stderr).toContain('"x" is held; did not wait')
    expect(busy.stderr).toMatch(/\n  inspect  holdfast show x\n  release  holdfast release x --fence \d+\n$/)
    expect(busy.stderr).toMatch(
      new RegExp(`holder   \\S+ pid ${holder.pid} \\(\\S+, nightly\\)\n  since    \\d\\d:\\d\\d:\\d\\d`),
    )
    expect(await place.run('x', '-n', '-q', '--', 'true').ended).toMatchObject({ code: 75, stderr: '' })
    expect(await place.run('x', '-n', '-E', '3', '--', 'true').ended).toMatchObject({ code: 3 })
    expect(await place.run('x', '-n', '-E', '0', '--', 'true').ended).toMatchObject({ code: 0, stderr: '' })
    writeFileSync(place.path('go'), '')
    expect(await holder.ended).toMatchObject({ code: 0 })
  })

  test('75: waited too long, with the place in the queue', async () => {
    const place = new Place()
    place.run('x', '--', 'sh', '-c', UNTIL_GO)
    await place.has('up')
    const ahead = place.run('x', '--', 'true')
    await ahead.says(/1st of 1/)
    const { code, stderr } = await place.run('x', '-w', '0.5', '--', 'true').ended
    expect(stderr).toContain('gave up after 500 ms')
    expect(stderr).toMatch(/queue +1 waiting, you were 2nd/)
    expect(code).toBe(75)
    writeFileSync(place.path('go'), '')
    expect(await ahead.ended).toMatchObject({ code: 0 })
  })

  test('78: no such coordinator, a bad address, an empty HOLDFAST_URL, a store that others may write to', async () => {
    const place = new Place()
    expect(await place.start(['run', 'x', '--url', 'foo:bar', '--', 'true']).ended).toMatchObject({ code: 78 })
    expect(await place.start(['run', 'x', '--url', 'redis://h/x', '--', 'true']).ended).toMatchObject({ code: 78 })
    const empty = await place.start(['run', 'x', '--', 'true'], { env: { HOLDFAST_URL: '' } }).ended
    expect(empty.stderr).toContain('HOLDFAST_URL is empty')
    expect(empty.code).toBe(78)
    mkdirSync(place.path('open'))
    chmodSync(place.path('open'), 0o777)
    expect(await place.start(['run', 'x', '--url', `file:${place.dir}/open`, '--', 'true']).ended).toMatchObject({
      code: 78,
    })
  })

  test('69: the store cannot be written to', () => {
    const place = new Place()
    const words = ['run', 'x', '--url', place.url, '--', 'touch', place.path('up')]
    const { status, stderr } = spawnSync('sh', ['-c', 'ulimit -f 0; exec "$0" "$@"', process.execPath, BIN, ...words], {
      encoding: 'utf8',
    })
    expect(stderr).toContain('the file size limit of this process is reached')
    expect(status).toBe(69)
    expect(existsSync(place.path('up'))).toBe(false)
  })

  test('77: the store belongs to another user', async () => {
    const place = new Place()
    mkdirSync(place.path('theirs'), { mode: 0o700 })
    if (process.getuid!() === 0) chownSync(place.path('theirs'), 65_534, 65_534)
    const url = process.getuid!() === 0 ? `file:${place.dir}/theirs` : 'file:/usr'
    expect(await place.start(['run', 'x', '--url', url, '--', 'true']).ended).toMatchObject({ code: 77, stdout: '' })
  })

  test('70: a bug of holdfast ends the command, and is said to be one', async () => {
    const place = new Place()
    const words = ['run', 'x', '--url', place.url, '-c', 'echo $$ > $DIR/pid; touch $DIR/up; sleep 60']
    const bug = `data:text/javascript,import fs from 'node:fs'; const look = setInterval(() => { if (fs.existsSync('${place.dir}/up')) { clearInterval(look); throw new Error('boom') } }, 20)`
    const { code, stderr } = await place.start(words, { node: ['--import', bug] }).ended
    expect(stderr).toContain('holdfast: this is a bug in holdfast: Error: boom')
    expect(code).toBe(70)
    await until(() => !runs(Number(place.read('pid'))), 'the end of the command')
  })

  test('126 and 127: looked for before the lock', async () => {
    const place = new Place()
    place.run('x', '--', 'sh', '-c', UNTIL_GO)
    await place.has('up')
    writeFileSync(place.path('script'), '#!/bin/sh\n')
    expect(await place.run('x', '--', place.path('script')).ended).toMatchObject({ code: 126 })
    expect(await place.run('x', '--', place.dir).ended).toMatchObject({ code: 126 })
    expect(await place.run('x', '--', place.path('nothing')).ended).toMatchObject({ code: 127 })
    expect(await place.run('x', '--', 'no-such-command').ended).toMatchObject({
      code: 127,
      stderr: 'holdfast: no-such-command: command not found\n',
    })
    writeFileSync(place.path('bad'), '#!/no/such/interpreter\n', { mode: 0o755 })
    expect(await place.run('y', '--', place.path('bad')).ended).toMatchObject({ code: 127 })
    expect(await place.run('y', '-n', '--', 'true').ended).toMatchObject({ code: 0 })
  })

  test('79: evicted while it ran, and killed at once', async () => {
    const place = new Place()
    const holder = place.run(
      'x',
      '--ttl',
      '3',
      '--',
      'sh',
      '-c',
      'trap "" TERM; echo $HOLDFAST_FENCE > $DIR/up; sleep 60',
    )
    await until(() => fenceOf(place) !== undefined, 'the fence')
    const locks = connect(place.url)
    expect(await locks.evict('x', fenceOf(place)!)).toBe(true)
    await locks.close()
    const { code, stderr } = await holder.ended
    expect(stderr).toContain('holdfast: the lease on "x" is gone')
    expect(stderr).toContain('the command was ended')
    expect(code).toBe(79)
  })
})

describe('the command', () => {
  test('-c is a line for the shell', async () => {
    const { stdout, code } = await new Place().run('x', '-c', 'echo "$HOLDFAST_NAME" | tr x y').ended
    expect({ stdout, code }).toEqual({ stdout: 'y\n', code: 0 })
  })

  test('it starts at once when the one before it has ended', async () => {
    const place = new Place()
    const took: number[] = []
    for (let i = 0; i < 3; i += 1) {
      place.run('x', '--', 'sh', '-c', `touch $DIR/up${i}; while [ ! -e $DIR/go${i} ]; do sleep 0.01; done; date +%s%N`)
      await place.has(`up${i}`)
      const next = place.run('x', '--', 'date', '+%s%N')
      await next.says(/1st of 1/)
      writeFileSync(place.path(`go${i}`), '')
      const goneAt = Date.now()
      took.push(Number((await next.ended).stdout) / 1e6 - goneAt)
    }
    // 30 ms are usual; without the word from the one before it, it would look after seconds.
    expect(took.sort((a, b) => a - b)[1]).toBeLessThan(1000)
  })

  test('its stdin, stdout and stderr are untouched, byte for byte', async () => {
    const place = new Place()
    const input = randomBytes(3_000_000)
    const { stdout, code } = await place.start(['run', '--url', place.url, 'x', '--', 'cat'], { input }).ended
    expect(Buffer.from(stdout, 'latin1').equals(input)).toBe(true)
    expect(code).toBe(0)
    // Its descriptors are those that we were given, and we did not make them non-blocking.
    const flags = ['sh', '-c', 'grep flags /proc/self/fdinfo/0 /proc/self/fdinfo/1 /proc/self/fdinfo/2']
    expect((await place.run('x', '-v', '--', ...flags).ended).stdout).not.toMatch(/:\s+0\d*[4567]\d{3}$/m)
  })

  test('a gigabyte goes through, as it is', async () => {
    const place = new Place()
    const pour = (through: string): string =>
      execFileSync('sh', ['-c', `head -c 1000000000 /dev/zero | tr '\\0' '\\377' | ${through}cksum`], {
        encoding: 'utf8',
        env: { ...process.env, HOLDFAST_URL: place.url },
      })
    expect(pour(`'${process.execPath}' '${BIN}' run x -- cat | `)).toBe(pour(''))
  })

  test('it finds what it holds in its environment, and nothing of the URL', async () => {
    const place = new Place()
    const { stdout } = await place.run('a b', '--ttl', '20', '--', 'env').ended
    const variables = Object.fromEntries(stdout.split('\n').map((line) => line.split(/=(.*)/s)))
    expect(variables).toMatchObject({ HOLDFAST_NAME: 'a b', HOLDFAST_MODE: 'exclusive' })
    expect(variables['HOLDFAST_FENCE']).toMatch(/^\d+$/)
    expect(Math.abs(Number(variables['HOLDFAST_EXPIRES']) - Date.now() - 20_000)).toBeLessThan(5000)
    expect(variables).not.toHaveProperty('HOLDFAST_URL')
    expect((await place.run('s', '-s', '--', 'sh', '-c', 'echo $HOLDFAST_MODE').ended).stdout).toBe('shared\n')
    expect((await place.run('p', '-p', '1/2', '--', 'sh', '-c', 'echo $HOLDFAST_MODE').ended).stdout).toBe('permits\n')
  })

  test('its name is the one that was typed', async () => {
    const { stdout } = await new Place().run('x', '--', 'sh', '-c', 'tr "\\0" " " < /proc/$$/cmdline').ended
    expect(stdout).toMatch(/^sh -c /)
  })

  test('shared holders run together, permits up to their number', async () => {
    const place = new Place()
    for (const [name, ...mode] of [
      ['s', '-s'],
      ['p', '-p', '1/2'],
    ] as [string, ...string[]][]) {
      place.run(name, ...mode, '--', 'sh', '-c', `touch $DIR/${name}1; sleep 60`)
      await place.has(`${name}1`)
      expect(await place.run(name, ...mode, '-n', '--', 'true').ended).toMatchObject({ code: 0 })
    }
    expect(await place.run('s', '-n', '--', 'true').ended).toMatchObject({ code: 75 })
    expect(await place.run('p', '-n', '-p', '2/2', '--', 'true').ended).toMatchObject({ code: 75 })
    expect(await place.run('p', '-n', '-p', '1/3', '--', 'true').ended).toMatchObject({ code: 64 })
  })

  test('--min-hold keeps others out after a short command', async () => {
    const place = new Place()
    expect(await place.run('x', '--min-hold', '2', '--', 'true').ended).toMatchObject({ code: 0 })
    expect(await place.run('x', '-n', '--', 'true').ended).toMatchObject({ code: 75 })
    expect(await place.run('x', '-w', '10', '--', 'true').ended).toMatchObject({ code: 0 })
  })

  test('what it leaves running at its own end is left alone', async () => {
    const place = new Place()
    await place.run('x', '--', 'sh', '-c', 'sleep 30 > /dev/null 2>&1 & echo $! > $DIR/pid').ended
    const pid = Number(place.read('pid'))
    expect(runs(pid)).toBe(true)
    process.kill(pid, 'SIGKILL')
  })
})

describe('signals', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const)(
    '%s while waiting gives the place up',
    async (signal) => {
      const place = new Place()
      place.run('x', '--', 'sh', '-c', UNTIL_GO)
      await place.has('up')
      const waiter = place.run('x', '--', 'touch', place.path('never'))
      await waiter.says(/1st of 1/)
      waiter.kill(signal)
      const ended = await waiter.ended
      expect(ended.code ?? 128 + constants.signals[ended.signal!]).toBe(128 + constants.signals[signal])
      const locks = connect(place.url)
      expect((await locks.inspect('x'))?.waiters).toEqual([])
      await locks.close()
    },
  )

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const)(
    '%s while the command runs goes to its whole group, and its code is ours',
    async (signal) => {
      const place = new Place()
      const name = signal.slice(3)
      // A shell has what it starts in the background ignore INT and QUIT, so the grandchild is in the foreground.
      const script = `trap 'echo child >> $DIR/got; exit 42' ${name}
        sh -c 'trap "echo grandchild >> $DIR/got; exit" ${name}; touch $DIR/up; while :; do sleep 0.02; done'
        while :; do sleep 0.02; done`
      const command = place.run('x', '--', 'sh', '-c', script)
      await place.has('up')
      command.kill(signal)
      const { code, stderr } = await command.ended
      expect(code).toBe(42)
      expect(stderr).not.toContain('holdfast')
      await until(() => place.read('got').includes('grandchild'), 'the grandchild')
      expect(place.read('got')).toContain('child')
    },
  )

  test('a stopped wrapper stops the command, and both go on', async () => {
    const place = new Place()
    const command = place.run(
      'x',
      '--',
      'sh',
      '-c',
      'echo $$ > $DIR/pid; touch $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done',
    )
    await place.has('up')
    command.kill('SIGTSTP')
    await command.says(/stopping; "x" is held for 0:2\d more/)
    const pid = Number(place.read('pid'))
    // D: a shell that has just vforked stands still until the stopped child becomes a command.
    const state = (of: number) => / [TD] /.test(readFileSync(`/proc/${of}/stat`, 'latin1'))
    await until(() => state(pid) && state(command.pid), 'both to stop')
    command.kill('SIGCONT')
    writeFileSync(place.path('go'), '')
    expect(await command.ended).toMatchObject({ code: 0 })
  })
})

describe('what it says', () => {
  test('nothing, for a lock that is free; with -v what it got', async () => {
    const place = new Place()
    expect((await place.run('x', '--', 'true').ended).stderr).toBe('')
    const command = place.run('x', '-v', '--', 'true')
    expect((await command.ended).stderr).toMatch(
      new RegExp(
        `^holdfast: acquired "x" after \\d+ ms, fence \\d+, wrapper pid ${command.pid}\nholdfast: released "x"\n$`,
      ),
    )
  })

  test('off a terminal, one line with the holder, the place and the lease', async () => {
    const place = new Place()
    const holder = place.run('x', '--label', 'a\u001B[2Jb', '--', 'sh', '-c', UNTIL_GO)
    await place.has('up')
    const waiter = place.run('x', '--', 'true')
    await waiter.says(/\n/)
    const quiet = place.run('x', '-q', '--', 'true')
    writeFileSync(place.path('go'), '')
    expect((await waiter.ended).stderr).toMatch(
      new RegExp(
        `^holdfast: waiting for x: 1st of 1, 0:00; held 0:\\d\\d by \\S+ pid ${holder.pid} \\(\\S+, a\\[2Jb\\), lease 0:2\\d\n$`,
      ),
    )
    expect((await quiet.ended).stderr).toBe('')
  })

  test('--help and --version, on stdout', async () => {
    const help = await new Command(['run', '--help']).ended
    expect(help.stdout).toContain('-w, --wait TIME')
    expect(help.stdout.split('\n').filter((line) => line.length > 79)).toEqual([])
    expect((await new Command(['--help']).ended).stdout).toContain('holdfast run NAME -- command')
    for (const command of ['lead', 'ls', 'show', 'watch', 'check', 'release', 'doctor', 'completion']) {
      const { stdout, stderr, code } = await new Command([command, '--help']).ended
      expect(stdout).toContain(`usage: holdfast ${command}`)
      expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
    }
    expect((await new Command(['--version']).ended).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})

function inner(place: Place, name: string, ...options: string[]): string[] {
  return ['bin/holdfast.cjs', 'run', '--url', place.url, name, ...options, '--', 'true']
}
