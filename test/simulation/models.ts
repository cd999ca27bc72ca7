/** The coordinators that are simulated: where their schedules come from, and which mistakes are theirs. */
import { etcdMutants } from './etcd/mutants.ts'
import { etcdPlanOf } from './etcd/plan.ts'
import { memoryMutants } from './memory/mutants.ts'
import { memoryPlanOf } from './memory/plan.ts'
import type { Mutant } from './mutant.ts'
import type { Plan } from './plan.ts'
import { quorumMutants } from './quorum/mutants.ts'
import { quorumPlanOf } from './quorum/plan.ts'
import { redisMutants } from './redis/mutants.ts'
import { redisPlanOf } from './redis/plan.ts'

export interface Model {
  /** @param nodes of a quorum */
  readonly planOf: (seed: number, nodes: number) => Plan
  readonly mutants: readonly Mutant[]
  /** Its faults go beyond what exclusion is promised under: over many seeds it must be seen to fail, or they do not bite. */
  readonly overlaps: boolean
}

export const MODELS = {
  memory: { planOf: memoryPlanOf, mutants: memoryMutants, overlaps: false },
  quorum: { planOf: quorumPlanOf, mutants: quorumMutants, overlaps: false },
  redis: { planOf: redisPlanOf, mutants: redisMutants, overlaps: true },
  etcd: { planOf: etcdPlanOf, mutants: etcdMutants, overlaps: true },
} as const satisfies Record<string, Model>

export type ModelName = keyof typeof MODELS

export function isModel(name: string): name is ModelName {
  return name in MODELS
}

/** Every mistake, with the model that it is one of. */
export const mutants: readonly (readonly [ModelName, Mutant])[] = Object.entries(MODELS).flatMap(([model, each]) =>
  each.mutants.map((mutant) => [model as ModelName, mutant] as const),
)

export function mutantNamed(name: string): readonly [ModelName, Mutant] {
  const found = mutants.find(([, mutant]) => mutant.name === name)
  if (found) return found
  throw new Error(`there is no mutant ${name}; there are ${mutants.map(([, mutant]) => mutant.name).join(', ')}`)
}
