/** A process that does what `pool.ts` tells it. */
import type { Task } from './tasks.ts'
import { carryOut } from './tasks.ts'

process.on('message', (task: Task) => void carryOut(task).then((result) => process.send!(result)))
