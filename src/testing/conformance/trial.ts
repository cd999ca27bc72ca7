/** What the tests of the suite are written with: one coordinator, one name, and short words for the verbs. */
import assert from 'node:assert/strict'
import type { Backend, Entry, Held, QueueView, Refused, Renewal, Standing, Waiting, Wake } from '../../backend.ts'
import { WHOLE } from '../../backend.ts'
import { realRuntime } from '../../runtime.ts'

/** A coordinator under test, and the hands to move it. */
export interface Coordinator {
  readonly backend: Backend
  /** A second backend on the same coordinator, as another process would have it. Left out: those tests are skipped. */
  readonly another?: () => Promise<Backend>
  /** Let so much of the coordinator's time pass: sleep, or move a simulated clock. */
  readonly advance: (ms: number) => Promise<void>
  /** Await an answer that comes only while a simulated clock is moved. Default: just await it. */
  readonly during?: <T>(work: Promise<T>) => Promise<T>
  /** After the test; its backends are closed already. */
  readonly end?: () => Promise<void>
}

/** `shared`, `permits`, `queue`, `wake`, `durable`: what `supports` says. `bulk`: it has `renewAll`. `alarm`: it has `attend`. `together`: it has `joinAll`. `another`: a second backend. */
export type Need =
  | 'queue'
  | 'no queue'
  | 'shared'
  | 'permits'
  | 'durable'
  | 'wake'
  | 'bulk'
  | 'alarm'
  | 'together'
  | 'another'

export interface Case {
  readonly name: string
  readonly needs: readonly Need[]
  run(trial: Trial): Promise<void>
}

export function unmet(need: Need, { backend, another }: Coordinator): boolean {
  const { supports } = backend
  switch (need) {
    case 'queue':
      return !supports.queue
    case 'no queue':
      return supports.queue
    case 'shared':
      return supports.sharing === 'none'
    case 'permits':
      return supports.sharing !== 'permits'
    case 'durable':
      return supports.fence !== 'durable'
    case 'wake':
      return !supports.wake
    case 'bulk':
      return backend.renewAll === undefined
    case 'alarm':
      return backend.attend === undefined
    case 'together':
      return backend.joinAll === undefined
    case 'another':
      return another === undefined
  }
}

/** An entry that was put in, with the ticket it drew. */
export interface Ticket extends Entry {
  readonly fence: bigint
}

export type Wanted = Partial<Entry> & { readonly on?: Backend }

export const READER: Pick<Entry, 'weight' | 'capacity'> = { weight: 1, capacity: WHOLE }

export class Trial {
  readonly backend: Backend
  readonly ttlMs: number
  /** The name that the test is about. All names of a test begin with it, and no other test's names do. */
  readonly name: string = `suite:${realRuntime.token()}`

  readonly #coordinator: Coordinator
  readonly #opened: Backend[] = []

  constructor(coordinator: Coordinator, ttlMs: number) {
    this.#coordinator = coordinator
    this.backend = coordinator.backend
    this.ttlMs = ttlMs
    this.#opened.push(this.backend)
  }

  async another(): Promise<Backend> {
    const backend = await this.answer(this.#coordinator.another!())
    this.#opened.push(backend)
    return backend
  }

  /** An entry that nobody has seen: exclusive and willing to wait, unless the test says something else. */
  entry(wanted: Partial<Entry> = {}): Entry {
    // A waiter is kept no longer than a holder would be.
    const ttlMs = Math.max(this.ttlMs, wanted.waitTtlMs ?? 0)
    const whole = { weight: WHOLE, capacity: WHOLE, ttlMs, waitTtlMs: this.ttlMs, wait: true }
    return { name: this.name, id: realRuntime.token(), ...whole, ...wanted }
  }

  async ask({ on, ...wanted }: Wanted = {}): Promise<{ entry: Entry; standing: Standing }> {
    const entry = this.entry(wanted)
    return { entry, standing: await this.answer((on ?? this.backend).join(entry)) }
  }

  /** Join, and hold at once. */
  async held(wanted: Wanted = {}): Promise<Ticket> {
    const { entry, standing } = await this.ask(wanted)
    return { ...entry, fence: isHeld(standing).fence }
  }

  /** Join, and have to wait. */
  async waiting(wanted: Wanted = {}): Promise<Ticket> {
    const { entry, standing } = await this.ask(wanted)
    return { ...entry, fence: isWaiting(standing).fence }
  }

  /** Try, and be refused. */
  async refused(wanted: Wanted = {}): Promise<Refused> {
    const { standing } = await this.ask({ wait: false, ...wanted })
    assert.equal(standing.state, 'refused', 'a try that must be refused')
    return standing
  }

  /** Whether a try would hold; what it takes it gives back. */
  async isFree(wanted: Wanted = {}): Promise<boolean> {
    const { entry, standing } = await this.ask({ wait: false, ...wanted })
    if (standing.state !== 'held') return false
    assert.equal(await this.answer(this.backend.leave(entry)), true, 'a try that held can leave')
    return true
  }

  renew(entry: Entry, ttlMs: number = entry.ttlMs): Promise<Renewal> {
    return this.answer(this.backend.renew(entry, ttlMs))
  }

  leave(entry: Entry, options?: { readonly lingerMs?: number }): Promise<boolean> {
    return this.answer(this.backend.leave(entry, options))
  }

  /** Renewed, it is `held`, `waiting` or `lost`, with the ticket it drew. */
  async stands(entry: Ticket, state: Renewal['state']): Promise<void> {
    const renewal = await this.renew(entry)
    assert.equal(renewal.state, state, `an entry that must be ${state}`)
    if (renewal.state !== 'lost') assert.equal(renewal.fence, entry.fence, 'an entry keeps its ticket')
  }

  /** The queue as `inspect` shows it. */
  async view(name: string = this.name): Promise<QueueView | undefined> {
    return (await this.views(name)).find((each) => each.name === name)
  }

  views(prefix: string): Promise<QueueView[]> {
    return this.answer(
      (async () => {
        const views: QueueView[] = []
        for await (const view of this.backend.inspect(prefix)) views.push(view)
        return views
      })(),
    )
  }

  /** Let so many ttls pass. */
  advance(ttls: number): Promise<void> {
    return this.#coordinator.advance(ttls * this.ttlMs)
  }

  answer<T>(work: Promise<T>): Promise<T> {
    return this.#coordinator.during?.(work) ?? work
  }

  watch(entry: Entry, wake: Wake, backend: Backend = this.backend): Promise<() => void> {
    return this.answer(Promise.resolve(backend.watch(entry, wake)))
  }

  /** Watch an entry, and note what comes. */
  async watched(entry: Entry, backend: Backend = this.backend): Promise<Noted> {
    const noted: Noted = { wakes: [], stop: () => {} }
    const wake: Wake = (news) => void noted.wakes.push(news?.held)
    noted.stop = await this.watch(entry, wake, backend)
    return noted
  }

  /** Wait for a message; it must come within a ttl. */
  async eventually(what: string, check: () => boolean): Promise<void> {
    for (let step = 0; step < 100; step += 1) {
      if (check()) return
      await this.advance(0.01)
    }
    assert.ok(check(), what)
  }

  async end(): Promise<void> {
    for (const each of this.#opened.toReversed()) await this.answer(each.close())
    await this.#coordinator.end?.()
  }
}

/** The wakes that came: each with the ticket it named, or `undefined`. */
export interface Noted {
  readonly wakes: (bigint | undefined)[]
  stop: () => void
}

export function isHeld(standing: Standing | Renewal): Held {
  assert.equal(standing.state, 'held', 'an entry that must hold')
  return standing
}

export function isWaiting(standing: Standing | Renewal): Waiting {
  assert.equal(standing.state, 'waiting', 'an entry that must wait')
  return standing
}

/** A duration between two others. */
export function within(ms: number, above: number, most: number, what: string): void {
  assert.ok(ms > above && ms <= most, `${what} is ${ms} ms; it must be above ${above} and at most ${most}`)
}
