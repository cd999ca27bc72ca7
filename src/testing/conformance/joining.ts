/** Who holds, who waits, and who is refused. */
import assert from 'node:assert/strict'
import type { Case, Ticket } from './trial.ts'
import { READER, isHeld, isWaiting, within } from './trial.ts'

const PERMITS = { capacity: 4 } as const

export const joining = (waiters: number): readonly Case[] => [
  {
    name: 'an entry that meets nobody holds at once',
    needs: [],
    async run(trial) {
      const { standing } = await trial.ask()
      const { fence, ttlMs } = isHeld(standing)
      assert.ok(fence > 0n, 'a fence is above 0')
      within(ttlMs, 0, trial.ttlMs, 'the time it is kept')
    },
  },
  {
    name: 'a try is refused while somebody holds, and hears who that is',
    needs: [],
    async run(trial) {
      await trial.held({ info: '{"host":"first"}' })
      const { reason, holder, retryAfterMs } = await trial.refused()
      assert.deepEqual({ reason, holder }, { reason: 'held', holder: '{"host":"first"}' })
      within(retryAfterMs, 0, trial.ttlMs, 'the time after which to ask again')
    },
  },
  {
    name: 'a try that is refused leaves nothing behind',
    needs: [],
    async run(trial) {
      const holder = await trial.held()
      await trial.refused()
      await trial.refused()
      assert.deepEqual((await trial.view())?.waiters, [])
      await trial.leave(holder)
      assert.equal(await trial.view(), undefined)
      await trial.held()
    },
  },
  {
    name: 'a repeated join finds its entry',
    needs: [],
    async run(trial) {
      const { entry, standing } = await trial.ask()
      const again = await trial.answer(trial.backend.join(entry))
      assert.equal(isHeld(again).fence, isHeld(standing).fence)
      assert.equal(await trial.leave(entry), true)
      assert.ok(await trial.isFree(), 'one leave is enough for both')
    },
  },
  {
    name: 'a repeated join of a waiter finds its place',
    needs: ['queue'],
    async run(trial) {
      const holder = await trial.held()
      const first = await trial.waiting()
      const second = await trial.waiting()
      const again = isWaiting(await trial.answer(trial.backend.join(first)))
      assert.deepEqual([again.fence, again.ahead], [first.fence, 1])
      assert.equal((await trial.view())?.waiters.length, 2)
      await trial.leave(holder)
      await trial.stands(first, 'held')
      await trial.stands(second, 'waiting')
    },
  },
  {
    name: 'a repeated join does not bring a lapsed entry back with its old ticket',
    needs: [],
    async run(trial) {
      const lapsed = await trial.held({ ttlMs: trial.ttlMs / 2 })
      await trial.advance(0.75)
      const holder = await trial.held()
      const again = await trial.answer(trial.backend.join(lapsed))
      assert.notEqual(again.state, 'held', 'somebody else holds by now')
      if (again.state === 'waiting')
        assert.ok(again.fence > holder.fence, 'it stands behind the holder, with a new ticket')
      await trial.stands(holder, 'held')
    },
  },
  {
    name: 'a try does not overtake those who wait',
    needs: ['queue', 'permits'],
    async run(trial) {
      await trial.held({ ...PERMITS, weight: 3 })
      await trial.waiting({ ...PERMITS, weight: 2 })
      await trial.refused({ ...PERMITS, weight: 1 })
    },
  },
  {
    name: 'waiters hold in the order in which they joined',
    needs: ['queue'],
    async run(trial) {
      const line = [await trial.held()]
      for (let n = 0; n < 5; n += 1) line.push(await trial.waiting())
      await servedInOrder(line, trial.stands.bind(trial), trial.leave.bind(trial))
    },
  },
  {
    name: 'of entries that join at the same time one holds, and each has a ticket of its own',
    needs: ['queue'],
    async run(trial) {
      const asked = await Promise.all(Array.from({ length: 10 }, () => trial.ask()))
      const fences = new Set(asked.map(({ standing }) => (standing.state === 'refused' ? 0n : standing.fence)))
      assert.equal(fences.size, 10)
      assert.equal(asked.filter(({ standing }) => standing.state === 'held').length, 1)
    },
  },
  {
    name: 'of tries at the same time one holds at most',
    needs: [],
    async run(trial) {
      const asked = await Promise.all(Array.from({ length: 10 }, () => trial.ask({ wait: false })))
      assert.ok(asked.filter(({ standing }) => standing.state === 'held').length <= 1)
    },
  },
  {
    name: 'a place in the queue tells how many stand before it, and never gets worse',
    needs: ['queue', 'permits'],
    async run(trial) {
      const holder = await trial.held({ capacity: 2, weight: 2 })
      const first = await trial.waiting({ capacity: 2, weight: 1 })
      const second = await trial.waiting({ capacity: 2, weight: 2 })
      const third = await trial.waiting({ capacity: 2, weight: 1 })
      const ahead = async (): Promise<number> => isWaiting(await trial.renew(third)).ahead
      const seen = [await ahead()]
      await trial.waiting({ capacity: 2, weight: 1 })
      seen.push(await ahead())
      await trial.leave(holder)
      seen.push(await ahead())
      await trial.held({ name: `${trial.name}:other` })
      await trial.leave(second)
      await trial.stands(third, 'held')
      assert.deepEqual(seen, [3, 3, 2])
      await trial.stands(first, 'held')
    },
  },
  {
    name: 'an entry holds when the weights up to and including its own fit, and not by itself',
    needs: ['queue', 'permits'],
    async run(trial) {
      const two = await trial.held({ ...PERMITS, weight: 2 })
      const one = await trial.held({ ...PERMITS, weight: 1 })
      const heavy = await trial.waiting({ ...PERMITS, weight: 2 })
      const light = await trial.waiting({ ...PERMITS, weight: 1 })
      await trial.leave(one)
      await trial.stands(heavy, 'held')
      await trial.stands(light, 'waiting')
      await trial.leave(two)
      await trial.stands(light, 'held')
      await trial.stands(heavy, 'held')
    },
  },
  {
    name: 'readers hold together, and a try to write is refused',
    needs: ['shared'],
    async run(trial) {
      const first = await trial.held(READER)
      const second = await trial.held(READER)
      await trial.refused()
      await trial.leave(first)
      await trial.refused()
      await trial.leave(second)
      await trial.held()
      await trial.refused(READER)
    },
  },
  {
    name: 'a waiting writer stops later readers, and is served after the last earlier one',
    needs: ['queue', 'shared'],
    async run(trial) {
      const readers = [await trial.held(READER), await trial.held(READER)] as const
      const writer = await trial.waiting()
      const late = [await trial.waiting(READER), await trial.waiting(READER)] as const
      await trial.leave(readers[0])
      await trial.stands(writer, 'waiting')
      await trial.leave(readers[1])
      await trial.stands(writer, 'held')
      await trial.stands(late[0], 'waiting')
      await trial.leave(writer)
      for (const each of late) await trial.stands(each, 'held')
    },
  },
  {
    name: 'an entry does not wait behind more than waitersMax others',
    needs: ['queue'],
    async run(trial) {
      const holder = await trial.held({ waitersMax: 0 })
      assert.equal((await trial.refused({ wait: true, waitersMax: 0 })).reason, 'full')
      const first = await trial.waiting({ waitersMax: 1 })
      assert.equal((await trial.refused({ wait: true, waitersMax: 1 })).reason, 'full')
      const again = await trial.answer(trial.backend.join({ ...first, waitersMax: 0 }))
      assert.equal(isWaiting(again).fence, first.fence, 'whoever stands there already is not refused')
      await trial.leave(holder)
      await trial.stands(first, 'held')
      assert.equal((await trial.view())?.waiters.length, 0, 'who was refused left nothing behind')
    },
  },
  {
    name: 'waitersMax does not count waiters that have lapsed',
    needs: ['queue'],
    async run(trial) {
      await trial.held({ ttlMs: 2 * trial.ttlMs })
      await trial.waiting({ waitTtlMs: trial.ttlMs / 2 })
      await trial.advance(0.75)
      await trial.waiting({ waitersMax: 1 })
    },
  },
  {
    name: 'another capacity than that of the queue is refused, and hears which one it has',
    needs: ['permits'],
    async run(trial) {
      await trial.held({ capacity: 3, weight: 1 })
      const { reason, capacity } = await trial.refused({ capacity: 5, weight: 1, wait: true })
      assert.deepEqual({ reason, capacity }, { reason: 'capacity', capacity: 3 })
    },
  },
  {
    name: 'capacities are compared among entries that are alive',
    needs: ['permits'],
    async run(trial) {
      const first = await trial.held({ capacity: 3, weight: 1 })
      await trial.leave(first)
      await trial.held({ capacity: 5, weight: 1, ttlMs: trial.ttlMs / 2 })
      await trial.advance(0.75)
      await trial.held({ capacity: 2, weight: 1 })
    },
  },
  {
    name: 'a fence is larger than that of every earlier holder, and below 2^53',
    needs: [],
    async run(trial) {
      let last = 0n
      for (let n = 0; n < 5; n += 1) {
        const holder = await trial.held({ ttlMs: n === 3 ? trial.ttlMs / 4 : trial.ttlMs })
        assert.ok(holder.fence > last, `${holder.fence} must be larger than ${last}`)
        assert.ok(holder.fence < 2n ** 53n, `${holder.fence} must be below 2^53`)
        last = holder.fence
        if (n === 3) await trial.advance(0.5)
        else await trial.leave(holder)
      }
    },
  },
  {
    name: 'fences go on growing after everybody has closed',
    needs: ['durable', 'another'],
    async run(trial) {
      const before = await trial.held()
      await trial.leave(before)
      await trial.answer(trial.backend.close())
      const after = await trial.held({ on: await trial.another() })
      assert.ok(after.fence > before.fence)
    },
  },
  {
    name: 'two entries of one process are two entries',
    needs: [],
    async run(trial) {
      const first = await trial.held()
      await trial.refused()
      await trial.leave(first)
      const second = await trial.held()
      await trial.stands(first, 'lost')
      await trial.stands(second, 'held')
    },
  },
  {
    name: 'several names are taken in one step: all of them, or none',
    needs: ['together'],
    async run(trial) {
      const entries = ['a', 'b', 'c'].map((end) => trial.entry({ name: `${trial.name}:${end}` }))
      const held = await trial.answer(trial.backend.joinAll!(entries))
      assert.equal(held?.length, 3)
      for (const [index, { fence, ttlMs }] of held.entries()) {
        within(ttlMs, 0, trial.ttlMs, 'the time it is kept')
        await trial.stands({ ...entries[index]!, fence }, 'held')
      }
      const again = await trial.answer(trial.backend.joinAll!(entries))
      assert.deepEqual(
        again?.map(({ fence }) => fence),
        held.map(({ fence }) => fence),
        'asked again, they find their entries',
      )
      for (const end of ['a', 'c'])
        assert.equal(await trial.leave(entries.find(({ name }) => name.endsWith(end))!), true)
      const others = ['a', 'b', 'c'].map((end) => trial.entry({ name: `${trial.name}:${end}` }))
      assert.equal(await trial.answer(trial.backend.joinAll!(others)), undefined)
      for (const end of ['a', 'c']) assert.ok(await trial.isFree({ name: `${trial.name}:${end}` }))
      assert.deepEqual((await trial.view(`${trial.name}:b`))?.waiters, [])
    },
  },
  {
    name: 'names do not touch each other, though one begins with the other',
    needs: [],
    async run(trial) {
      const one = await trial.held()
      const other = await trial.held({ name: `${trial.name}:2` })
      await trial.leave(one)
      await trial.stands(other, 'held')
      await trial.refused({ name: other.name })
    },
  },
  {
    name: 'an id counts for the name that it joined, and for no other',
    needs: [],
    async run(trial) {
      const one = await trial.held()
      const other = await trial.held({ name: `${trial.name}:2` })
      const mixed = { ...one, name: other.name }
      await trial.stands(mixed, 'lost')
      assert.equal(await trial.leave(mixed), false)
      await trial.stands(one, 'held')
      await trial.stands(other, 'held')
    },
  },
  {
    name: 'without a queue an entry holds or is refused, also when it would wait',
    needs: ['no queue'],
    async run(trial) {
      const holder = await trial.held()
      await trial.refused({ wait: true })
      await trial.leave(holder)
      await trial.held()
    },
  },
  {
    name: `${waiters} waiters are served in order`,
    needs: ['queue'],
    async run(trial) {
      const patient = { ttlMs: 60 * trial.ttlMs, waitTtlMs: 60 * trial.ttlMs }
      const line = [await trial.held(patient)]
      const asked = await Promise.all(Array.from({ length: waiters }, () => trial.ask(patient)))
      for (const { entry, standing } of asked) line.push({ ...entry, fence: isWaiting(standing).fence })
      line.sort((a, b) => (a.fence < b.fence ? -1 : 1))
      await servedInOrder(line, trial.stands.bind(trial), trial.leave.bind(trial))
    },
  },
]

/** The first of the line holds and the second does not; the first leaves; and so on. */
async function servedInOrder(
  line: readonly Ticket[],
  stands: (entry: Ticket, state: 'held' | 'waiting') => Promise<void>,
  leave: (entry: Ticket) => Promise<boolean>,
): Promise<void> {
  for (const [place, entry] of line.entries()) {
    await stands(entry, 'held')
    const next = line[place + 1]
    if (next) {
      assert.ok(next.fence > entry.fence, 'tickets are drawn in the order of the queue')
      await stands(next, 'waiting')
    }
    assert.equal(await leave(entry), true)
  }
}
