/**
 * What a worker does in its turns, each under a lock of its kind, and visits the registers of that name.
 *
 * It asks whether it still holds, which is written down, and writes all the same, as code does that was stopped between the
 * two: the register with a guard must refuse it then. And now and then it comes back long after it has released, as if it had
 * been asleep all the while.
 */
import type { AcquireOptions } from '../../core/request.ts'
import type { Lease } from '../../core/lease.ts'
import type { Locks } from '../../locks.ts'
import type { Visitor } from '../register.ts'
import { machineNow, sleep } from './clock.ts'
import type { Random } from './random.ts'
import { pick } from './random.ts'
import type { Visits } from './visits.ts'
import type { Ask, Hold, Shape, Watched, Witness } from './witness.ts'
import { EXCLUSIVE } from './witness.ts'

export const WORKLOADS = ['exclusive', 'several', 'readers-writers', 'permits', 'election', 'once'] as const
export type Workload = (typeof WORKLOADS)[number]

/** What takes locks: this library, or another one that can do as much of it as its workloads ask for. */
export type Locking = Pick<Locks, 'acquire' | 'rw' | 'semaphore' | 'election' | 'once' | 'close'>

/** Who has turns. */
export interface Actor {
  readonly locks: Locking
  readonly witness: Witness
  readonly visits: Visits
  /** Before each name. */
  readonly prefix: string
  readonly ttlMs: number
  readonly random: Random
  /** Those of its holds that are over and may come back. */
  readonly late: Late[]
}

interface Late {
  readonly name: string
  readonly visitor: Visitor
}

/** How many permits there are. */
const CAPACITY = 3
/** Far beyond whatever a fault takes. */
const LONG_WAIT_MS = 60_000
const LATE_MAX = 20

/** The names that exclusive locks are taken on; those of `several` are all of them. */
export function exclusiveNames(prefix: string): readonly string[] {
  return ['x1', 'x2'].map((name) => `${prefix}${name}`)
}

/** One turn. @throws what an acquisition rejects with */
export async function takeTurn(workload: Workload, actor: Actor): Promise<void> {
  if (actor.random() < 0.05) await comeBack(actor)
  await turns[workload](actor)
}

const turns: Record<Workload, (actor: Actor) => Promise<void>> = {
  async exclusive(actor) {
    const name = pick(actor.random, exclusiveNames(actor.prefix))
    const hold = await askOne(actor, name, (options) => actor.locks.acquire(name, options))
    if (hold) await section(actor, hold, [[name, hold.lease.fence]])
  },

  async several(actor) {
    const names = exclusiveNames(actor.prefix)
    const hold = await ask(actor, {
      names,
      take: (options) => actor.locks.acquire(names, options),
      fences: ({ fences }) => names.map((name) => fences.get(name)!),
    })
    if (hold) await section(actor, hold, [...hold.lease.fences])
  },

  async 'readers-writers'(actor) {
    const name = `${actor.prefix}rw`
    const mode = actor.random() < 0.7 ? 'shared' : 'exclusive'
    const lock = actor.locks.rw(name)
    const side = mode === 'shared' ? lock.read() : lock.write()
    const hold = await askOne(actor, name, (options) => side.acquire(options), { ...EXCLUSIVE, mode })
    if (hold) await section(actor, hold, [[name, hold.lease.fence]], mode)
  },

  async permits(actor) {
    const name = `${actor.prefix}permits`
    const weight = 1 + Math.floor(actor.random() * 2)
    const semaphore = actor.locks.semaphore(name, CAPACITY)
    const shape: Shape = { mode: 'permits', weight, capacity: CAPACITY }
    const hold = await askOne(actor, name, (options) => semaphore.acquire({ ...options, permits: weight }), shape)
    if (!hold) return
    await stay(actor)
    await hold.release()
  },

  async election(actor) {
    const name = `${actor.prefix}election`
    const candidacy = actor.locks.election(name)
    const value = actor.witness.process
    const hold = await askOne(actor, name, (options) => candidacy.acquire({ ...options, value }))
    if (hold) await section(actor, hold, [[name, hold.lease.fence]])
  },

  async once(actor) {
    const name = `${actor.prefix}once`
    let finish = (): void => {}
    const finished = new Promise<void>((resolve) => (finish = resolve))
    let ran: Promise<void> | undefined
    const take = (label: string): Promise<Lent | undefined> =>
      new Promise((resolve, reject) => {
        const job = (lease: Lease): Promise<void> => {
          resolve(new Lent(lease))
          return finished
        }
        ran = actor.locks
          .once(name, { every: 20, label }, job)
          .then(({ ran }) => void (ran || resolve(undefined)), reject)
      })
    const hold = await actor.witness.asks({ names: [name], waits: false, take, fences: onlyFence })
    if (hold) await section(actor, hold, [[name, hold.lease.fence]])
    finish()
    await ran
  },
}

/** A lease that somebody else gives back. */
class Lent implements WithFence {
  readonly #lease: Lease

  constructor(lease: Lease) {
    this.#lease = lease
  }

  get fence(): bigint {
    return this.#lease.fence
  }

  get signal(): AbortSignal {
    return this.#lease.signal
  }

  get remainingMs(): number {
    return this.#lease.remainingMs
  }

  assertHeld(): void {
    this.#lease.assertHeld()
  }

  async release(): Promise<'released'> {
    return 'released'
  }
}

interface WithFence extends Watched {
  readonly fence: bigint
}

function onlyFence({ fence }: { readonly fence: bigint }): readonly [bigint] {
  return [fence]
}

function askOne<L extends WithFence>(
  actor: Actor,
  name: string,
  take: (options: AcquireOptions) => Promise<L>,
  shape: Shape = EXCLUSIVE,
): Promise<Hold<L> | undefined> {
  return ask<L>(actor, { names: [name], take, fences: onlyFence, shape })
}

interface Wish<L> extends Pick<Ask<L>, 'names' | 'fences' | 'shape'> {
  readonly take: (options: AcquireOptions) => Promise<L>
}

/** Most wait until they get it; some only try, some give up soon, and some are aborted at any moment. */
async function ask<L extends Watched>(
  { random, witness, ttlMs }: Actor,
  { take, ...wish }: Wish<L>,
): Promise<Hold<L> | undefined> {
  const patience = random()
  const wait = patience < 0.1 ? 0 : patience < 0.2 ? random() * ttlMs : LONG_WAIT_MS
  const signal = patience > 0.9 ? AbortSignal.timeout(Math.ceil(random() * 30)) : undefined
  try {
    return await witness.asks({
      ...wish,
      waits: wait > 0,
      take: (label): Promise<L | undefined> => take({ label, wait, ...(signal && { signal }) }),
    })
  } catch (error) {
    if (signal?.aborted || isUsual(error)) return undefined
    throw error
  }
}

/** What is answered when all is well, too. */
function isUsual(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown }
  return code === 'HELD' || code === 'WAIT_TIMEOUT'
}

/** Read, do something, write, release. */
async function section(
  actor: Actor,
  hold: Hold,
  places: readonly (readonly [name: string, fence: bigint])[],
  mode: 'exclusive' | 'shared' = 'exclusive',
): Promise<void> {
  const { visits, witness, late, random } = actor
  const own = places.map(([name, fence]) => {
    return { name, visitor: { process: witness.process, hold: hold.id, fence: Number(fence), mode } }
  })
  const read = await Promise.all(own.map(({ name, visitor }) => visits.read(name, visitor)))
  await stay(actor)
  try {
    hold.check()
  } catch {
    // Too late, and the register with a guard will say so.
  }
  if (mode === 'exclusive')
    for (const [index, { name, visitor }] of own.entries()) await visits.write(name, visitor, read[index]!)
  await hold.release()
  if (random() < 0.2 && late.length < LATE_MAX) late.push(...own)
}

/** Mostly a few milliseconds; now and then a good part of a lease, so that renewals matter. */
async function stay({ random, ttlMs }: Actor): Promise<void> {
  const ms = random() < 0.97 ? random() * 4 : random() * ttlMs
  const until = machineNow() + ms
  do await sleep(Math.max(0, until - machineNow()))
  while (machineNow() < until)
}

/** A holder of long ago reads and writes with its old fence. */
async function comeBack({ visits, late, random }: Actor): Promise<void> {
  const [old] = late.splice(Math.floor(random() * late.length), 1)
  if (!old) return
  const [fenced] = await visits.readLate(old.name, old.visitor)
  if (fenced.accepted && old.visitor.mode === 'exclusive') await visits.writeLate(old.name, old.visitor, fenced.version)
}

/** All that is locked. */
export function allNames(prefix: string): readonly string[] {
  return [...exclusiveNames(prefix), ...['rw', 'permits', 'election', 'once'].map((name) => `${prefix}${name}`)]
}
