/**
 * A quorum of independent Redis servers: a majority of them decides, so a minority may be down, frozen, cut off or
 * without its memory. `src/quorum/` has the protocol; each node runs the script of `redis`, under keys of its own.
 */
import { BackendError } from '../../backend.ts'
import { QuorumBackend } from '../../quorum/index.ts'
import type { NodeOptions, RedisBackend, RedisLike } from '../redis/index.ts'
import { redisNode, redisNodeAt } from '../redis/index.ts'
import { parseRedlockUrl } from './url.ts'

export interface RedlockOptions {
  /** What all keys and channels begin with. Default `'holdfast-redlock'`: apart from those of a single Redis. */
  readonly keyPrefix?: string
  /**
   * The longest ttl, with its lock delay, that a lease may have, in milliseconds; and so the time that a node waits out
   * when it has forgotten what it granted. The same in every program. Default 60,000.
   */
  readonly maxTtlMs?: number
  /** How long a node may take for an answer before those who have answered decide without it, in milliseconds. Default 300. */
  readonly nodeTimeoutMs?: number
  /**
   * The nodes keep all that they have answered, also through a power failure (`appendfsync always`), and nobody flushes
   * them: none waits after a restart, or when it is new. Default `false`.
   */
  readonly durable?: boolean
}

const LONGEST_MS = 2 ** 31 - 1

/**
 * A coordinator on a majority of independent Redis servers.
 *
 * @param clients one for each server, of ioredis or of node-redis, connected. They stay yours; `close()` leaves them open.
 *   An odd number, three or five; the same servers in every program.
 * @throws BackendError `MISCONFIGURED` if a client or an option is something else
 * @example
 * ```ts
 * import { connect } from 'holdfast'
 * import { redlock } from 'holdfast/redlock'
 * import { Redis } from 'ioredis'
 *
 * const locks = connect(redlock([new Redis(6379), new Redis(6380), new Redis(6381)]))
 * ```
 */
export function redlock(clients: readonly RedisLike[], options: RedlockOptions = {}): QuorumBackend {
  if (!Array.isArray(clients) || clients.length === 0)
    throw new BackendError('MISCONFIGURED', 'redlock() got no clients; give an array of them, one for each server')
  if (new Set(clients).size < clients.length) throw wrong('a client is there twice, and would be a majority of itself')
  return quorumOf(
    clients.map((client: RedisLike, index) => ({
      label: labelOf(client) ?? `node ${index + 1}`,
      open: (node) => redisNode(client, node),
    })),
    options,
  )
}

/**
 * The same at addresses: `redlock://user:password@a:6379,b:6379,c:6379/0`, with TLS `redlocks://`, and options behind a
 * question mark: `?maxTtlMs=60000&nodeTimeoutMs=300&durable`. The clients are our own, made with ioredis, which must be
 * installed; `close()` ends them.
 *
 * @throws BackendError `MISCONFIGURED` if the address is wrong
 */
export function redlockAt(url: string): QuorumBackend {
  const { locations, options } = parseRedlockUrl(url)
  return quorumOf(
    locations.map((location) => ({
      label: location.addresses.map(({ host, port }) => `${host}:${port}`).join(),
      open: (node) => redisNodeAt(location, node),
    })),
    options,
  )
}

interface Server {
  readonly label: string
  readonly open: (options: NodeOptions) => RedisBackend
}

function quorumOf(servers: readonly Server[], options: RedlockOptions): QuorumBackend {
  const { keyPrefix = 'holdfast-redlock', maxTtlMs = 60_000, nodeTimeoutMs = 300, durable = false } = options
  checkMs(maxTtlMs, 'maxTtlMs')
  checkMs(nodeTimeoutMs, 'nodeTimeoutMs')
  if (typeof durable !== 'boolean') throw wrong(`durable is ${String(durable)}; give true or false`)
  const nodes = servers.map(({ label, open }) => ({
    label,
    node: open({ keyPrefix, longestMs: maxTtlMs, durable }),
  }))
  return new QuorumBackend({ kind: 'redlock', nodes, longestMs: maxTtlMs, nodeTimeoutMs })
}

function checkMs(ms: unknown, what: string): void {
  if (!(typeof ms === 'number' && ms >= 1 && ms <= LONGEST_MS))
    throw wrong(`${what} is ${String(ms)}; give milliseconds from 1`)
}

interface Located {
  readonly host?: string
  readonly port?: number
}

/** Where a client is connected to, as far as it says so: ioredis in its options, node-redis in those of its socket. */
function labelOf(client: unknown): string | undefined {
  const { options } = (client ?? {}) as { readonly options?: Located & { readonly socket?: Located } }
  const { host = 'localhost', port } = options?.socket ?? options ?? {}
  return port === undefined ? undefined : `${host}:${port}`
}

function wrong(text: string): BackendError {
  return new BackendError('MISCONFIGURED', `redlock: ${text}`)
}
