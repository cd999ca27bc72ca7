/** Known mistakes of the core and of the queue, to be put in on purpose. */
import type { Mutant, Patch } from '../mutant.ts'

const acquire = 'core/acquire.ts'
const lease = 'core/lease.ts'
const keeper = 'core/keeper.ts'
const table = 'queue/table.ts'

/** The keeper looks at its charges when it renews them, and not when they end. */
const untimed: readonly Patch[] = [
  {
    file: keeper,
    find: 'this.#wakeAt(Math.min(charge.renewAt, charge.endsAt))',
    replace: 'this.#wakeAt(charge.renewAt)',
  },
  {
    file: keeper,
    find: 'if (charge.endsAt <= now) ended.push(charge)\n      else if (charge.renewAt <= now) due = true',
    replace: 'if (charge.renewAt <= now) due = true',
  },
  {
    file: keeper,
    find: 'next = Math.min(next, endsAt)',
    replace: 'next = Math.min(next)',
  },
]

/** By itself a mistake, too: the second of two that together revive a lease. */
const ticketBlind: Patch = { file: lease, find: ' && renewal.fence === this.fence', replace: '' }

export const memoryMutants: readonly Mutant[] = [
  {
    name: 'validity-from-reply',
    mistake: 'the validity of a lease is counted from when the answer came',
    patches: [
      {
        file: keeper,
        find: 'group[index]!.answered(renewals[index], sentAt, heardAt)',
        replace: 'group[index]!.answered(renewals[index], heardAt, heardAt)',
      },
      {
        file: acquire,
        find: 'this.answered(standing, sentAt)',
        replace: 'this.answered(standing, this.#session.clock.now())',
      },
    ],
    seedsMax: 1000,
  },
  {
    name: 'no-deadline',
    mistake: 'a lease does not end by the local clock: neither by a timer nor when it is asked',
    patches: [
      ...untimed,
      { file: lease, find: '} else if (now >= this.#validUntil) {', replace: '} else if (now === Infinity) {' },
    ],
    seedsMax: 400,
  },
  {
    name: 'no-timer',
    mistake: 'a lease ends by the local clock only when it is asked',
    patches: untimed,
    seedsMax: 400,
  },
  {
    name: 'wake-without-ticket',
    mistake: 'a wake grants, whatever ticket it is for',
    patches: [
      {
        file: acquire,
        find: 'if (held === this.#fence && this.#validByWake()',
        replace: 'if (held !== undefined && this.#validByWake()',
      },
      {
        file: acquire,
        find: 'return this.#grant(held, this.#sentAt',
        replace: 'return this.#grant(this.#fence, this.#sentAt',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'renewal-shortens',
    mistake: 'a renewal sets the end of a lease also when that makes it shorter',
    patches: [
      {
        file: table,
        find: 'seat.until = Math.max(seat.until, nowMs + granted)',
        replace: 'seat.until = nowMs + granted',
      },
      {
        file: table,
        find: '    prolong(seat, ttlMs, now.monotonicMs)\n    return standing',
        replace:
          '    prolong(seat, ttlMs, now.monotonicMs)\n    queue.earliestEnd = Math.min(queue.earliestEnd, seat.until)\n    return standing',
      },
    ],
    seedsMax: 3000,
  },
  {
    name: 'lost-joins-again',
    mistake: 'an entry that is gone is brought back by a repeated join, and its new ticket is not looked at',
    patches: [
      ticketBlind,
      {
        file: acquire,
        find: 'this.claim = { name: this.#entry.name, id: this.#entry.id }',
        replace: 'this.claim = this.#entry',
      },
      {
        file: acquire,
        find: 'const claim = { name: this.claim.name, id: this.claim.id, fence }',
        replace: 'const claim = { ...this.claim, fence }',
      },
      {
        file: keeper,
        find: 'return [await this.#backend.renew(first.claim, first.ttlMs, signal)]',
        replace:
          '{ const answer = await this.#backend.renew(first.claim, first.ttlMs, signal)\n' +
          "return [answer.state === 'lost' ? ((await this.#backend.join(first.claim as never)) as never) : answer] }",
      },
    ],
    seedsMax: 600,
  },
  {
    name: 'lingering-renewed',
    mistake: 'a late renewal keeps a lingering entry alive',
    patches: [
      {
        file: table,
        find: 'seat.name === claim.name && !seat.lingering ? seat : undefined',
        replace: 'seat.name === claim.name ? seat : undefined',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'leave-without-token',
    mistake: 'release removes whoever holds the name',
    patches: [
      {
        file: table,
        find: 'lingerMs = 0): boolean {\n    const queue = this.#pruned(claim.name, now.monotonicMs)\n    const seat = this.#seatOf(claim)',
        replace:
          'lingerMs = 0): boolean {\n    const queue = this.#pruned(claim.name, now.monotonicMs)\n    const seat = queue?.seats[0]',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'no-margin',
    mistake: 'no margin for clocks that run differently',
    patches: [
      {
        file: lease,
        find: 'return sentAt + ttlMs - marginOf(ttlMs, marginMs)',
        replace: 'return sentAt + ttlMs - 0 * marginOf(ttlMs, marginMs)',
      },
    ],
    seedsMax: 1000,
  },
  {
    name: 'unanswered-is-held',
    mistake: 'a renewal that is not answered counts as one that is',
    patches: [
      {
        file: lease,
        find: '    // Again soon, but never in a hot loop',
        replace:
          '    this.#validUntil = this.#session.clock.now() + this.ttlMs\n    // Again soon, but never in a hot loop',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'gives-up-and-stays',
    mistake: 'a waiter that gives up does not leave the queue',
    patches: [{ file: acquire, find: 'if (this.#joined) this.#leave()', replace: '' }],
    seedsMax: 400,
  },
  {
    name: 'leaves-in-silence',
    mistake: 'a waiter or holder that leaves does not let in those behind it',
    patches: [
      {
        file: table,
        find: 'this.#forget(queue, seat)\n    this.#grant(queue, nowMs)',
        replace: 'this.#forget(queue, seat)',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'asks-then-subscribes',
    mistake: 'a waiter subscribes after it has asked, and nothing but a wake makes it hold',
    patches: [
      {
        file: acquire,
        find: 'if (this.#entry.wait) this.#subscribe(now)',
        replace: 'if (this.#entry.wait) this.#join(now)',
      },
      {
        file: acquire,
        find: 'this.#timeout?.cancel()\n        this.answered(standing, sentAt)',
        replace: `this.#timeout?.cancel()
        this.answered(standing, sentAt)
        if (this.#entry.wait && !this.#done) {
          void Promise.resolve(this.#session.backend.watch(this.claim, (news) => this.#wake(news?.held))).then((unwatch) => {
            if (this.#done) unwatch()
            else this.#unwatch = unwatch
          })
        }`,
      },
      {
        file: acquire,
        find: "case 'held':\n        return this.#grant(answer.fence",
        replace: `case 'held':
        if (this.#fence !== undefined && !this.#heldTickets?.has(answer.fence))
          return this.#stand(answer.fence, 1, answer.ttlMs, Infinity, sentAt)
        return this.#grant(answer.fence`,
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'counter-resets',
    mistake: 'fences are a plain counter that begins anew when a queue has been empty',
    patches: [
      {
        file: table,
        find: 'this.#lastFence = Math.max(this.#lastFence + 1, Math.floor(now.wallMs * 1000))',
        replace: 'this.#lastFence = (queue.seats.at(-1)?.fence ?? 0) + 1',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'guards-writes-only',
    mistake: 'the resource compares fences on writes, and lets anybody read',
    patches: [
      {
        file: 'verify/register.ts',
        find: "const accepted = this.#admit(visitor)\n    this.#record(visitor, { does: 'read', accepted })",
        replace: "const accepted = true\n    this.#record(visitor, { does: 'read', accepted })",
      },
    ],
    seedsMax: 600,
  },
  {
    name: 'old-answer-releases',
    mistake: 'an answer that comes after a grant is taken for a ghost, and leaves',
    patches: [{ file: acquire, find: 'if (this.#gaveUp && (answer', replace: 'if ((answer' }],
    seedsMax: 400,
  },
  {
    name: 'last-in-first-out',
    mistake: 'the newest waiter is served first',
    patches: [
      { file: table, find: 'queue.seats.push(seat)', replace: 'queue.seats.splice(queue.holders, 0, seat)' },
      {
        file: table,
        find: 'function indexOf(queue: Queue, fence: number): number {\n',
        replace:
          'function indexOf(queue: Queue, fence: number): number {\n  if (fence) return queue.seats.findIndex((each) => each.fence === fence)\n',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'lost-is-ignored',
    mistake: 'a renewal that is answered with "lost" keeps the lease going',
    patches: [
      {
        file: lease,
        find: 'if (renewal && !this.#isOurs(renewal)) return this.#gone()',
        replace: "if (renewal?.state === 'waiting') return this.#gone()",
      },
      {
        file: lease,
        find: 'renewal ? renewal.ttlMs : askedMs',
        replace: '(renewal as { ttlMs?: number } | undefined)?.ttlMs ?? askedMs',
      },
    ],
    seedsMax: 600,
  },
  {
    name: 'sleep-is-ignored',
    mistake: 'the time for which the machine slept is not counted',
    patches: [{ file: 'elapsed.ts', find: 'this.#added += jump', replace: '' }],
    seedsMax: 400,
  },
  {
    name: 'token-reused',
    mistake: 'the next try has the owner token of the one before',
    patches: [
      {
        file: acquire,
        find: 'id: session.runtime.token(),',
        replace:
          'id: ((session as never as Record<string, string>)[`token of ${request.queue}`] ??= session.runtime.token()),',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'late-join-stays',
    mistake: 'a join that is put in after its waiter gave up is not left',
    patches: [
      { file: acquire, find: 'if (this.#gaveUp && (answer', replace: 'if (this.#done === undefined && (answer' },
    ],
    seedsMax: 400,
  },
  {
    name: 'downgrade-forgotten',
    mistake: 'a downgrade that is not answered leaves its lease saying that it is a writer',
    patches: [
      { file: lease, find: "    this.#mode = 'shared'\n", replace: '' },
      {
        file: lease,
        find: 'if (this.#isOurs(answer)) this.#lightened = true',
        replace: "if (this.#isOurs(answer)) {\n      this.#lightened = true\n      this.#mode = 'shared'\n    }",
      },
    ],
    seedsMax: 1500,
  },
  {
    name: 'another-ticket',
    mistake: 'a renewal that is answered for another ticket of the same owner token keeps the lease going',
    patches: [ticketBlind],
    seedsMax: 4000,
  },
  {
    name: 'evicted-is-told',
    mistake: 'an eviction that comes first upon an expired holder tells the evicted waiter that it holds',
    patches: [{ file: table, find: 'if (granted !== -1) this.granted.splice(granted, 1)', replace: '' }],
    seedsMax: 4000,
  },
  {
    name: 'late-timer',
    mistake: 'a timer that was set before the wall clock jumped ahead is taken to be in time',
    patches: [
      {
        file: 'core/agenda.ts',
        find: 'clock.onLeap(() => this.#rearm())',
        replace: '',
      },
    ],
    seedsMax: 3000,
  },
  {
    name: 'lost-comes-back',
    mistake: 'a lease that was reported lost comes back when a late answer says that it holds',
    patches: [
      {
        file: lease,
        find: '    // Reported lost is lost, and released is released, whatever a late answer says.\n    if (this.#over()) return\n',
        replace: "    if (this.#state === 'released') return\n    this.#state = 'held'\n    this.#lost = undefined\n",
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'answers-mixed-up',
    mistake: 'the answers to many renewals are given to the wrong entries',
    patches: [
      {
        file: keeper,
        find: 'group[index]!.answered(renewals[index], sentAt, heardAt)',
        replace: 'group[index]!.answered(renewals[group.length - 1 - index], sentAt, heardAt)',
      },
    ],
    seedsMax: 1000,
  },
]
