/** W1, W2, W3, W3T: how long a pair of acquire and release takes, alone, with many names, and where many want one name. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Turn } from '../worker.ts'
import { median, quantile, sum } from './numbers.ts'
import { now } from './processes.ts'
import type { Setup } from './setup.ts'
import { withWorkers } from './setup.ts'
import type { Plan, Sample } from './sheet.ts'
import { Sheet } from './sheet.ts'

const PROCESSES = 4
const TASKS = 4
const WARM_MS = 2000
/** Who asked so much earlier than another and is served later was overtaken; below it, clocks and schedulers decide. */
const OVERTAKE_NS = 1e6

const MEMORY = ['memory:', 'async-mutex']
const REDIS = ['redis:', 'redis: node-redis', 'bare ioredis', 'bare node-redis', 'redlock', 'redis-semaphore']
const FILE = ['file:', 'proper-lockfile', 'live-mutex', 'bare log', 'bare node:sqlite']

interface Greedy {
  readonly turns: readonly Turn[]
  /** Microseconds. */
  readonly cpu: number
}

const p50 = ({ p50 }: Sample): number => p50!
const perOperation = ({ rate }: Sample): number => 1 / rate!

const PAIRS = [
  { key: 'p50', title: 'p50 µs' },
  { key: 'p99', title: 'p99 µs' },
  { key: 'rate', title: 'pairs/s' },
  { key: 'cpu', title: 'CPU µs' },
]
const RATE = [{ key: 'rate', title: 'pairs/s' }]
const BURST = [...RATE, { key: 'cpu', title: 'CPU µs' }]
const CONTENDED = [
  { key: 'rate', title: 'acquisitions/s' },
  { key: 'cpu', title: 'CPU µs' },
  { key: 'handOver', title: 'hand-over p50 µs' },
  { key: 'longest', title: 'longest wait ms' },
  { key: 'overtakes', title: 'overtakes per 1,000' },
  { key: 'jain', title: 'Jain' },
  { key: 'overlaps', title: 'overlaps' },
]

const atMostThree = (bare: string): NonNullable<Plan['goals']>[number] => ({
  text: `a \`file:\` pair beside ${bare}'s insert and delete, at most 3`,
  value: (sheet) => sheet.ratios('file:', bare),
  most: 3,
  unit: '×',
})
const SQLITE = [atMostThree('bare node:sqlite')]
/** The log is the store of `file:` itself. */
const STORE = [atMostThree('bare log'), ...SQLITE]
/** `file:` puts many names on one line, so it must stand beside many rows in one transaction, too. */
const SQLITE_MANY = [...SQLITE, atMostThree('bare node:sqlite, together')]

/** How many times as long a pair takes on average. */
const beside = (name: string, other: string, most: number): NonNullable<Plan['goals']>[number] => ({
  text: `a pair of \`${name}\` beside one of ${other}, at most ${most}`,
  value: (sheet) => {
    const rates = sheet.values(name, 'rate')
    return sheet.values(other, 'rate').map((rate, round) => rate / rates[round]!)
  },
  most,
  unit: '×',
})

type Measure = (setup: Setup, name: string) => Promise<Sample>

const alone =
  (job: string, options: object = {}): Measure =>
  (setup, name) =>
    withWorkers(setup, name, 1, ([worker]) => worker!.ask(job, { ...times(setup, 500), ...options }))

const together =
  (think: boolean): Measure =>
  (setup, name) =>
    withWorkers(setup, name, PROCESSES, async (workers, broker) => {
      // Hand-overs are slow, so it takes longer until the compiler has seen enough of them.
      const { warmMs: usual, ms } = times(setup, 1500)
      const warmMs = 2 * usual
      const options = { startAt: now() + 1e8, warmMs, ms, tasks: TASKS, think }
      const before = sleep(warmMs + 100).then(() => broker?.cpu())
      const answers = await Promise.all(workers.map((worker) => worker.ask<Greedy>('greedy', options)))
      const brokerUs = broker ? (await broker.cpu()) - (await before)! : 0
      const seen = judge(
        answers.flatMap(({ turns }) => turns),
        options.startAt + warmMs * 1e6,
        ms,
      )
      const cpu = (sum(answers.map((each) => each.cpu)) + brokerUs) / ((seen['rate']! * ms) / 1e3)
      return name.startsWith('bare') ? { rate: seen['rate']! } : { ...seen, cpu }
    })

function times({ quick }: Setup, ms: number): { warmMs: number; ms: number } {
  return quick ? { warmMs: WARM_MS / 4, ms: ms / 2 } : { warmMs: WARM_MS, ms }
}

export const SPEED: readonly (readonly [Plan, Measure])[] = [
  [
    {
      id: 'W1',
      group: 'memory',
      title: 'memory W1: one pair after the other',
      contestants: MEMORY,
      columns: PAIRS,
      cost: p50,
    },
    alone('pairs'),
  ],
  [
    {
      id: 'W2',
      group: 'memory',
      title: 'memory W2: 64 names at once',
      contestants: MEMORY,
      columns: BURST,
      cost: perOperation,
    },
    alone('burst'),
  ],
  [
    {
      id: 'W3',
      group: 'memory',
      title: 'memory W3: 16 tasks, one name',
      contestants: MEMORY,
      columns: RATE,
      cost: perOperation,
    },
    alone('tasks', { tasks: 16 }),
  ],
  [
    {
      id: 'W1',
      group: 'file',
      title: 'file W1: one pair after the other',
      contestants: FILE,
      columns: PAIRS,
      cost: p50,
      goals: STORE,
    },
    alone('pairs'),
  ],
  [
    {
      id: 'W2',
      group: 'file',
      title: 'file W2: 64 names at once',
      contestants: [...FILE, 'bare node:sqlite, together'],
      columns: BURST,
      cost: perOperation,
      goals: SQLITE_MANY,
    },
    alone('burst'),
  ],
  [
    {
      id: 'W3',
      group: 'file',
      title: 'file W3: 4 processes × 4 tasks, one name, asked for again at once',
      contestants: FILE,
      columns: CONTENDED,
      cost: perOperation,
    },
    together(false),
  ],
  [
    {
      id: 'W3T',
      group: 'file',
      title: 'file W3T: the same, held for 0 or 1 ms, asked for again after 5 to 15 ms',
      contestants: FILE.filter((name) => !name.startsWith('bare')),
      columns: CONTENDED,
      cost: perOperation,
    },
    together(true),
  ],
  [
    {
      id: 'W1',
      group: 'redis',
      title: 'redis W1: one pair after the other',
      contestants: REDIS,
      columns: PAIRS,
      cost: p50,
      goals: [beside('redis:', 'bare ioredis', 1.25), beside('redis: node-redis', 'bare node-redis', 1.25)],
    },
    alone('pairs'),
  ],
  [
    {
      id: 'W2',
      group: 'redis',
      title: 'redis W2: 64 names at once',
      contestants: REDIS,
      columns: BURST,
      cost: perOperation,
      goals: [beside('redis:', 'bare ioredis', 0.67), beside('redis: node-redis', 'bare node-redis', 0.67)],
    },
    alone('burst'),
  ],
  [
    {
      id: 'W3',
      group: 'redis',
      title: 'redis W3: 4 processes × 4 tasks, one name, asked for again at once',
      contestants: REDIS.filter((name) => !name.startsWith('bare')),
      columns: CONTENDED,
      cost: perOperation,
    },
    together(false),
  ],
  [
    {
      id: 'W3T',
      group: 'redis',
      title: 'redis W3T: the same, held for 0 or 1 ms, asked for again after 5 to 15 ms',
      contestants: REDIS.filter((name) => !name.startsWith('bare')),
      columns: CONTENDED,
      cost: perOperation,
    },
    together(true),
  ],
]

export async function speed(setup: Setup, plan: Plan, measure: Measure): Promise<Sheet> {
  const sheet = new Sheet(plan)
  await sheet.rounds(setup.repetitions, setup.progress, (name) => measure(setup, name))
  return sheet
}

/** What the turns of all tasks say together. A task that was not served to the end counts with what it had waited by then. */
function judge(all: readonly Turn[], startAt: number, ms: number): Sample {
  const end = startAt + ms * 1e6
  const turns = all.filter(([, , granted]) => granted >= startAt).sort((a, b) => a[2] - b[2])
  const served = turns.filter(([, , granted]) => granted < Infinity)
  const handOvers: number[] = []
  let overlaps = 0
  for (const [index, [, asked, granted]] of served.entries()) {
    const left = served[index - 1]?.[3] ?? -Infinity
    if (granted < left) overlaps += 1
    if (asked < left) handOvers.push((granted - left) / 1e3)
  }
  // Backwards, so that `earliest` is the earliest question among those who were served later.
  let overtakes = 0
  let earliest = Infinity
  for (const [, asked, granted] of turns.toReversed()) {
    if (granted < Infinity && earliest < asked - OVERTAKE_NS) overtakes += 1
    earliest = Math.min(earliest, asked)
  }
  const counts = new Map(all.map(([task]) => [task, 0]))
  for (const [task] of served) counts.set(task, counts.get(task)! + 1)
  const shares = [...counts.values()]
  return {
    rate: (served.filter(([, , granted]) => granted < end).length / ms) * 1e3,
    handOver: median(handOvers),
    longest:
      quantile(
        turns.map(([, asked, granted]) => Math.min(granted, end + 3e8) - asked),
        1,
      ) / 1e6,
    overtakes: (overtakes / served.length) * 1e3,
    jain: sum(shares) ** 2 / (shares.length * sum(shares.map((share) => share ** 2))),
    overlaps,
  }
}
