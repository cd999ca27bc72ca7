/** Who hears of what. Wakes are hints, so a test only waits for those that must come when nothing goes wrong. */
import assert from 'node:assert/strict'
import type { Case } from './trial.ts'
import { READER } from './trial.ts'

export const waking: readonly Case[] = [
  {
    name: 'a waiter is woken with its own ticket when the holder leaves',
    needs: ['queue', 'wake'],
    async run(trial) {
      const holder = await trial.held()
      const entry = trial.entry()
      const noted = await trial.watched(entry)
      const waiter = await trial.waiting(entry)
      await trial.leave(holder)
      await trial.eventually('the waiter must be woken', () => noted.wakes.length > 0)
      for (const ticket of noted.wakes) if (ticket !== undefined) assert.equal(ticket, waiter.fence)
      await trial.stands(waiter, 'held')
    },
  },
  {
    name: 'a waiter is woken through another backend on the same coordinator',
    needs: ['queue', 'wake', 'another'],
    async run(trial) {
      const holder = await trial.held()
      const on = await trial.another()
      const entry = trial.entry()
      const noted = await trial.watched(entry, on)
      const waiter = await trial.waiting({ ...entry, on })
      await trial.leave(holder)
      await trial.eventually('the waiter must be woken', () => noted.wakes.length > 0)
      await trial.stands(waiter, 'held')
    },
  },
  {
    name: 'backends on one coordinator share its queues',
    needs: ['another'],
    async run(trial) {
      const on = await trial.another()
      const holder = await trial.held({ on })
      await trial.refused()
      await trial.stands(holder, 'held')
      assert.equal(await trial.leave(holder), true)
      await trial.held({ on })
    },
  },
  {
    name: 'a waiter behind a heavy one is woken when that one gives up',
    needs: ['queue', 'permits', 'wake'],
    async run(trial) {
      await trial.held({ capacity: 3, weight: 2 })
      const heavy = await trial.waiting({ capacity: 3, weight: 2 })
      const light = trial.entry({ capacity: 3, weight: 1 })
      const noted = await trial.watched(light)
      await trial.waiting(light)
      await trial.leave(heavy)
      await trial.eventually('the light waiter must be woken', () => noted.wakes.length > 0)
    },
  },
  {
    name: 'waiting readers are woken when a writer becomes a reader',
    needs: ['queue', 'shared', 'wake'],
    async run(trial) {
      const writer = await trial.held()
      const readers = [trial.entry(READER), trial.entry(READER)]
      const noted = await Promise.all(readers.map((each) => trial.watched(each)))
      for (const each of readers) await trial.waiting(each)
      await trial.answer(trial.backend.lighten(writer, 1))
      await trial.eventually('both readers must be woken', () => noted.every(({ wakes }) => wakes.length > 0))
    },
  },
  {
    name: 'a waiter is woken when the holder is evicted',
    needs: ['queue', 'wake'],
    async run(trial) {
      const holder = await trial.held()
      const entry = trial.entry()
      const noted = await trial.watched(entry)
      await trial.waiting(entry)
      await trial.answer(trial.backend.evict(trial.name, holder.fence))
      await trial.eventually('the waiter must be woken', () => noted.wakes.length > 0)
    },
  },
  {
    name: 'a holder that is evicted hears it, and no other',
    needs: ['alarm', 'another'],
    async run(trial) {
      const on = await trial.another()
      const [holder, other] = [await trial.held(), await trial.held({ name: `${trial.name}:2` })]
      const alarms: string[] = []
      trial.backend.attend!(holder, () => void alarms.push('holder'))
      const ignore = trial.backend.attend!(other, () => void alarms.push('other'))
      await trial.advance(0.2)
      await trial.answer(on.evict(trial.name, holder.fence))
      await trial.eventually('the holder must hear that it was evicted', () => alarms.length > 0)
      await trial.stands(holder, 'lost')
      ignore()
      await trial.answer(on.evict(other.name, other.fence))
      await trial.advance(0.2)
      assert.deepEqual([...new Set(alarms)], ['holder'])
    },
  },
  {
    name: 'only the entry whose turn it is hears that it holds',
    needs: ['queue', 'wake'],
    async run(trial) {
      const holder = await trial.held()
      const entries = [trial.entry(), trial.entry()] as const
      const noted = [await trial.watched(entries[0]), await trial.watched(entries[1])] as const
      await trial.waiting(entries[0])
      await trial.waiting(entries[1])
      await trial.leave(holder)
      await trial.eventually('the first waiter must be woken', () => noted[0].wakes.length > 0)
      assert.ok(noted[1].wakes.every((ticket) => ticket === undefined))
    },
  },
  {
    name: 'whoever unsubscribes hears nothing any more',
    needs: ['queue', 'wake'],
    async run(trial) {
      const holder = await trial.held()
      const entry = trial.entry()
      const noted = await trial.watched(entry)
      await trial.waiting(entry)
      noted.stop()
      noted.stop()
      await trial.leave(holder)
      await trial.advance(0.2)
      assert.deepEqual(noted.wakes, [])
    },
  },
  {
    name: 'followers of a name hear when it is held, left, and described anew',
    needs: ['wake'],
    async run(trial) {
      let changes = 0
      const unfollow = await trial.answer(trial.backend.follow(trial.name, () => (changes += 1)))
      const hears = async (what: string): Promise<void> => {
        await trial.eventually(`followers must hear ${what}`, () => changes > 0)
        // One change may be told twice, a little later.
        await trial.advance(0.1)
        changes = 0
      }
      const holder = await trial.held({ ttlMs: 10 * trial.ttlMs })
      await hears('of a new holder')
      await trial.answer(trial.backend.describe(holder, 'new'))
      await hears('of new info')
      await trial.leave(holder)
      await hears('of a holder that left')
      unfollow()
      await trial.held()
      await trial.advance(0.2)
      assert.equal(changes, 0)
    },
  },
  {
    name: 'followers on another backend hear as well',
    needs: ['wake', 'another'],
    async run(trial) {
      const on = await trial.another()
      let changes = 0
      await trial.answer(on.follow(trial.name, () => (changes += 1)))
      const holder = await trial.held({ ttlMs: 10 * trial.ttlMs })
      await trial.eventually('followers must hear of a new holder', () => changes > 0)
      await trial.advance(0.1)
      changes = 0
      await trial.leave(holder)
      await trial.eventually('followers must hear of a holder that left', () => changes > 0)
    },
  },
  {
    name: 'followers of one name do not hear of another',
    needs: ['wake'],
    async run(trial) {
      const unfollow = await trial.answer(trial.backend.follow(trial.name, () => assert.fail('that is another name')))
      await trial.held({ name: `${trial.name}:2` })
      await trial.advance(0.2)
      unfollow()
    },
  },
]
