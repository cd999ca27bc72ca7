import { fileURLToPath } from 'node:url'
import { loadLibrary } from './library.ts'
import { etcdPlanOf } from './etcd/plan.ts'
import { redisPlanOf } from './redis/plan.ts'
import { run } from './run.ts'
import { report } from './shrink.ts'
const library = await loadLibrary(fileURLToPath(new URL('../../src', import.meta.url)))
const [model, from, to, trace] = process.argv.slice(2)
const planOf = model === 'redis' ? redisPlanOf : etcdPlanOf
Error.stackTraceLimit = trace ? 10 : 0
let grants = 0,
  over = 0,
  open = 0,
  bad = 0
const t = process.cpuUsage()
for (let seed = +from!; seed <= +to!; seed += 1) {
  const o = await run(planOf(seed), library, { trace: !!trace })
  grants += o.grants
  over += o.excused.length
  open += o.openLost
  if (trace) console.log(report(o))
  if (o.violations.length > 0) {
    bad += 1
    console.log(
      seed,
      o.violations
        .slice(0, 2)
        .map((v) => v.checker + ': ' + v.text)
        .join(' | '),
    )
  }
}
const { user, system } = process.cpuUsage(t)
console.log({
  grants,
  over,
  open,
  bad,
  perSecond: grants / ((user + system) / 1e6),
  schedulesPerSecond: (+to! - +from! + 1) / ((user + system) / 1e6),
})
