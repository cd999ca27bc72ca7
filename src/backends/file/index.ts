/**
 * The coordinator of one machine: any number of processes of one user, no server.
 *
 * The queues are those of `memory:`, replayed by each process from a log that all append to (`log.ts` says how, `line.ts`
 * what). Processes wake each other through sockets and learn of each other's end from the kernel (`neighbours.ts`). The
 * directory is the user's own (`directory.ts`).
 *
 * What one turn of the event loop asks for goes into one line. Nothing here waits: a verb is a write and a read of the
 * page cache.
 */
import { resolve } from 'node:path'
import type { Backend, Claim, Entry, Finding, QueueView, Renewal, Standing, Supports, Wake } from '../../backend.ts'
import { BackendError } from '../../backend.ts'
import type { Seat } from '../../queue/table.ts'
import { Wakes } from '../../queue/wakes.ts'
import { nextTurn, realRuntime } from '../../runtime.ts'
import type { FileClock } from './clock.ts'
import { machineClock } from './clock.ts'
import type { Modes } from './directory.ts'
import { defaultDirectory, prepareDirectory } from './directory.ts'
import { storeError } from './errors.ts'
import type { Verb } from './line.ts'
import { Log } from './log.ts'
import { Neighbours } from './neighbours.ts'
import type { Answer } from './replica.ts'

export interface FileOptions {
  /** Where the store is; relative to the working directory. Default: one place per user, whatever the environment. */
  readonly directory?: string
  /** Let the group of the directory take part. Whoever can write to a store can forge locks. Default false. */
  readonly shared?: boolean
  /** The machine's clock, unless a test brings one. */
  readonly clock?: FileClock
}

/**
 * A coordinator for the processes of this machine.
 *
 * @example
 * ```ts
 * import { connect } from 'holdfast'
 * import { file } from 'holdfast/file'
 *
 * const locks = connect(file({ directory: '/var/lib/app/locks' }))
 * ```
 */
export function file(options: FileOptions = {}): FileBackend {
  return new FileBackend(options)
}

/** So many flushes in a row may do without a turn of the event loop; then timers and sockets get theirs. */
const FLUSHES_PER_TURN = 64
/** How long after a change in the queues to look who stands before us now. */
const RETARGET_MS = 5

interface Asked {
  readonly verb: Verb
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

/** What is open: it is made at the first use, and made anew when the directory was taken away. */
interface Store {
  readonly instance: string
  readonly log: Log
  readonly neighbours: Neighbours
}

export class FileBackend implements Backend {
  readonly kind = 'file'
  readonly supports: Supports = { queue: true, sharing: 'permits', fence: 'durable', wake: true }

  readonly #options: FileOptions
  readonly #clock: FileClock
  readonly #wakes = new Wakes()
  readonly #followed = new Map<string, number>()
  #store: Store | undefined
  /** Who was poked for the line that is being said. */
  readonly #roused = new Set<string>()
  #batch: Asked[] = []
  #flushes = 0
  #retargeting = false
  #closed = false

  constructor(options: FileOptions) {
    this.#options = options
    this.#clock = options.clock ?? machineClock()
  }

  /** Where the store is. */
  get directory(): string {
    return resolve(this.#options.directory ?? defaultDirectory())
  }

  /**
   * The descriptor of the socket by which others see that this process lives. A child process that inherits it stands in:
   * until it has ended too, nobody succeeds what this process holds, unless the ttl runs out.
   */
  lifeline(): number {
    return this.#open().neighbours.lifeline()
  }

  async join(entry: Entry): Promise<Standing> {
    const verb: Verb = ['join', entry]
    const standing = (await this.#ask(verb)) as Standing
    // A try has no second chance: before it hears that somebody holds, the kernel is asked whether that one lives.
    if (standing.state !== 'refused' || standing.reason !== 'held' || !(await this.#buryDeadHolders(entry.name)))
      return standing
    return (await this.#ask(verb)) as Standing
  }

  async renew(claim: Claim, ttlMs: number): Promise<Renewal> {
    return (await this.#ask(['renew', claim, ttlMs])) as Renewal
  }

  async renewAll(claims: readonly Claim[], ttlMs: number): Promise<Renewal[]> {
    const { table } = this.#guarded(({ log }) => log.replica)
    const places = new Map<string, number[]>()
    for (const [place, { name }] of claims.entries()) {
      const crowd = places.get(name)
      if (crowd) crowd.push(place)
      else places.set(name, [place])
    }
    const renewals: Renewal[] = []
    const ask = async ([name, crowd]: readonly [string, number[]]): Promise<void> => {
      // Whom we put in we have read of. Who is not there is gone, and nobody has fence 0.
      const fences = crowd.map((place) => table.seat(claims[place]!.id)?.fence ?? 0)
      const answers = (await this.#ask(['renewals', name, ttlMs, fences])) as readonly Renewal[]
      for (const [index, place] of crowd.entries()) renewals[place] = answers[index]!
    }
    await Promise.all([...places].map(ask))
    return renewals
  }

  async leave(claim: Claim, options: { readonly lingerMs?: number } = {}): Promise<boolean> {
    return (await this.#ask(['leave', claim, options.lingerMs ?? 0])) as boolean
  }

  async lighten(claim: Claim, weight: number): Promise<Renewal> {
    return (await this.#ask(['lighten', claim, weight])) as Renewal
  }

  async describe(claim: Claim, info: string): Promise<boolean> {
    return (await this.#ask(['describe', claim, info])) as boolean
  }

  async evict(name: string, fence: bigint): Promise<boolean> {
    return (await this.#ask(['evict', name, Number(fence)])) as boolean
  }

  watch(claim: Claim, wake: Wake): () => void {
    const unwatch = this.#wakes.watch(claim.id, wake)
    this.#retarget()
    return () => {
      unwatch()
      this.#retarget()
    }
  }

  async follow(name: string, wake: () => void): Promise<() => void> {
    const unfollow = this.#wakes.follow(name, wake)
    const followers = this.#followed.get(name) ?? 0
    this.#followed.set(name, followers + 1)
    if (followers === 0) await this.#hint(['follow', name, true])
    let done = false
    return () => {
      if (done) return
      done = true
      unfollow()
      const left = (this.#followed.get(name) ?? 1) - 1
      if (left > 0) return void this.#followed.set(name, left)
      this.#followed.delete(name)
      if (!this.#closed) void this.#hint(['follow', name, false])
    }
  }

  async *inspect(prefix: string): AsyncGenerator<QueueView> {
    yield* this.#guarded(({ log }) => {
      log.sync()
      return [...log.replica.table.view(prefix, this.#clock.now())]
    })
  }

  async diagnose(): Promise<readonly Finding[]> {
    const where = this.#guarded(() => this.directory)
    return [
      { level: 'ok', subject: 'store', text: `${where} can be read and written` },
      {
        level: 'ok',
        subject: 'scope',
        text: 'file: excludes the processes of this machine that use this directory, and no others',
      },
    ]
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#flush()
    this.#closed = true
    this.#wakes.clear()
    this.#shut()
  }

  #ask(verb: Verb): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(closed())
      this.#batch.push({ verb, resolve, reject })
      if (this.#batch.length === 1) this.#schedule()
    })
  }

  /** Something that only makes waiting quicker: if it fails, timers do the work. Whether it was said. */
  async #hint(verb: Verb): Promise<boolean> {
    try {
      await this.#ask(verb)
      return true
    } catch {
      // The next verb that matters fails in the same way and says so.
      return false
    }
  }

  /** At the end of what runs now. A tick comes before timers and sockets, so now and then it is a turn of the loop. */
  #schedule(): void {
    this.#flushes += 1
    if (this.#flushes < FLUSHES_PER_TURN) return process.nextTick(() => this.#flush())
    this.#flushes = 0
    nextTurn(() => this.#flush())
  }

  #flush(): void {
    const batch = this.#batch
    if (batch.length === 0) return
    this.#batch = []
    try {
      const answers = this.#guarded((store) => {
        store.neighbours.listen()
        const said = store.log.exchange(batch.map(({ verb }) => verb))
        store.log.reserve(highestFence(said))
        return said
      })
      batch.forEach(({ resolve }, index) => resolve(answers[index]))
      this.#tidy()
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  #tidy(): void {
    try {
      this.#store?.log.tidy()
    } catch {
      // What was asked has been done and answered. If the log cannot go on, on a full disk, the next verb says so.
    }
  }

  /** Use the store; if its directory was taken away, once more with a new one, in which nobody holds anything. */
  #guarded<T>(use: (store: Store) => T): T {
    try {
      try {
        return use(this.#open())
      } catch (error) {
        if (!(error instanceof BackendError && error.code === 'STORE_GONE')) throw error
        this.#shut()
        return use(this.#open())
      }
    } catch (error) {
      throw storeError(this.#options.directory ?? 'of this user', error)
    }
  }

  #open(): Store {
    if (this.#closed) throw closed()
    if (this.#store) return this.#store
    const { directory } = this
    const modes = prepareDirectory(directory, this.#options.shared ?? false)
    const instance = realRuntime.token()
    const neighbours = new Neighbours(directory, instance, modes.file, {
      poked: () => this.#read(),
      died: (dead) => void this.#bury(dead, neighbours),
    })
    const log = this.#openLog(directory, modes, instance, neighbours)
    this.#store = { instance, log, neighbours }
    for (const name of this.#followed.keys()) void this.#hint(['follow', name, true])
    return this.#store
  }

  #openLog(directory: string, modes: Modes, instance: string, neighbours: Neighbours): Log {
    try {
      const log: Log = new Log(directory, modes, instance, this.#clock, {
        written: (verbs) => this.#rouse(log, neighbours, verbs),
        applied: (mine) => this.#spread(log, neighbours, mine),
        skipped: () => this.#wakes.wakeAll(),
      })
      return log
    } catch (error) {
      neighbours.close()
      throw error
    }
  }

  /** An instance is dead: say so, and only then clear its socket away, which is the proof. */
  async #bury(dead: string, neighbours: Neighbours): Promise<void> {
    if (await this.#hint(['bury', dead])) neighbours.bury(dead)
  }

  #shut(): void {
    const store = this.#store
    this.#store = undefined
    store?.neighbours.close()
    store?.log.close()
  }

  /** Somebody poked us: there is news in the log. */
  #read(): void {
    try {
      this.#store?.log.sync()
    } catch (error) {
      // Whoever waits here asks again soon, by a verb that can tell of it; a removed store must not be waited at.
      if (error instanceof BackendError && error.code === 'STORE_GONE') this.#shut()
      this.#wakes.wakeAll()
    }
  }

  /** Whoever comes after a holder that leaves can wake up while we read what became of it: what it means, it reads itself. */
  #rouse({ replica: { table } }: Log, neighbours: Neighbours, verbs: readonly Verb[]): void {
    this.#roused.clear()
    for (const verb of verbs) {
      if (verb[0] !== 'leave' || table.seat(verb[1].id)?.heldAt === undefined) continue
      const queue = table.queue(verb[1].name)
      const owner = queue?.seats[queue.holders]?.owner
      if (owner === undefined || this.#roused.has(owner)) continue
      this.#roused.add(owner)
      neighbours.poke(owner)
    }
  }

  /** Tell those whom a line concerns: in this process always, in others when the line was ours. */
  #spread(log: Log, neighbours: Neighbours, mine: boolean): void {
    const { replica } = log
    const { table } = replica
    if (mine) {
      const owners = new Set<string>()
      const tell = (seat: Readonly<Seat> | undefined): void => {
        if (seat?.owner !== undefined) owners.add(seat.owner)
      }
      for (const seat of table.granted) {
        tell(seat)
        // Where several hold, the first waiter watches all of them, and there is one more now.
        const queue = table.queue(seat.name)
        if (queue && queue.holders > 1) tell(queue.seats[queue.holders])
      }
      table.shifted.forEach(tell)
      table.sooner.forEach(tell)
      for (const name of table.changed) for (const instance of replica.followersOf(name)) owners.add(instance)
      for (const owner of owners) if (!this.#roused.has(owner)) neighbours.poke(owner)
    }
    this.#wakes.announce(table)
    if (!table.moved) return
    table.moved = false
    this.#retarget()
  }

  /** Watch the processes whose end would let us move up: once for many lines, since the dead stay dead meanwhile. */
  #retarget(): void {
    if (this.#retargeting || (this.#wakes.idle && !this.#store?.neighbours.watching)) return
    this.#retargeting = true
    realRuntime.after(RETARGET_MS, () => {
      this.#retargeting = false
      if (this.#store) this.#store.neighbours.watch(this.#ahead(this.#store))
    })
  }

  /** Whoever is right before one of our waiters, and all holders where the first waiter is ours. */
  #ahead({ instance, log }: Store): Set<string> {
    const owners = new Set<string>()
    const { table } = log.replica
    const names = new Set(this.#wakes.watched().map((id) => table.seat(id)?.name))
    for (const name of names) {
      const queue = name === undefined ? undefined : table.queue(name)
      for (const [index, seat] of queue?.seats.entries() ?? []) {
        if (index < queue!.holders || seat.owner !== instance) continue
        for (let before = index === queue!.holders ? 0 : index - 1; before < index; before += 1) {
          const { owner } = queue!.seats[before]!
          if (owner !== undefined && owner !== instance) owners.add(owner)
        }
      }
    }
    return owners
  }

  /** Whether any holder of `name` turned out to be dead. */
  async #buryDeadHolders(name: string): Promise<boolean> {
    const store = this.#store
    if (!store) return false
    const queue = store.log.replica.table.queue(name)
    const owners = new Set(queue?.seats.flatMap(({ owner }) => (owner === undefined ? [] : [owner])))
    const answers = await Promise.all(
      [...owners].map(async (owner) => [owner, await store.neighbours.ask(owner)] as const),
    )
    const dead = answers.filter(([, answer]) => answer === 'dead')
    for (const [owner] of dead) await this.#bury(owner, store.neighbours)
    return dead.length > 0
  }
}

function closed(): BackendError {
  return new BackendError('CLOSED', 'this file backend was closed')
}

function highestFence(answers: readonly Answer[]): number {
  let highest = 0
  for (const answer of answers) {
    if (typeof answer === 'object' && 'fence' in answer) highest = Math.max(highest, Number(answer.fence))
  }
  return highest
}
