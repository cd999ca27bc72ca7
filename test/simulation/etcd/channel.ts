/**
 * A connection of one process to one member, in the place of `src/backends/etcd/channel.ts`: calls, streams, and an end that
 * takes all of them with it.
 *
 * What streams carry comes in order, whichever of them it is on; whatever is lost on the way ends the connection, or silences
 * it.
 */
import type { Connection } from '../../../src/backends/etcd/client.ts'
import type { EtcdError } from '../../../src/backends/etcd/errors.ts'
import { GRPC } from '../../../src/backends/etcd/errors.ts'
import type { Stream, StreamEvents } from '../../../src/backends/etcd/channel.ts'
import type { Method, Transaction } from '../../../src/backends/etcd/messages.ts'
import { DELETE, LEASE_KEEP_ALIVE, TXN } from '../../../src/backends/etcd/messages.ts'
import type { SimulatedRuntime } from '../../../src/testing/simulated.ts'
import type { Verb } from '../plan.ts'
import type { Fate, Wire } from '../wire.ts'
import type { Cluster, Served } from './cluster.ts'
import { Refusal } from './keys.ts'
import type { Member } from './member.ts'

/** What a member sees of a stream. */
export interface MemberSide {
  readonly process: string
  readonly dead: boolean
  /** Say something on it. */
  tell(response: unknown, verb: Verb): void
  /** End it, with an error. */
  end(refusal: Refusal): void
}

export class SimulatedChannel implements Connection {
  readonly endpoint: string
  readonly ready: Promise<void>
  readonly #error: typeof EtcdError
  readonly #cluster: Cluster
  readonly #member: Member
  readonly #wire: Wire
  readonly #runtime: SimulatedRuntime
  /** What streams carry. */
  readonly #there: Lane
  readonly #back: Lane
  /** What is on its way hears of its end. */
  readonly #open = new Set<(error: Error) => void>()
  #ended: Error | undefined
  /** Nothing gets through any more, and nobody is told. */
  #silent = false

  constructor(
    cluster: Cluster,
    member: Member,
    error: typeof EtcdError,
    wire: Wire,
    runtime: SimulatedRuntime,
    connectMs: number,
  ) {
    this.#error = error
    this.endpoint = member.endpoint
    this.#cluster = cluster
    this.#member = member
    this.#wire = wire
    this.#runtime = runtime
    this.#there = new Lane(wire, 'requests')
    this.#back = new Lane(wire, 'replies')
    this.ready = new Promise((resolve, reject) => {
      const failed = (error: Error): void => {
        limit.cancel()
        reject(error)
      }
      this.#open.add(failed)
      const late = (): void => this.end(new Error(`no connection within ${connectMs} ms`))
      const limit = runtime.after(connectMs, late)
      wire
        .send('connect', member, '', async () => {})
        .then(
          () => {
            limit.cancel()
            this.#open.delete(failed)
            resolve()
          },
          (error: Error) => this.end(error),
        )
    })
    this.ready.catch(() => {})
  }

  get usable(): boolean {
    return this.#ended === undefined
  }

  async call<Q, A>(method: Method<Q, A>, message: Partial<Q>, timeoutMs: number): Promise<A> {
    await this.ready
    return new Promise<A>((resolve, reject) => {
      if (this.#ended) return reject(this.#said(this.#ended))
      const over = (): void => {
        limit.cancel()
        this.#open.delete(failed)
      }
      const failed = (error: Error): void => {
        over()
        reject(this.#said(error))
      }
      this.#open.add(failed)
      const late = (): void => this.end(new Error(`${this.endpoint} did not answer within ${timeoutMs} ms`))
      const limit = this.#runtime.after(timeoutMs, late)
      if (this.#silent) return
      const serve = (): Promise<Served> => this.#cluster.serve(this.#member, method.path, message)
      this.#wire.send(verbOf(method.path, message), this.#member, '', serve).then(
        ({ answer, error }) => {
          if (this.#ended || this.#silent) return
          over()
          if (error) reject(this.#said(error))
          else resolve(answer as A)
        },
        (error: Error) => this.end(error),
      )
    })
  }

  stream<Q, A>(method: Method<Q, A>, events: StreamEvents<A>): Stream<Q> {
    if (this.#ended) throw this.#said(this.#ended)
    let over = false
    const failed = (error: Error): void => {
      this.#open.delete(failed)
      this.#cluster.closed(side)
      if (over) return
      over = true
      queueMicrotask(() => events.ended(this.#said(error)))
    }
    this.#open.add(failed)
    const keepsAlive = method.path === LEASE_KEEP_ALIVE.path
    const say = (fate: Fate, what: () => void): void => {
      if (this.#isLost(fate)) return
      this.#back.carry(fate.replyMs, () => {
        if (!over && !this.#ended && !this.#silent) what()
      })
    }
    const wire = this.#wire
    const side: MemberSide = {
      process: wire.inbox.process,
      get dead() {
        return wire.inbox.dead
      },
      tell: (response, verb) => say(this.#wire.fate(verb), () => events.message(response as A)),
      end: (refusal) => say(this.#wire.fate('watch'), () => failed(refusal)),
    }
    this.#cluster.opened(side, this.#member)
    return {
      send: (request) => {
        if (over || this.#silent) return
        const fate = this.#wire.fate(keepsAlive ? 'renew' : 'watch')
        if (this.#isLost(fate)) return
        this.#there.carry(fate.requestMs, () => {
          if (this.#ended || over) return
          if (keepsAlive) this.#cluster.beat(side, this.#member, request, fate)
          else this.#cluster.watch(side, this.#member, request)
        })
      },
      end: () => {
        over = true
        this.#open.delete(failed)
        this.#cluster.closed(side)
      },
    }
  }

  /** It is lost, which its process hears when it can. */
  reset(): void {
    this.#wire.inbox.deliver(() => this.end(new Error('the connection was reset')))
  }

  end(error: Error = new Error('the connection was ended')): void {
    if (this.#ended) return
    this.#ended = error
    for (const failed of [...this.#open]) failed(error)
    this.#open.clear()
    this.#member.channels.delete(this)
  }

  /** In the words of the client: what a member says, or that nobody knows. */
  #said(error: Error): EtcdError {
    return new this.#error(error instanceof Refusal ? error.grpc : GRPC.unavailable, error.message)
  }

  /** A message of a stream is lost: so is the connection. */
  #isLost({ lose, silent }: Fate): boolean {
    if (!lose) return false
    if (silent) this.#silent = true
    else this.#wire.later(1, () => this.reset())
    return true
  }
}

/** One direction: what is sent first arrives first, and waits while nothing gets through. */
class Lane {
  readonly #wire: Wire
  readonly #way: 'requests' | 'replies'
  #lastAt = 0

  constructor(wire: Wire, way: 'requests' | 'replies') {
    this.#wire = wire
    this.#way = way
  }

  carry(ms: number, what: () => void): void {
    const { world, cutUntil, inbox } = this.#wire
    this.#lastAt = Math.max(this.#lastAt, world.now() + ms, cutUntil[this.#way])
    this.#wire.later(this.#lastAt - world.now(), this.#way === 'requests' ? what : () => inbox.deliver(what))
  }
}

/** By what a call is told from others: what it does to an entry. */
function verbOf(path: string, message: object): Verb {
  if (path === DELETE.path) return 'leave'
  if (path !== TXN.path) return 'lighten'
  return putsIn(message) ? 'join' : 'leave'
}

function putsIn({ success = [], failure = [] }: Partial<Transaction>): boolean {
  return [...success, ...failure].some(
    ({ put, transaction }) => put !== undefined || (transaction && putsIn(transaction)),
  )
}
