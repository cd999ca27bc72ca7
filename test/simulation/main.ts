/**
 * Run schedules from their seeds.
 *
 *   npm run simulate -- --seeds 1..5000        the schedules of these seeds, until one fails; that one is shrunk
 *   npm run simulate -- --seed 42 --trace      one, with everything that happened
 *   npm run simulate -- --quorum 3             the same over a quorum of so many nodes, which has seeds of its own
 *   npm run simulate -- --mutant NAME          with a planted mistake, until it is caught (see mutants.ts)
 *   npm run simulate -- --mutants              all of them, each up to its bound
 *   npm run simulate -- --table                those of the one coordinator with the seeds given: which checker sees which,
 *                                              and when; with --quorum, those of a quorum
 *
 * Exit code 0: no violation, or, with mistakes, each of them caught. 1: otherwise.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Library } from './library.ts'
import { loadLibrary } from './library.ts'
import type { Mutant } from './mutants.ts'
import { mutants as coordinatorMutants, withMutant } from './mutants.ts'
import type { Plan } from './plan.ts'
import { planOf } from './plan.ts'
import { quorumMutants } from './quorum-mutants.ts'
import { quorumPlanOf } from './quorum-plan.ts'
import type { Outcome } from './run.ts'
import { run } from './run.ts'
import { report, shrink } from './shrink.ts'

const mutants = [...coordinatorMutants, ...quorumMutants]

const source = fileURLToPath(new URL('../../src', import.meta.url))

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1..1000' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    quorum: { type: 'string' },
    'keep-going': { type: 'boolean', default: false },
    mutant: { type: 'string' },
    mutants: { type: 'boolean', default: false },
    table: { type: 'boolean', default: false },
  },
})

// Errors are part of every schedule, and nobody reads where they were made.
Error.stackTraceLimit = values.trace ? 10 : 0

const [from, to] = seedsOf(values.seed ?? values.seeds)
const nodes = values.quorum === undefined ? undefined : nodesOf(values.quorum)

async function main(): Promise<boolean> {
  if (values.table) return table()
  if (values.mutants) return catchAll(mutants)
  if (values.mutant === undefined) return simulate(await loadLibrary(source))
  const mutant = mutants.find(({ name }) => name === values.mutant)
  if (!mutant)
    throw new Error(`there is no mutant ${values.mutant}; there are ${mutants.map(({ name }) => name).join(', ')}`)
  return withMutant(mutant, source, async (library) => {
    const caught = await firstFailure(
      library,
      mutant.nodes,
      values.seed === undefined ? 1 : from,
      values.seed === undefined ? mutant.seedsMax : to,
    )
    if (caught) console.log(report(await shrink(caught.plan, library)))
    return caught !== undefined
  })
}

async function simulate(library: Library): Promise<boolean> {
  const sums = { schedules: 0, failed: 0, grants: 0, openLost: 0 }
  const speed = { short: new Speed(), long: new Speed() }
  for (let seed = from; seed <= to; seed += 1) {
    const plan = makePlan(seed, nodes)
    const outcome = await speed[plan.long ? 'long' : 'short'].of(() => run(plan, library, { trace: values.trace }))
    sums.schedules += 1
    sums.grants += outcome.grants
    sums.openLost += outcome.openLost
    if (outcome.violations.length === 0) {
      if (values.trace) console.log(report(outcome))
      continue
    }
    sums.failed += 1
    console.log(`seed ${seed}: ${outcome.violations.slice(0, 3).map(textOf).join('; ')}`)
    if (values['keep-going']) continue
    console.log(report(await shrink(outcome.plan, library)))
    break
  }
  console.log(
    `seeds ${from} to ${from + sums.schedules - 1}: ${sums.schedules} schedules, ${sums.grants} grants, ` +
      `${sums.failed === 0 ? 'no violation' : `${sums.failed} with violations`}; ` +
      `a CPU second carries out ${speed.short.perSecond} short ones or ${speed.long.perSecond} long ones; ` +
      `the registers without a guard lost ${sums.openLost} updates`,
  )
  // What cannot fail proves nothing: over many seeds the faults must have cost an unguarded register something.
  if (sums.schedules >= 1000 && sums.openLost === 0)
    console.log('but no fault has bitten: nothing was lost without a guard')
  return sums.failed === 0 && (sums.schedules < 1000 || sums.openLost > 0)
}

/** How many schedules a second of computing carries out, whatever else the machine does. */
class Speed {
  #runs = 0
  #microseconds = 0

  async of<T>(work: () => Promise<T>): Promise<T> {
    const before = process.cpuUsage()
    const result = await work()
    const { user, system } = process.cpuUsage(before)
    this.#runs += 1
    this.#microseconds += user + system
    return result
  }

  get perSecond(): number {
    return Math.round(this.#runs / (this.#microseconds / 1e6))
  }
}

async function catchAll(all: readonly Mutant[]): Promise<boolean> {
  let survived = 0
  for (const mutant of all) {
    const caught = await withMutant(mutant, source, (library) =>
      firstFailure(library, mutant.nodes, 1, mutant.seedsMax),
    )
    if (!caught) survived += 1
    console.log(
      caught
        ? `${mutant.name}: caught at seed ${caught.plan.seed} of ${mutant.seedsMax} by ${checkersOf(caught).join(', ')}`
        : `${mutant.name}: SURVIVED ${mutant.seedsMax} seeds`,
    )
  }
  console.log(`${all.length - survived} of ${all.length} mutants caught`)
  return survived === 0
}

/** A row for each mutant: the first seed at which each checker objects. */
async function table(): Promise<boolean> {
  const checkers = new Set<string>()
  const rows: { readonly mutant: Mutant; readonly firsts: ReadonlyMap<string, number> }[] = []
  for (const mutant of nodes === undefined ? coordinatorMutants : quorumMutants) {
    const firsts = await withMutant(mutant, source, async (library) => {
      const seeds = new Map<string, number>()
      for (let seed = from; seed <= to; seed += 1) {
        for (const checker of checkersOf(await run(makePlan(seed, mutant.nodes), library))) {
          checkers.add(checker)
          if (!seeds.has(checker)) seeds.set(checker, seed)
        }
      }
      return seeds
    })
    rows.push({ mutant, firsts })
  }
  const columns = [...checkers].sort()
  console.log(`| mutant | the mistake | within | ${columns.join(' | ')} |`)
  console.log(`|---|---|---:|${columns.map(() => '---:').join('|')}|`)
  for (const { mutant, firsts } of rows) {
    const cells = columns.map((checker) => firsts.get(checker) ?? '')
    console.log(`| ${mutant.name} | ${mutant.mistake} | ${mutant.seedsMax} | ${cells.join(' | ')} |`)
  }
  return rows.every(({ firsts }) => firsts.size > 0)
}

async function firstFailure(
  library: Library,
  quorum: number | undefined,
  first: number,
  last: number,
): Promise<Outcome | undefined> {
  for (let seed = first; seed <= last; seed += 1) {
    const outcome = await run(makePlan(seed, quorum), library)
    if (outcome.violations.length > 0) return outcome
  }
  return undefined
}

/** @param quorum how many nodes; `undefined`: one coordinator */
function makePlan(seed: number, quorum: number | undefined): Plan {
  return quorum === undefined ? planOf(seed) : quorumPlanOf(seed, quorum)
}

function checkersOf({ violations }: Outcome): string[] {
  return [...new Set(violations.map(({ checker }) => checker))]
}

function textOf({ checker, text }: Outcome['violations'][number]): string {
  return `${checker}: ${text}`
}

function seedsOf(text: string): [number, number] {
  const [first = Number.NaN, last = first] = text.split('..').map(Number)
  if (!(first <= last)) throw new Error(`seeds are '${text}'; give 1..5000, or one number`)
  return [first, last]
}

function nodesOf(text: string): number {
  const count = Number(text)
  if (!(Number.isInteger(count) && count >= 1)) throw new Error(`a quorum of '${text}' nodes; give 3, 4 or 5`)
  return count
}

process.exitCode = (await main()) ? 0 : 1
