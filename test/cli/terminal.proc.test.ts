import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BIN, Place, until } from './kit/holdfast.ts'
import type { Coordinator } from './kit/servers.ts'
import { COORDINATORS } from './kit/servers.ts'
import { Terminal, hasTmux } from './kit/terminal.ts'

const UNTIL_GO = 'touch $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done'

// Nothing else gives a test a terminal on every system; where tmux is missing, these are skipped.
describe.skipIf(!hasTmux)('on a terminal (needs tmux)', () => {
  test.each([80, 200])('at %i columns, one line that rewrites itself and is gone at the end', async (columns) => {
    const place = new Place()
    const name = 'n'.repeat(200)
    place.run(name, '--label', 'the nightly report', '--', 'sh', '-c', UNTIL_GO)
    await place.has('up')
    const terminal = new Terminal(place, columns)
    terminal.type(`hf ${name} -- echo my turn`)
    const first = await terminal.shows(/waiting for n+…: 1st of 1, 0:0\d; held 0:\d\d by .*, lease 0:2\d\n/)
    await terminal.shows(/1st of 1, 0:0[3-9]/)
    expect(terminal.screen.split('\n').filter((line) => line.includes('waiting'))).toHaveLength(1)
    expect(Math.max(...first.split('\n').map((line) => line.length))).toBeLessThanOrEqual(columns)
    writeFileSync(place.path('go'), '')
    expect(await terminal.shows(/^my turn *$/m)).not.toContain('waiting')
  })

  test('a short name, the holder and the place fit into 80 columns', async () => {
    const place = new Place()
    const holder = place.run('demo', '--', 'sh', '-c', UNTIL_GO)
    await place.has('up')
    const ahead = place.run('demo', '--', 'true')
    await ahead.says(/1st of 1/)
    const terminal = new Terminal(place, 80)
    terminal.type('hf demo -- true')
    const line = new RegExp(`waiting for demo: 2nd of 2, 0:0\\d; held 0:\\d\\d by \\S+ pid ${holder.pid} \\(`)
    await terminal.shows(line)
  })

  test.each([80, 200])('at %i columns ls, show, doctor and giving up fit, whatever is long', async (columns) => {
    const place = new Place()
    const long = 'n'.repeat(200)
    place.run(long, '--label', 'l'.repeat(200), '-c', UNTIL_GO.replace('up', 'up1'))
    place.run('demo', '--label', 'the nightly report of all that was sold', '-c', UNTIL_GO)
    await place.has('up')
    await place.has('up1')
    const terminal = new Terminal(place, columns)
    terminal.type(`url=${place.url}; hold() { ${process.execPath} ${BIN} "$@"; }; clear`)
    let count = 0
    /** What is shown between the command and the next prompt. */
    const shown = async (line: string): Promise<string[]> => {
      count += 1
      // Another one each time: that of the last command stands there until it is cleared.
      terminal.type(`clear; ${line}; echo do''ne ${count}`)
      const lines = (await terminal.shows(new RegExp(`^done ${count}$`, 'm'))).split('\n')
      return lines.slice(0, lines.indexOf(`done ${count}`)).map((each) => each.trimEnd())
    }
    const [head, ...rows] = await shown('hold ls --url $url')
    expect(head).toMatch(/^NAME .* FENCE$/)
    expect(rows.map((row) => /\d{16}$/.test(row))).toEqual([true, true])
    expect(rows[1]).toMatch(/^n+… +lock/)
    const show = await shown('hold show --url $url demo')
    expect(show.map((row) => row.trim().split(/ {2,}/)[0])).toEqual(['demo: lock', 'held by', 'since', 'release'])
    expect((await shown('hold doctor --url $url')).at(-1)).toBe('file: well')
    const report = await shown('hold run --url $url demo -n -- true')
    expect(report.map((row) => row.trim().split(/ {2,}/)[0])).toEqual([
      'holdfast: "demo" is held; did not wait',
      'holder',
      'since',
      'inspect',
      'release',
    ])
    // Without a terminal nothing is cut.
    terminal.type(`hold ls --url $url | cat > ${place.dir}/listed; touch ${place.dir}/done`)
    await place.has('done')
    expect(place.read('listed')).toContain(long)
    expect(place.read('listed')).toContain('l'.repeat(200))
  })

  test('the command can read from the terminal', async () => {
    const terminal = new Terminal(new Place(), 100)
    terminal.type(`hf x -- sh -c 'echo ready; read -r line < /dev/tty; echo "<$line>"'`)
    await terminal.shows(/^ready/m)
    terminal.type('hello')
    await terminal.shows(/^<hello>/m)
  })

  test('TERM from elsewhere reaches the whole tree, and a pipeline beside it goes on', async () => {
    const place = new Place()
    const terminal = new Terminal(place, 100)
    terminal.type(`hf x -- sh -c 'sleep 500 & echo $PPID $! > $DIR/pids; touch $DIR/up; wait' | (cat; echo the end)`)
    await place.has('up')
    const [wrapper = 0, grandchild = 0] = place.read('pids').split(' ').map(Number)
    process.kill(wrapper, 'SIGTERM')
    await terminal.shows(/^the end/m)
    await until(() => !alive(grandchild), 'the end of the grandchild')
  })
})

describe.skipIf(!hasTmux).each(COORDINATORS)('keys of a terminal, at %s (needs tmux)', (_, start) => {
  let coordinator: Coordinator
  beforeAll(async () => {
    coordinator = await start()
  })
  afterAll(() => coordinator.end())

  test('Ctrl-C while waiting gives up, while the command runs it is the command’s', async () => {
    const place = new Place(coordinator.url)
    const terminal = new Terminal(place, 100)
    terminal.type(`hf asked -- sh -c 'trap "echo asked once >> $DIR/got; exit 9" INT; ${UNTIL_GO}'; echo code $?`)
    await place.has('up')
    const waiting = new Terminal(new Place(), 100)
    waiting.type(`hf asked --url ${place.url} -- true`)
    await waiting.shows(/1st of 1/)
    waiting.press('C-c')
    // The shell gives up its line as well when a command dies of INT.
    await until(() => /^\$\s*$/m.test(waiting.screen.trimEnd().split('\n').at(-1)!), 'the prompt after the waiting')
    waiting.type('echo code $?')
    await waiting.shows(/code 130/)
    terminal.press('C-c')
    await terminal.shows(/code 9/)
    expect(place.read('got')).toBe('asked once\n')
  })

  test('Ctrl-Z stops both, fg continues both', async () => {
    const place = new Place(coordinator.url)
    const terminal = new Terminal(place, 100)
    terminal.type(`hf stopped -- sh -c '${UNTIL_GO}'; echo code $?`)
    await place.has('up')
    terminal.press('C-z')
    await terminal.shows(/stopping; "stopped" is held for 0:2\d more/)
    await terminal.shows(/Stopped|Suspended/)
    writeFileSync(place.path('go'), '')
    terminal.type('fg; echo code $?')
    await terminal.shows(/^code 0/m)
  })

  test('Ctrl-Z past the ttl: the command is dead before the next one starts', async () => {
    const place = new Place(coordinator.url)
    const terminal = new Terminal(place, 100)
    terminal.type(`hf overdue --ttl 2 -- sh -c 'echo $$ > $DIR/pid; ${UNTIL_GO}; echo went on'`)
    await place.has('up')
    terminal.press('C-z')
    await terminal.shows(/Stopped|Suspended/)
    const next = place.run(
      'overdue',
      '--',
      'sh',
      '-c',
      'read -r pid < $DIR/pid; kill -0 $pid && grep State /proc/$pid/status',
    )
    // Its parent is stopped, so that it stays as a zombie.
    expect((await next.ended).stdout).toMatch(/^(State:\s+Z.*\n)?$/)
    writeFileSync(place.path('go'), '')
    terminal.type('fg; echo code $?')
    await terminal.shows(/^code 79/m)
    expect(terminal.screen).not.toMatch(/^went on/m)
  })
})

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
