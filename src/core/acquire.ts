/**
 * The one waiting loop.
 *
 * Subscribe, then ask; otherwise a release between the two wakes nobody. A wake is a hint, the queue is the truth: every
 * wait also has a timer. One try has one owner token; when a place is lost, or the outcome of a join stays unknown, the
 * next try has a new one.
 */
import type { Claim, Entry, Held, Refused, Renewal, Standing } from '../backend.ts'
import type { Appointment } from './agenda.ts'
import {
  CapacityMismatchError,
  ClosedError,
  HeldError,
  HoldfastError,
  QueueFullError,
  UnreachableError,
  WaitTimeoutError,
} from './errors.ts'
import { seconds } from './text.ts'
import { emit } from './events.ts'
import type { Charge } from './keeper.ts'
import type { Grant } from './lease.ts'
import { CoreLease, validity } from './lease.ts'
import type { Request } from './request.ts'
import type { Closable, Session } from './session.ts'
import { isFinal } from './session.ts'
import { describeWho } from './who.ts'

/** A refused entry of a coordinator without a queue asks again after this long at the latest. */
const RECHECK_MS = 2000
/** Who was granted by a wake asks for the full lease after this. */
const FULL_LEASE_SOON_MS = 50
const SAME_MOMENT_MS = 1

type Outcome =
  | { readonly state: 'granted'; readonly lease: CoreLease }
  | { readonly state: 'refused'; readonly refusal: Refused }
  /** The place in the queue lapsed, or the grant came too late to be used. */
  | { readonly state: 'lapsed' }

/**
 * Stand in the queue until granted.
 *
 * @param info what the entry says of its owner
 * @throws HeldError, WaitTimeoutError, QueueFullError, CapacityMismatchError, UnreachableError, ClosedError, or the
 *   reason of the caller's own signal
 */
export async function acquire(session: Session, request: Request, info: string): Promise<CoreLease> {
  const since = session.clock.now()
  let waited = false
  let news: News | undefined
  try {
    for (let now = since; ; now = session.clock.now()) {
      request.signal?.throwIfAborted()
      if (session.closed) throw new ClosedError(request.name)
      news?.asking()
      const attempt = new Attempt(session, request, info, since, waited)
      const outcome = await attempt.run(now)
      switch (outcome.state) {
        case 'granted':
          // A process that was frozen between the answer and this line must not be given a hold that is over.
          if (outcome.lease.state !== 'lost') return outcome.lease
          void outcome.lease.release()
          checkPatience(session, request, since)
          break
        case 'refused':
          waited = true
          checkRefusal(session, request, outcome.refusal, since)
          news ??= new News(session, request.queue)
          await nextChance(session, request, outcome.refusal, since, news)
          break
        case 'lapsed':
          waited = true
          checkPatience(session, request, since)
          break
      }
    }
  } catch (error) {
    emit('holdfast:give-up', () => ({
      name: request.name,
      kind: request.kind,
      waitedMs: session.clock.now() - since,
      code: codeOf(error),
    }))
    throw error
  } finally {
    news?.end()
  }
}

/**
 * Hold all of these at once, in one step of the coordinator, if nobody is in the way.
 *
 * @returns `undefined`: somebody is, or the coordinator cannot; then nothing was taken
 * @throws UnreachableError, ClosedError, or the reason of the caller's own signal
 */
export function acquireTogether(
  session: Session,
  requests: readonly Request[],
  infoOf: (request: Request) => string,
): Promise<CoreLease[] | undefined> {
  const { backend, agenda, clock, options } = session
  if (!backend.joinAll || session.closed) return Promise.resolve(undefined)
  const [{ name: first, signal }] = requests as readonly [Request]
  const sentAt = clock.now()
  const entries = requests.map((each) => entryOf(session, each, infoOf(each)))
  const joined = backend.joinAll(entries)
  return new Promise((resolve, reject) => {
    let over = false
    const leave = (): void => {
      for (const [index, { name, id }] of entries.entries()) void session.leave({ name, id }, requests[index]!.ttlMs)
    }
    const end = (): void => {
      over = true
      alive()
      limit.cancel()
      session.exit(member)
      signal?.removeEventListener('abort', abort)
    }
    const giveUp = (error: unknown): void => {
      if (over) return
      end()
      leave()
      reject(error)
    }
    const abort = (): void => giveUp(signal!.reason)
    const member: Closable = { closeDown: giveUp }
    const alive = agenda.keepAlive()
    const limit = agenda.at(sentAt + options.requestTimeoutMs, () => {
      const silent = `"${first}": the coordinator (${backend.kind}) did not answer within ${seconds(options.requestTimeoutMs)}`
      giveUp(new UnreachableError(first, silent))
    })
    session.enter(member)
    signal?.addEventListener('abort', abort, { once: true })
    joined.then(
      (held) => {
        // They were left, and put in after that.
        if (over) {
          if (held) leave()
          return
        }
        end()
        const grants = held && grantsOf(session, requests, entries, held, sentAt)
        if (held && !grants) leave()
        resolve(grants?.map((grant, index) => new CoreLease(session, requests[index]!, grant)))
      },
      (error: unknown) => {
        if (over) leave()
        else giveUp(unreachable(first, error))
      },
    )
  })
}

/** What was granted; `undefined`: some of it is over already. */
function grantsOf(
  session: Session,
  requests: readonly Request[],
  entries: readonly Entry[],
  held: readonly Held[],
  sentAt: number,
): Grant[] | undefined {
  const now = session.clock.now()
  const grants = held.map(({ fence, ttlMs }, index): Grant => {
    const { ttlMs: askedMs, marginMs } = requests[index]!
    const { name, id } = entries[index]!
    const validUntil = validity(sentAt, askedMs, ttlMs, marginMs)
    const times = {
      at: now,
      validUntil,
      renewAt: sentAt + Math.min(askedMs, ttlMs) / 3,
      waited: false,
      waitedMs: now - sentAt,
    }
    return { claim: { name, id, fence }, fence, ...times }
  })
  return grants.every(({ validUntil }) => validUntil > now) ? grants : undefined
}

function entryOf(session: Session, request: Request, info: string): Entry {
  const entry: Entry = {
    name: request.queue,
    id: session.runtime.token(),
    weight: request.weight,
    capacity: request.capacity,
    ttlMs: request.ttlMs,
    waitTtlMs: Math.min(session.options.waitTtlMs, request.ttlMs),
    wait: request.waitMs > 0,
    info,
  }
  const { waitersMax, lockDelayMs } = request
  if (waitersMax === undefined && lockDelayMs === 0) return entry
  return { ...entry, ...(waitersMax === undefined ? {} : { waitersMax }), lockDelayMs }
}

/** A try has brought nothing that can be used: throw if there is no time for another. */
function checkPatience(session: Session, request: Request, since: number): void {
  if (session.closed) throw new ClosedError(request.name)
  const waitedMs = session.clock.now() - since
  if (waitedMs < request.waitMs) return
  if (request.waitMs > 0) throw new WaitTimeoutError(request.name, waitedMs, undefined)
  throw new UnreachableError(
    request.name,
    `"${request.name}": the coordinator answers later than a lease of ${seconds(request.ttlMs)} lasts`,
  )
}

/** Throw if a refusal is final. */
function checkRefusal(session: Session, request: Request, refusal: Refused, since: number): void {
  const { name, waitMs } = request
  if (refusal.reason === 'capacity')
    throw new CapacityMismatchError(name, request.capacity, refusal.capacity ?? request.capacity)
  if (refusal.reason === 'full') throw new QueueFullError(name, request.waitersMax ?? 0)
  if (waitMs === 0)
    throw refusal.reason === 'quarantine'
      ? inQuarantine(name, refusal.retryAfterMs)
      : new HeldError(name, describeWho(refusal.holder))
  const waitedMs = session.clock.now() - since
  if (waitedMs >= waitMs) throw new WaitTimeoutError(name, waitedMs, undefined)
}

function inQuarantine(name: string, leftMs: number): UnreachableError {
  const text = `the coordinator has forgotten what it granted, or is new, and grants nothing for ${seconds(leftMs)}`
  return new UnreachableError(name, `"${name}": ${text}`)
}

/** After a refusal: wait for a time at which it makes sense to ask again. */
async function nextChance(
  session: Session,
  request: Request,
  refusal: Refused,
  since: number,
  news: News,
): Promise<void> {
  // Whoever was told to stop between the answer and this line is told so by the next round of the loop.
  if (session.closed || request.signal?.aborted) return
  const left = request.waitMs - (session.clock.now() - since)
  // Jitter, or those who were refused together would ask together, and refuse each other again on a quorum.
  const pauseMs = Math.min(refusal.retryAfterMs, RECHECK_MS, left) * (0.5 + session.runtime.random() / 2)
  let end = (): void => {}
  const stop = (): void => end()
  const member: Closable = { closeDown: stop }
  session.enter(member)
  request.signal?.addEventListener('abort', stop, { once: true })
  try {
    await session.pause(pauseMs, (early) => {
      end = early
      news.next(early)
    })
  } finally {
    session.exit(member)
    request.signal?.removeEventListener('abort', stop)
  }
}

/**
 * Hears of changes of a name, for those who were refused and have no place in a queue.
 *
 * That the subscription stands is news as well. Otherwise: 1. we ask, and are refused;  2. the holder releases, which is
 * told to nobody;  3. we subscribe and sleep on.
 */
class News {
  readonly #following: Promise<() => void>
  #heard = false
  #wake = (): void => {}

  constructor(session: Session, queue: string) {
    const hear = (): void => {
      this.#heard = true
      this.#wake()
    }
    this.#following = session.backend.follow(queue, hear)
    // Not awaited: a subscription that is never confirmed must hold up neither the timer nor the signal, which then ask.
    this.#following.then(hear).catch(() => {})
  }

  /** What is asked from now on knows of what was heard so far. */
  asking(): void {
    this.#heard = false
  }

  /** Call `wake` when there is news that the last question did not know of. */
  next(wake: () => void): void {
    this.#wake = wake
    if (this.#heard) wake()
  }

  end(): void {
    void this.#following.then((unfollow) => unfollow()).catch(() => {})
  }
}

/** One try, with one owner token, from the subscription to the grant or the end. */
class Attempt implements Charge, Closable {
  readonly claim: Claim
  readonly ttlMs: number
  readonly intervalMs: number
  renewAt = Infinity
  endsAt = Infinity

  readonly #session: Session
  readonly #request: Request
  readonly #entry: Entry
  readonly #since: number
  readonly #waitedBefore: boolean
  readonly #outcome: Promise<Outcome>
  #resolve!: (outcome: Outcome) => void
  #reject!: (error: unknown) => void
  #done = false
  #joined = false
  #gaveUp = false
  #fence: bigint | undefined
  #ahead: number | undefined
  /** The last answer that said we stand in the queue: when it was asked, and how long it keeps us. */
  #sentAt = 0
  #keptMs = 0
  /** Tickets of which a wake said that they hold: kept, since a wake can overtake the answer of the join. */
  #heldTickets: Set<bigint> | undefined
  /** Why the last renewal was not answered. */
  #doubt: unknown
  /** The place may have lapsed, and the queue is asked once more. */
  #lastCall = false
  /** A hint came while a request was on its way: that request's answer may be older than the hint. */
  #askAgain = false
  #timeout: Appointment | undefined
  #limitedAt = 0
  #unwatch = (): void => {}
  #alive = (): void => {}
  readonly #abort = (): void => this.#fail(this.#request.signal!.reason)

  constructor(session: Session, request: Request, info: string, since: number, waitedBefore: boolean) {
    this.#session = session
    this.#request = request
    this.#since = since
    this.#waitedBefore = waitedBefore
    this.#entry = entryOf(session, request, info)
    this.claim = { name: this.#entry.name, id: this.#entry.id }
    this.ttlMs = request.ttlMs
    this.intervalMs = this.#entry.waitTtlMs / 3
    this.#outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** @param now the time of this call, as it was read */
  run(now: number): Promise<Outcome> {
    this.#alive = this.#session.agenda.keepAlive()
    this.#session.enter(this)
    this.#request.signal?.addEventListener('abort', this.#abort, { once: true })
    if (this.#entry.wait) this.#subscribe(now)
    else this.#join(now)
    return this.#outcome
  }

  answered(answer: Renewal | Standing | undefined, sentAt: number): void {
    // That is no answer to who has given no fence.
    if (!answer) return this.unanswered(undefined)
    if (this.#done) {
      // 1. We gave up and left;  2. the join arrived late and was put in;  3. it would stand there as a ghost until its
      // lease ends. But an answer that comes after a grant speaks of the lease that we handed out.
      if (this.#gaveUp && (answer.state === 'held' || answer.state === 'waiting')) this.#leave()
      return
    }
    switch (answer.state) {
      case 'held':
        return this.#grant(answer.fence, sentAt, answer.ttlMs)
      case 'waiting':
        return this.#stand(answer.fence, answer.ahead, answer.ttlMs, answer.retryAfterMs, sentAt)
      case 'refused':
        return this.#finish({ state: 'refused', refusal: answer })
      case 'lost':
        return this.#finish({ state: 'lapsed' })
    }
  }

  /** A renewal of the place was not answered: the place stands until its own end, and is asked for again soon. */
  unanswered(error: unknown): void {
    if (this.#done) return
    if (isFinal(error)) return this.#fail(error)
    this.#doubt = error
    const left = Math.max(0, this.endsAt - this.#session.clock.now())
    this.renewAt = this.#session.clock.now() + Math.max(10, (left / 8) * (0.5 + this.#session.runtime.random() / 2))
    this.#session.keeper.plan(this)
  }

  ended(): void {
    if (!this.#lastCall) {
      // Perhaps not the coordinator was silent, but this process stood still, or its machine slept. The queue knows
      // whether the place is still ours; if it is not, another try takes a new one.
      this.#lastCall = true
      this.endsAt = this.#session.clock.now() + this.#session.options.requestTimeoutMs
      if (this.renewAt < Infinity) this.renewAt = 0
      return this.#session.keeper.plan(this)
    }
    const silent = seconds(this.#session.clock.now() - this.#sentAt)
    this.#fail(
      new UnreachableError(
        this.#request.name,
        `"${this.#request.name}": the coordinator has not renewed the place in the queue for ${silent}, and it is lost`,
        this.#doubt === undefined ? undefined : { cause: this.#doubt },
      ),
    )
  }

  closeDown(error: ClosedError): void {
    this.#fail(error)
  }

  /**
   * Subscribe before asking. Otherwise:
   * 1. we ask, and hear "waiting";  2. the holder releases, the wake goes to nobody;  3. we subscribe and sleep on.
   */
  #subscribe(now: number): void {
    const watching = this.#session.backend.watch(this.claim, (news) => this.#wake(news?.held))
    if (typeof watching === 'function') {
      this.#unwatch = watching
      return this.#join(now)
    }
    this.#limit(now)
    watching.then(
      (unwatch) => {
        if (this.#done) return unwatch()
        this.#unwatch = unwatch
        this.#join(this.#session.clock.now())
      },
      (error: unknown) => this.#fail(unreachable(this.#request.name, error)),
    )
  }

  #join(sentAt: number): void {
    this.#limit(sentAt)
    this.#joined = true
    this.#session.backend.join(this.#entry).then(
      (standing) => {
        this.#timeout?.cancel()
        this.answered(standing, sentAt)
      },
      (error: unknown) => {
        // It may have been carried out after we left.
        if (this.#gaveUp) this.#leave()
        else this.#fail(unreachable(this.#request.name, error))
      },
    )
  }

  /** Give up if what is sent now is not answered in time. */
  #limit(sentAt: number): void {
    const { agenda, options, backend } = this.#session
    // A subscription that stood already took no time; then its limit will do.
    if (this.#timeout && sentAt - this.#limitedAt < SAME_MOMENT_MS) return
    this.#limitedAt = sentAt
    const left = this.#since + this.#request.waitMs - sentAt
    // A caller who waits longer than a request may take hears that the coordinator is silent, others that time is up.
    const timeoutMs =
      this.#request.waitMs === 0 ? options.requestTimeoutMs : Math.min(options.requestTimeoutMs, Math.max(left, 0))
    this.#timeout?.cancel()
    this.#timeout = agenda.at(sentAt + timeoutMs, () => {
      const silence = `"${this.#request.name}": the coordinator (${backend.kind}) did not answer within ${seconds(timeoutMs)}`
      const patient = timeoutMs >= options.requestTimeoutMs
      this.#fail(patient ? new UnreachableError(this.#request.name, silence) : this.#tooLong())
    })
  }

  /** We stand in the queue; from here on only renewals ask. */
  #stand(fence: bigint, ahead: number, keptMs: number, retryAfterMs: number, sentAt: number): void {
    const { clock, keeper, options } = this.#session
    const first = this.#fence === undefined
    this.#fence = fence
    this.#ahead = ahead
    this.#lastCall = false
    this.#doubt = undefined
    this.#sentAt = sentAt
    this.#keptMs = Math.min(this.#entry.waitTtlMs, keptMs)
    this.endsAt = sentAt + this.#keptMs + options.requestTimeoutMs
    this.renewAt = sentAt + this.intervalMs
    if (retryAfterMs < this.intervalMs) {
      this.renewAt = Math.min(this.renewAt, clock.now() + Math.max(retryAfterMs, 0))
    }
    if (this.#askAgain) {
      this.#askAgain = false
      this.renewAt = clock.now()
    }
    if (first) this.#queued(fence, ahead)
    else keeper.plan(this)
    if (this.#heldTickets?.has(fence)) this.#wake(fence)
  }

  /** The first answer: we have a ticket. */
  #queued(fence: bigint, ahead: number): void {
    const { keeper, agenda } = this.#session
    const { name, kind, waitMs } = this.#request
    keeper.add(this)
    emit('holdfast:wait', () => ({ name, kind, fence, ahead }))
    if (waitMs < Infinity) this.#timeout = agenda.at(this.#since + waitMs, () => this.#fail(this.#tooLong()))
  }

  #wake(held: bigint | undefined): void {
    if (this.#done) return
    if (held !== undefined) (this.#heldTickets ??= new Set()).add(held)
    if (this.#fence === undefined) {
      this.#askAgain = true
      return
    }
    // The coordinator's word that this very ticket holds, together with what the last renewal said about how long it is
    // kept, is a grant. A wake for any other ticket is a hint: without this check a delayed message gave two holders.
    if (held === this.#fence && this.#validByWake() - this.#session.clock.now() > this.#keptMs / 3) {
      return this.#grant(held, this.#sentAt, this.#keptMs)
    }
    if (this.renewAt === Infinity) this.#askAgain = true
    else this.#session.keeper.renewNow(this)
  }

  #validByWake(): number {
    return validity(this.#sentAt, this.#keptMs, this.#keptMs, this.#request.marginMs)
  }

  #grant(fence: bigint, sentAt: number, answeredMs: number): void {
    const now = this.#session.clock.now()
    const validUntil = validity(sentAt, this.#request.ttlMs, answeredMs, this.#request.marginMs)
    if (validUntil <= now) {
      // The answer took longer than what it grants. Somebody else may hold by now.
      this.#gaveUp = true
      this.#leave()
      return this.#finish({ state: 'lapsed' })
    }
    // A place that came to hold by a wake has the short lease of a waiter. The full one is asked for soon, but not at once:
    // most holds have ended by then, and what is left of the short one is a multiple of this.
    const soon = now + Math.min(FULL_LEASE_SOON_MS, (validUntil - now) / 3)
    const renewAt = answeredMs < this.#request.ttlMs * 0.9 ? soon : sentAt + this.#request.ttlMs / 3
    const waited = this.#waitedBefore || this.#fence !== undefined
    const claim = { name: this.claim.name, id: this.claim.id, fence }
    const grant = { claim, fence, at: now, validUntil, renewAt, waited, waitedMs: now - this.#since }
    // The lease begins here and not when the caller gets it: if the locks are closed in between, it must be given back.
    this.#finish({ state: 'granted', lease: new CoreLease(this.#session, this.#request, grant) })
  }

  #finish(outcome: Outcome): void {
    this.#end()
    this.#resolve(outcome)
  }

  /** Give up. The place is left whether or not we know that we have one. */
  #fail(error: unknown): void {
    if (this.#done) return
    this.#end()
    this.#gaveUp = true
    if (this.#joined) this.#leave()
    this.#reject(error)
  }

  #end(): void {
    this.#done = true
    this.#session.keeper.remove(this)
    this.#session.exit(this)
    this.#unwatch()
    this.#timeout?.cancel()
    this.#alive()
    this.#request.signal?.removeEventListener('abort', this.#abort)
  }

  #tooLong(): WaitTimeoutError {
    return new WaitTimeoutError(this.#request.name, this.#session.clock.now() - this.#since, this.#ahead)
  }

  #leave(): void {
    void this.#session.leave(this.claim, this.#request.ttlMs)
  }
}

function unreachable(name: string, cause: unknown): unknown {
  // A backend's own errors say what is wrong better than we could; anything else gets a name and a code.
  if (cause instanceof Error && 'code' in cause && cause.name === 'BackendError') return cause
  const detail = cause instanceof Error ? cause.message : String(cause)
  return new UnreachableError(name, `"${name}": the coordinator could not be asked: ${detail}`, { cause })
}

function codeOf(error: unknown): string {
  if (error instanceof HoldfastError) return error.code
  if (error instanceof Error) return 'code' in error ? String(error.code) : error.name
  return 'ABORTED'
}
