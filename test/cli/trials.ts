/**
 * Does its worst to wrappers, many times, and looks whether the next command ever starts beside what is left of the last one.
 *
 * `npm run trials -- [--at file,redis,etcd] [--count 200]` prints how soon the next one started, and exits with 1 if it ever
 * started too early. A trial: one wrapper holds with a tree of processes below it, a second one waits, and the first is
 * killed -9, or stopped for a while or for good, or its connection falls silent, or the coordinator stands still. The second
 * one's command looks, as the first thing it does, whether anything that was started by the first one runs: known by a
 * variable that only that one was given.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../dist/index.js'
import type { Arena, Lane } from './kit/arenas.ts'
import { ARENAS, fileArena } from './kit/arenas.ts'
import { until } from './kit/until.ts'
import { wordsOf } from '../kit/words.ts'

const MAIN = resolve('bin/holdfast.cjs')
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
  /** Once all of the tree runs and another one stands in the queue: stop it, and let it go on so much later, if ever. */
  | { readonly kind: 'stopped'; readonly afterMs: number; readonly forMs: number }
  /** What it says arrives nowhere any more. */
  | { readonly kind: 'silent'; readonly afterMs: number }
  /** The coordinator stands still for so long. */
  | { readonly kind: 'frozen'; readonly afterMs: number; readonly forMs: number }
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

/** Where a lease has to end by itself, it is short. */
const TTL_S = 2
/** The exit code of one whose coordinator did not answer. */
const UNAVAILABLE = 69
/** The fault is over, and it did not end the first one: whoever holds after so long holds rightly, and is killed. */
const PATIENCE_MS = 6000

/** The fault of another trial kept the first one from holding. */
class NotBegun extends Error {}

export async function trial(blow: Blow, tree: string, arena: Arena = fileArena): Promise<Outcome> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-trial-'))
  const lane = await arena.enter(dir)
  const mark = `HOLDFAST_TEST_TREE=${dir}`
  writeFileSync(join(dir, 'pids'), '')
  const first = wrapper(dir, lane.first, NOTE + tree, { HOLDFAST_TEST_TREE: dir }, blow)
  const ended = new Promise<Outcome['first']>((done) => first.once('exit', (code, signal) => done({ code, signal })))
  let blowAt = 0
  const strike = (signal: NodeJS.Signals): void => {
    blowAt = Date.now()
    first.kill(signal)
  }
  const look = LOOK.replace('MARK', mark)
  let second: ChildProcess | undefined
  const startSecond = (): void => {
    second = wrapper(dir, lane.second, look, {})
    // The coordinator stood still for another trial.
    second.once('exit', (code) => code === UNAVAILABLE && startSecond())
  }
  const has = (file: string): boolean => existsSync(join(dir, file))
  const settled = async (afterMs: number): Promise<void> => {
    const isOver = (): boolean => (first.exitCode ?? first.signalCode) !== null
    await until(() => has('up') || isOver(), 'all of the tree')
    if (!has('up')) {
      await lane.leave()
      rmSync(dir, { recursive: true, force: true })
      throw new NotBegun()
    }
    startSecond()
    await queued(dir, lane)
    await sleep(afterMs)
    blowAt = Date.now()
  }
  /** A fault that passes may leave the first one as it was. */
  const patience = async (): Promise<void> => {
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end && !has('done');) await sleep(20)
    if (!has('done')) strike('SIGKILL')
  }
  switch (blow.kind) {
    case 'settled':
      await settled(blow.afterMs)
      strike('SIGKILL')
      break
    case 'stopped':
      await settled(blow.afterMs)
      first.kill('SIGSTOP')
      if (blow.forMs === Infinity) break
      await sleep(blow.forMs)
      first.kill('SIGCONT')
      await patience()
      break
    case 'silent':
      await settled(blow.afterMs)
      lane.silence?.()
      break
    case 'frozen':
      await settled(blow.afterMs)
      arena.freeze?.()
      await sleep(blow.forMs)
      arena.thaw?.()
      await patience()
      break
    case 'anywhere':
      await sleep(blow.afterMs)
      strike('SIGKILL')
      startSecond()
      break
    case 'at-start':
      await ended
      blowAt = Date.now()
      startSecond()
  }
  await until(() => has('done'), 'the second command')
  if (blow.kind === 'stopped') first.kill('SIGKILL')
  const how = await ended
  if (second?.exitCode === null) await new Promise((done) => second?.once('exit', done))
  const seen = readFileSync(join(dir, 'seen'), 'utf8').split('\n')
  // And nothing may come to life later: a process that was forked, and became the command only then.
  await sleep(50)
  const survivors = [...seen, ...marked(mark)].filter((each) => each !== '' && !each.includes(`/${first.pid}/`))
  const startedAt = Number(readFileSync(join(dir, 'started'), 'utf8')) / 1e6
  for (const each of marked(mark)) send(Number(each.split('/')[2]), 'SIGKILL')
  await lane.leave()
  rmSync(dir, { recursive: true, force: true })
  return { survivors, tookMs: startedAt - blowAt, first: how }
}

/** Waits until somebody stands in the queue; or has passed it, for the fault of another trial may have ended the first one. */
async function queued(dir: string, { second }: Lane): Promise<void> {
  const locks = connect(second)
  const stands = async (): Promise<boolean> => {
    if (existsSync(join(dir, 'done'))) return true
    // While the coordinator stands still nobody knows.
    return (await locks.inspect(nameOf(dir)).catch(() => undefined))?.waiters.length === 1
  }
  await until(stands, 'one in the queue')
  await locks.close()
}

/** Trials go side by side at one server. */
function nameOf(dir: string): string {
  return basename(dir)
}

function wrapper(dir: string, url: string, script: string, env: Record<string, string>, blow?: Blow): ChildProcess {
  const hook = blow?.kind === 'at-start' ? ['--import', HOOK] : []
  // On one machine the dead are succeeded at once.
  const ttl = blow && !(url.startsWith('file:') && blow.kind !== 'stopped') ? ['--ttl', String(TTL_S)] : []
  return spawn(
    process.execPath,
    [...hook, MAIN, 'run', nameOf(dir), '-q', ...ttl, '--url', url, '--', 'sh', '-c', script],
    {
      stdio: ['ignore', 'ignore', blow ? 'ignore' : 'inherit'],
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

/** With one in the queue; how long it takes counts. */
function settled(): Blow {
  return { kind: 'settled', afterMs: Math.random() * 150 }
}

function atAnyMoment(): Blow {
  const kind = Math.random()
  if (kind < 0.5) return { kind: 'anywhere', afterMs: Math.random() * 200 }
  if (kind < 0.6) return { kind: 'at-start', when: 'before' }
  if (kind < 0.7) return { kind: 'at-start', when: 'after' }
  return { kind: 'at-start', when: Math.round(Math.random() * 4000) }
}

/** What a lease is for: the first one cannot tell, or cannot be told, that it is over. */
function cutOff(arena: Arena): Blow {
  const afterMs = Math.random() * 500
  const forMs = Math.random() * 2 * TTL_S * 1000
  const all: Blow[] = [
    { kind: 'stopped', afterMs, forMs },
    { kind: 'stopped', afterMs, forMs: Infinity },
    ...(arena.freeze
      ? ([
          { kind: 'silent', afterMs },
          { kind: 'frozen', afterMs, forMs },
        ] as const)
      : []),
  ]
  return all[Math.floor(Math.random() * all.length)]!
}

/** So many side by side: they mostly wait. */
const SIDE_BY_SIDE = 8

if (process.argv[1] === import.meta.filename) await main()

async function main(): Promise<void> {
  const { values } = wordsOf(import.meta.url, {
    options: { at: { type: 'string', default: 'file,redis,etcd' }, count: { type: 'string', default: '200' } },
  })
  const count = Number(values.count)
  const violations: string[] = []
  for (const name of values.at.split(',')) {
    const start = ARENAS[name]
    if (!start) throw new Error(`--at: there is no ${name}; there are ${Object.keys(ARENAS).join(', ')}`)
    const arena = await start()
    // Ctrl-C: what was started is ended; commands go with their wrappers, and those with us.
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => void arena.end().finally(() => process.exit(1)))
    try {
      violations.push(...(await trialsAt(name, arena, count)))
    } finally {
      await arena.end()
    }
  }
  process.exitCode = violations.length > 0 ? 1 : 0
}

/** So many of each kind. @returns what went wrong */
async function trialsAt(name: string, arena: Arena, count: number): Promise<string[]> {
  const trees = Object.values(TREES)
  // How long the kernel takes to free memory says nothing about us.
  const quickTrees = trees.filter((tree) => !tree.includes('Buffer'))
  const violations: string[] = []
  const begun = (blow: Blow, tree: string): Promise<Outcome> =>
    trial(blow, tree, arena).catch((error: unknown) => {
      if (error instanceof NotBegun) return begun(blow, tree)
      throw error
    })
  const judged = async (blow: Blow, tree: string): Promise<number> => {
    const { survivors, tookMs } = await begun(blow, tree)
    if (survivors.length > 0) violations.push(`${JSON.stringify(blow)}, ${tree}: ${survivors.join(' ')}`)
    return tookMs
  }
  const took: number[] = []
  const isFile = arena === fileArena
  // One after the other, where how long it takes counts.
  for (let i = 0; isFile && i < count; i += 1) took.push(await judged(settled(), quickTrees[i % quickTrees.length]!))
  let started = 0
  const others: (() => Blow)[] = isFile
    ? [atAnyMoment, () => cutOff(arena)]
    : [settled, atAnyMoment, () => cutOff(arena)]
  const all = others.flatMap((blow) =>
    Array.from({ length: count }, (_, i) => [blow, trees[i % trees.length]!] as const),
  )
  const worker = async (): Promise<void> => {
    for (let next = all[started]; next; next = all[started]) {
      started += 1
      await judged(next[0](), next[1])
      if (started % 50 === 0) console.error(`${name}: ${started} of ${all.length}`)
    }
  }
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker))
  for (const each of violations) console.log(`violation: ${each}`)
  const cutOffs = isFile ? 'a wrapper stopped' : 'a wrapper stopped, a connection silent, a coordinator frozen'
  const kills = `${count} kills with one in the queue, ${count} at any moment, ${count} of ${cutOffs}`
  console.log(`${name}: ${violations.length} violations; ${kills}`)
  took.sort((a, b) => a - b)
  const ms = (value: number | undefined): string => `${value?.toFixed(0)} ms`
  if (isFile)
    console.log(`${name}: from a kill to the next start: p50 ${ms(took[took.length >> 1])}, max ${ms(took.at(-1))}`)
  return violations
}
