/**
 * A guard in Redis: the check of the fence and the command behind it are one script, so nothing comes between.
 *
 * What was accepted of a name is a hash beside the data, in the same slot of a cluster if the data is named after the name
 * of the lock: for the lock `account:7` the key `account:7`, or any with `{account:7}` in it.
 */
import type { RedisLike, Script } from '../backends/redis/client.ts'
import { clientOf, scriptOf } from '../backends/redis/client.ts'
import type { Duration } from '../core/duration.ts'
import { describe } from '../core/duration.ts'
import { ArgumentTypeError, StaleFenceError } from '../core/errors.ts'
import { checkKnown, finite, positive } from '../core/request.ts'
import type { Holder } from './rule.ts'
import { visitorOf } from './rule.ts'

export interface RedisGuardOptions {
  /** What the keys of the fences begin with. Default `'holdfast'`. */
  readonly keyPrefix?: string
  /** How long a fence is remembered after the last access that was accepted. Default: for ever. */
  readonly keep?: Duration
}

/** Text, or a number that is sent as text. */
export type RedisValue = string | number | bigint

/** What a script is called with: its `KEYS`, the first of which decides the node of a cluster, and its `ARGV`. */
export interface RedisScriptInput {
  readonly keys?: readonly string[]
  readonly args?: readonly RedisValue[]
}

/** A script of the user, behind the check. `Reply` is what it is known to answer. */
export type GuardedScript<Reply = unknown> = (holder: Holder, input?: RedisScriptInput) => Promise<Reply>

/**
 * Commands that a Redis server carries out for a holder that is not too late, and refuses otherwise: reads and writes.
 *
 * @param client a client that is connected: of ioredis, or of node-redis; a cluster as well. Nothing on it is changed.
 * @throws BackendError `MISCONFIGURED` if `client` is something else
 * @example
 * ```ts
 * import { connect } from 'holdfast'
 * import { redisGuard } from 'holdfast/guards'
 * import { Redis } from 'ioredis'
 *
 * const client = new Redis()
 * const guard = redisGuard(client)
 * await connect(client).run('account:7', async (lease) => {
 *   const balance = Number((await guard.get(lease, 'account:7')) ?? 100)
 *   await guard.set(lease, 'account:7', balance - 30)
 * })
 * client.disconnect()
 * ```
 */
export function redisGuard(client: RedisLike, options: RedisGuardOptions = {}): RedisGuard {
  return new RedisGuard(client, options)
}

const OPTIONS: ReadonlySet<string> = new Set(['keyPrefix', 'keep'])

// In: the key of what was accepted, a fence, its mode, how long to remember it (milliseconds, 0: for ever).
// Out: nil, or the error to answer. Fences are below 2^53, so numbers of Lua are exact.
const CHECK = `
local function check(key, fence, mode, keep)
  local seen = redis.call('HMGET', key, 'x', 's')
  local x, s = seen[1] or '0', seen[2] or '0'
  local limit = mode == 'exclusive' and s or x
  if tonumber(fence) < tonumber(limit) then return redis.error_reply('STALEFENCE ' .. limit) end
  if mode == 'exclusive' then
    redis.call('HSET', key, 'x', fence, 's', fence)
  elseif tonumber(fence) > tonumber(s) then
    redis.call('HSET', key, 's', fence)
  end
  if keep ~= '0' then redis.call('PEXPIRE', key, keep) end
end
`

/** `body` behind the check, with `KEYS` and `ARGV` of its own. */
function guarded(body: string): Script {
  return scriptOf(`${CHECK}
local refused = check(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
if refused then return refused end
return (function(KEYS, ARGV)
${body}
end)({ unpack(KEYS, 2) }, { unpack(ARGV, 4) })`)
}

const NOTHING = guarded(`return 'OK'`)
const COMMAND = guarded(`return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))`)

/** @see redisGuard */
export class RedisGuard {
  readonly #client: ReturnType<typeof clientOf>
  readonly #keyPrefix: string
  readonly #keepMs: number

  constructor(client: RedisLike, options: RedisGuardOptions = {}) {
    checkKnown(options, OPTIONS)
    const { keyPrefix = 'holdfast', keep } = options
    if (typeof keyPrefix !== 'string' || !/^[^{}\p{Cc}]+$/u.test(keyPrefix))
      throw new ArgumentTypeError('keyPrefix must be a text without braces and control characters')
    this.#keyPrefix = keyPrefix
    this.#keepMs = keep === undefined ? 0 : Math.ceil(positive(keep, 'keep', finite))
    this.#client = clientOf(client)
  }

  /** Let the holder in and remember its fence, with nothing behind it. What follows is another step. */
  async check(holder: Holder): Promise<void> {
    await this.#send(NOTHING, holder, [], [])
  }

  /** `GET key`. */
  async get(holder: Holder, key: string): Promise<string | null> {
    return this.call<string | null>(holder, 'GET', key)
  }

  /** `SET key value`, and what may follow it: `guard.set(lease, 'a', 1, 'PX', 5000)`. */
  async set(holder: Holder, key: string, value: RedisValue, ...options: readonly RedisValue[]): Promise<unknown> {
    return this.call(holder, 'SET', key, value, ...options)
  }

  /** `DEL key`. `true`: it was there. */
  async del(holder: Holder, key: string): Promise<boolean> {
    return Number(await this.call(holder, 'DEL', key)) > 0
  }

  /**
   * Any command whose only key comes first: `guard.call(lease, 'HINCRBY', 'account:7', 'balance', -30)`. The reply is that
   * of the server, as it was; `Reply` is what it is known to be. For commands with several keys, or several commands in one step, there is `script`.
   *
   * @throws StaleFenceError, and whatever the client throws
   */
  async call<Reply = unknown>(
    holder: Holder,
    command: string,
    key: string,
    ...args: readonly RedisValue[]
  ): Promise<Reply> {
    checkString(command, 'a command')
    return (await this.#send(COMMAND, holder, [key], [command, ...args])) as Reply
  }

  /**
   * The user's own script, behind the check and in one step with it.
   *
   * @param lua what would be given to `EVAL`; `KEYS` and `ARGV` are those of its caller, without the key of the fences
   * @example
   * ```ts
   * import { connect } from 'holdfast'
   * import { redisGuard } from 'holdfast/guards'
   * import { Redis } from 'ioredis'
   *
   * const client = new Redis()
   * const withdraw = redisGuard(client).script<number>(`
   *   if tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[1]) then return 0 end
   *   redis.call('DECRBY', KEYS[1], ARGV[1])
   *   return 1`)
   * await connect(client).run('account:8', async (lease) => {
   *   const done = await withdraw(lease, { keys: ['account:8'], args: [30] })
   *   console.log(done === 1 ? 'withdrawn' : 'not enough')
   * })
   * client.disconnect()
   * ```
   */
  script<Reply = unknown>(lua: string): GuardedScript<Reply> {
    checkString(lua, 'a script')
    if (lua.trimStart().startsWith('#!'))
      throw new ArgumentTypeError('a script begins with #!; give it without that line, for the check comes first')
    const script = guarded(lua)
    return async (holder, input = {}) => {
      checkKnown(input, INPUT)
      return (await this.#send(script, holder, input.keys ?? [], input.args ?? [])) as Reply
    }
  }

  async #send(script: Script, holder: Holder, keys: readonly string[], args: readonly RedisValue[]): Promise<unknown> {
    const visitor = visitorOf(holder)
    const { name, fence, mode } = visitor
    if (!Array.isArray(keys) || !Array.isArray(args)) throw new ArgumentTypeError('keys and args are arrays')
    for (const key of keys) checkString(key, 'a key')
    const words = [String(fence), mode, String(this.#keepMs), ...args.map(textOf)]
    try {
      return await this.#client.script(script, [this.#keyOf(name), ...keys], words)
    } catch (error) {
      const newest = error instanceof Error && /^STALEFENCE (\d+)/.exec(error.message)?.[1]
      throw newest ? new StaleFenceError(name, fence, BigInt(newest), { cause: error }) : error
    }
  }

  /**
   * In the slot of `name` and of every key whose hash tag is `name`. A name that has a hash tag itself keeps it, behind
   * another prefix, as `a` and `{a}` are two names.
   */
  #keyOf(name: string): string {
    return /[{}]/.test(name) ? `${this.#keyPrefix}:fence::${name}` : `${this.#keyPrefix}:fence:{${name}}`
  }
}

const INPUT: ReadonlySet<string> = new Set(['keys', 'args'])

function checkString(value: unknown, what: string): void {
  if (typeof value !== 'string' || value === '')
    throw new ArgumentTypeError(`${what} is ${describe(value)}; give a text`)
}

function textOf(value: RedisValue): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') return String(value)
  throw new ArgumentTypeError(`an argument is ${describe(value)}; give a text or a number`)
}
