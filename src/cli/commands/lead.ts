/** `holdfast lead NAME -- command…`: run a command while this process leads, again and again. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Backend } from '../../backend.ts'
import { clean, seconds } from '../../core/text.ts'
import type { Locks } from '../../locks.ts'
import { realRuntime } from '../../runtime.ts'
import { leave, open } from '../coordinator.ts'
import type { Ending } from '../exit.ts'
import { EXIT, exitCodeOf } from '../exit.ts'
import { guardFor } from '../hold/guard.ts'
import { hold } from '../hold/holding.ts'
import { Signals } from '../hold/signals.ts'
import { Standstill } from '../hold/standstill.ts'
import type { Task } from '../hold/task.ts'
import { taskOf } from '../hold/task.ts'
import type { Given, LeadValues } from '../table.ts'
import { mention, say } from '../voice.ts'
import { Waiting } from '../waiting.ts'

/** A term that was shorter is followed by a pause, which doubles each time, so that others may try. */
const SHORT_MS = 10_000
const [PAUSE_FIRST_MS, PAUSE_LONGEST_MS] = [1000, 60_000]

export async function lead(given: Given<LeadValues>): Promise<Ending> {
  const { values } = given
  const task = taskOf('lead', given)
  const signals = new Signals()
  const { backend, locks } = await open(values.url)
  let pauseMs = 0
  try {
    for (;;) {
      const { ending, ledMs } = await term(task, values, backend, locks, signals)
      if (values.once || signals.endedBy) return ending
      pauseMs = pauseAfter(ledMs, pauseMs)
      mention(endedText(task, ending, pauseMs))
      signals.wait()
      await sleep(pauseMs, undefined, { signal: signals.interruption }).catch(() => {})
      if (signals.interruptedBy) return { signal: signals.interruptedBy }
    }
  } finally {
    await leave(locks, signals)
  }
}

/** How long to let others try. @param beforeMs the pause before the term */
export function pauseAfter(ledMs: number, beforeMs: number): number {
  return ledMs < SHORT_MS ? Math.min(Math.max(2 * beforeMs, PAUSE_FIRST_MS), PAUSE_LONGEST_MS) : 0
}

/** Campaign, lead, and step down. @returns how the command ended, and how long it led @throws whatever does not pass by itself */
async function term(
  task: Task,
  values: LeadValues,
  backend: Backend,
  locks: Locks,
  signals: Signals,
): Promise<{ readonly ending: Ending; readonly ledMs: number }> {
  const guard = guardFor(backend)
  const standstill = new Standstill()
  const { name } = task
  const waiting = new Waiting(locks, { name, kind: 'election' }, values.quiet, () => {
    standstill.watch()
    guard.start()
  })
  const options = {
    ttl: task.ttlMs,
    signal: signals.interruption,
    ...(values.label === undefined ? {} : { label: values.label }),
    ...(values.value === undefined ? {} : { value: values.value }),
  }
  /** `undefined`: it has not led. */
  let since: number | undefined
  const after = (ending: Ending): { readonly ending: Ending; readonly ledMs: number } => ({
    ending,
    ledMs: since === undefined ? 0 : realRuntime.monotonicMs() - since,
  })
  try {
    const lease = await locks.election(name).acquire(options)
    waiting.stop()
    since = realRuntime.monotonicMs()
    return after(await hold(task, lease, signals, guard, standstill))
  } catch (error) {
    const ending = signals.interrupted(error)
    if (ending) return after(ending)
    if (values.once || signals.endedBy || !passes(error)) throw error
    say((error as Error).message)
    return after({ code: exitCodeOf(error) })
  } finally {
    waiting.stop()
    standstill.stop()
    guard.stop()
  }
}

/** A lost lease, and a coordinator that is away, are what an election is for. */
function passes(error: unknown): boolean {
  const code = exitCodeOf(error)
  return code === EXIT.lost || code === EXIT.unavailable || code === EXIT.maxTime
}

function endedText({ name }: Task, ending: Ending, pauseMs: number): string {
  const how = 'code' in ending ? `with ${ending.code}` : `by ${ending.signal}`
  const next = pauseMs > 0 ? `campaigns again in ${seconds(pauseMs)}` : 'campaigns again'
  return `"${clean(name)}": the term ended (${how}); ${next}`
}
