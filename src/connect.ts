/** From a URL, or a backend, to locks. */
import type { Backend, Supports } from './backend.ts'
import { parseEtcdUrl } from './backends/etcd/url.ts'
import { file } from './backends/file/index.ts'
import type { RedisLike } from './backends/redis/index.ts'
import { SCHEMES as REDIS_SCHEMES, parseRedisUrl } from './backends/redis/url.ts'
import { memory } from './backends/memory/index.ts'
import { parseRedlockUrl } from './backends/redlock/url.ts'
import type { Duration } from './core/duration.ts'
import { describe, parseDuration } from './core/duration.ts'
import { ArgumentTypeError, BadUrlError } from './core/errors.ts'
import { checkKnown, checkName, checkText, checkTtl, finite, positive } from './core/request.ts'
import { didYouMean } from './core/text.ts'
import { Later } from './later.ts'
import { Locks } from './locks.ts'
import type { Runtime } from './runtime.ts'
import { realRuntime } from './runtime.ts'

export interface ConnectOptions {
  /** Put before every name, so that applications on one coordinator keep apart: `'shop:'`. */
  readonly prefix?: string
  /** Default for every lease: how long it lasts without renewal. `'30s'`. */
  readonly ttl?: Duration
  /** Default for every acquisition: how long to wait. `Infinity`. */
  readonly wait?: Duration
  /** Default for every lease: the margin before its end in which it counts as lost. A tenth of ttl, at least 100 ms. */
  readonly margin?: Duration
  /** Default for every entry: what this program is, for people who look at a queue. */
  readonly label?: string
  /** How long one request to the coordinator may take. `'5s'`. */
  readonly requestTimeout?: Duration
  /** How long a waiter's place outlives its process. `'6s'`. */
  readonly waitTtl?: Duration
  /** How long `run` waits for its function to end after a loss. `'5s'`. */
  readonly grace?: Duration
  /** Time and chance, for simulations. */
  readonly runtime?: Runtime
}

const KNOWN = new Set(['prefix', 'ttl', 'wait', 'margin', 'label', 'requestTimeout', 'waitTtl', 'grace', 'runtime'])

/** What opens each scheme. Drivers of servers are imported when a URL asks for them. */
const SCHEMES = new Map<string, (url: string, options: ConnectOptions) => Backend>([
  [
    'memory',
    (url, options) => {
      if (url !== 'memory:') throw new BadUrlError(`'${url}': memory: takes nothing behind the colon`)
      return memory(options.runtime ? { clocks: options.runtime } : {})
    },
  ],
  ['file', (url) => file(fileOptions(url))],
  ...Object.keys(REDIS_SCHEMES).map((scheme): [string, (url: string) => Backend] => [scheme, redisAt]),
  ['etcd', etcdAt],
  ['etcds', etcdAt],
  ['redlock', redlockAt],
  ['redlocks', redlockAt],
])

/** A bad address is told here and now, before anything is loaded. */
function checkAddress(parse: (url: string) => unknown, url: string): void {
  try {
    parse(url)
  } catch (cause) {
    throw new BadUrlError((cause as Error).message, { cause })
  }
}

/** The queue is on the server, whichever it is. */
const ON_A_SERVER: Supports = { queue: true, sharing: 'permits', fence: 'durable', wake: true }

/** No queue goes across nodes, and only exclusive holders have fences there. */
const ON_A_QUORUM: Supports = { queue: false, sharing: 'none', fence: 'durable', wake: true }

function etcdAt(url: string): Backend {
  checkAddress(parseEtcdUrl, url)
  const load = async (): Promise<Backend> => (await import('./backends/etcd/index.ts')).etcdAt(url)
  return new Later('etcd', ON_A_SERVER, load, ['joinAll', 'attend', 'keyOf'])
}

function redlockAt(url: string): Backend {
  checkAddress(parseRedlockUrl, url)
  return new Later('redlock', ON_A_QUORUM, async () => (await import('./backends/redlock/index.ts')).redlockAt(url))
}

function redisThrough(client: RedisLike): Backend {
  return new Later('redis', ON_A_SERVER, async () => (await import('./backends/redis/index.ts')).redis(client))
}

/** Of ioredis or of node-redis: what `redis()` looks at more closely. */
function isClient(target: object): target is RedisLike {
  return 'defineCommand' in target || 'evalSha' in target
}

function redisAt(url: string): Backend {
  checkAddress(parseRedisUrl, url)
  return new Later('redis', ON_A_SERVER, async () => (await import('./backends/redis/index.ts')).redisAt(url))
}

/**
 * Connect to a coordinator. Nothing is opened before the first use.
 *
 * @param target a URL (`'redis://host'`, `'etcd://a,b,c'`, `'file:/var/lib/app/locks'`), a client of ioredis or node-redis, or a backend. Left
 *   out: `HOLDFAST_URL`, or else the embedded store of this user on this machine. `undefined` and `''` are errors: a
 *   forgotten variable must not silently mean another coordinator.
 * @throws BadUrlError, ArgumentTypeError
 * @example
 * ```ts
 * import { connect } from 'holdfast'
 *
 * const locks = connect()
 * await locks.run('invoice:42', { wait: '10s' }, async (lease) => {
 *   await save(invoice, { fence: lease.fence, signal: lease.signal })
 * })
 * await locks.close()
 * ```
 */
export function connect(
  ...args: [] | [target: string | Backend | RedisLike] | [target: string | Backend | RedisLike, options: ConnectOptions]
): Locks {
  const [target, options = {}] = args
  checkOptions(options)
  const backend = args.length === 0 ? backendFor(undefined, options) : open(target, options)
  const { prefix = '', ttl = '30s', wait = Infinity, margin, label, runtime = realRuntime } = options
  const { requestTimeout = '5s', waitTtl = '6s', grace = '5s' } = options
  const defaults = {
    prefix,
    ttlMs: finite(ttl, 'ttl'),
    waitMs: parseDuration(wait, 'wait'),
    marginMs: margin === undefined ? undefined : finite(margin, 'margin'),
    label,
  }
  checkTtl(defaults.ttlMs, defaults.marginMs)
  const session = {
    requestTimeoutMs: positive(requestTimeout, 'requestTimeout', finite),
    waitTtlMs: positive(waitTtl, 'waitTtl', finite),
    graceMs: finite(grace, 'grace'),
  }
  return new Locks(backend, runtime, session, defaults)
}

/** The coordinator of a URL; without one, that of `HOLDFAST_URL`, or else the embedded store. */
export function backendFor(given: string | undefined, options: ConnectOptions = {}): Backend {
  if (given !== undefined) return open(given, options)
  const url = process.env['HOLDFAST_URL']
  if (url === '') throw new BadUrlError('HOLDFAST_URL is empty; unset it for the embedded store, or set it to a URL')
  return url === undefined ? file() : open(url, options)
}

function open(target: unknown, options: ConnectOptions): Backend {
  if (typeof target === 'object' && target !== null && 'join' in target && typeof target.join === 'function')
    return target as Backend
  if (typeof target === 'object' && target !== null && isClient(target)) return redisThrough(target)
  if (typeof target !== 'string') {
    throw new ArgumentTypeError(
      `connect got ${describe(target)}; give a URL, a client or a backend, or nothing at all for HOLDFAST_URL or the embedded store`,
    )
  }
  if (target === '')
    throw new BadUrlError("connect got ''; give a URL, or nothing at all for HOLDFAST_URL or the embedded store")
  const scheme = /^([a-z][a-z0-9+.-]*):/.exec(target)?.[1]
  const opener = SCHEMES.get(scheme ?? '')
  if (!opener) {
    const wrong =
      scheme === undefined
        ? 'that is no URL'
        : `there is no coordinator for ${scheme}:${didYouMean(scheme, SCHEMES.keys())}`
    throw new BadUrlError(`${wrong}; there are ${[...SCHEMES.keys()].map((each) => `${each}:`).join(', ')}`)
  }
  return opener(target, options)
}

/** `file:./locks`, `file:/var/lib/locks`, `file:///var/lib/locks`, `?shared`. By hand: URL turns `file:./locks` into `/locks`. */
function fileOptions(url: string): { directory?: string; shared?: boolean } {
  const [path = '', query] = url.slice('file:'.length).split('?', 2)
  if (query !== undefined && query !== 'shared')
    throw new BadUrlError(`'${url}': file: knows ?shared and nothing else behind a question mark`)
  if (path.startsWith('//') && !path.startsWith('///'))
    throw new BadUrlError(`'${url}': file: takes no host; write file:/dir or file:///dir`)
  const directory = decode(path.startsWith('///') ? path.slice(2) : path, url)
  return { ...(directory === '' ? {} : { directory }), ...(query === undefined ? {} : { shared: true }) }
}

function decode(path: string, url: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    throw new BadUrlError(`'${url}': a % in it is no percent-encoding; write %25 for a percent sign`)
  }
}

function checkOptions(options: ConnectOptions): void {
  checkKnown(options, KNOWN)
  const { prefix, label, runtime } = options
  if (prefix !== undefined && prefix !== '') checkName(prefix, 'prefix')
  checkText(label, 'label')
  if (runtime !== undefined && typeof (runtime as Partial<Runtime> | null)?.after !== 'function')
    throw new ArgumentTypeError(`runtime is ${describe(runtime)}; give a Runtime`)
}
