/** Several processes that do tasks; whatever their number, the results come in the order of the tasks. */
import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Result, Task } from './tasks.ts'
import { carryOut } from './tasks.ts'

const JOB = fileURLToPath(new URL('job.ts', import.meta.url))

/** Whoever stops listening ends it. A task is taken when somebody is free for it. */
export async function* results<T extends Task>(tasks: Iterable<T>, jobs: number): AsyncGenerator<[T, Result<T>]> {
  const children = jobs > 1 ? Array.from({ length: jobs }, () => fork(JOB)) : []
  const free: (ChildProcess | undefined)[] = jobs > 1 ? [...children] : [undefined]
  const underway: [task: T, result: Promise<unknown>][] = []
  const left = tasks[Symbol.iterator]()
  let over = false
  const take = (): void => {
    while (free.length > 0 && !over) {
      const { value: task, done } = left.next()
      if (done) return
      const child = free.pop()
      const result = (child ? ask(child, task) : carryOut(task)).finally(() => {
        free.push(child)
        take()
      })
      // It is heard of in its turn.
      result.catch(() => {})
      underway.push([task, result])
    }
  }
  try {
    take()
    for (let next = underway.shift(); next; next = underway.shift()) {
      yield [next[0], (await next[1]) as Result<T>]
    }
  } finally {
    over = true
    for (const child of children) child.kill()
  }
}

function ask(child: ChildProcess, task: Task): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const died = (): void => reject(new Error('a process of the simulation has died'))
    child.once('exit', died)
    child.once('message', (result) => {
      child.off('exit', died)
      resolve(result)
    })
    child.send(task)
  })
}
