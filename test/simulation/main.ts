/**
 * Run schedules from their seeds.
 *
 *   npm run simulate -- --seeds 1..5000        every schedule of these seeds
 *   npm run simulate -- --seed 42 --trace      one, with everything that happened
 *   npm run simulate -- --mutant NAME          with a planted mistake (see mutants.ts); the first seed that shows it
 *
 * Exit code 0: no violation (with `--mutant`: it was caught). 1: otherwise.
 */
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { loadLibrary } from './library.ts'
import { planOf } from './plan.ts'
import { run } from './run.ts'
import { report, shrink } from './shrink.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1..1000' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    mutant: { type: 'string' },
    'keep-going': { type: 'boolean', default: false },
  },
})

// Errors are part of the schedules, and nobody reads where they were made.
Error.stackTraceLimit = values.trace ? 10 : 0
const source = fileURLToPath(new URL('../../src', import.meta.url))

const [first, last] = values.seed === undefined ? values.seeds.split('..').map(Number) : [Number(values.seed), Number(values.seed)]
process.exitCode = await simulate(first!, last ?? first!)

async function simulate(from: number, to: number): Promise<number> {
  const library = await loadLibrary(source)
  const startedAt = process.cpuUsage()
  let failed = 0
  const sums = { schedules: 0, short: 0, grants: 0, openLost: 0, events: 0 }
  for (let seed = from; seed <= to; seed += 1) {
    const plan = planOf(seed)
    const outcome = await run(plan, library, { trace: values.trace })
    sums.schedules += 1
    sums.short += plan.long ? 0 : 1
    sums.grants += outcome.grants
    sums.openLost += outcome.openLost
    sums.events += outcome.events.length
    if (values.trace) console.log(outcome.lines.join('\n'))
    if (outcome.violations.length === 0) continue
    const told = outcome.violations.slice(0, 3).map(({ checker, text }) => `${checker}: ${text}`)
    console.log(`seed ${seed}: ${told.join('; ')}`)
    failed += 1
    if (values['keep-going']) continue
    console.log(report(await shrink(plan, library)))
    return 1
  }
  const { user, system } = process.cpuUsage(startedAt)
  const seconds = (user + system) / 1e6
  console.log(
    `seeds ${from} to ${to}: ${sums.schedules} schedules, ${sums.grants} grants, ${failed === 0 ? 'no violation' : `${failed} with violations`}; ` +
      `${Math.round(sums.schedules / seconds)} schedules per CPU second (${cpus()[0]?.model ?? 'unknown CPU'}); ` +
      `the open registers lost ${sums.openLost} updates`,
  )
  return failed === 0 ? 0 : 1
}
