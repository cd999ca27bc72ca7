/** How long an entry is kept. */
import assert from 'node:assert/strict'
import type { Case } from './trial.ts'
import { isHeld, isWaiting, within } from './trial.ts'

export const renewing: readonly Case[] = [
  {
    name: 'a holder that is not renewed ends with its ttl, and not before',
    needs: [],
    async run(trial) {
      const holder = await trial.held()
      await trial.advance(0.7)
      await trial.refused()
      await trial.advance(0.6)
      await trial.held()
      await trial.stands(holder, 'lost')
    },
  },
  {
    name: 'a holder that is renewed goes on holding',
    needs: [],
    async run(trial) {
      const holder = await trial.held()
      for (let n = 0; n < 3; n += 1) {
        await trial.advance(0.6)
        await trial.stands(holder, 'held')
      }
      await trial.refused()
    },
  },
  {
    name: 'an entry is kept as long as the answer says',
    needs: [],
    async run(trial) {
      const { standing } = await trial.ask({ ttlMs: 2 * trial.ttlMs })
      await trial.advance((0.8 * isHeld(standing).ttlMs) / trial.ttlMs)
      await trial.refused()
    },
  },
  {
    name: 'a renewal never shortens a lease',
    needs: [],
    async run(trial) {
      const holder = await trial.held({ ttlMs: 2 * trial.ttlMs })
      await trial.renew(holder, trial.ttlMs / 4)
      await trial.advance(1)
      await trial.refused()
      await trial.stands(holder, 'held')
    },
  },
  {
    name: 'a renewal can make a lease last longer than its ttl',
    needs: [],
    async run(trial) {
      const holder = await trial.held({ ttlMs: trial.ttlMs / 2 })
      assert.equal((await trial.renew(holder, 2 * trial.ttlMs)).state, 'held')
      await trial.advance(1.2)
      await trial.refused()
    },
  },
  {
    name: 'renewals do not add up',
    needs: [],
    async run(trial) {
      const holder = await trial.held()
      for (let n = 0; n < 3; n += 1)
        within(isHeld(await trial.renew(holder)).ttlMs, 0, trial.ttlMs, 'the time it is kept')
      await trial.advance(1.3)
      await trial.held()
    },
  },
  {
    name: 'an entry that nobody knows is lost',
    needs: [],
    async run(trial) {
      const stranger = trial.entry()
      assert.equal((await trial.renew(stranger)).state, 'lost')
      await trial.held()
      assert.equal((await trial.renew(stranger)).state, 'lost')
    },
  },
  {
    name: 'an entry that has left is lost, and a renewal does not bring it back',
    needs: [],
    async run(trial) {
      const gone = await trial.held()
      await trial.leave(gone)
      await trial.stands(gone, 'lost')
      assert.equal(await trial.view(), undefined)
      await trial.held()
      await trial.stands(gone, 'lost')
    },
  },
  {
    name: 'an entry that has lapsed is lost, and a renewal does not bring it back',
    needs: [],
    async run(trial) {
      const lapsed = await trial.held({ ttlMs: trial.ttlMs / 2 })
      await trial.advance(0.75)
      await trial.stands(lapsed, 'lost')
      assert.equal(await trial.view(), undefined)
      await trial.held()
      await trial.stands(lapsed, 'lost')
    },
  },
  {
    name: 'a waiter that is renewed keeps its place, its waitTtl at a time',
    needs: ['queue'],
    async run(trial) {
      await trial.held({ ttlMs: 10 * trial.ttlMs })
      const waiter = await trial.waiting()
      await trial.waiting({ waitTtlMs: 10 * trial.ttlMs })
      for (let n = 0; n < 3; n += 1) {
        await trial.advance(0.6)
        assert.equal(isWaiting(await trial.renew(waiter)).ahead, 1)
      }
    },
  },
  {
    name: 'a waiter is kept for its waitTtl at most, whatever it asks for',
    needs: ['queue'],
    async run(trial) {
      await trial.held({ ttlMs: 10 * trial.ttlMs })
      const waiter = await trial.waiting({ ttlMs: 10 * trial.ttlMs, waitTtlMs: trial.ttlMs / 2 })
      const { ttlMs } = isWaiting(await trial.renew(waiter, 20 * trial.ttlMs))
      within(ttlMs, 0, trial.ttlMs / 2, 'the time a waiter is kept')
      await trial.advance(0.75)
      await trial.stands(waiter, 'lost')
    },
  },
  {
    name: 'a waiter that is not renewed loses its place, and those behind it move up',
    needs: ['queue'],
    async run(trial) {
      const holder = await trial.held({ ttlMs: 10 * trial.ttlMs })
      const dead = await trial.waiting({ waitTtlMs: trial.ttlMs / 2 })
      const behind = await trial.waiting({ waitTtlMs: 10 * trial.ttlMs })
      await trial.advance(0.75)
      assert.equal(isWaiting(await trial.renew(behind)).ahead, 1)
      await trial.leave(holder)
      await trial.stands(behind, 'held')
      await trial.stands(dead, 'lost')
    },
  },
  {
    name: 'many renewals in one request are what each would be, in their order',
    needs: ['bulk', 'queue'],
    async run(trial) {
      const holder = await trial.held()
      const waiter = await trial.waiting()
      const other = await trial.held({ name: `${trial.name}:other` })
      const gone = await trial.held({ name: `${trial.name}:gone` })
      await trial.leave(gone)
      await trial.advance(0.7)
      const claims = [waiter, gone, other, trial.entry(), holder, { ...holder, name: other.name }]
      const expected = [
        ['waiting', waiter.fence],
        ['lost', undefined],
        ['held', other.fence],
        ['lost', undefined],
        ['held', holder.fence],
        ['lost', undefined],
      ]
      // No fence, that of another, and its own, for which no answer will do.
      for (const fenceOf of [() => undefined, () => 1n, (index: number) => expected[index]![1] as bigint | undefined]) {
        const placed = claims.map(({ name, id }, index) => ({ name, id, fence: fenceOf(index) }))
        const renewals = await trial.answer(trial.backend.renewAll!(placed, trial.ttlMs))
        const said = renewals.map((renewal, index) => renewal ?? { state: 'held', fence: placed[index]!.fence })
        assert.deepEqual(
          said.map((each) => [each.state, 'fence' in each ? each.fence : undefined]),
          expected,
        )
      }
      assert.deepEqual(await trial.answer(trial.backend.renewAll!([], trial.ttlMs)), [])
      await trial.advance(0.7)
      await trial.stands(holder, 'held')
      await trial.stands(waiter, 'waiting')
      await trial.stands(other, 'held')
    },
  },
  {
    name: 'many renewals in one request bring no lingering entry back',
    needs: ['bulk'],
    async run(trial) {
      const lingering = await trial.held()
      await trial.leave(lingering, { lingerMs: trial.ttlMs / 2 })
      const renewals = await trial.answer(trial.backend.renewAll!([lingering, trial.entry()], 10 * trial.ttlMs))
      assert.deepEqual(renewals, [{ state: 'lost' }, { state: 'lost' }])
      await trial.advance(0.75)
      await trial.held()
    },
  },
  {
    name: 'the first waiter hears when the lease before it would end, and holds then',
    needs: ['queue'],
    async run(trial) {
      await trial.held()
      const { entry, standing } = await trial.ask({ waitTtlMs: 10 * trial.ttlMs })
      const { retryAfterMs } = isWaiting(standing)
      within(retryAfterMs, 0, trial.ttlMs, 'the time after which to ask again')
      await trial.advance(retryAfterMs / trial.ttlMs + 0.05)
      isHeld(await trial.renew(entry))
    },
  },
  {
    name: 'an entry that came to hold by waiting can be renewed for its whole ttl',
    needs: ['queue'],
    async run(trial) {
      const holder = await trial.held()
      const waiter = await trial.waiting({ ttlMs: 3 * trial.ttlMs })
      await trial.leave(holder)
      within(isHeld(await trial.renew(waiter)).ttlMs, trial.ttlMs, 3 * trial.ttlMs, 'the time it is kept')
      await trial.advance(2)
      await trial.refused()
    },
  },
  {
    name: 'an entry that came to hold and was not renewed ends as a waiter would',
    needs: ['queue'],
    async run(trial) {
      const holder = await trial.held()
      await trial.waiting({ ttlMs: 10 * trial.ttlMs })
      await trial.leave(holder)
      await trial.advance(1.3)
      await trial.held()
    },
  },
]
