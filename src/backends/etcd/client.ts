/**
 * A client of an etcd cluster: one connection to one member at a time, and another member when that one is silent or gone.
 *
 * A call whose answer did not come is never sent again by itself: it may have been carried out, and who asked decides. One
 * that could not be sent is sent to the next member.
 */
import { BackendError } from '../../backend.ts'
import type { Runtime } from '../../runtime.ts'
import { realRuntime } from '../../runtime.ts'
import type { Security, Stream, StreamEvents } from './channel.ts'
import { Channel } from './channel.ts'
import { EtcdError, GRPC } from './errors.ts'
import type { Method, Operation } from './messages.ts'
import { AUTHENTICATE, IS, OF, TXN } from './messages.ts'

export interface ClientOptions {
  /** `http://host:port` or `https://host:port`, one or more of the members. */
  readonly endpoints: readonly string[]
  readonly security?: Security
  readonly user?: string | undefined
  readonly password?: string | undefined
  /** How long a member may take to answer a call; then another one is asked what comes next. Default 1000. */
  readonly callMs?: number
}

/** What only a simulation brings: time and chance, and a network. */
export interface ClientParts {
  readonly runtime?: Runtime
  readonly open?: (endpoint: string, security: Security, connectMs: number) => Connection
}

/** What is needed of a `Channel`. */
export type Connection = Pick<Channel, 'endpoint' | 'usable' | 'ready' | 'call' | 'stream' | 'end'>

export interface MemberStream<Q> extends Stream<Q> {
  /** End it, and the connection that carries it: the member is silent. Another one is asked from now on. */
  abandon(): void
  /** End it: a stream goes on with the token that it began with, and that one has ended. The next stream has another. */
  refresh(): void
}

/** One step of a transaction. */
export type UserOperation =
  | { readonly put: string; readonly value: string }
  | { readonly get: string }
  | { readonly delete: string }

export interface UserTransaction {
  /** Each key was made at this revision, and is there; at revision 0, it is not there. */
  readonly if: readonly { readonly key: string; readonly createRevision: bigint }[]
  readonly do?: readonly UserOperation[]
  readonly otherwise?: readonly UserOperation[]
}

export interface UserOutcome {
  readonly succeeded: boolean
  readonly revision: bigint
  readonly got: readonly (string | undefined)[]
}

/** A member that does not even take a connection within this is not there. */
const CONNECT_MS = 1000
const CALL_MAX_MS = 60_000

export class EtcdClient {
  readonly endpoints: readonly string[]
  /** Time and chance for whatever uses this client. */
  readonly runtime: Runtime
  readonly #open: NonNullable<ClientParts['open']>
  readonly #parts: ClientParts
  readonly #options: ClientOptions
  readonly #security: Security
  readonly #user: string | undefined
  readonly #password: string
  readonly #callMs: number
  #channel: Connection | undefined
  /** The member that was asked last. */
  #place: number
  #token: Promise<string> | undefined
  #closed = false

  /** @throws BackendError `MISCONFIGURED` */
  constructor(options: ClientOptions, parts: ClientParts = {}) {
    const { endpoints, security = {}, user, password = '', callMs = 1000 } = options
    checkOptions(options)
    this.#options = options
    this.#parts = parts
    this.runtime = parts.runtime ?? realRuntime
    this.#open = parts.open ?? ((...words) => new Channel(...words))
    this.endpoints = endpoints
    this.#security = security
    this.#user = user
    this.#password = password
    this.#callMs = callMs
    // Clients that start together need not all ask the first one.
    this.#place = Math.floor(this.runtime.random() * endpoints.length)
  }

  /** A client of its own for one of the members. */
  of(endpoint: string): EtcdClient {
    return new EtcdClient({ ...this.#options, endpoints: [endpoint] }, this.#parts)
  }

  /** @throws EtcdError `unavailable`: nobody knows whether it was carried out; with other codes, it was not */
  async call<Q, A>(method: Method<Q, A>, message: Partial<Q>, timeoutMs: number = this.#callMs): Promise<A> {
    try {
      return await this.#call(method, message, timeoutMs)
    } catch (error) {
      if (!(error instanceof EtcdError) || error.grpc !== GRPC.unauthenticated || this.#token === undefined) throw error
      // A token lasts some minutes; then the server says so, and has done nothing.
      this.#token = undefined
      return this.#call(method, message, timeoutMs)
    }
  }

  /**
   * A transaction for data of your own: all of `do` when all of `if` is true, otherwise all of `otherwise`.
   *
   * @returns which of the two, at which revision, and what the `get`s found, in their order
   * @throws EtcdError
   */
  async transaction({ if: conditions, do: steps = [], otherwise = [] }: UserTransaction): Promise<UserOutcome> {
    const compare = conditions.map(({ key, createRevision }) => {
      return { key: Buffer.from(key), of: OF.create, is: IS.equal, createRevision: Number(createRevision) }
    })
    const [success, failure] = [steps.map(operationOf), otherwise.map(operationOf)]
    const { succeeded, outcomes, header } = await this.call(TXN, { compare, success, failure })
    const got = outcomes.flatMap(({ range }) => (range ? [range.kvs[0]?.value.toString()] : []))
    return { succeeded, revision: BigInt(header!.revision), got }
  }

  /** A stream to the member that is asked now. It ends with that connection; whoever needs it opens another. */
  async stream<Q, A>(
    method: Method<Q, A>,
    events: StreamEvents<A>,
    { needsLeader = false }: { readonly needsLeader?: boolean } = {},
  ): Promise<MemberStream<Q>> {
    const channel = await this.#connected()
    const stream = channel.stream(method, events, { token: await this.#authenticated(channel), needsLeader })
    return {
      ...stream,
      refresh: () => {
        stream.end()
        this.#token = undefined
      },
      abandon: () => {
        stream.end()
        this.#leave(channel)
      },
    }
  }

  /** Ask another member from now on, if this one is still asked. */
  #leave(channel: Connection): void {
    if (this.#channel !== channel) return
    channel.end()
    this.#channel = undefined
    this.#place = (this.#place + 1) % this.endpoints.length
  }

  close(): void {
    this.#closed = true
    this.#channel?.end()
  }

  async #call<Q, A>(method: Method<Q, A>, message: Partial<Q>, timeoutMs: number): Promise<A> {
    const channel = await this.#connected()
    const token = method.path === AUTHENTICATE.path ? undefined : await this.#authenticated(channel)
    try {
      return await channel.call(method, message, timeoutMs, { token })
    } catch (error) {
      // It said so itself, or its connection is lost: it has no leader, or is no more.
      if (error instanceof EtcdError && error.grpc === GRPC.unavailable) this.#leave(channel)
      throw error
    }
  }

  /** The first member that takes a connection, from the one that was asked last on. */
  async #connected(): Promise<Connection> {
    const troubles: string[] = []
    for (const _ of this.endpoints) {
      if (this.#closed) throw new EtcdError(GRPC.failedPrecondition, 'this client was closed')
      if (!this.#channel?.usable) {
        this.#channel = this.#open(this.endpoints[this.#place]!, this.#security, CONNECT_MS)
      }
      const channel = this.#channel
      try {
        await channel.ready
        return channel
      } catch (error) {
        troubles.push(`${channel.endpoint}: ${(error as Error).message}`)
        this.#leave(channel)
      }
    }
    throw new EtcdError(GRPC.unavailable, `no member can be reached: ${troubles.join('; ')}`)
  }

  async #authenticated(channel: Connection): Promise<string | undefined> {
    if (this.#user === undefined) return undefined
    this.#token ??= channel
      .call(AUTHENTICATE, { name: this.#user, password: this.#password }, this.#callMs)
      .then(({ token }) => token)
    try {
      return await this.#token
    } catch (error) {
      this.#token = undefined
      throw error
    }
  }
}

/** @throws BackendError `MISCONFIGURED` */
function checkOptions({ endpoints, callMs = 1000, user, password }: ClientOptions): void {
  const wrong = (text: string): BackendError => new BackendError('MISCONFIGURED', `EtcdClient: ${text}`)
  if (!Array.isArray(endpoints) || endpoints.length === 0) throw wrong('endpoints must name one member at least')
  for (const endpoint of endpoints as readonly unknown[]) {
    if (typeof endpoint !== 'string' || !/^https?:\/\/[^/?#@]+$/.test(endpoint))
      throw wrong('an endpoint is http://host:port or https://host:port')
  }
  if (typeof callMs !== 'number' || !(callMs >= 1 && callMs <= CALL_MAX_MS))
    throw wrong(`callMs must be a number of milliseconds from 1 to ${CALL_MAX_MS}`)
  if (user !== undefined && (typeof user !== 'string' || typeof password !== 'string'))
    throw wrong('user and password are texts, and come together')
}

function operationOf(operation: UserOperation): Operation {
  if ('put' in operation) return { put: { key: Buffer.from(operation.put), value: Buffer.from(operation.value) } }
  return 'get' in operation
    ? { range: { key: Buffer.from(operation.get) } }
    : { delete: { key: Buffer.from(operation.delete) } }
}
