/** Who leads: candidates stand in a queue, and the first one is the leader. */
import type { EntryView } from '../backend.ts'
import { describe } from '../core/duration.ts'
import { ArgumentTypeError } from '../core/errors.ts'
import type { InnerLease, Lease } from '../core/lease.ts'
import type { AcquireOptions, Shape } from '../core/request.ts'
import { checkName, queueName, request } from '../core/request.ts'
import type { Who } from '../core/who.ts'
import { decodeWho } from '../core/who.ts'
import type { Desk, Lockable } from './lockable.ts'
import { lockable, obtain } from './lockable.ts'

const LEADER: Shape = { kind: 'election', mode: 'leader', weight: 1, capacity: 1 }
/** How often an observer looks without having been woken: a hint may be lost. */
const OBSERVE_MS = 5000

export interface ElectionOptions extends AcquireOptions {
  /** What observers see of the leader: an address, for example. */
  readonly value?: string
}

/** A time as the leader. Its fence is the number of the term. */
export interface Term extends Lease {
  /** Tell observers a new value. */
  proclaim(value: string): Promise<void>
  /** Step down; the next candidate leads. The same as `release()`. */
  resign(): Promise<'released' | 'gone'>
}

/** The leader as others see it. */
export interface Leader {
  readonly fence: bigint
  readonly value: string | undefined
  readonly who: Partial<Who>
}

export interface Election extends Lockable<ElectionOptions, Term> {
  /**
   * Campaign, lead, and campaign again: one turn of the loop is one term. A turn that ends resigns; so does leaving the
   * loop. It ends when `options.signal` aborts; a loss ends a term (see `term.signal`), and the loop goes on.
   */
  terms(options?: ElectionOptions): AsyncIterableIterator<Term>
  /** Who leads now, for people to see; never for decisions. `undefined`: nobody. */
  leader(): Promise<Leader | undefined>
  /** Who leads now, and then each change of leader or value, until `signal` aborts. Quick changes may be seen as one. */
  observe(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<Leader | undefined>
}

export function election(desk: Desk, name: string): Election {
  checkName(name)
  const { session, defaults } = desk
  const queue = queueName('election', defaults.prefix, name)

  const take = async (options: ElectionOptions): Promise<Term> => {
    const { value } = options
    if (value !== undefined && typeof value !== 'string')
      throw new ArgumentTypeError(`value is ${describe(value)}; give a string`)
    const asked = request(name, LEADER, options, defaults, ['value'])
    return term(desk, await obtain(session, asked, value), asked.label)
  }

  async function* terms(options: ElectionOptions = {}): AsyncGenerator<Term> {
    while (!options.signal?.aborted) {
      const current = await campaign(take, options)
      if (!current) return
      try {
        yield current
      } finally {
        await current.resign()
      }
    }
  }

  const leader = async (): Promise<Leader | undefined> => {
    return session.ask(name, async (signal) => {
      for await (const view of session.backend.inspect(queue, signal)) {
        if (view.name === queue) return view.holders[0] && leaderOf(view.holders[0])
      }
      return undefined
    })
  }

  async function* observe(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Leader | undefined> {
    const { signal } = options
    let changed = false
    let end = (): void => {}
    const wake = (): void => {
      changed = true
      end()
    }
    // Subscribe before looking; otherwise a change between the two is seen only at the next look.
    const unfollow = await session.ask(name, () => session.backend.follow(queue, wake))
    const member = { closeDown: wake }
    session.enter(member)
    signal?.addEventListener('abort', wake)
    try {
      let seen: string | undefined
      while (!signal?.aborted && !session.closed) {
        changed = false
        const now = await leader()
        const key = now ? `${now.fence} ${now.value ?? ''}` : ''
        if (key !== seen) {
          seen = key
          yield now
        }
        if (!changed && !signal?.aborted) await session.pause(OBSERVE_MS, (early) => (end = early))
      }
    } finally {
      unfollow()
      session.exit(member)
      signal?.removeEventListener('abort', wake)
    }
  }

  return {
    terms,
    leader,
    observe,
    ...lockable<ElectionOptions, Term>(desk, take, (each) => [(each as InnerTerm).inner]),
  }
}

/** The next term; `undefined` when the candidate's own signal ended the campaign. */
async function campaign(
  take: (options: ElectionOptions) => Promise<Term>,
  options: ElectionOptions,
): Promise<Term | undefined> {
  try {
    return await take(options)
  } catch (error) {
    if (options.signal?.aborted && error === options.signal.reason) return undefined
    throw error
  }
}

interface InnerTerm extends Term {
  readonly inner: InnerLease
}

/** A lease, with a leader's verbs. */
function term(desk: Desk, inner: InnerLease, label: string | undefined): InnerTerm {
  return {
    inner,
    proclaim: async (value) => {
      if (typeof value !== 'string') throw new ArgumentTypeError(`value is ${describe(value)}; give a string`)
      await inner.core.describe(desk.session.info(label, value))
    },
    resign: () => inner.release(),
    name: inner.name,
    fence: inner.fence,
    mode: inner.mode,
    waitedMs: inner.waitedMs,
    waited: inner.waited,
    get state() {
      return inner.state
    },
    get signal() {
      return inner.signal
    },
    get remainingMs() {
      return inner.remainingMs
    },
    assertHeld: () => inner.assertHeld(),
    renew: (ttl) => inner.renew(ttl),
    release: () => inner.release(),
    on: (state, listener) => inner.on(state, listener),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  }
}

function leaderOf(entry: EntryView): Leader {
  const who = decodeWho(entry.info)
  return { fence: entry.fence, value: who.value, who }
}
