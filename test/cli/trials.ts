/**
 * Kills wrappers, many times, and looks whether the next command ever starts beside what is left of the last one.
 *
 * node test/cli/trials.ts [how many] prints a summary. A trial: one wrapper holds with a tree of processes below it, a
 * second one waits, the first is killed -9 or stopped. The second one's command looks, as the first thing it does,
 * whether anything that was started by the first one runs: known by a variable that only that one was given.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

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
  /** Kill -9 once all of the tree runs and another one waits, and so much later. */
  | { readonly kind: 'settled'; readonly afterMs: number }
  /** Kill -9 so much after the wrapper was started, wherever it is by then. */
  | { readonly kind: 'anywhere'; readonly afterMs: number }
  /** The wrapper kills itself around the start of its command. */
  | { readonly kind: 'at-start'; readonly when: 'before' | 'after' | number }
  /** Stopped once all of the tree runs; goes on when the next one has started. */
  | { readonly kind: 'stopped' }

/** Time enough for a wrapper to start, and to stand in the queue. */
const QUEUED_MS = 400

export interface Outcome {
  /** What of the first one's tree ran when the second one's command started, or later. */
  readonly survivors: string[]
  /** From the blow to the start of the second one's command. */
  readonly tookMs: number
  /** How the first wrapper ended. */
  readonly first: { code: number | null; signal: string | null }
}

export async function trial(blow: Blow, tree: string, ttl = '30'): Promise<Outcome> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-trial-'))
  const mark = `HOLDFAST_TEST_TREE=${dir}`
  writeFileSync(join(dir, 'pids'), '')
  const first = wrapper(dir, ['--ttl', ttl], NOTE + tree, { HOLDFAST_TEST_TREE: dir }, blow)
  const ended = new Promise<Outcome['first']>((done) => first.once('exit', (code, signal) => done({ code, signal })))
  let blowAt = 0
  const strike = (signal: NodeJS.Signals): void => {
    blowAt = now()
    first.kill(signal)
  }
  const look = LOOK.replace('MARK', mark)
  let second: ChildProcess | undefined
  const startSecond = (): void => void (second = wrapper(dir, [], look, {}))
  const wait = async (file: string): Promise<void> => {
    while (!existsSync(join(dir, file))) await sleep(1)
  }
  switch (blow.kind) {
    case 'settled':
      await wait('up')
      startSecond()
      await sleep(QUEUED_MS + blow.afterMs)
      strike('SIGKILL')
      break
    case 'anywhere':
      await sleep(blow.afterMs)
      strike('SIGKILL')
      startSecond()
      break
    case 'at-start':
      await ended
      blowAt = now()
      startSecond()
      break
    case 'stopped':
      await wait('up')
      startSecond()
      strike('SIGSTOP')
  }
  await wait('done')
  first.kill('SIGCONT')
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

function wrapper(
  dir: string,
  options: string[],
  script: string,
  env: Record<string, string>,
  blow?: Blow,
): ChildProcess {
  const hook = blow?.kind === 'at-start' ? ['--import', HOOK] : []
  return spawn(
    process.execPath,
    [...hook, MAIN, 'run', 'trial', '-q', '--url', `file:${dir}/store`, ...options, '--', 'sh', '-c', script],
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

function now(): number {
  return performance.timeOrigin + performance.now()
}

function randomBlow(random: () => number): Blow {
  const kind = random()
  if (kind < 0.4) return { kind: 'settled', afterMs: random() * 150 }
  if (kind < 0.7) return { kind: 'anywhere', afterMs: random() * 200 }
  if (kind < 0.75) return { kind: 'at-start', when: 'before' }
  if (kind < 0.8) return { kind: 'at-start', when: 'after' }
  return { kind: 'at-start', when: Math.round(random() * 4000) }
}

if (process.argv[1] === import.meta.filename) await main(Number(process.argv[2] ?? 200))

async function main(count: number): Promise<void> {
  const trees = Object.values(TREES)
  const took: number[] = []
  let violations = 0
  for (let i = 0; i < count; i += 1) {
    const blow = randomBlow(Math.random)
    const tree = trees[i % trees.length]!
    const { survivors, tookMs } = await trial(blow, tree)
    if (survivors.length > 0) {
      violations += 1
      console.log(`violation: ${JSON.stringify(blow)}, ${tree}: ${survivors.join(' ')}`)
    }
    // How long the kernel takes to free memory says nothing about us.
    if (blow.kind === 'settled' && !tree.includes('Buffer')) took.push(tookMs)
  }
  took.sort((a, b) => a - b)
  const ms = (value: number | undefined): string => `${value?.toFixed(0)} ms`
  console.log(
    `${count} trials, ${violations} violations; from the kill to the next start: median ${ms(took[took.length >> 1])}, ` +
      `longest ${ms(took.at(-1))}, of ${took.length} with one waiting`,
  )
}
