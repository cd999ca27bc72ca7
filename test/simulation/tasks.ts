/** What the simulation is asked to do, in parts that other processes can do as well: what goes in and comes out is data. */
import { fileURLToPath } from 'node:url'
import type { Library } from './library.ts'
import { loadLibrary } from './library.ts'
import type { ModelName } from './models.ts'
import { MODELS, mutantNamed } from './models.ts'
import { withMutant } from './mutant.ts'
import type { Outcome } from './run.ts'
import { run } from './run.ts'

export const source = fileURLToPath(new URL('../../src', import.meta.url))

/** Seeds from one to another, both included. */
export interface Seeds {
  readonly from: number
  readonly to: number
}

export type Task =
  /** Run the schedules of these seeds, until one fails, or all of them. */
  | ({ readonly kind: 'run'; readonly model: ModelName; readonly nodes: number; readonly keepsGoing: boolean } & Seeds)
  /** Look for the first seed at which a mistake is caught. */
  | ({ readonly kind: 'catch'; readonly mutant: string } & Seeds)
  /** Look for the first seed at which each checker catches it. */
  | ({ readonly kind: 'compare'; readonly mutant: string } & Seeds)

/** What came of a part. */
export interface Sums {
  readonly schedules: number
  readonly grants: number
  /** Two that believed at once, after a fault that goes beyond the promise. */
  readonly overlaps: number
  readonly openLost: number
  readonly failures: readonly Failure[]
  readonly cpuMs: number
}

export interface Failure {
  readonly seed: number
  readonly text: string
}

/** By checker, the first seed at which it objected. */
export type Firsts = Readonly<Record<string, number>>

export type Result<T extends Task> = T extends { kind: 'run' } ? Sums : Firsts

let library: Promise<Library> | undefined

export async function carryOut(task: Task): Promise<Sums | Firsts> {
  // Errors are part of every schedule, and nobody reads where they were made.
  Error.stackTraceLimit = 0
  if (task.kind === 'run') return runAll(task, await (library ??= loadLibrary(source)))
  const [model, mutant] = mutantNamed(task.mutant)
  return withMutant(mutant, source, async (mutated) => {
    const firsts: Record<string, number> = {}
    for (let seed = task.from; seed <= task.to; seed += 1) {
      const { violations } = await run(MODELS[model].planOf(seed, mutant.nodes ?? 3), mutated)
      for (const { checker } of violations) firsts[checker] ??= seed
      if (task.kind === 'catch' && violations.length > 0) break
    }
    return firsts
  })
}

async function runAll({ model, nodes, from, to, keepsGoing }: Task & { kind: 'run' }, healthy: Library): Promise<Sums> {
  const sums = { schedules: 0, grants: 0, overlaps: 0, openLost: 0 }
  const failures: Failure[] = []
  const before = process.cpuUsage()
  for (let seed = from; seed <= to && (keepsGoing || failures.length === 0); seed += 1) {
    const outcome = await run(MODELS[model].planOf(seed, nodes), healthy)
    sums.schedules += 1
    sums.grants += outcome.grants
    sums.overlaps += outcome.overlaps
    sums.openLost += outcome.openLost
    if (outcome.violations.length > 0) failures.push({ seed, text: textOf(outcome) })
  }
  const { user, system } = process.cpuUsage(before)
  return { ...sums, failures, cpuMs: (user + system) / 1000 }
}

function textOf({ violations }: Outcome): string {
  return violations
    .slice(0, 3)
    .map(({ checker, text }) => `${checker}: ${text}`)
    .join('; ')
}
