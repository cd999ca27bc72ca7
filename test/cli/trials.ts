/**
 * Kills wrappers, many times, and looks whether the next command ever starts beside what is left of the last one.
 *
 * npm run trials [-- how many] prints how soon the next one started, and exits with 1 if it ever started too early. A
 * trial: one wrapper holds with a tree of processes below it, a second one waits, the first is killed -9. The second
 * one's command looks, as the first thing it does, whether anything that was started by the first one runs: known by a
 * variable that only that one was given.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../dist/index.js'
import { until } from './kit/until.ts'

const MAIN = resolve('dist/cli/main.js')
const HOOK = resolve('test/cli/kill-self.mjs')

/** What a command may look like. `note` writes down a pid; each touches `up` when all of it runs. */
export const TREES: Record<string, string> = {
  'a grandchild behind sh': 'sleep 1000 & note $!; touch $DIR/up; sleep 1000',
  'a pipeline': 'sleep 1000 | sleep 1000 & note $!; touch $DIR/up; wait',
  'a daemon in its own session': 'setsid sh -c "sleep 1000 & touch $DIR/up; sleep 1000" & note $!; sleep 1000',
  'an orphan whose parent has ended': '(setsid sh -c "touch $DIR/up; sleep 1000" & note $!); sleep 1000',
  'one that ignores TERM': 'trap "" TERM HUP INT; sh -c "sleep 1000" & note $!; touch $DIR/up; sleep 1000; sleep 1000',
  'one with much memory, which takes its time to die': `${process.execPath} -e '
    b = Buffer.alloc(3e8, 1); fs.writeFileSync(process.env.DIR + "/up", ""); setTimeout(() => b, 1e6)' & note $!; wait`,
  'one that starts others without end': 'touch $DIR/up; while :; do sleep 0.01 & sleep 0.001; done',
}

const NOTE = 'note() { echo $1 >> $DIR/pids; }; note $$; '

/**
 * What the second one's command does. First, and without starting anything: does a pid that was noted run? Then: does
 * anything run that was given the mark?
 */
const LOOK = `
while read -r pid; do
  { read -r a b state c < /proc/$pid/stat; } 2> /dev/null && [ "$state" != Z ] && echo "/proc/$pid/stat $state" >> $DIR/seen
done < $DIR/pids
date +%s%N > $DIR/started
grep -lsz "^MARK$" /proc/[0-9]*/environ >> $DIR/seen
touch $DIR/done
`

export type Blow =
  /** Kill -9 once all of the tree runs and another one stands in the queue, and so much later. */
  | { readonly kind: 'settled'; readonly afterMs: number }
  /** Kill -9 so much after the wrapper was started, wherever it is by then. */
  | { readonly kind: 'anywhere'; readonly afterMs: number }
  /** The wrapper kills itself around the start of its command. */
  | { readonly kind: 'at-start'; readonly when: 'before' | 'after' | number }

export interface Outcome {
  /** What of the first one's tree ran when the second one's command started, or later. */
  readonly survivors: string[]
  /** From the blow to the start of the second one's command. */
  readonly tookMs: number
  /** How the first wrapper ended. */
  readonly first: { code: number | null; signal: string | null }
}

export async function trial(blow: Blow, tree: string): Promise<Outcome> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-trial-'))
  const mark = `HOLDFAST_TEST_TREE=${dir}`
  writeFileSync(join(dir, 'pids'), '')
  const first = wrapper(dir, NOTE + tree, { HOLDFAST_TEST_TREE: dir }, blow)
  const ended = new Promise<Outcome['first']>((done) => first.once('exit', (code, signal) => done({ code, signal })))
  let blowAt = 0
  const strike = (): void => {
    blowAt = Date.now()
    first.kill('SIGKILL')
  }
  const look = LOOK.replace('MARK', mark)
  let second: ChildProcess | undefined
  const startSecond = (): void => void (second = wrapper(dir, look, {}))
  const has = (file: string): boolean => existsSync(join(dir, file))
  switch (blow.kind) {
    case 'settled':
      await until(() => has('up'), 'all of the tree')
      startSecond()
      await queued(dir)
      await sleep(blow.afterMs)
      strike()
      break
    case 'anywhere':
      await sleep(blow.afterMs)
      strike()
      startSecond()
      break
    case 'at-start':
      await ended
      blowAt = Date.now()
      startSecond()
  }
  await until(() => has('done'), 'the second command')
  const how = await ended
  if (second?.exitCode === null) await new Promise((done) => second?.once('exit', done))
  const seen = readFileSync(join(dir, 'seen'), 'utf8').split('\n')
  // And nothing may come to life later: a process that was forked, and became the command only then.
  await sleep(50)
  const survivors = [...seen, ...marked(mark)].filter((each) => each !== '' && !each.includes(`/${first.pid}/`))
  const startedAt = Number(readFileSync(join(dir, 'started'), 'utf8')) / 1e6
  for (const each of marked(mark)) send(Number(each.split('/')[2]), 'SIGKILL')
  rmSync(dir, { recursive: true, force: true })
  return { survivors, tookMs: startedAt - blowAt, first: how }
}

/** Waits until somebody stands in the queue. */
async function queued(dir: string): Promise<void> {
  const locks = connect(`file:${dir}/store`)
  await until(async () => (await locks.inspect('trial'))?.waiters.length === 1, 'one in the queue')
  await locks.close()
}

function wrapper(dir: string, script: string, env: Record<string, string>, blow?: Blow): ChildProcess {
  const hook = blow?.kind === 'at-start' ? ['--import', HOOK] : []
  return spawn(
    process.execPath,
    [...hook, MAIN, 'run', 'trial', '-q', '--url', `file:${dir}/store`, '--', 'sh', '-c', script],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DIR: dir, ...env, ...(blow?.kind === 'at-start' ? { KILL_SELF: String(blow.when) } : {}) },
    },
  )
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended meanwhile.
  }
}

function marked(mark: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      return /^\d/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(mark)
        ? [`/proc/${pid}/environ`]
        : []
    } catch {
      return []
    }
  })
}

function settled(): Blow {
  return { kind: 'settled', afterMs: Math.random() * 150 }
}

function elsewhere(): Blow {
  const kind = Math.random()
  if (kind < 0.5) return { kind: 'anywhere', afterMs: Math.random() * 200 }
  if (kind < 0.6) return { kind: 'at-start', when: 'before' }
  if (kind < 0.7) return { kind: 'at-start', when: 'after' }
  return { kind: 'at-start', when: Math.round(Math.random() * 4000) }
}

if (process.argv[1] === import.meta.filename) await main(Number(process.argv[2] ?? 200))

/** So many trials with one in the queue, whose times count, and as many with a kill at another moment. */
async function main(count: number): Promise<void> {
  const trees = Object.values(TREES)
  // How long the kernel takes to free memory says nothing about us.
  const quickTrees = trees.filter((tree) => !tree.includes('Buffer'))
  const took: number[] = []
  let violations = 0
  const judged = async (blow: Blow, tree: string): Promise<number> => {
    const { survivors, tookMs } = await trial(blow, tree)
    if (survivors.length > 0) {
      violations += 1
      console.log(`violation: ${JSON.stringify(blow)}, ${tree}: ${survivors.join(' ')}`)
    }
    return tookMs
  }
  for (let i = 0; i < count; i += 1) {
    took.push(await judged(settled(), quickTrees[i % quickTrees.length]!))
    await judged(elsewhere(), trees[i % trees.length]!)
  }
  took.sort((a, b) => a - b)
  const ms = (value: number | undefined): string => `${value?.toFixed(0)} ms`
  const late = took.filter((each) => each > 200).length
  console.log(
    `${violations} violations in ${count} kills with one in the queue and ${count} at other moments\n` +
      `from the kill to the next start: p50 ${ms(took[took.length >> 1])}, max ${ms(took.at(-1))}, ` +
      `${late} of ${took.length} over 200 ms`,
  )
  process.exitCode = violations > 0 ? 1 : 0
}
