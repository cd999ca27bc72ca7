/**
 * A guard in front of an HTTP handler: a request says by which fence it comes, and one that is too late is answered 412.
 *
 * In one server process check and handler are one step. A request that raises the fences of its name waits until no handler
 * is inside that they refuse, and later ones of those are refused at the door. So the handler of an old holder that was let
 * in ends before the one of a new holder begins. Across several processes that is not so: there the check belongs into the
 * transaction of the data.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { describe } from '../core/duration.ts'
import { ArgumentTypeError, HoldfastError, StaleFenceError } from '../core/errors.ts'
import { checkFunction, checkKnown, checkName } from '../core/request.ts'
import { isPromise } from './promise.ts'
import type { Holder, Seen, Visitor } from './rule.ts'
import { UNSEEN, accept, visitorOf, welcome } from './rule.ts'

/** The headers that `fenceHeaders` sets, in lower case. */
export type FenceHeaders = { readonly 'lock-name': string; readonly 'lock-fence': string; readonly 'lock-mode': string }

/**
 * The headers that tell a server by which fence a request comes: `Lock-Name` (percent-encoded), `Lock-Fence` (decimal) and
 * `Lock-Mode` (`exclusive` or `shared`).
 *
 * @example
 * ```ts
 * import { connect } from 'holdfast'
 * import { fenceHeaders } from 'holdfast/guards'
 *
 * await connect().run('account:7', async (lease) => {
 *   console.log(fenceHeaders(lease)) // { 'lock-name': 'account%3A7', 'lock-fence': '17…', 'lock-mode': 'exclusive' }
 * })
 * ```
 */
export function fenceHeaders(holder: Holder): FenceHeaders {
  const { name, fence, mode } = visitorOf(holder)
  return { 'lock-name': encodeURIComponent(name), 'lock-fence': String(fence), 'lock-mode': mode }
}

/**
 * `fetch` with the headers of a lease. A server that refuses the fence makes it reject, like a server that was never reached.
 *
 * @throws StaleFenceError when a guard refused the fence; what `fetch` throws
 */
export async function fencedFetch(holder: Holder, input: string | URL, init: RequestInit = {}): Promise<Response> {
  const { name, fence } = visitorOf(holder)
  const headers = new Headers(init.headers)
  for (const [header, value] of Object.entries(fenceHeaders(holder))) headers.set(header, value)
  const response = await fetch(input, { ...init, headers })
  if (response.status !== REFUSED) return response
  const body: unknown = await response
    .clone()
    .json()
    .catch(() => undefined)
  const { code, newest } = (body ?? {}) as { code?: unknown; newest?: unknown }
  if (code !== 'STALE_FENCE' || typeof newest !== 'string' || !DECIMAL.test(newest)) return response
  throw new StaleFenceError(name, fence, BigInt(newest))
}

/** Remembers fences. `redisGuard` is one; of `sqlGuard`, `{ check: (holder) => guard.check(holder, query) }`. */
export interface FenceStore {
  /** @throws StaleFenceError if the fence is too old */
  check(holder: Holder): void | Promise<void>
}

export interface HttpGuardOptions {
  /** Asked as well, after this process has let a request in: so several processes, and a restarted one, know what was seen. */
  readonly store?: FenceStore
}

/** The name of the lock that protects what a request is about. The same as its client holds. */
export type NameOf<Request> = string | ((request: Request) => string)

/**
 * Puts the check of a fence in front of handlers. A request without a fence is answered 428, with a wrong one 400, with one
 * that is too old 412, also if the handler itself throws a `StaleFenceError`; none of these reaches the data.
 *
 * What the handlers of one guard, in one process, do until they are done is one step with the check. For several processes
 * that share the data, check in the transaction of the data.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http'
 * import { httpGuard } from 'holdfast/guards'
 *
 * const guard = httpGuard()
 * const server = createServer(
 *   guard.node('account:7', async (request, response) => {
 *     response.end('100')
 *   }),
 * )
 * server.listen(0, () => server.close())
 * ```
 */
export function httpGuard(options: HttpGuardOptions = {}): HttpGuard {
  return new HttpGuard(options)
}

const OPTIONS: ReadonlySet<string> = new Set(['store'])

/** @see httpGuard */
export class HttpGuard {
  readonly #store: FenceStore | undefined
  readonly #doors = new Map<string, Door>()

  constructor(options: HttpGuardOptions = {}) {
    checkKnown(options, OPTIONS)
    const { store } = options
    if (store !== undefined && typeof (store as Partial<FenceStore> | null)?.check !== 'function')
      throw new ArgumentTypeError(
        `store is ${describe(store)}; give an object with check(holder), such as a redisGuard`,
      )
    this.#store = store
  }

  /** A handler of `Request` and `Response`. It is inside until its promise is settled. */
  fetch<R extends Request>(
    name: NameOf<R>,
    handler: (request: R, holder: Holder) => Response | Promise<Response>,
  ): (request: R) => Promise<Response> {
    checkNameOf(name)
    checkFunction(handler, 'a guard')
    return async (request) => {
      let visitor: Visitor | undefined
      try {
        visitor = visitorFrom(request.headers, nameFor(name, request))
        const holder = visitor
        return uncached(await this.#enter(holder, async () => handler(request, holder)))
      } catch (error) {
        const { status, headers, body } = answerTo(error, visitor)
        return new Response(body, { status, headers })
      }
    }
  }

  /**
   * A handler of `node:http`, and so of Express and the like. It is inside until its promise is settled; without a promise,
   * until the response is closed.
   */
  node<Q extends IncomingMessage, S extends ServerResponse>(
    name: NameOf<Q>,
    handler: (request: Q, response: S, holder: Holder) => unknown,
  ): (request: Q, response: S) => Promise<void> {
    checkNameOf(name)
    checkFunction(handler, 'a guard')
    return async (request, response) => {
      let visitor: Visitor | undefined
      try {
        visitor = visitorFrom(headersOf(request.headers), nameFor(name, request))
        const holder = visitor
        response.setHeader('cache-control', 'no-store')
        await this.#enter(holder, async () => {
          const handled = handler(request, response, holder)
          if (isPromise(handled)) await handled
          // Its client may have left while it stood at the door: nothing would close the response again.
          else if (!response.closed) await new Promise<void>((done) => void response.once('close', done))
        })
      } catch (error) {
        const { status, headers, body } = answerTo(error, visitor)
        // It has answered already, and says by throwing that this was too early.
        if (response.headersSent) throw error
        response.writeHead(status, headers).end(body)
      }
    }
  }

  async #enter<T>(visitor: Visitor, handle: () => Promise<T>): Promise<T> {
    const door = this.#doors.get(visitor.name) ?? new Door()
    this.#doors.set(visitor.name, door)
    return door.enter(visitor, async () => {
      await this.#store?.check(visitor)
      return handle()
    })
  }
}

/** Of one name: what was seen, and who is inside. */
class Door {
  #seen: Seen = UNSEEN
  readonly #inside = new Map<Visitor, Promise<void>>()

  async enter<T>(visitor: Visitor, handle: () => Promise<T>): Promise<T> {
    this.#seen = accept(this.#seen, visitor)
    for (;;) {
      const late = [...this.#inside].filter(([other]) => !welcome(this.#seen, other)).map(([, left]) => left)
      if (late.length === 0) break
      await Promise.all(late)
    }
    // While this one waited, a newer one may have come.
    this.#seen = accept(this.#seen, visitor)
    const handled = handle()
    const left = handled.then(
      () => {},
      () => {},
    )
    this.#inside.set(visitor, left)
    try {
      return await handled
    } finally {
      this.#inside.delete(visitor)
    }
  }
}

/** It says which header is not as it must be. */
class HeaderError extends HoldfastError {
  override readonly name = 'HeaderError'
  readonly status: 400 | 428

  constructor(status: 400 | 428, code: string, lock: string, message: string) {
    super(code, lock, message)
    this.status = status
  }
}

/** A precondition that a header of the request states does not hold: what 412 is for. 409 invites to try again. */
const REFUSED = 412
const DECIMAL = /^[1-9]\d{0,15}$/

/** @throws HeaderError */
function visitorFrom(headers: Headers, name: string): Visitor {
  const [fence, mode, said] = ['lock-fence', 'lock-mode', 'lock-name'].map((header) => headers.get(header))
  const malformed = (text: string): HeaderError => new HeaderError(400, 'BAD_ARGUMENT', name, text)
  if (fence == null)
    throw new HeaderError(
      428,
      'FENCE_REQUIRED',
      name,
      `send the fence of your lease on "${name}" in the header Lock-Fence`,
    )
  if (!DECIMAL.test(fence) || !Number.isSafeInteger(Number(fence)))
    throw malformed('Lock-Fence must be a whole number above 0 and below 2^53')
  if (mode !== null && mode !== 'exclusive' && mode !== 'shared')
    throw malformed('Lock-Mode must be exclusive or shared')
  if (said != null && said !== encodeURIComponent(name))
    throw malformed(`Lock-Name is ${said}, but this is protected by ${encodeURIComponent(name)}`)
  return { name, fence: BigInt(fence), mode: mode ?? 'exclusive' }
}

interface Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

/** As `application/problem+json`. @throws what is not about this visitor's fence, such as the refusal of another server */
function answerTo(error: unknown, visitor: Visitor | undefined): Answer {
  if (error instanceof HeaderError) return problem(error.status, error)
  if (error instanceof StaleFenceError && error.lock === visitor?.name && error.fence === visitor?.fence)
    return problem(REFUSED, error, { fence: String(error.fence), newest: String(error.newest) })
  throw error
}

function problem(status: keyof typeof TITLES, error: HoldfastError, fences: object = {}): Answer {
  const { code, lock: name, message: detail } = error
  return {
    status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' },
    body: JSON.stringify({ title: TITLES[status], status, detail, code, name, ...fences }),
  }
}

const TITLES = { 400: 'Bad fence', 412: 'Stale fence', 428: 'Fence required' } as const

/** A cache would answer reads that the guard never saw. */
function uncached(response: Response): Response {
  const { body, status, statusText } = response
  const headers = new Headers(response.headers)
  headers.set('cache-control', 'no-store')
  return new Response(body, { status, statusText, headers })
}

function headersOf(incoming: IncomingHttpHeaders): Headers {
  const headers = new Headers()
  for (const header of ['lock-fence', 'lock-mode', 'lock-name']) {
    const value = incoming[header]
    if (value !== undefined) headers.set(header, String(value))
  }
  return headers
}

function checkNameOf(name: unknown): void {
  if (typeof name !== 'function') checkName(name)
}

function nameFor<R>(name: NameOf<R>, request: R): string {
  if (typeof name === 'string') return name
  const found = name(request)
  checkName(found)
  return found
}
