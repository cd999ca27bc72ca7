/** How an entry ends: by leaving, by lingering, by lapsing; and how it takes less. */
import assert from 'node:assert/strict'
import type { Case } from './trial.ts'
import { READER, isHeld, isWaiting } from './trial.ts'

export const leaving: readonly Case[] = [
  {
    name: 'a holder that leaves lets the next one hold at once',
    needs: [],
    async run(trial) {
      const holder = await trial.held()
      assert.equal(await trial.leave(holder), true)
      await trial.held()
    },
  },
  {
    name: 'a second leave finds nothing',
    needs: [],
    async run(trial) {
      const holder = await trial.held()
      assert.equal(await trial.leave(holder), true)
      assert.equal(await trial.leave(holder), false)
      assert.equal(await trial.leave(trial.entry()), false)
    },
  },
  {
    name: 'a leave with another id ends nothing',
    needs: [],
    async run(trial) {
      const holder = await trial.held()
      assert.equal(await trial.leave(trial.entry()), false)
      await trial.stands(holder, 'held')
      await trial.refused()
    },
  },
  {
    name: 'a late leave of a given-up try does not end the next one',
    needs: [],
    async run(trial) {
      const first = await trial.held()
      await trial.leave(first)
      const second = await trial.held()
      assert.equal(await trial.leave(first), false)
      await trial.stands(second, 'held')
    },
  },
  {
    name: 'a lapsed entry has nothing to leave, and does not end the next one',
    needs: [],
    async run(trial) {
      const lapsed = await trial.held({ ttlMs: trial.ttlMs / 2 })
      await trial.advance(0.75)
      const next = await trial.held()
      assert.equal(await trial.leave(lapsed), false)
      await trial.stands(next, 'held')
    },
  },
  {
    name: 'a waiter that leaves makes room for those behind it, and ends nobody else',
    needs: ['queue'],
    async run(trial) {
      const holder = await trial.held()
      const first = await trial.waiting()
      const second = await trial.waiting()
      assert.equal(
        await trial.leave(first, { lingerMs: 10 * trial.ttlMs }),
        true,
        'a waiter has nothing to linger with',
      )
      assert.equal(isWaiting(await trial.renew(second)).ahead, 1)
      await trial.stands(holder, 'held')
      await trial.leave(holder)
      await trial.stands(second, 'held')
    },
  },
  {
    name: 'a heavy waiter that leaves lets a light one behind it hold',
    needs: ['queue', 'permits'],
    async run(trial) {
      await trial.held({ capacity: 3, weight: 2 })
      const heavy = await trial.waiting({ capacity: 3, weight: 2 })
      const light = await trial.waiting({ capacity: 3, weight: 1 })
      await trial.leave(heavy)
      await trial.stands(light, 'held')
    },
  },
  {
    name: 'a holder that lingers keeps others out for just that time',
    needs: [],
    async run(trial) {
      const holder = await trial.held({ ttlMs: 4 * trial.ttlMs })
      assert.equal(await trial.leave(holder, { lingerMs: trial.ttlMs }), true)
      await trial.advance(0.7)
      await trial.refused()
      await trial.advance(0.6)
      await trial.held()
    },
  },
  {
    name: 'a holder can linger longer than its ttl',
    needs: [],
    async run(trial) {
      const holder = await trial.held({ ttlMs: trial.ttlMs / 2 })
      await trial.leave(holder, { lingerMs: 1.5 * trial.ttlMs })
      await trial.advance(1.2)
      await trial.refused()
      await trial.advance(0.6)
      await trial.held()
    },
  },
  {
    name: 'a lingering entry is gone for its owner: not renewed, not prolonged, not left again',
    needs: [],
    async run(trial) {
      const holder = await trial.held({ ttlMs: 4 * trial.ttlMs })
      await trial.leave(holder, { lingerMs: trial.ttlMs })
      await trial.stands(holder, 'lost')
      assert.equal(await trial.leave(holder), false)
      assert.equal(await trial.answer(trial.backend.describe(holder, 'changed')), false)
      await trial.refused()
      await trial.advance(1.3)
      await trial.held()
    },
  },
  {
    name: 'after a holder that lingered the first waiter holds',
    needs: ['queue'],
    async run(trial) {
      const holder = await trial.held()
      const waiter = await trial.waiting({ waitTtlMs: 10 * trial.ttlMs })
      await trial.leave(holder, { lingerMs: trial.ttlMs / 2 })
      await trial.stands(waiter, 'waiting')
      await trial.advance(0.75)
      await trial.stands(waiter, 'held')
    },
  },
  {
    name: 'a holder that lapses keeps others out for its lock delay',
    needs: [],
    async run(trial) {
      const holder = await trial.held({ ttlMs: trial.ttlMs / 2, lockDelayMs: trial.ttlMs })
      await trial.advance(0.75)
      await trial.stands(holder, 'lost')
      await trial.advance(0.45)
      await trial.refused()
      await trial.advance(0.6)
      await trial.held()
    },
  },
  {
    name: 'a holder that leaves owes no lock delay, and neither does a waiter that lapses',
    needs: ['queue'],
    async run(trial) {
      const holder = await trial.held({ lockDelayMs: 10 * trial.ttlMs })
      await trial.waiting({ waitTtlMs: trial.ttlMs / 4, lockDelayMs: 10 * trial.ttlMs })
      await trial.advance(0.5)
      await trial.leave(holder)
      await trial.held()
    },
  },
  {
    name: 'a clean leave owes no lock delay',
    needs: [],
    async run(trial) {
      const holder = await trial.held({ lockDelayMs: 10 * trial.ttlMs })
      await trial.leave(holder)
      await trial.held()
    },
  },
  {
    name: 'a writer that becomes a reader lets in waiting readers up to the next writer',
    needs: ['queue', 'shared'],
    async run(trial) {
      const writer = await trial.held()
      const reader = await trial.waiting(READER)
      const next = await trial.waiting()
      const late = await trial.waiting(READER)
      const lightened = await trial.answer(trial.backend.lighten(writer, 1))
      assert.equal(isHeld(lightened).fence, writer.fence)
      await trial.stands(reader, 'held')
      await trial.stands(next, 'waiting')
      await trial.stands(late, 'waiting')
      await trial.stands(writer, 'held')
    },
  },
  {
    name: 'an entry never takes more than before',
    needs: ['permits'],
    async run(trial) {
      const holder = await trial.held({ capacity: 4, weight: 2 })
      assert.equal((await trial.answer(trial.backend.lighten(holder, 4))).state, 'held')
      await trial.held({ capacity: 4, weight: 2 })
    },
  },
  {
    name: 'taking less gives no new lease',
    needs: ['shared'],
    async run(trial) {
      const writer = await trial.held()
      await trial.advance(0.6)
      await trial.answer(trial.backend.lighten(writer, 1))
      await trial.advance(0.7)
      await trial.stands(writer, 'lost')
    },
  },
  {
    name: 'an entry that is gone cannot take less',
    needs: ['shared'],
    async run(trial) {
      const gone = await trial.held()
      await trial.leave(gone)
      const lingering = await trial.held()
      await trial.leave(lingering, { lingerMs: trial.ttlMs })
      for (const each of [gone, lingering, trial.entry()])
        assert.equal((await trial.answer(trial.backend.lighten(each, 1))).state, 'lost')
      await trial.refused(READER)
    },
  },
]
