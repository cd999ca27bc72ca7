/** Who leads: candidates stand in a queue, and the first one is the leader. */
import type { EntryView } from '../backend.ts'
import { describe } from '../core/duration.ts'
import { ArgumentTypeError } from '../core/errors.ts'
import type { InnerLease, Lease } from '../core/lease.ts'
import type { AcquireOptions, Request, Shape } from '../core/request.ts'
import { OPTIONS, checkKnown, checkName, checkSignal, checkText, queueName, request } from '../core/request.ts'
import type { Session } from '../core/session.ts'
import type { Who } from '../core/who.ts'
import { decodeWho } from '../core/who.ts'
import type { Desk, Lockable } from './lockable.ts'
import { lockable, obtain } from './lockable.ts'
import { look } from './look.ts'

const LEADER: Shape = { kind: 'election', mode: 'leader', weight: 1, capacity: 1 }
/** How often an observer looks without having been woken: a hint may be lost. */
const OBSERVE_MS = 5000
const KNOWN = new Set(['value', ...OPTIONS])
const KNOWN_TO_OBSERVE = new Set(['signal'])

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

  const candidacy = (options: ElectionOptions): Candidacy => {
    const asked = request(name, LEADER, options, defaults, KNOWN)
    checkText(options.value, 'value')
    return { ...asked, value: options.value }
  }

  const campaign = async (asked: Candidacy): Promise<InnerTerm> =>
    term(desk, await obtain(session, asked, asked.value), asked.label)

  async function* terms(asked: Candidacy): AsyncGenerator<Term> {
    while (!asked.signal?.aborted) {
      const current = await unlessAborted(asked.signal, campaign(asked))
      if (!current) return
      try {
        yield current
      } finally {
        await current.resign()
      }
    }
  }

  const leader = async (): Promise<Leader | undefined> => {
    const first = (await look(session, name, queue))?.holders[0]
    return first && leaderOf(first)
  }

  async function* changes(signal: AbortSignal | undefined): AsyncGenerator<Leader | undefined> {
    let changed = false
    let end = (): void => {}
    const wake = (): void => {
      changed = true
      end()
    }
    // Subscribe before looking; otherwise a change between the two is seen only at the next look.
    const unfollow = await follow(session, name, queue, wake)
    const member = { closeDown: wake }
    try {
      session.enter(member)
      signal?.addEventListener('abort', wake)
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
    terms: (options = {}) => terms(candidacy(options)),
    leader,
    observe: (options = {}) => {
      checkKnown(options, KNOWN_TO_OBSERVE)
      checkSignal(options.signal)
      return changes(options.signal)
    },
    ...lockable<ElectionOptions, InnerTerm>(
      desk,
      (options) => campaign(candidacy(options)),
      ({ inner }) => [inner],
    ),
  }
}

interface Candidacy extends Request {
  readonly value: string | undefined
}

/** What the campaign brings; `undefined` when the candidate's own signal ended it. */
async function unlessAborted<T>(signal: AbortSignal | undefined, campaign: Promise<T>): Promise<T | undefined> {
  try {
    return await campaign
  } catch (error) {
    if (signal?.aborted && error === signal.reason) return undefined
    throw error
  }
}

/** Hear of changes of the queue, until the answer is called. What is confirmed when nobody waits for it any more is ended. */
function follow(session: Session, name: string, queue: string, wake: () => void): Promise<() => void> {
  return session.ask(name, async (signal) => {
    const unfollow = await session.backend.follow(queue, wake)
    if (signal.aborted) unfollow()
    return unfollow
  })
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
