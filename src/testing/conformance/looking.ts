/** What people see and do: inspect, describe, evict, diagnose, close. */
import assert from 'node:assert/strict'
import type { Case } from './trial.ts'
import { READER, within } from './trial.ts'

/** Characters that mean something to file systems, patterns, queries and scripts; and the longest name. */
const HOSTILE = [
  '../../etc/passwd',
  '/',
  '.',
  'a*?[b]{c}',
  "'; DROP TABLE x; --",
  '%_\\',
  'ü 漢 🔒',
  '{a}:{b}',
  '"$(x)`',
]

export const looking: readonly Case[] = [
  {
    name: 'inspect shows holders and waiters in their order, with what they say of themselves',
    needs: ['queue', 'shared'],
    async run(trial) {
      const first = await trial.held({ ...READER, info: '{"host":"a \\"b\\" ü"}' })
      const second = await trial.held(READER)
      const writer = await trial.waiting({ info: 'plain text' })
      const last = await trial.waiting(READER)
      const view = await trial.view()
      assert.ok(view)
      assert.equal(view.capacity, writer.capacity)
      const shown = (entries: typeof view.holders): unknown =>
        entries.map(({ fence, weight, info }) => [fence, weight, info])
      assert.deepEqual(shown(view.holders), [
        [first.fence, 1, first.info],
        [second.fence, 1, undefined],
      ])
      assert.deepEqual(shown(view.waiters), [
        [writer.fence, writer.weight, 'plain text'],
        [last.fence, 1, undefined],
      ])
      assert.ok(view.waiters.every(({ heldMs }) => heldMs === undefined))
    },
  },
  {
    name: 'inspect shows how old an entry is and how long it is kept',
    needs: [],
    async run(trial) {
      await trial.held({ ttlMs: 2 * trial.ttlMs })
      await trial.advance(0.5)
      const [holder] = (await trial.view())?.holders ?? []
      assert.ok(holder)
      within(holder.ageMs, 0.4 * trial.ttlMs, trial.ttlMs, 'its age')
      within(holder.heldMs ?? 0, 0.4 * trial.ttlMs, trial.ttlMs, 'the time it has held')
      within(holder.ttlMs, trial.ttlMs, 1.6 * trial.ttlMs, 'the time it is kept')
      assert.equal(holder.lingering, false)
    },
  },
  {
    name: 'inspect never shows the id of an entry',
    needs: [],
    async run(trial) {
      const holder = await trial.held({ info: 'holder' })
      const { entry } = await trial.ask({ info: 'other' })
      const text = JSON.stringify(await trial.views(trial.name), (_, value: unknown) =>
        typeof value === 'bigint' ? String(value) : value,
      )
      assert.ok(text.includes('holder'))
      assert.ok(!text.includes(holder.id) && !text.includes(entry.id))
    },
  },
  {
    name: 'inspect shows the names that begin with its prefix, and no others',
    needs: [],
    async run(trial) {
      const names = ['%', '*', 'a', 'ab'].map((end) => `${trial.name}:${end}`)
      for (const name of names) await trial.held({ name, ttlMs: 10 * trial.ttlMs })
      const shown = async (prefix: string): Promise<string[]> =>
        (await trial.views(trial.name + prefix)).map(({ name }) => name).sort()
      assert.deepEqual(await shown(':'), names)
      assert.deepEqual(await shown(':a'), names.slice(2))
      assert.deepEqual(await shown(':%'), names.slice(0, 1), 'a percent sign is a percent sign')
      assert.deepEqual(await shown(':*'), names.slice(1, 2), 'an asterisk is an asterisk')
      assert.deepEqual(await shown(':_'), [])
    },
  },
  {
    name: "inspect does not show what has lapsed, and shows what lingers as nobody's",
    needs: [],
    async run(trial) {
      await trial.held({ ttlMs: trial.ttlMs / 2 })
      await trial.advance(0.75)
      assert.equal(await trial.view(), undefined)
      const holder = await trial.held()
      await trial.leave(holder, { lingerMs: trial.ttlMs })
      const view = await trial.view()
      assert.deepEqual(
        view?.holders.map(({ fence, lingering }) => [fence, lingering]),
        [[holder.fence, true]],
      )
    },
  },
  {
    name: 'a name may have every character but the control ones, and 512 bytes',
    needs: [],
    async run(trial) {
      const names = [...HOSTILE, 'é'.repeat(200)].map((end) => `${trial.name}:${end}`)
      names.push(trial.name.padEnd(512, 'x'))
      const holders = []
      for (const name of names) holders.push(await trial.held({ name, ttlMs: 10 * trial.ttlMs }))
      for (const holder of holders) {
        await trial.stands(holder, 'held')
        await trial.refused({ name: holder.name })
        assert.equal((await trial.view(holder.name))?.holders.length, 1)
      }
      for (const holder of holders) assert.equal(await trial.leave(holder), true)
      assert.deepEqual(await trial.views(trial.name), [])
    },
  },
  {
    name: 'an entry can be described anew, and tries hear it',
    needs: [],
    async run(trial) {
      const holder = await trial.held({ info: 'old' })
      assert.equal(await trial.answer(trial.backend.describe(holder, 'new')), true)
      assert.equal((await trial.view())?.holders[0]?.info, 'new')
      assert.equal((await trial.refused()).holder, 'new')
    },
  },
  {
    name: 'an entry that is gone cannot be described',
    needs: [],
    async run(trial) {
      const gone = await trial.held()
      await trial.leave(gone)
      await trial.held({ info: 'mine' })
      assert.equal(await trial.answer(trial.backend.describe(gone, 'theirs')), false)
      assert.equal((await trial.view())?.holders[0]?.info, 'mine')
    },
  },
  {
    name: 'describing gives no new lease',
    needs: [],
    async run(trial) {
      const holder = await trial.held()
      await trial.advance(0.6)
      await trial.answer(trial.backend.describe(holder, 'new'))
      await trial.advance(0.7)
      await trial.stands(holder, 'lost')
    },
  },
  {
    name: 'a holder is evicted by its fence, and the next one holds',
    needs: [],
    async run(trial) {
      const holder = await trial.held()
      assert.equal(await trial.answer(trial.backend.evict(trial.name, holder.fence)), true)
      await trial.stands(holder, 'lost')
      const next = await trial.held()
      assert.equal(await trial.answer(trial.backend.evict(trial.name, holder.fence)), false, 'it is not there any more')
      await trial.stands(next, 'held')
    },
  },
  {
    name: 'nobody is evicted by another fence, or under another name',
    needs: [],
    async run(trial) {
      const holder = await trial.held()
      const other = await trial.held({ name: `${trial.name}:2` })
      for (const [name, fence] of [
        [trial.name, holder.fence + 1n],
        [trial.name, holder.fence - 1n],
        [`${trial.name}:3`, holder.fence],
      ] as const)
        assert.equal(await trial.answer(trial.backend.evict(name, fence)), false)
      await trial.stands(holder, 'held')
      await trial.stands(other, 'held')
    },
  },
  {
    name: 'a waiter can be evicted, and so can what lingers',
    needs: ['queue'],
    async run(trial) {
      const holder = await trial.held()
      const first = await trial.waiting()
      const second = await trial.waiting()
      assert.equal(await trial.answer(trial.backend.evict(trial.name, first.fence)), true)
      await trial.stands(first, 'lost')
      await trial.leave(holder, { lingerMs: 10 * trial.ttlMs })
      assert.equal(await trial.answer(trial.backend.evict(trial.name, holder.fence)), true)
      await trial.stands(second, 'held')
    },
  },
  {
    name: 'a coordinator that is well has nothing wrong with it',
    needs: [],
    async run(trial) {
      const findings = await trial.answer(trial.backend.diagnose())
      assert.ok(findings.length > 0)
      for (const { level, subject, text } of findings) assert.ok(level !== 'error' && subject && text, text)
    },
  },
  {
    name: 'a backend that is closed fails with a code, and can be closed again',
    needs: [],
    async run(trial) {
      const holder = await trial.held()
      await trial.answer(trial.backend.close())
      await assert.doesNotReject(trial.answer(trial.backend.close()))
      await assert.rejects(trial.ask(), { code: 'CLOSED' })
      await assert.rejects(trial.renew(holder), { code: 'CLOSED' })
      await assert.rejects(trial.leave(holder), { code: 'CLOSED' })
      await assert.rejects(trial.views(''), { code: 'CLOSED' })
      const unwatch = await trial.watch(holder, () => {})
      unwatch()
    },
  },
  {
    name: 'entries stay when their backend is closed',
    needs: ['another'],
    async run(trial) {
      const on = await trial.another()
      const holder = await trial.held({ on })
      await trial.answer(on.close())
      await trial.refused()
      await trial.stands(holder, 'held')
    },
  },
]
