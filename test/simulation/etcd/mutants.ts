/** Known mistakes that only etcd with its leases, leaders and watches shows, to be put in on purpose. */
import type { Mutant } from '../mutant.ts'

const endings = 'backends/etcd/endings.ts'
const joining = 'backends/etcd/joining.ts'
const joins = 'backends/etcd/joins.ts'
const keeping = 'backends/etcd/keeping.ts'
const lane = 'backends/etcd/lane.ts'
const leases = 'backends/etcd/leases.ts'
const standings = 'backends/etcd/standings.ts'
const store = 'backends/etcd/store.ts'

export const etcdMutants: readonly Mutant[] = [
  {
    name: 'validity-from-the-join',
    mistake: 'an entry is kept for its ttl from its join, however old its lease is',
    patches: [
      {
        file: standings,
        find: 'const lasting = seat.lease ? seat.lease.until - delayOf(seat) : Infinity',
        replace: 'const lasting = Infinity',
      },
    ],
    seedsMax: 10000,
  },
  {
    name: 'kept-from-the-answer',
    mistake: 'a keep-alive counts from when it was answered',
    patches: [
      {
        file: leases,
        find: 'lease.until = Math.max(lease.until, sentAt + seconds * 1000)',
        replace: 'lease.until = Math.max(lease.until, this.#clock.now() + seconds * 1000)',
      },
    ],
    seedsMax: 5000,
  },
  {
    name: 'holder-not-told',
    mistake: 'a watch that tells of the end of an entry is not heeded by its holder',
    patches: [{ file: endings, find: '    this.#wakes.wake(id)\n    alarm?.()', replace: '    this.#wakes.wake(id)' }],
    seedsMax: 1000,
  },
  {
    name: 'no-epoch',
    mistake: 'a join does not ask for the epoch of its lease',
    patches: [
      {
        file: lane,
        find: 'const keys = leases.map(({ epochKey }) => epochKey)',
        replace: 'const keys = leases.slice(0, 0).map(({ epochKey }) => epochKey)',
      },
    ],
    seedsMax: 5000,
  },
  {
    name: 'copy-speaks-early',
    mistake: 'a copy of the queue speaks of a place that it has not heard of',
    patches: [
      {
        file: standings,
        find: 'if (!copy.standing || !copy.knows(seat.fence)) await',
        replace: 'if (!copy.standing) await',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'key-used-again',
    mistake: 'a key whose deletion was not answered is used again',
    patches: [{ file: store, find: '        unsure()\n', replace: '' }],
    seedsMax: 3000,
  },
  {
    name: 'joins-together',
    mistake: 'two entries of one name may join in one transaction',
    patches: [
      { file: joins, find: 'const apart = seats.map(({ name }) => name)', replace: 'const apart: string[] = []' },
    ],
    seedsMax: 400,
  },
  {
    name: 'taken-over-early',
    mistake: 'without leases, an entry is taken over after half of its ttl',
    patches: [
      { file: standings, find: 'now - seenAt >= record.keptMs)', replace: 'now - seenAt >= record.keptMs / 2)' },
    ],
    seedsMax: 400,
  },
  {
    name: 'jump-takes-over',
    mistake: 'without leases, a waiter whose wall clock is set ahead takes over what others hold',
    patches: [
      {
        file: standings,
        find: '      const now = this.#runtime.monotonicMs()\n      const stale',
        replace: '      const now = this.#clock.now()\n      const stale',
      },
    ],
    seedsMax: 1000,
  },
  {
    name: 'waiter-promised-all',
    mistake: 'whoever holds by what a waiter has written is promised its whole ttl',
    patches: [
      {
        file: joins,
        find: 'const keptMs = lease ? wantedMs : Math.min(wantedMs, promisedMs(record, seat))',
        replace: 'const keptMs = wantedMs',
      },
    ],
    seedsMax: 3000,
  },
  {
    name: 'moved-to-an-ending-lease',
    mistake: 'an entry is put on a lease that has a moment left',
    patches: [
      {
        file: keeping,
        find: '        if (lease.until < until) await this.#leases.beat(lease)\n        return lease',
        replace: '        return lease',
      },
    ],
    seedsMax: 12000,
  },
  {
    name: 'gone-frees-its-key',
    mistake: 'an entry that is found gone while its deletion is on its way gives its key free',
    patches: [
      {
        file: endings,
        find: "if (seat.state === 'over' || seat.ending) return",
        replace: "if (seat.state === 'over') return",
      },
    ],
    seedsMax: 12000,
  },
  {
    name: 'reader-writes-over',
    mistake: 'a reader whose join was not answered asks again, and writes over its own key',
    patches: [
      {
        file: joining,
        find: "return kind === 'r' ? [...conditions, absentKey(key)] : conditions",
        replace: 'return conditions',
      },
    ],
    seedsMax: 5000,
  },
  {
    name: 'renewal-writes-less',
    mistake: 'without leases, a renewal for less makes an entry shorter that another one has made longer',
    patches: [
      {
        file: standings,
        find: 'const longest = (): number => seat.askedUntil - this.#clock.now() + delayOf(seat)',
        replace: 'const longest = (): number => keptMs',
      },
    ],
    seedsMax: 1000,
  },
]
