/** Make a plan that fails smaller while it still fails: fewer faults, fewer processes, fewer tasks, a calmer network. */
import type { Event } from '../../src/verify/history.ts'
import type { Library } from './library.ts'
import type { Plan, ProcessPlan } from './plan.ts'
import type { Outcome } from './run.ts'
import { run } from './run.ts'

/** A dense schedule has thousands of smaller ones. What has been found by then is small enough to read. */
const PATIENCE_MS = 60_000

export async function shrink(plan: Plan, library: Library): Promise<Outcome> {
  const until = performance.now() + PATIENCE_MS
  const wanted = (await run(plan, library)).violations[0]?.checker
  const fails = async (candidate: Plan): Promise<boolean> =>
    (await run(candidate, library)).violations.some(({ checker }) => checker === wanted)
  let smallest = plan
  for (let changed = true; changed;) {
    changed = false
    for (const candidate of smaller(smallest)) {
      if (performance.now() > until) break
      if (!(await fails(candidate))) continue
      smallest = candidate
      changed = true
      break
    }
  }
  return run(smallest, library, { trace: true })
}

function* smaller(plan: Plan): Generator<Plan> {
  const { processes, faults, network } = plan
  if (processes.length > 1) for (const each of without(processes)) yield { ...plan, processes: each }
  for (const each of without(faults)) yield { ...plan, faults: each }
  for (const key of ['lossRate', 'doubleRate', 'tailRate', 'wakeLossRate', 'wakeLateRate', 'wakeAstrayRate'] as const) {
    if (network[key] > 0) yield { ...plan, network: { ...network, [key]: 0 } }
  }
  for (const [index, process] of processes.entries()) {
    for (const each of fewerTasks(process)) yield { ...plan, processes: processes.with(index, each) }
  }
}

function* fewerTasks(process: ProcessPlan): Generator<ProcessPlan> {
  for (const [index, lane] of process.lanes.entries()) {
    // From the end, so that what is left happens as before; the half of it first.
    for (const count of new Set([Math.floor(lane.length / 2), lane.length - 1]))
      if (count > 0) yield { ...process, lanes: process.lanes.with(index, lane.slice(0, count)) }
    for (const each of without(lane)) yield { ...process, lanes: process.lanes.with(index, each) }
  }
}

function* without<T>(items: readonly T[]): Generator<T[]> {
  for (const index of items.keys()) yield items.filter((_, each) => each !== index)
}

/** Everything that happened, one line each, in the order of time. */
export function report({ plan, events, lines, violations }: Outcome): string {
  const told = [...events.map(lineOf), ...lines]
  const sorted = told.toSorted((a, b) => Number.parseFloat(a) - Number.parseFloat(b))
  return [
    `seed ${plan.seed}, shrunk to ${plan.processes.length} processes and ${plan.faults.length} faults:`,
    ...plan.faults.map((fault) => `  ${JSON.stringify(fault)}`),
    ...sorted,
    ...violations.map(({ checker, text }) => `${checker}: ${text}`),
  ].join('\n')
}

function lineOf({ at, process, kind, ...rest }: Event): string {
  const parts = Object.entries(rest).map(
    ([key, value]) => `${key} ${typeof value === 'number' ? +value.toFixed(2) : value}`,
  )
  return `${at.toFixed(2)} ${process}: ${kind.toUpperCase()} ${parts.join(', ')}`
}
