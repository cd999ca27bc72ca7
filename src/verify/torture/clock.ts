/** The scale of a history that several processes write: one clock for all of them on a machine. */
import { realRuntime } from '../../runtime.ts'
import type { Event } from '../history.ts'

/** Milliseconds, with a fraction. */
export function machineNow(): number {
  return realRuntime.monotonicMs()
}

/** An event of a process with a clock of its own, on the scale of all. @param machineTime what the machine's clock shows at a time of that one */
export function onMachineTime(event: Event, machineTime: (at: number) => number): Event {
  const until = 'until' in event ? { until: machineTime(event.until) } : {}
  return { ...event, at: machineTime(event.at), ...until }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => realRuntime.after(ms, resolve).keepAlive(true))
}

/**
 * Wait for something that must come. Wide: it is there for machines that are slow, not for what is measured.
 *
 * @throws Error that says `what` has not come
 */
export async function until(
  check: () => boolean | Promise<boolean>,
  what = 'it',
  withinMs = 30_000,
  everyMs = 2,
): Promise<void> {
  for (const limit = machineNow() + withinMs; machineNow() < limit; await sleep(everyMs)) if (await check()) return
  throw new Error(`${what} has not come within ${withinMs} ms: ${check.toString()}`)
}

/** The same, for many at once: it looks less often, and so leaves the machine to those who are looked at. */
export function eventually(check: () => boolean | Promise<boolean>, what: string): Promise<void> {
  return until(check, what, 30_000, 20)
}
