/** Runs a command under a lease. The command is gone before anyone else can hold it. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { HoldfastEvents } from '../../core/events.ts'
import type { Lease } from '../../core/lease.ts'
import { clean, seconds } from '../../core/text.ts'
import type { Ending } from '../exit.ts'
import { EXIT, ExitError, codeOf } from '../exit.ts'
import { stopwatch } from '../text.ts'
import { mention, say, speaksJson, tell } from '../voice.ts'
import type { Order } from './child.ts'
import { Child } from './child.ts'
import { machineClocks } from './countdown.ts'
import { Deadline } from './deadline.ts'
import type { Guard } from './guard.ts'
import { startOf } from './processes.ts'
import type { Signals } from './signals.ts'
import { stopSelf } from './signals.ts'
import type { Standstill } from './standstill.ts'
import type { Task } from './task.ts'
import { TimeLimit } from './time-limit.ts'
import type { Origin } from './tree.ts'

/** How often to look whether a command that was asked to end has left anything behind. */
const LOOK_MS = 20

/** Say that it holds, and make sure that its lease lasts long enough for a command. @throws ExitError if it is lost by then */
async function begin(task: Task, lease: Lease, standstill: Standstill): Promise<void> {
  const { name } = task
  const { fence, mode, waitedMs, remainingMs } = lease
  mention(`acquired "${clean(name)}" after ${seconds(waitedMs)}, fence ${fence}, wrapper pid ${process.pid}`, {
    type: 'lock.acquired',
    name,
    fence: String(fence),
    mode,
    waitedMs,
    ttlMs: remainingMs,
  })
  try {
    // A grant that came by a wake is valid for the short while of a waiter; a command needs time to end before that.
    if (lease.remainingMs < task.killAfterMs + task.ttlMs / 3) await lease.renew()
    await standstill.past(() =>
      mention('the machine stood still; what guards the command before this one has its turn'),
    )
    lease.assertHeld()
  } catch (error) {
    void lease.release()
    if (codeOf(error) !== 'LEASE_LOST') throw error
    throw new ExitError(EXIT.unavailable, `"${clean(name)}" was lost before the command was started`)
  }
}

/**
 * Run it, unless a signal came before it could be run, and give the lease back.
 *
 * @param guard ends the command when we cannot; `undefined`: nobody has to, for it may run on without the lease
 * @param standstill has watched since we stood in the queue
 * @returns how the command ended
 * @throws ExitError 79: lost, and it was ended;  124: its time was over, and it was ended;  126, 127: it could not be started
 */
export async function hold(
  task: Task,
  lease: Lease,
  signals: Signals,
  guard: Guard | undefined,
  standstill: Standstill,
): Promise<Ending> {
  await begin(task, lease, standstill)
  if (signals.interruptedBy) {
    await lease.release()
    return { signal: signals.interruptedBy }
  }
  const order: Order = { path: task.path, words: task.words, environment: environmentOf(lease) }
  const origin: Origin = {
    wrapper: { pid: process.pid, startedAt: startOf(process.pid) },
    given: Object.entries(order.environment).map(([name, value]) => `${name}=${value}`),
  }
  const tellDeadline = (remainingMs: number): void => {
    const killAt = machineClocks.monotonicMs() + remainingMs
    guard?.tell({ about: 'deadline', killAt, killAfterMs: task.killAfterMs, signal: task.signal })
  }

  // Everything that the guardian must know to end the command is said before there is one. Otherwise:
  // 1. the command is started;  2. this process is killed;  3. nobody knows what to end.
  guard?.start()
  guard?.tell({ about: 'command', origin })
  tellDeadline(lease.remainingMs)
  lease.assertHeld()
  const child = new Child(order, origin, (self) => guard?.tell({ about: 'child', child: self }))
  const askToEnd = (why: string, killInMs: number): void => {
    const next = `the command is asked to end (${task.signal}), and killed in ${seconds(killInMs)}`
    const { name, fence } = lease
    say(`${why}; ${next}`, { type: 'lock.at_risk', name, fence: String(fence), killInMs })
    child.tree.signal(task.signal)
  }
  const kill = (): void => void child.tree.kill()
  const deadline =
    guard &&
    new Deadline(lease, task.killAfterMs, {
      moved: tellDeadline,
      ask(killInMs) {
        guard.tell({ about: 'asked' })
        askToEnd(`"${clean(task.name)}" was not renewed in time`, killInMs)
      },
      kill,
    })
  const limit = new TimeLimit(task, {
    ask: (killInMs) => askToEnd(`the command has run for its --max-time of ${seconds(task.maxTimeMs)}`, killInMs),
    kill,
  })
  const unhear = hear(lease, deadline === undefined)
  signals.forwardTo((signal) => {
    if (signal === 'SIGTSTP') return pauseBoth(task, lease, child, deadline)
    // Continued too late: what it would go on with is not protected any more.
    deadline?.look()
    if (signal !== 'SIGCONT' || !deadline?.over) child.forward(signal)
  })
  deadline?.look()

  try {
    const ending = await child.ended
    if (!deadline?.over && !limit.over) {
      deadline?.stop()
      return await letGo(lease, ending, signals)
    }
    const graceMs = (): number => Math.min(deadline?.over ? deadline.graceMs : Infinity, limit.graceMs)
    await signals.unlessHurried(grace(child, graceMs))
    await child.tree.kill()
    // Before it is given back: by then it is over in any case.
    const isLost = deadline?.over ?? false
    deadline?.stop()
    await signals.unlessHurried(lease.release())
    throw isLost ? lost(task, lease) : new ExitError(EXIT.maxTime, overTime(task))
  } catch (error) {
    if (lease.state !== 'lost' && lease.state !== 'released') await signals.unlessHurried(lease.release())
    throw error
  } finally {
    unhear()
    limit.stop()
    deadline?.stop()
  }
}

/** Tell of renewals, and of a loss that ends nothing. */
function hear(lease: Lease, warns: boolean): () => void {
  const { name, fence } = lease
  const renewed = (message: unknown): void => {
    const event = message as HoldfastEvents['holdfast:renew']
    if (event.fence === fence && event.name === name)
      tell({ type: 'lock.renewed', name, fence: String(fence), ttlMs: event.remainingMs })
  }
  if (speaksJson()) subscribe('holdfast:renew', renewed)
  const unlisten = lease.on('lost', () => {
    const text = lossText(lease)
    if (warns) say(`${text}; the command runs on without it`, { type: 'lock.lost', name, fence: String(fence), text })
  })
  return () => {
    unsubscribe('holdfast:renew', renewed)
    unlisten()
  }
}

async function letGo(lease: Lease, ending: Ending, signals: Signals): Promise<Ending> {
  const { name } = lease
  const outcome = await signals.unlessHurried(lease.release())
  const fence = String(lease.fence)
  if (outcome === 'gone' && lease.state !== 'lost')
    say(`"${clean(name)}" could not be released; it ends with its lease`, {
      type: 'lock.released',
      name,
      fence,
      outcome,
    })
  else if (outcome === 'released') mention(`released "${clean(name)}"`, { type: 'lock.released', name, fence, outcome })
  return ending
}

/** What the command left running was asked to end, too, and has the same time to do so. */
async function grace(child: Child, leftMs: () => number): Promise<void> {
  while (leftMs() > 0 && child.tree.alive) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(LOOK_MS, leftMs())))
  }
}

/** Ctrl-Z. Nobody renews while we are stopped; at the deadline the guardian ends the command. */
function pauseBoth(task: Task, lease: Lease, child: Child, deadline: Deadline | undefined): void {
  const then = deadline ? 'then the command is ended' : 'then it is lost'
  say(`stopping; "${clean(task.name)}" is held for ${stopwatch(lease.remainingMs)} more, ${then}`)
  child.forward('SIGTSTP')
  stopSelf()
}

function lost(task: Task, lease: Lease): ExitError {
  const text = lease.state === 'lost' ? lossText(lease) : `the lease on "${clean(task.name)}" was not renewed in time`
  tell({ type: 'lock.lost', name: task.name, fence: String(lease.fence), text })
  return new ExitError(EXIT.lost, `${text}; the command was ended`)
}

function overTime(task: Task): string {
  return `the command was ended after its --max-time of ${seconds(task.maxTimeMs)}`
}

function lossText(lease: Lease): string {
  try {
    lease.assertHeld()
    return ''
  } catch (error) {
    return clean((error as Error).message).replace(/\.$/, '')
  }
}

function environmentOf(lease: Lease): Record<string, string> {
  return {
    HOLDFAST_NAME: lease.name,
    HOLDFAST_FENCE: String(lease.fence),
    HOLDFAST_MODE: lease.mode,
    // Unix time in milliseconds, at the start; renewals move it.
    HOLDFAST_EXPIRES: String(Math.floor(Date.now() + lease.remainingMs)),
  }
}
