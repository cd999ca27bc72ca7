/** W1, W2, W3, W3T: how long a pair of acquire and release takes, alone, with many names, and where many want one name. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Turn } from '../worker.ts'
import { counted } from './etcd.ts'
import { beside, quotients } from './goals.ts'
import { median, quantile, sum } from './numbers.ts'
import { now } from './processes.ts'
import { TUNED_PEERS, UNTUNED_PEERS } from './redis.ts'
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
const REDIS = ['redis:', 'redis: node-redis', 'bare ioredis', 'bare node-redis', ...TUNED_PEERS]
const ON_ONE_NAME = ['redis:', 'redis: node-redis', ...new Set([...TUNED_PEERS, ...UNTUNED_PEERS])]
const FILE = ['file:', 'proper-lockfile', 'live-mutex', 'bare log', 'bare node:sqlite']

interface Greedy {
  readonly turns: readonly Turn[]
  /** Microseconds. */
  readonly cpu: number
  readonly requests: number
}

export const p50 = ({ p50 }: Sample): number => p50!
export const perOperation = ({ rate }: Sample): number => 1 / rate!

export const PAIRS = [
  { key: 'p50', title: 'p50 µs' },
  { key: 'p99', title: 'p99 µs' },
  { key: 'rate', title: 'pairs/s' },
  { key: 'cpu', title: 'CPU µs' },
]
const RATE = [{ key: 'rate', title: 'pairs/s' }]
export const BURST = [...RATE, { key: 'cpu', title: 'CPU µs' }]
const REDIS_PAIRS = [...PAIRS, { key: 'requests', title: 'requests/pair' }]
const REDIS_BURST = [...BURST, { key: 'reads', title: 'socket reads/pair' }]
export const CONTENDED = [
  { key: 'rate', title: 'acquisitions/s' },
  { key: 'cpu', title: 'CPU µs' },
  { key: 'handOver', title: 'hand-over p50 µs' },
  { key: 'longest', title: 'longest wait ms' },
  { key: 'overtakes', title: 'overtakes per 1,000' },
  { key: 'jain', title: 'Jain' },
  { key: 'overlaps', title: 'overlaps' },
]
const REDIS_CONTENDED = [
  ...CONTENDED,
  { key: 'wait', title: 'wait p99.9 ms' },
  { key: 'requests', title: 'requests/acquisition' },
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

type Goals = NonNullable<Plan['goals']>

/** How many times as many a second. */
const rateBeside = (name: string, other: string, least: number): Goals[number] =>
  beside(name, other, 'rate', 'the rate', { least })

/** The same beside whoever is quickest in that repetition. */
const rateBesideBest = (others: readonly string[], what: string, least: number): Goals[number] => ({
  text: `the rate of \`redis:\` beside the quickest ${what} peer, at least ${least}`,
  value: (sheet) =>
    quotients(
      sheet.values('redis:', 'rate'),
      each(sheet, others, 'rate', (rates) => quantile(rates, 1)),
    ),
  least,
  unit: '×',
})

const atMost = (text: string, key: string, most: number): Goals[number] => ({
  text: `${text}, at most ${most}`,
  value: (sheet) => sheet.values('redis:', key),
  most,
})

const EVEN: Goals[number] = {
  text: 'Jain of `redis:`, at least 0.99',
  value: (sheet) => sheet.values('redis:', 'jain'),
  least: 0.99,
}

const REDIS_ALONE: Goals = [
  rateBeside('redis:', 'bare ioredis', 0.8),
  rateBeside('redis: node-redis', 'bare node-redis', 0.8),
  {
    text: 'p50 of `redis:` beside bare ioredis, at most 1.25',
    value: (sheet) => sheet.ratios('redis:', 'bare ioredis'),
    most: 1.25,
    unit: '×',
  },
  {
    text: 'p50 of `redis:` beside redis-semaphore, at most 1.2',
    value: (sheet) => sheet.ratios('redis:', 'redis-semaphore'),
    most: 1.2,
    unit: '×',
  },
  atMost('requests a pair', 'requests', 2),
]

const REDIS_MANY: Goals = [
  rateBeside('redis:', 'bare ioredis', 1.5),
  rateBeside('redis: node-redis', 'bare node-redis', 1.5),
  rateBesideBest(TUNED_PEERS, 'tuned', 1),
  atMost('socket reads a pair', 'reads', 0.05),
]

const REDIS_GREEDY: Goals = [
  {
    text: 'the rate of `redis:` beside the median of the tuned peers, at least 0.7',
    value: (sheet) => quotients(sheet.values('redis:', 'rate'), each(sheet, TUNED_PEERS, 'rate', median)),
    least: 0.7,
    unit: '×',
  },
  {
    text: 'p99.9 of the wait beside the best untuned peer, at most 0.2',
    value: (sheet) =>
      quotients(
        sheet.values('redis:', 'wait'),
        each(sheet, UNTUNED_PEERS, 'wait', (waits) => quantile(waits, 0)),
      ),
    most: 0.2,
    unit: '×',
  },
  EVEN,
  atMost('requests an acquisition', 'requests', 2.2),
]

export const HANDED_OVER: Goals = [
  rateBesideBest(TUNED_PEERS, 'tuned', 1.7),
  rateBesideBest(UNTUNED_PEERS, 'untuned', 3),
  atMost('requests a hand-over', 'requests', 2.2),
]

/** One number of several contestants made into one, in each repetition. */
function each(
  sheet: Sheet,
  names: readonly string[],
  key: string,
  choose: (values: readonly number[]) => number,
): number[] {
  const all = names.map((name) => sheet.values(name, key))
  return all[0]!.map((_, round) => choose(all.map((values) => values[round]!)))
}

export type Measure = (setup: Setup, name: string) => Promise<Sample>

export const alone =
  (job: string, options: object = {}): Measure =>
  (setup, name) =>
    withWorkers(setup, name, 1, async ([worker], _, { endpoints }) => {
      const before = await counted(endpoints)
      const { pairs, ...seen } = await worker!.ask<Sample>(job, { ...times(setup, 500), ...options })
      if (endpoints.length === 0) return seen
      const after = await counted(endpoints)
      const each = (key: 'calls' | 'cpu'): number => (after[key] - before[key]) / pairs!
      return { ...seen, requests: each('calls'), serverCpu: each('cpu') }
    })

export const together =
  (hold: boolean, think: boolean, processes: number = PROCESSES, tasks: number = TASKS): Measure =>
  (setup, name) =>
    withWorkers(setup, name, processes, async (workers, broker, { endpoints }) => {
      // Hand-overs are slow, so it takes longer until the compiler has seen enough of them.
      const { warmMs: usual, ms } = times(setup, 1500)
      const warmMs = 2 * usual
      const options = { startAt: now() + 1e8, warmMs, ms, tasks, hold, think }
      const before = sleep(warmMs + 100).then(() => broker?.cpu())
      const { calls } = await counted(endpoints)
      const answers = await Promise.all(workers.map((worker) => worker.ask<Greedy>('greedy', options)))
      const brokerUs = broker ? (await broker.cpu()) - (await before)! : 0
      const seen = judge(
        answers.flatMap(({ turns }) => turns),
        options.startAt + warmMs * 1e6,
        ms,
      )
      const cpu = (sum(answers.map((each) => each.cpu)) + brokerUs) / ((seen['rate']! * ms) / 1e3)
      const requests =
        endpoints.length > 0
          ? ((await counted(endpoints)).calls - calls) / sum(answers.map(({ turns }) => turns.length))
          : sum(answers.map((each) => each.requests)) / ((seen['rate']! * ms) / 1e3)
      if (name.startsWith('bare')) return { rate: seen['rate']! }
      return { ...seen, cpu, requests: name.endsWith('node-redis') ? Number.NaN : requests }
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
    together(false, false),
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
    together(true, true),
  ],
  [
    {
      id: 'W1',
      group: 'redis',
      title: 'redis W1: one pair after the other',
      contestants: REDIS,
      columns: REDIS_PAIRS,
      cost: p50,
      goals: REDIS_ALONE,
    },
    alone('pairs'),
  ],
  [
    {
      id: 'W2',
      group: 'redis',
      title: 'redis W2: 64 names at once',
      contestants: [...REDIS, 'bare script'],
      columns: REDIS_BURST,
      cost: perOperation,
      goals: REDIS_MANY,
    },
    alone('burst'),
  ],
  [
    {
      id: 'W2T',
      group: 'redis',
      title: 'redis W2T: 64 tasks, each on a name of its own, pair after pair',
      contestants: REDIS,
      columns: REDIS_BURST,
      cost: perOperation,
      goals: REDIS_MANY,
    },
    alone('ownNames'),
  ],
  [
    {
      id: 'W3',
      group: 'redis',
      title: 'redis W3: 2 processes × 8 tasks, one name, held for 0 or 1 ms, asked for again at once',
      contestants: ON_ONE_NAME,
      columns: REDIS_CONTENDED,
      cost: perOperation,
      goals: REDIS_GREEDY,
    },
    together(true, false, 2, 8),
  ],
  [
    {
      id: 'W3T',
      group: 'redis',
      title: 'redis W3T: the same, asked for again after 5 to 15 ms',
      contestants: ON_ONE_NAME,
      columns: REDIS_CONTENDED,
      cost: perOperation,
      goals: [...HANDED_OVER, EVEN],
    },
    together(true, true, 2, 8),
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
    wait:
      quantile(
        turns.map(([, asked, granted]) => Math.min(granted, end + 3e8) - asked),
        0.999,
      ) / 1e6,
    overtakes: (overtakes / served.length) * 1e3,
    jain: sum(shares) ** 2 / (shares.length * sum(shares.map((share) => share ** 2))),
    overlaps,
  }
}
