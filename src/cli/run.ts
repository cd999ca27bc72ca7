/** `holdfast run NAME -- command…`: hold a lock while a command runs. The command is gone before anyone else can hold it. */
import { marginOf } from '../core/request.ts'
import { WaitTimeoutError } from '../core/errors.ts'
import { clean, seconds } from '../core/text.ts'
import type { Lease } from '../core/lease.ts'
import type { Locks } from '../locks.ts'
import type { Order } from './child.ts'
import { Child } from './child.ts'
import { findCommand } from './command.ts'
import { machineClocks } from './countdown.ts'
import { Deadline } from './deadline.ts'
import type { Ending } from './exit.ts'
import { EXIT, ExitError, codeOf, usageError } from './exit.ts'
import { Guard } from './guard.ts'
import type { Permits } from './options.ts'
import { RUN, optionLines, parse } from './options.ts'
import { startOf } from './processes.ts'
import { Signals, stopSelf } from './signals.ts'
import { print, say, stopwatch } from './text.ts'
import type { Origin } from './tree.ts'
import { Waiting } from './waiting.ts'

const TTL_MS = 30_000
const KILL_AFTER_MS = 5000
/** How often to look whether a command that was asked to end has left anything behind. */
const LOOK_MS = 20

interface Task {
  readonly name: string
  readonly command: readonly string[]
  readonly url: string | undefined
  readonly waitMs: number
  readonly busyCode: number
  readonly shared: boolean
  readonly permits: Permits | undefined
  readonly ttlMs: number
  readonly killAfterMs: number
  readonly signal: NodeJS.Signals
  readonly minHoldMs: number
  readonly label: string | undefined
  readonly quiet: boolean
  readonly verbose: boolean
}

export async function run(args: readonly string[]): Promise<Ending> {
  const task = read(args)
  if (task === 'help') {
    print(1, help())
    return { code: 0 }
  }
  const path = findCommand(task.command[0] ?? '')
  const signals = new Signals()
  // Only now: help and usage errors need no coordinator.
  const { backendFor, connect } = await import('../connect.ts')
  const backend = backendFor(task.url)
  const locks = connect(backend)
  const guard = new Guard(() => ('lifeline' in backend ? (backend.lifeline as () => number)() : undefined), {
    replaced: (reason) => task.verbose && say(`the guardian ended (${reason}); another takes its place`),
    missing: (reason) =>
      say(
        `the guardian ends again and again (${reason}); without one, kill -9 of ${process.pid} frees the lock while the command runs on`,
      ),
  })
  try {
    await refuseSelfDeadlock(task, locks)
    const lease = await acquire(task, locks, signals, guard)
    if (signals.interruptedBy) {
      await lease.release()
      return { signal: signals.interruptedBy }
    }
    return await hold(task, path, lease, signals, guard)
  } catch (error) {
    if (signals.interruptedBy && signals.interruption.reason === error) return { signal: signals.interruptedBy }
    throw error
  } finally {
    guard.stop()
    await signals.unlessHurried(locks.close())
    // What was written to those who wait leaves with the next turn of the event loop, and we are about to exit.
    for (let turn = 0; turn < 2; turn += 1) await new Promise(setImmediate)
  }
}

async function acquire(task: Task, locks: Locks, signals: Signals, guard: Guard): Promise<Lease> {
  const { name, permits, shared, ttlMs, waitMs, minHoldMs, label } = task
  // A guardian is started while there is time; a try that fails needs none.
  const waiting = new Waiting(locks, { name, kind: permits ? 'permits' : 'lock' }, task.quiet, () => guard.start())
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
    if (task.verbose)
      say(
        `acquired "${clean(name)}" after ${seconds(lease.waitedMs)}, fence ${lease.fence}, wrapper pid ${process.pid}`,
      )
    await makeItLast(task, lease)
    return lease
  } catch (error) {
    waiting.stop()
    const busy = ['HELD', 'WAIT_TIMEOUT'].includes(codeOf(error) ?? '')
    if (!busy) throw error
    throw await gaveUp(task, waiting, error)
  }
}

/** A grant that came by a wake is valid for the short while of a waiter; a command needs time to end before that. */
async function makeItLast(task: Task, lease: Lease): Promise<void> {
  if (lease.remainingMs >= task.killAfterMs + task.ttlMs / 3) return
  try {
    await lease.renew()
  } catch (error) {
    void lease.release()
    if (codeOf(error) !== 'LEASE_LOST') throw error
    throw new ExitError(EXIT.unavailable, `"${clean(task.name)}" was lost before the command was started`)
  }
}

async function gaveUp(task: Task, waiting: Waiting, error: unknown): Promise<ExitError> {
  // --quiet, and -E 0 for cron: whoever skips quietly wants to hear nothing of it.
  if (task.quiet || task.busyCode === 0) return new ExitError(task.busyCode, '')
  const ahead = error instanceof WaitTimeoutError ? error.ahead : undefined
  const how = task.waitMs === 0 ? 'did not wait' : `gave up after ${seconds(task.waitMs)}`
  const report = await waiting.report(ahead)
  const advice = task.waitMs === 0 ? 'without --try it waits' : 'a longer --wait keeps the place in the queue'
  return new ExitError(
    task.busyCode,
    `"${clean(task.name)}" is held; ${how}`,
    `${report}\n  ${'advice'.padEnd(8)} ${advice}`,
  )
}

/** A command that holds a name and runs `holdfast run` with the same name would wait for itself. */
async function refuseSelfDeadlock(task: Task, locks: Locks): Promise<void> {
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

async function hold(task: Task, path: string, lease: Lease, signals: Signals, guard: Guard): Promise<Ending> {
  const order: Order = { path, words: task.command, environment: environmentOf(lease) }
  const origin: Origin = {
    wrapper: { pid: process.pid, startedAt: startOf(process.pid) },
    given: Object.entries(order.environment).map(([name, value]) => `${name}=${value}`),
  }
  const tellDeadline = (remainingMs: number): void => {
    const killAt = machineClocks.monotonicMs() + remainingMs
    guard.tell({ about: 'deadline', killAt, killAfterMs: task.killAfterMs, signal: task.signal })
  }

  // Everything that the guardian must know to end the command is said before there is one. Otherwise:
  // 1. the command is started;  2. this process is killed;  3. nobody knows what to end.
  guard.start()
  guard.tell({ about: 'command', origin })
  tellDeadline(lease.remainingMs)
  lease.assertHeld()
  const child = new Child(order, origin, (self) => guard.tell({ about: 'child', child: self }))
  const deadline = new Deadline(lease, task.killAfterMs, {
    moved: tellDeadline,
    ask(killInMs) {
      guard.tell({ about: 'asked' })
      const next = `the command is asked to end (${task.signal}), and killed in ${seconds(killInMs)}`
      say(`"${clean(task.name)}" was not renewed in time; ${next}`)
      child.tree.signal(task.signal)
    },
    kill: () => void child.tree.kill(),
  })
  signals.forwardTo((signal) => {
    if (signal === 'SIGTSTP') return pauseBoth(task, lease, child)
    // Continued too late: what it would go on with is not protected any more.
    deadline.look()
    if (signal !== 'SIGCONT' || !deadline.over) child.forward(signal)
  })
  deadline.look()

  try {
    const ending = await child.ended
    if (!deadline.over) {
      deadline.stop()
      return await letGo(task, lease, ending, signals)
    }
    await signals.unlessHurried(grace(child, deadline))
    await child.tree.kill()
    await signals.unlessHurried(lease.release())
    const reason =
      lease.state === 'lost' ? lossText(lease) : `the lease on "${clean(task.name)}" was not renewed in time`
    throw new ExitError(EXIT.lost, `${reason}; the command was ended`)
  } catch (error) {
    if (lease.state !== 'lost' && lease.state !== 'released') await signals.unlessHurried(lease.release())
    throw error
  } finally {
    deadline.stop()
  }
}

async function letGo(task: Task, lease: Lease, ending: Ending, signals: Signals): Promise<Ending> {
  const outcome = await signals.unlessHurried(lease.release())
  if (outcome === 'gone') say(`"${clean(task.name)}" could not be released; it ends with its lease`)
  else if (outcome && task.verbose) say(`released "${clean(task.name)}"`)
  return ending
}

/** What the command left running was asked to end, too, and has the same time to do so. */
async function grace(child: Child, deadline: Deadline): Promise<void> {
  while (deadline.graceMs > 0 && child.tree.alive) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(LOOK_MS, deadline.graceMs)))
  }
}

/** Ctrl-Z. Nobody renews while we are stopped; at the deadline the guardian ends the command. */
function pauseBoth(task: Task, lease: Lease, child: Child): void {
  say(`stopping; "${clean(task.name)}" is held for ${stopwatch(lease.remainingMs)} more, then the command is ended`)
  child.forward('SIGTSTP')
  stopSelf()
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

function read(args: readonly string[]): Task | 'help' {
  const end = args.indexOf('--')
  const { values, words } = parse(RUN, end < 0 ? args : args.slice(0, end))
  if (values.help) return 'help'
  const command = end < 0 ? [] : args.slice(end + 1)
  const [name, ...more] = words
  if (name === undefined) throw usageError('run needs the name of a lock')
  if (command.length === 0 || more.length > 0) {
    throw usageError(
      `run needs -- before its command: holdfast run ${clean(name)} -- ${clean(more.join(' ')) || 'command'}`,
    )
  }
  if (values.try && values.wait !== undefined) throw usageError('--try does not wait; leave it out, or --wait')
  if (values.shared && values.permits) throw usageError('--shared and --permits are two kinds of locks; leave one out')
  if (values.quiet && values.verbose) throw usageError('--quiet and --verbose; leave one out')
  const ttlMs = values.ttl ?? TTL_MS
  return {
    name,
    command,
    url: values.url,
    waitMs: values.try ? 0 : (values.wait ?? Infinity),
    busyCode: values['conflict-exit-code'] ?? EXIT.notAcquired,
    shared: values.shared,
    permits: values.permits,
    ttlMs,
    killAfterMs: killAfterMs(ttlMs, values['kill-after']),
    signal: values.signal ?? 'SIGTERM',
    minHoldMs: values['min-hold'] ?? 0,
    label: values.label,
    quiet: values.quiet,
    verbose: values.verbose,
  }
}

/** A lease is renewed every third of its ttl. What is left of it then must be enough to end the command in. */
function killAfterMs(ttlMs: number, given: number | undefined): number {
  const interval = ttlMs / 3
  const margin = marginOf(ttlMs, undefined)
  const left = Math.max(0, ttlMs - interval - margin)
  if (given === undefined) return Math.min(KILL_AFTER_MS, left / 2)
  if (given <= left) return given
  const text = (ms: number): string => `${Number((ms / 1000).toFixed(2))} s`
  throw usageError(
    `--ttl is ${text(ttlMs)}, but it takes ${text(interval + given + margin)}: ${text(interval)} between renewals + ` +
      `${text(given)} --kill-after + ${text(margin)} margin. Use a longer --ttl or a shorter --kill-after`,
  )
}

function help(): string {
  return `usage: holdfast run NAME [options] -- command [argument...]

Hold the lock NAME while the command runs. If the lock is lost, the command is
ended before anyone else can hold it.

${optionLines(RUN)}
TIME is a number of seconds, or a number with a unit: 250ms, 30s, 5m, 1h.
The command finds HOLDFAST_NAME, HOLDFAST_FENCE, HOLDFAST_MODE and
HOLDFAST_EXPIRES in its environment.

exit codes: the command's own, and
  64 usage, 69 coordinator unreachable, 70 internal error, 75 not acquired,
  77 access denied, 78 bad URL or setup, 79 lost while the command ran,
  126 command not executable, 127 command not found
`
}
