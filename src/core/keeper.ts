/**
 * Keeps every entry of this connection alive, waiters and holders alike.
 *
 * A renewal has three outcomes. Held moves the deadline, counted from when the request left. Lost ends the entry at once.
 * An error tells nothing, so the old deadline stands: at the deadline a lease ends here, whatever the coordinator may
 * believe, because somebody else may hold from then on.
 *
 * Entries are renewed together: whatever has lived through half of its interval goes along with the one that is due, so a
 * thousand leases that were taken at a thousand moments are soon two requests an interval.
 */
import type { Backend, Placed, Renewal } from '../backend.ts'
import { FleetingSet } from '../fleeting.ts'
import type { Agenda, Appointment } from './agenda.ts'
import type { ElapsedClock } from '../elapsed.ts'
import { UnreachableError } from './errors.ts'
import { seconds } from './text.ts'

/** An entry in the keeper's care. Points in time are readings of the elapsed clock. */
export interface Charge {
  readonly claim: Placed
  readonly ttlMs: number
  /** How often to renew. */
  readonly intervalMs: number
  /** When to renew next. The keeper sets it to `Infinity` while a renewal is on its way; the charge sets it again. */
  renewAt: number
  /** When its owner must be told that it may be over, if no renewal is answered until then. */
  readonly endsAt: number
  /** @param renewal `undefined`: it holds, as was asked, and with the fence of its claim */
  answered(renewal: Renewal | undefined, sentAt: number, heardAt: number): void
  unanswered(error: unknown): void
  ended(): void
}

export class Keeper {
  readonly #backend: Backend
  readonly #clock: ElapsedClock
  readonly #agenda: Agenda
  readonly #requestTimeoutMs: number
  readonly #charges = new FleetingSet<Charge>()
  #next: Appointment | undefined
  #nextAt = Infinity

  constructor(backend: Backend, clock: ElapsedClock, agenda: Agenda, requestTimeoutMs: number) {
    this.#backend = backend
    this.#clock = clock
    this.#agenda = agenda
    this.#requestTimeoutMs = requestTimeoutMs
  }

  add(charge: Charge): void {
    this.#charges.add(charge)
    this.plan(charge)
  }

  remove(charge: Charge): void {
    this.#charges.delete(charge)
  }

  /** `charge` has set its times anew. */
  plan(charge: Charge): void {
    if (this.#charges.has(charge)) this.#wakeAt(Math.min(charge.renewAt, charge.endsAt))
  }

  /** Renew now, and whatever may go along. Does nothing while a renewal of it is on its way. */
  renewNow(charge: Charge): void {
    if (charge.renewAt === Infinity) return
    charge.renewAt = this.#clock.now()
    this.#round()
  }

  #wakeAt(at: number): void {
    if (at >= this.#nextAt) return
    this.#next?.cancel()
    this.#nextAt = at
    this.#next = this.#agenda.at(at, () => {
      this.#nextAt = Infinity
      this.#round()
    })
  }

  #round(): void {
    const now = this.#clock.now()
    const ended: Charge[] = []
    let due = false
    for (const charge of this.#charges.all()) {
      if (charge.endsAt <= now) ended.push(charge)
      else if (charge.renewAt <= now) due = true
    }
    // Who hears that it has ended may end others.
    for (const charge of ended) if (this.#charges.has(charge)) charge.ended()
    const going: Charge[] = []
    let next = Infinity
    let firstEnd = Infinity
    for (const charge of this.#charges.all()) {
      const { renewAt, endsAt, intervalMs } = charge
      next = Math.min(next, endsAt)
      if (due && renewAt - now <= intervalMs / 2) {
        charge.renewAt = Infinity
        going.push(charge)
        firstEnd = Math.min(firstEnd, endsAt)
      } else {
        next = Math.min(next, renewAt)
      }
    }
    if (going.length > 0) this.#renew(going, firstEnd)
    this.#wakeAt(next)
  }

  /** @param firstEnd when the first of them ends */
  #renew(charges: readonly Charge[], firstEnd: number): void {
    const sentAt = this.#clock.now()
    const pending = new Set<readonly Charge[]>()
    const controller = new AbortController()
    // Shorter than what is left of any of them, so that there is time for another try.
    const timeoutMs = Math.min(this.#requestTimeoutMs, (firstEnd - sentAt) / 2)
    const limit = this.#agenda.at(sentAt + timeoutMs, () => {
      const error = new UnreachableError(undefined, `a renewal was not answered within ${seconds(timeoutMs)}`)
      controller.abort(error)
      for (const group of pending) for (const charge of group) charge.unanswered(error)
    })
    const settle = (group: readonly Charge[]): boolean => {
      const inTime = pending.delete(group)
      if (pending.size === 0) limit.cancel()
      return inTime
    }
    const groups = this.#backend.renewAll ? byTtl(charges) : charges.map((charge) => [charge])
    for (const group of groups) pending.add(group)
    for (const group of groups) {
      // An answer that comes after the time limit is still true, so it is heard whenever it comes.
      this.#ask(group, controller.signal).then(
        (renewals) => {
          settle(group)
          const heardAt = this.#clock.now()
          for (let index = 0; index < group.length; index += 1) group[index]!.answered(renewals[index], sentAt, heardAt)
        },
        (error: unknown) => {
          if (settle(group) && !controller.signal.aborted) for (const charge of group) charge.unanswered(error)
        },
      )
    }
  }

  /** Renew charges of one ttl. */
  async #ask(group: readonly Charge[], signal: AbortSignal): Promise<readonly (Renewal | undefined)[]> {
    const [first] = group as readonly [Charge]
    if (group.length === 1) return [await this.#backend.renew(first.claim, first.ttlMs, signal)]
    const claims = group.map(({ claim }) => claim)
    return this.#backend.renewAll!(claims, first.ttlMs, signal)
  }
}

function byTtl(charges: readonly Charge[]): Charge[][] {
  const groups = new Map<number, Charge[]>()
  for (const charge of charges) {
    const group = groups.get(charge.ttlMs)
    if (group) group.push(charge)
    else groups.set(charge.ttlMs, [charge])
  }
  return [...groups.values()]
}
