/**
 * Run schedules from their seeds.
 *
 *   npm run simulate -- --seeds 1..5000        the schedules of these seeds, until one fails; that one is shrunk
 *   npm run simulate -- --seed 42 --trace      one, with everything that happened
 *   npm run simulate -- --model redis          over simulated servers of Redis; etcd: members of etcd; without: one memory
 *                                              backend. Each model has seeds of its own
 *   npm run simulate -- --quorum 3             over a quorum of so many memory backends
 *   npm run simulate -- --jobs 2               in so many processes; whatever their number, the output is the same
 *   npm run simulate -- --minutes 10           for so long at most
 *   npm run simulate -- --mutant NAME          with a planted mistake, until it is caught (see mutant.ts)
 *   npm run simulate -- --mutants              all of them, or those of a model, each up to its bound
 *   npm run simulate -- --mutants --within 1000   those that need no more seeds than that
 *   npm run simulate -- --table                those of a model with the seeds given: which checker sees which, and when
 *
 * Exit code 0: no violation, or, with mistakes, each of them caught. 1: otherwise. 2: no violation in a thousand schedules or
 * more, and nothing that a violation could have come of.
 */
import { loadLibrary } from './library.ts'
import type { Model, ModelName } from './models.ts'
import { MODELS, isModel, mutantNamed, mutants } from './models.ts'
import { withMutant } from './mutant.ts'
import { results } from './pool.ts'
import { run } from './run.ts'
import { report, shrink } from './shrink.ts'
import type { Failure, Seeds, Task } from './tasks.ts'
import { source } from './tasks.ts'
import { wordsOf } from '../kit/words.ts'

const { values } = wordsOf(import.meta.url, {
  options: {
    seeds: { type: 'string', default: '1..1000' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    model: { type: 'string' },
    quorum: { type: 'string' },
    jobs: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    'keep-going': { type: 'boolean', default: false },
    mutant: { type: 'string' },
    mutants: { type: 'boolean', default: false },
    within: { type: 'string' },
    table: { type: 'boolean', default: false },
  },
})

// Errors are part of every schedule, and nobody reads where they were made.
Error.stackTraceLimit = values.trace ? 10 : 0

const seeds = seedsOf(values.seed ?? values.seeds)
const nodes = countOf('quorum', values.quorum ?? '3')
const jobs = countOf('jobs', values.jobs)
const model = modelOf(values.model ?? (values.quorum === undefined ? 'memory' : 'quorum'))
/** Quick enough that nobody waits for the last one, and few enough messages. */
const CHUNK = 25
const NOTHING_BITES_FROM = 1000
const PROGRESS_MS = 2000

const [FINE, WRONG, NOTHING_PROVED] = [0, 1, 2] as const

async function main(): Promise<number> {
  if (values.table) return table()
  if (values.mutants) return catchAll()
  if (values.mutant !== undefined) return catchOne(values.mutant)
  return values.trace ? trace(seeds.from) : simulate()
}

async function simulate(): Promise<number> {
  const { overlaps: breaks }: Model = MODELS[model]
  const sums = { schedules: 0, grants: 0, overlaps: 0, openLost: 0, cpuMs: 0 }
  const failures: Failure[] = []
  const progress = new Progress()
  for await (const [, part] of results(chunks(seeds), jobs)) {
    for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += part[key]
    failures.push(...part.failures)
    for (const { seed, text } of part.failures) console.log(`seed ${seed}: ${text}`)
    progress.say(
      `${sums.schedules} schedules, ${sums.grants} grants, ${Math.round(sums.grants / (sums.cpuMs / 1000))} a CPU second`,
    )
    if (failures.length > 0 && !values['keep-going']) break
  }
  progress.end()
  const [first] = failures
  if (first && !values['keep-going']) await explain(first.seed)
  const { schedules, grants, overlaps, openLost } = sums
  console.log(
    `${model}, seeds ${seeds.from} to ${seeds.from + schedules - 1}: ${schedules} schedules, ${grants} grants, ` +
      `${first ? `${failures.length} with violations` : 'no violation'}; ` +
      (breaks ? `beyond the promise, two believed at once ${overlaps} times; ` : '') +
      `the registers without a guard lost ${openLost} updates`,
  )
  if (first) return WRONG
  if (schedules < NOTHING_BITES_FROM || (openLost > 0 && (overlaps > 0 || !breaks))) return FINE
  // What cannot fail proves nothing.
  console.log('but no fault has bitten: nothing went wrong that may')
  return NOTHING_PROVED
}

async function trace(seed: number): Promise<number> {
  const outcome = await run(MODELS[model].planOf(seed, nodes), await loadLibrary(source), { trace: true })
  console.log(report(outcome))
  return outcome.violations.length > 0 ? WRONG : FINE
}

async function explain(seed: number): Promise<void> {
  console.log(report(await shrink(MODELS[model].planOf(seed, nodes), await loadLibrary(source))))
}

async function catchOne(name: string): Promise<number> {
  const [of, mutant] = mutantNamed(name)
  const { from, to } = values.seed === undefined ? { from: 1, to: mutant.seedsMax } : seeds
  for await (const [, firsts] of results([{ kind: 'catch', mutant: name, from, to } as const], jobs)) {
    const seed = Object.values(firsts)[0]
    if (seed === undefined) return WRONG
    const plan = MODELS[of].planOf(seed, mutant.nodes ?? 3)
    console.log(report(await withMutant(mutant, source, (library) => shrink(plan, library))))
  }
  return FINE
}

async function catchAll(): Promise<number> {
  const seedsMax = values.within === undefined ? Infinity : countOf('within', values.within)
  const wanted = mutants.filter(
    ([of, mutant]) => (values.model === undefined || of === model) && mutant.seedsMax <= seedsMax,
  )
  const tasks = wanted.map(
    ([, { name, seedsMax }]) => ({ kind: 'catch', mutant: name, from: 1, to: seedsMax }) as const,
  )
  let survived = 0
  for await (const [{ mutant, to }, firsts] of results(tasks, jobs)) {
    const [seed] = Object.values(firsts)
    if (seed === undefined) survived += 1
    const checkers = Object.keys(firsts).join(', ')
    console.log(
      `${mutant}: ${seed === undefined ? `SURVIVED ${to} seeds` : `caught at seed ${seed} of ${to} by ${checkers}`}`,
    )
  }
  console.log(`${wanted.length - survived} of ${wanted.length} mutants caught`)
  return survived === 0 ? FINE : WRONG
}

/** A row for each mutant: the first seed at which each checker objects. */
async function table(): Promise<number> {
  const tasks = MODELS[model].mutants.map(({ name }) => ({ kind: 'compare', mutant: name, ...seeds }) as const)
  const progress = new Progress()
  const rows: (readonly [name: string, firsts: Readonly<Record<string, number>>])[] = []
  for await (const [{ mutant }, firsts] of results(tasks, jobs)) {
    rows.push([mutant, firsts])
    progress.say(`${rows.length} of ${tasks.length} mutants`)
  }
  progress.end()
  const columns = [...new Set(rows.flatMap(([, firsts]) => Object.keys(firsts)))].sort()
  console.log(`| mutant | the mistake | within | ${columns.join(' | ')} |`)
  console.log(`|---|---|---:|${columns.map(() => '---:').join('|')}|`)
  for (const [name, firsts] of rows) {
    const [, { mistake, seedsMax }] = mutantNamed(name)
    console.log(`| ${name} | ${mistake} | ${seedsMax} | ${columns.map((each) => firsts[each] ?? '').join(' | ')} |`)
  }
  return rows.every(([, firsts]) => Object.keys(firsts).length > 0) ? FINE : WRONG
}

/** The seeds in parts, while there is time. */
function* chunks({ from, to }: Seeds): Generator<Task & { kind: 'run' }> {
  const minutes = values.minutes === undefined ? Infinity : Number(values.minutes)
  if (!(minutes > 0)) throw new Error(`'${values.minutes}' minutes; give a number`)
  const until = performance.now() + 60_000 * minutes
  const keepsGoing = values['keep-going']
  for (let first = from; first <= to && performance.now() < until; first += CHUNK)
    yield { kind: 'run', model, nodes, keepsGoing, from: first, to: Math.min(first + CHUNK - 1, to) }
}

/** A line for whoever waits, apart from what is printed. */
class Progress {
  #saidAt = performance.now()
  #said = false

  say(text: string): void {
    if (performance.now() - this.#saidAt < PROGRESS_MS) return
    this.#saidAt = performance.now()
    this.#said = true
    process.stderr.write(process.stderr.isTTY ? `\r\u001B[K${text}` : `${text}\n`)
  }

  end(): void {
    if (this.#said && process.stderr.isTTY) process.stderr.write('\r\u001B[K')
  }
}

function modelOf(name: string): ModelName {
  if (isModel(name)) return name
  throw new Error(`there is no model ${name}; there are ${Object.keys(MODELS).join(', ')}`)
}

function seedsOf(text: string): Seeds {
  const [from = Number.NaN, to = from] = text.split('..').map(Number)
  if (!(from <= to)) throw new Error(`seeds are '${text}'; give 1..5000, or one number`)
  return { from, to }
}

function countOf(option: string, text: string): number {
  const count = Number(text)
  if (!(Number.isInteger(count) && count >= 1)) throw new Error(`--${option} is '${text}'; give a number`)
  return count
}

process.exitCode = await main()
