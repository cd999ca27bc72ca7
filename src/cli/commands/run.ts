/** `holdfast run NAME -- command…`: hold a lock while a command runs. */
import { WaitTimeoutError } from '../../core/errors.ts'
import type { Lease } from '../../core/lease.ts'
import { clean, seconds } from '../../core/text.ts'
import type { Locks } from '../../locks.ts'
import { leave, open } from '../coordinator.ts'
import type { Ending } from '../exit.ts'
import { EXIT, ExitError, codeOf, usageError } from '../exit.ts'
import { guardFor } from '../hold/guard.ts'
import { hold } from '../hold/holding.ts'
import { Signals } from '../hold/signals.ts'
import { Standstill } from '../hold/standstill.ts'
import type { Task } from '../hold/task.ts'
import { taskOf } from '../hold/task.ts'
import type { Permits } from '../options.ts'
import type { Given, RunValues } from '../table.ts'
import { Waiting } from '../waiting.ts'

interface RunTask extends Task {
  readonly waitMs: number
  readonly busyCode: number
  readonly shared: boolean
  readonly permits: Permits | undefined
  readonly minHoldMs: number
  readonly label: string | undefined
  readonly quiet: boolean
}

export async function run(given: Given<RunValues>): Promise<Ending> {
  const task = runTaskOf(given)
  const signals = new Signals()
  const { backend, locks } = await open(given.values.url)
  const guard = task.onLost === 'warn' ? undefined : guardFor(backend)
  const standstill = new Standstill()
  const joined = (): void => {
    standstill.watch()
    guard?.start()
  }
  try {
    await refuseSelfDeadlock(task, locks)
    const lease = await acquire(task, locks, signals, joined)
    return await hold(task, lease, signals, guard, standstill)
  } catch (error) {
    const ending = signals.interrupted(error)
    if (!ending) throw error
    return ending
  } finally {
    standstill.stop()
    guard?.stop()
    await leave(locks, signals)
  }
}

/** @param joined called when we stand in the queue: a guardian is started while there is time; a try that fails needs none */
async function acquire(task: RunTask, locks: Locks, signals: Signals, joined: () => void): Promise<Lease> {
  const { name, permits, shared, ttlMs, waitMs, minHoldMs, label } = task
  const waiting = new Waiting(locks, { name, kind: permits ? 'permits' : 'lock' }, task.quiet, joined)
  const options = {
    ttl: ttlMs,
    wait: waitMs,
    minHold: minHoldMs,
    signal: signals.interruption,
    ...(label === undefined ? {} : { label }),
  }
  try {
    const lease = permits
      ? await locks.semaphore(name, permits.of).acquire({ ...options, permits: permits.take })
      : await (shared ? locks.rw(name).read() : locks.mutex(name)).acquire(options)
    waiting.stop()
    return lease
  } catch (error) {
    waiting.stop()
    const busy = ['HELD', 'WAIT_TIMEOUT'].includes(codeOf(error) ?? '')
    if (!busy) throw error
    throw await gaveUp(task, waiting, error)
  }
}

async function gaveUp(task: RunTask, waiting: Waiting, error: unknown): Promise<ExitError> {
  // --quiet, and -E 0 for cron: whoever skips quietly wants to hear nothing of it.
  if (task.quiet || task.busyCode === 0) return new ExitError(task.busyCode, '')
  const ahead = error instanceof WaitTimeoutError ? error.ahead : undefined
  const how = task.waitMs === 0 ? 'did not wait' : `gave up after ${seconds(task.waitMs)}`
  return new ExitError(task.busyCode, `"${clean(task.name)}" is held; ${how}`, await waiting.report(ahead))
}

/** A command that holds a name and runs `holdfast run` with the same name would wait for itself. */
async function refuseSelfDeadlock(task: RunTask, locks: Locks): Promise<void> {
  const { HOLDFAST_NAME: outer, HOLDFAST_FENCE: fence } = process.env
  if (outer !== task.name || fence === undefined) return
  const view = await locks.inspect(task.name, { kind: task.permits ? 'permits' : 'lock' })
  // Only if it is held: the variables outlive the lock in what a command leaves running.
  const own = view?.holders.find((holder) => String(holder.fence) === fence && !holder.lingering)
  if (!view || !own) return
  if (task.permits && own.weight + task.permits.take <= view.capacity) return
  const text = `"${clean(task.name)}" is already held by the command that runs this (fence ${fence})`
  if (task.waitMs === 0) throw new ExitError(task.busyCode, task.quiet || task.busyCode === 0 ? '' : text)
  throw usageError(`${text}; it would wait for itself. Hold it once, on the outside`)
}

function runTaskOf(given: Given<RunValues>): RunTask {
  const { values } = given
  if (values.try && values.wait !== undefined) throw usageError('--try does not wait; leave it out, or --wait')
  if (values.shared && values.permits) throw usageError('--shared and --permits are two kinds of locks; leave one out')
  return {
    ...taskOf('run', given, values['on-lost']),
    waitMs: values.try ? 0 : (values.wait ?? Infinity),
    busyCode: values['conflict-exit-code'] ?? EXIT.held,
    shared: values.shared,
    permits: values.permits,
    minHoldMs: values['min-hold'] ?? 0,
    label: values.label,
    quiet: values.quiet,
  }
}
