/**
 * One trial: processes take turns at a coordinator while a fault strikes again and again; then the checkers look at the whole
 * history, and at what is left over.
 */
import { connect } from '../../connect.ts'
import type { QueueKind } from '../../core/request.ts'
import type { Inspection, Locks } from '../../locks.ts'
import type { CheckOptions } from '../checkers/index.ts'
import { check } from '../checkers/index.ts'
import type { Event, History, Violation } from '../history.ts'
import { historyOf } from '../history.ts'
import { excerptOf, momentOf } from '../report/excerpt.ts'
import type { Figures, Trial } from '../report/report.ts'
import { machineNow, until } from './clock.ts'
import type { Line, WorkerClock } from './crew.ts'
import { Crew, NEXT_TURNS } from './crew.ts'
import type { Fault, Need } from './faults.ts'
import { WorkerGone } from './process.ts'
import { randomOf } from './random.ts'
import type { Watched } from './witness.ts'
import type { Workload } from './workloads.ts'

/** A kind of coordinator, and what can go wrong with it. */
export interface Arena<P extends Place = Place> {
  readonly name: string
  /** As short as it allows: faults last for longer. */
  readonly ttlMs: number
  readonly workloads: readonly Workload[]
  /** What its faults can have. */
  readonly has: ReadonlySet<Need>
  /** Clocks for a worker, where they can be turned. */
  readonly clock?: ((rate?: number) => WorkerClock) | undefined
  /** What a process leaves behind goes only when somebody waits for it. */
  readonly keepsUntilWaited?: true
  /** Beside those of processes and wires. */
  readonly faults: readonly Fault<P>[]
  open(fault: Fault<P>): Promise<P>
}

/** A coordinator that is up. */
export interface Place {
  /** Straight to it, for those who look. */
  readonly url: string
  /** How the next worker finds it. */
  lay(): Promise<Line>
  /** Resolves when all is well again. */
  recovers(): Promise<void>
  /** Listen to what it says that it does, from now on; where that can be heard. */
  listen?(): Promise<CoordinatorLog>
  end(): Promise<void>
}

/** What a coordinator itself says that it does. */
export interface CoordinatorLog {
  /** All of it, until now. `undefined`: something may be missing. @param seen what the users of its locks have seen */
  events(seen: readonly Event[]): Promise<readonly Event[] | undefined>
  end(): void
}

export interface TrialOptions {
  readonly seed: number
  /** It goes on until the fault has struck so often, and so long. */
  readonly strikes: number
  readonly seconds: number
  /** The line that starts a worker. */
  readonly program: readonly string[]
  /** Ends it early, as soon as the strike is over. */
  readonly signal?: AbortSignal | undefined
  readonly progress?: ((strikes: number) => void) | undefined
  readonly now: () => Date
  /** What to type to have it again. */
  readonly again?: ((trial: Pick<Trial, 'coordinator' | 'fault' | 'seed'>) => string) | undefined
  /** Only these checkers have a say; all of them, if it is left out. */
  readonly checkers?: ReadonlySet<string> | undefined
  /** How many events of it are kept for a drawing, about; see `excerptOf`. */
  readonly eventsMax?: number | undefined
  /** Is given all that happened, where a trial did not hold. */
  readonly keep?: ((trial: Trial, events: readonly Event[]) => void) | undefined
}

const WORKERS = 4
const LANES = 2
const REQUEST_TIMEOUT_MS = 3000

/** Wide: two cores may be shared by all processes and whatever else runs on the machine. */
const BOUNDS: Omit<CheckOptions, 'guarded'> = {
  turnMs: 1000,
  afterSleepMs: 2000,
  answerMs: 90_000,
  noticeMs: 10_000,
  leaveMs: 10_000,
}
/** Places of those who were killed end by themselves. */
const TIDY_MS = 60_000

/** What two may do at once when an assumption of exclusion is broken. */
const EXCLUSION: ReadonlySet<string> = new Set(['exclusion', 'readers-writers', 'permits'])

/** What stopped a trial in the middle. */
type Stopped = { readonly promise: 'broken' | 'unknown'; readonly text: string }

export async function trial<P extends Place>(arena: Arena<P>, fault: Fault<P>, options: TrialOptions): Promise<Trial> {
  const startedAt = options.now()
  const from = machineNow()
  const { events, guarded, strikes, lostUpdates, stopped } = await recorded(arena, fault, options)
  const history = historyOf(events)
  const violations = check(history, { ...BOUNDS, guarded }).filter(
    ({ checker }) => options.checkers?.has(checker) ?? true,
  )
  const moment = momentOf(history, violations)
  const isOverlap = ({ checker }: Violation): boolean => EXCLUSION.has(checker)
  const overlaps = violations.filter(isOverlap).length
  const broken = fault.breaks === undefined ? violations : violations.filter((each) => !isOverlap(each))
  if (stopped?.promise === 'broken') broken.unshift({ checker: 'liveness', text: stopped.text, events: [] })
  const figures: Figures = { ...counted(history), strikes, overlaps, lostUpdates }
  const ended: Trial = {
    coordinator: arena.name,
    fault: fault.name,
    ...(fault.breaks === undefined ? {} : { breaks: fault.breaks }),
    seed: options.seed,
    again: options.again?.({ coordinator: arena.name, fault: fault.name, seed: options.seed }),
    startedAt: startedAt.toISOString(),
    seconds: Math.round((machineNow() - from) / 1000),
    ...verdict(fault, history, figures, broken, stopped),
    figures,
    violations: broken.map(({ checker, text }) => ({ checker, text })),
    excerpt: moment && excerptOf(events, { ...moment, registers: guarded, eventsMax: options.eventsMax }),
  }
  if (ended.verdict !== 'held') options.keep?.(ended, events)
  return ended
}

function verdict<P>(
  fault: Fault<P>,
  history: History,
  { strikes, overlaps, operations }: Figures,
  broken: readonly Violation[],
  stopped: Stopped | undefined,
): Pick<Trial, 'verdict' | 'why'> {
  const [first] = broken
  if (first) return { verdict: 'violated', why: first.text }
  if (stopped) return { verdict: 'proved nothing', why: stopped.text }
  if (strikes === 0 || operations === 0) return { verdict: 'proved nothing', why: 'nothing was struck' }
  if (!fault.felt(history)) return { verdict: 'proved nothing', why: 'nobody felt the fault' }
  const cost =
    fault.breaks === undefined ? 'nothing that is promised was broken' : `two believed at once ${overlaps} times, and`
  const guard = fault.breaks === undefined ? '' : ' whatever looks at fences was right all the same'
  return { verdict: 'held', why: `${cost}${guard}` }
}

interface Recorded {
  readonly events: Event[]
  readonly guarded: ReadonlySet<string>
  readonly strikes: number
  readonly lostUpdates: number
  readonly stopped: Stopped | undefined
}

async function recorded<P extends Place>(
  arena: Arena<P>,
  fault: Fault<P>,
  { seed, strikes, seconds, program, signal, progress }: TrialOptions,
): Promise<Recorded> {
  const random = randomOf(seed, arena.name, fault.name)
  const prefix = `verify/${seed}/${process.pid}/`
  let struck = 0
  let stopped: Stopped | undefined
  let place: P | undefined
  let crew: Crew | undefined
  let log: CoordinatorLog | undefined
  // Many: more than a call may have arguments.
  let events: readonly Event[] = []
  try {
    place = await arena.open(fault)
    // Whoever loses its memory says nothing that could be relied on.
    if (fault.breaks === undefined) log = await place.listen?.()
    const { ttlMs, workloads, clock } = arena
    const lay = place.lay.bind(place)
    crew = await Crew.start(WORKERS, {
      program,
      lay,
      clock,
      options: { ttl: ttlMs, requestTimeout: REQUEST_TIMEOUT_MS, waitTtl: 2 * ttlMs },
      ttlMs,
      prefix,
      workloads,
      lanes: LANES,
      seed,
    })
    await crew.goOn()
    const end = machineNow() + seconds * 1000
    while ((struck < strikes || machineNow() < end) && !signal?.aborted) {
      await fault.strike({ crew, random, place })
      struck += 1
      progress?.(struck)
      await place.recovers()
      await crew.goOn()
    }
    crew.healed()
    await crew.goOn()
    await crew.leaves()
    events = [await residue(place.url, prefix, arena.keepsUntilWaited), ...((await log?.events(crew.events())) ?? [])]
  } catch (error) {
    stopped = await stoppedBy(error, struck, place?.url)
    // From here on nothing goes wrong any more; nor was anything asked since.
    crew?.healed()
  } finally {
    events = [...events, { kind: 'end', process: 'trial', at: machineNow() }, ...(crew?.events() ?? [])]
    await crew?.end()
    log?.end()
    await place?.end()
  }
  return {
    events: events.toSorted((a, b) => a.at - b.at),
    guarded: crew?.registers.guarded ?? new Set(),
    strikes: struck,
    lostUpdates: crew?.registers.lostUpdates ?? 0,
    stopped,
  }
}

/**
 * A worker that ended, or could not go on though the coordinator answers, is a promise that was broken; whatever else went wrong is
 * for us to mend, or for whoever runs the coordinator.
 */
async function stoppedBy(error: unknown, struck: number, url: string | undefined): Promise<Stopped> {
  const { message } = error as Error
  const suspicious = error instanceof WorkerGone || message.startsWith(NEXT_TURNS)
  if (!suspicious || url === undefined) return { promise: 'unknown', text: message }
  try {
    await answers(url)
  } catch (cause) {
    return { promise: 'unknown', text: (cause as Error).message }
  }
  return { promise: struck > 0 || error instanceof WorkerGone ? 'broken' : 'unknown', text: message }
}

/** @throws what it rejects with when it cannot be used */
export async function answers(url: string): Promise<void> {
  const locks = connect(url)
  try {
    await locks.inspect('verify')
  } finally {
    await locks.close()
  }
}

/** What is left of these names when everybody has let go, and the dead have been forgotten. */
async function residue(url: string, prefix: string, keepsUntilWaited?: true): Promise<Event> {
  const locks = connect(url)
  let entries = NaN
  if (keepsUntilWaited) for await (const left of locks.list(prefix)) await waitFor(locks, left)
  const left = async (): Promise<number> => {
    entries = 0
    for await (const { holders, waiters } of locks.list(prefix)) entries += holders.length + waiters.length
    return entries
  }
  try {
    await until(async () => (await left()) === 0, 'an empty queue', TIDY_MS, 100).catch(() => {})
  } finally {
    await locks.close()
  }
  return { kind: 'residue', process: 'trial', at: machineNow(), entries, timers: 0, subscriptions: 0 }
}

/** Be the next one, and go. */
async function waitFor(locks: Locks, { kind, name, capacity }: Inspection): Promise<void> {
  const options = { wait: TIDY_MS }
  const turns: Record<QueueKind, () => Promise<Watched>> = {
    lock: () => locks.acquire(name, options),
    permits: () => locks.semaphore(name, capacity).acquire({ ...options, permits: capacity }),
    election: () => locks.election(name).acquire(options),
  }
  // Whoever does not come in finds them there, and they are counted.
  await turns[kind]().then(
    (lease) => lease.release(),
    () => {},
  )
}

function counted({ events }: History): Pick<Figures, 'operations' | 'grants' | 'logged' | 'refused'> {
  const count = { operations: 0, grants: 0, logged: 0, refused: 0 }
  for (const event of events) {
    switch (event.kind) {
      case 'granted':
        count.grants += 1
        count.operations += 1
        break
      case 'holds':
        count.logged += 1
        break
      case 'access':
        if (!event.accepted) count.refused += 1
        count.operations += 1
        break
      case 'deadline':
      case 'released':
        count.operations += 1
        break
      default:
        break
    }
  }
  return count
}
