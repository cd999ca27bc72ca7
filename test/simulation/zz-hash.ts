import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { loadLibrary } from './library.ts'
import { memoryPlanOf as planOf } from './memory/plan.ts'
import { quorumPlanOf } from './quorum/plan.ts'
import { run } from './run.ts'
const library = await loadLibrary(fileURLToPath(new URL('../../src', import.meta.url)))
for (const [name, plan] of [
  ['memory', planOf],
  ['quorum', (s: number) => quorumPlanOf(s, 3 + (s % 3))],
] as const) {
  const hash = createHash('sha256')
  for (let seed = 1; seed <= 200; seed += 1) {
    const o = await run(plan(seed), library, { trace: true })
    hash.update(JSON.stringify(o.events)).update(JSON.stringify(o.lines))
  }
  console.log(name, hash.digest('hex').slice(0, 16))
}
