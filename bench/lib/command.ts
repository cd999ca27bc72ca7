/** The command: what it adds to the start of another one, and how soon the next in line starts. */
import type { ChildProcess } from 'node:child_process'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { quantile } from './numbers.ts'
import { adopt, now } from './processes.ts'
import type { Setup } from './setup.ts'
import type { Plan, Sample } from './sheet.ts'
import { Sheet } from './sheet.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const HOLDFAST = join(ROOT, 'bin/holdfast.cjs')
const BARE = 'node -e 0'
const RUN = 'holdfast run x'
/** Of the command that says when it was started. */
const [SAYS_WHEN, NS_PER_MS] = [['--', 'date', '+%s%N'], 1e6]

export const START: Plan = {
  id: 'start',
  group: 'cli',
  title: 'command: from its start to the start of what it runs',
  contestants: [BARE, RUN],
  columns: [
    { key: 'ms', title: 'ms' },
    { key: 'all', title: 'to its end, ms' },
  ],
  cost: ({ ms }) => ms!,
  goals: [
    {
      text: 'to the start of what it runs, beside `node -e 0`, at most 1.8',
      value: (sheet) => sheet.ratios(RUN, BARE),
      most: 1.8,
      unit: '×',
    },
  ],
}

const HAND_OVER = [
  { key: 'p50', title: 'p50 ms' },
  { key: 'max', title: 'max ms' },
  { key: 'count', title: 'n' },
]

export const NEXT: Plan = {
  id: 'next',
  group: 'cli',
  title: 'command: from the end of one command to the start of the next in line',
  contestants: ['holdfast run'],
  columns: HAND_OVER,
  goals: [
    { text: 'the median, at most 50 ms', value: (sheet) => sheet.values('holdfast run', 'p50'), most: 50, unit: ' ms' },
  ],
}

export const KILLED: Plan = {
  id: 'killed',
  group: 'cli',
  title: 'command: from kill -9 of the wrapper to the start of the next in line',
  contestants: ['holdfast run'],
  columns: HAND_OVER,
  goals: [
    {
      text: 'the longest, at most 200 ms',
      value: (sheet) => sheet.values('holdfast run', 'max'),
      most: 200,
      unit: ' ms',
    },
  ],
}

export const INSTALL: Plan = {
  id: 'install',
  group: 'cli',
  title: 'command: npm install of the package, and its first --version',
  contestants: ['npm install'],
  columns: [{ key: 'ms', title: 'ms' }],
  cost: ({ ms }) => ms!,
  goals: [{ text: 'at most 5 s', value: (sheet) => sheet.values('npm install', 'ms'), most: 5000, unit: ' ms' }],
}

export async function install(setup: Setup): Promise<Sheet> {
  const sheet = new Sheet(INSTALL)
  const packed = npm(setup.directory, ROOT, 'pack', '--json', '--ignore-scripts', '--pack-destination', setup.directory)
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }]
  await sheet.rounds(setup.quick ? 3 : 9, setup.progress, async () => {
    const home = mkdtempSync(join(setup.directory, 'user-'))
    const before = now()
    npm(setup.directory, home, 'install', join(setup.directory, filename))
    execFileSync(join(home, 'node_modules/.bin/holdfast'), ['--version'])
    return { ms: (now() - before) / 1e6 }
  })
  return sheet
}

/** With a cache of its own: nothing was ever installed. */
function npm(directory: string, cwd: string, ...words: string[]): string {
  const env = { ...process.env, npm_config_cache: join(directory, 'npm') }
  return execFileSync('npm', words, { cwd, encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'ignore'] })
}

export async function start(setup: Setup): Promise<Sheet> {
  const sheet = new Sheet(START)
  const environment = storeOf(setup)
  const words: Record<string, string[]> = { [BARE]: ['-e', '0'], [RUN]: [HOLDFAST, 'run', 'x', ...SAYS_WHEN] }
  await sheet.rounds(setup.quick ? 5 : 15, setup.progress, async (name) => {
    const [before, wall] = [now(), performance.timeOrigin + performance.now()]
    const { status, stdout } = spawnSync(process.execPath, words[name]!, { env: environment, encoding: 'utf8' })
    if (status !== 0) throw new Error(`it ended with ${status}`)
    const all = (now() - before) / 1e6
    if (name === BARE) return { ms: all, all }
    // Without the start of date(1) itself.
    const itself = performance.timeOrigin + performance.now()
    const alone = Number(spawnSync('date', ['+%s%N'], { encoding: 'utf8' }).stdout) / NS_PER_MS - itself
    return { ms: Number(stdout) / NS_PER_MS - wall - alone, all }
  })
  return sheet
}

export function next(setup: Setup): Promise<Sheet> {
  return handOvers(setup, NEXT, (first) => void first.stdin!.end())
}

export function killed(setup: Setup): Promise<Sheet> {
  return handOvers(setup, KILLED, (first) => void first.kill('SIGKILL'))
}

/** One command holds, the next in line waits; `end` the first, and see how long it takes until the second has started. */
async function handOvers(setup: Setup, plan: Plan, end: (first: ChildProcess) => void): Promise<Sheet> {
  const sheet = new Sheet(plan)
  await sheet.rounds(1, setup.progress, async (): Promise<Sample> => {
    const environment = storeOf(setup)
    const count = setup.quick ? 5 : 20
    const took: number[] = []
    for (let round = 0; round < count; round += 1) {
      const holder = holdfast(environment, 'echo started; read line')
      await once(holder.stdout!, 'data')
      const waiter = holdfast(environment, 'echo started')
      // It says whom it waits for.
      await once(waiter.stderr!, 'data')
      await sleep(300)
      const started = once(waiter.stdout!, 'data').then(now)
      const endedAt = now()
      end(holder)
      took.push(((await started) - endedAt) / 1e6)
      if (waiter.exitCode === null) await once(waiter, 'exit')
      setup.progress(`cli ${plan.id}: ${round + 1} of ${count}`)
    }
    return { p50: quantile(took, 0.5), max: quantile(took, 1), count }
  })
  return sheet
}

function holdfast(env: NodeJS.ProcessEnv, script: string): ChildProcess {
  return adopt(spawn(process.execPath, [HOLDFAST, 'run', 'demo', '--', 'sh', '-c', script], { env, stdio: 'pipe' }))
}

function storeOf({ directory }: Setup): NodeJS.ProcessEnv {
  return { ...process.env, HOLDFAST_URL: `file:${mkdtempSync(join(directory, 'store-'))}` }
}
