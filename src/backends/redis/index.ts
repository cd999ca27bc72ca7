/**
 * One Redis, with or without replicas, Sentinel or Cluster: the queue as a script (`script.ts`), sent by a client that the
 * user has already (`client.ts`), in as few requests as there are turns of the event loop (`lane.ts`), with news over one
 * connection a process (`inbox.ts`).
 */
import type { Claim, Entry, Finding, Placed, QueueView, Renewal, Standing, Supports, Wake } from '../../backend.ts'
import { BackendError } from '../../backend.ts'
import type { Memory, Node } from '../../quorum/node.ts'
import { tooHeavy } from '../../queue/too-heavy.ts'
import type { Runtime } from '../../runtime.ts'
import { realRuntime } from '../../runtime.ts'
import type { Looked, Recalled } from './answer.ts'
import { memoryOf, micros, standing, viewOf, yes } from './answer.ts'
import { Bulk } from './bulk.ts'
import type { Client, RedisLike, Script } from './client.ts'
import { clientOf, scriptOf } from './client.ts'
import { diagnose } from './diagnose.ts'
import { Driver } from './driver.ts'
import { redisError } from './errors.ts'
import { Inbox } from './inbox.ts'
import { Naming } from './keys.ts'
import type { Words } from './lane.ts'
import { Lane, Turn } from './lane.ts'
import type { Terms } from './terms.ts'
import { LastTerms } from './terms.ts'
import QUEUE from './script.ts'
import { Replicated } from './replicated.ts'
import type { Location } from './url.ts'
import { NO_REPLICAS_IN_A_CLUSTER, REPLICAS_MAX, parseRedisUrl } from './url.ts'

export type { IoRedisLike, NodeRedisLike, RedisLike } from './client.ts'

export interface RedisOptions {
  /** What all keys and channels begin with. Default `'holdfast'`. */
  readonly keyPrefix?: string
  /** How many replicas must have a grant and a renewal before they count, by WAIT. Default 0: the primary alone. */
  readonly replicas?: number
  /** How long to wait for them, in milliseconds. Default 1000. */
  readonly replicaTimeoutMs?: number
}

/**
 * A coordinator on a Redis server.
 *
 * @param client a client that is connected: of ioredis, or of node-redis. It stays yours; nothing on it is changed, and
 *   `close()` leaves it open. Messages come over a duplicate of it, which is ours; with `replicas` there are two more.
 * @throws BackendError `MISCONFIGURED` if `client` is something else, or `options` make no sense
 * @example
 * ```ts
 * import { connect } from 'holdfast'
 * import { redis } from 'holdfast/redis'
 * import { Redis } from 'ioredis'
 *
 * const locks = connect(redis(new Redis()))
 * ```
 */
export function redis(client: RedisLike, options: RedisOptions = {}): RedisBackend {
  return new RedisBackend(clientOf(client), options)
}

/**
 * A coordinator at an address: `redis://user:password@host:6379/0` and the other schemes of Redis. The client is one of our
 * own, made with ioredis, which must be installed; `close()` ends it.
 *
 * @throws BackendError `MISCONFIGURED` if the address is wrong
 */
export function redisAt(url: string, options: RedisOptions = {}): RedisBackend {
  const location = parseRedisUrl(url)
  const { replicas } = location
  return new RedisBackend(new Driver(location), { ...(replicas === undefined ? {} : { replicas }), ...options })
}

/** As a node of a quorum, which has to remember. */
export interface NodeOptions {
  readonly keyPrefix: string
  /** How long it grants nothing after it has forgotten, in milliseconds. */
  readonly longestMs: number
  /** It keeps all that it has answered, whatever happens to it. */
  readonly durable: boolean
}

export function redisNode(client: RedisLike, options: NodeOptions): RedisBackend {
  return new RedisBackend(clientOf(client), options, { node: options })
}

export function redisNodeAt(location: Location, options: NodeOptions): RedisBackend {
  return new RedisBackend(new Driver(location), options, { node: options })
}
/** 0 would be for ever. */
const REPLICA_TIMEOUT_MAX_MS = 60_000

interface Scripts {
  readonly joins: Script
  /** What frees or keeps must be possible when the server's memory is full. Since Redis 7.0. */
  readonly others: Script
}

/**
 * What only a few need: a place in a quorum; scripts that tests have changed, what is a burst to them, and time and chance of a
 * simulation.
 */
interface Parts {
  readonly node?: NodeOptions
  readonly scripts?: Scripts
  readonly burst?: number | undefined
  readonly runtime?: Runtime
}

/** What is asked of a node itself is asked under a name that nobody has. */
const NO_NAME = ''

const SCRIPTS: Scripts = { joins: scriptOf(QUEUE), others: scriptOf(`#!lua flags=allow-oom\n${QUEUE}`) }

export class RedisBackend implements Node {
  readonly kind = 'redis'
  readonly supports: Supports = { queue: true, sharing: 'permits', fence: 'durable', wake: true }

  readonly #client: Client
  readonly #naming: Naming
  readonly #inbox: Inbox
  readonly #terms = new LastTerms()
  readonly #joins: Lane
  readonly #others: Lane
  /** Of what somebody will believe in: joins; renewals and downgrades. */
  readonly #grants: Lane
  readonly #renewals: Lane
  readonly #bulk: Bulk
  readonly #replicas: number
  readonly #replicated: readonly Replicated[]
  #closed = false

  constructor(
    client: Client,
    options: RedisOptions = {},
    { node, scripts = SCRIPTS, burst, runtime = realRuntime }: Parts = {},
  ) {
    const { keyPrefix = 'holdfast', replicas = 0, replicaTimeoutMs = 1000 } = options
    checkReplicas(client, replicas, replicaTimeoutMs)
    this.#client = client
    this.#naming = new Naming(keyPrefix)
    const askToTell = (name: string, lastingMs: number): Promise<unknown> =>
      this.#ask(this.#joins, name, 'follow', [micros(lastingMs)])
    this.#inbox = new Inbox(client, this.#naming, runtime, askToTell)
    const memory = node && {
      key: this.#naming.memory,
      settings: JSON.stringify([micros(node.longestMs), node.durable ? 1 : 0]),
    }
    const turn = new Turn()
    this.#joins = new Lane(client, scripts.joins, this.#naming, { turn, memory, burst })
    this.#others = new Lane(client, scripts.others, this.#naming, { turn, memory, burst })
    this.#replicas = replicas
    // One connection each: a join that hangs holds up no renewal. Releases and all else stay on the client as it is.
    const replicated = (): Replicated => new Replicated(client, replicas, replicaTimeoutMs)
    const [grants, renewals] = (this.#replicated = replicas === 0 ? [] : [replicated(), replicated()])
    this.#grants = grants ? new Lane(grants, scripts.joins, this.#naming) : this.#joins
    this.#renewals = renewals ? new Lane(renewals, scripts.others, this.#naming) : this.#others
    this.#bulk = new Bulk(renewals ?? client, scripts.others, this.#naming, this.#renewals)
  }

  join(entry: Entry, proposed?: bigint): Promise<Standing> {
    const never = tooHeavy(entry)
    if (never) return Promise.resolve(never)
    const tag = this.#inbox.tagOf(entry.id)
    const terms = this.#terms.of(entry, tag === undefined ? '' : this.#inbox.channel)
    // What is proposed takes the place of the tag: nodes of a quorum tell nobody.
    const word = proposed === undefined ? (tag ?? '') : Number(proposed)
    const answer = this.#ask(this.#grants, entry.name, 'join', [entry.id, word], terms)
    return answer.then((said) => standing(said, entry.ttlMs) as Standing)
  }

  async seed(entry: Entry, fence: bigint): Promise<Standing> {
    const terms = this.#terms.of(entry, '')
    const answer = await this.#ask(this.#joins, entry.name, 'seed', [entry.id, Number(fence)], terms)
    return standing(answer, entry.ttlMs) as Standing
  }

  async confirm({ name, id }: Claim, drawn: bigint, fence: bigint): Promise<Renewal> {
    return standing(await this.#ask(this.#others, name, 'confirm', [id, Number(fence), Number(drawn)])) as Renewal
  }

  async recall(): Promise<Memory> {
    return memoryOf((await this.#ask(this.#others, NO_NAME, 'recall', [])) as Recalled)
  }

  async admit(incarnation: string, top: bigint): Promise<boolean> {
    return yes(await this.#ask(this.#others, NO_NAME, 'admit', [incarnation, Number(top)]))
  }

  async renew(claim: Claim, ttlMs: number): Promise<Renewal> {
    return standing(await this.#ask(this.#renewals, claim.name, 'renew', [claim.id, micros(ttlMs)]), ttlMs) as Renewal
  }

  async renewAll(claims: readonly Placed[], ttlMs: number): Promise<(Renewal | undefined)[]> {
    if (this.#closed) throw closed()
    const answers = await this.#bulk.renew(claims, micros(ttlMs))
    return answers.map((answer) => (answer === undefined ? undefined : (standing(answer, ttlMs) as Renewal)))
  }

  leave({ name, id }: Claim, { lingerMs = 0 }: { readonly lingerMs?: number } = {}): Promise<boolean> {
    return this.#ask(this.#others, name, 'leave', [id, micros(lingerMs)]).then(yes)
  }

  async lighten({ name, id }: Claim, weight: number): Promise<Renewal> {
    return standing(await this.#ask(this.#renewals, name, 'lighten', [id, weight])) as Renewal
  }

  async describe({ name, id }: Claim, info: string): Promise<boolean> {
    return yes(await this.#ask(this.#joins, name, 'describe', [id, info]))
  }

  async evict(name: string, fence: bigint): Promise<boolean> {
    return yes(await this.#ask(this.#others, name, 'evict', [String(fence)]))
  }

  watch(claim: Claim, wake: Wake): (() => void) | Promise<() => void> {
    // A message comes from the primary alone. That it holds counts when a renewal has said so, and replicas have it.
    return this.#inbox.watch(claim.id, this.#replicas === 0 ? wake : () => wake())
  }

  follow(name: string, wake: () => void): Promise<() => void> {
    return this.#inbox.follow(name, wake)
  }

  async *inspect(prefix: string): AsyncGenerator<QueueView> {
    if (this.#closed) throw closed()
    const names = new Set<string>()
    try {
      for await (const keys of this.#client.scan(this.#naming.heads(prefix))) {
        for (const key of keys) {
          const name = this.#naming.nameOf(key)
          if (name?.startsWith(prefix)) names.add(name)
        }
      }
    } catch (error) {
      throw redisError(error)
    }
    const sorted = [...names].sort()
    const views = await Promise.all(sorted.map((name) => this.#ask(this.#others, name, 'look', [])))
    for (const [index, answer] of views.entries()) {
      const view = viewOf(sorted[index]!, answer as Looked)
      if (view) yield view
    }
  }

  async diagnose(): Promise<readonly Finding[]> {
    if (this.#closed) throw closed()
    return diagnose(this.#client, this, this.#replicas)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#inbox.close()
    await Promise.all(this.#replicated.map((each) => each.close()))
    await this.#client.close()
  }

  #ask(lane: Lane, name: string, verb: string, words: Words, terms?: Terms): Promise<unknown> {
    if (this.#closed) return Promise.reject(closed())
    return lane.ask(name, verb, words, terms)
  }
}

function closed(): BackendError {
  return new BackendError('CLOSED', 'this redis backend was closed')
}

/** @throws BackendError `MISCONFIGURED` */
function checkReplicas(client: Client, replicas: unknown, timeoutMs: unknown): void {
  checkCount('replicas', replicas, 0, REPLICAS_MAX)
  checkCount('replicaTimeoutMs', timeoutMs, 1, REPLICA_TIMEOUT_MAX_MS)
  if (replicas !== 0 && client.cluster) throw new BackendError('MISCONFIGURED', NO_REPLICAS_IN_A_CLUSTER)
}

function checkCount(option: string, value: unknown, least: number, most: number): void {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    throw new BackendError('MISCONFIGURED', `${option} must be a whole number from ${least} to ${most}`)
}
