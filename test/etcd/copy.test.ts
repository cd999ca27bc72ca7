/** The copy of a queue, told what happens in every order that a server may tell it in. */
import { expect, test } from 'vitest'
import type { Snapshot } from '../../src/backends/etcd/copy.ts'
import { Copy, placeOf } from '../../src/backends/etcd/copy.ts'
import { Naming } from '../../src/backends/etcd/keys.ts'
import type { WatchEvent } from '../../src/backends/etcd/messages.ts'
import { EVENT } from '../../src/backends/etcd/messages.ts'
import { encode } from '../../src/backends/etcd/record.ts'
import type { WatcherEvents } from '../../src/backends/etcd/watches.ts'
import { WHOLE } from '../../src/backend.ts'
import { ElapsedClock } from '../../src/elapsed.ts'
import { realRuntime } from '../../src/runtime.ts'

const naming = new Naming('holdfast', false)

/** A key that was made at a revision, by the letter that is its id. */
function kv(id: string, createRevision: number, modRevision = createRevision) {
  const record = { id, weight: WHOLE, capacity: WHOLE, keptMs: 1000, joinedAt: 0 }
  const key = naming.key('q', 'w', id)
  return { key, createRevision, modRevision, version: 1, value: encode(record), lease: 1n }
}

const put = (id: string, revision: number): WatchEvent => ({ type: EVENT.put, kv: kv(id, revision) })
const gone = (id: string, revision: number): WatchEvent => ({ type: EVENT.delete, kv: kv(id, 0, revision) })

/** What the server has at a revision. */
function snapshot(revision: number, places: Record<string, number>): Snapshot {
  return { revision, places: Object.entries(places).map(([id, at]) => placeOf(kv(id, at), naming, 0)) }
}

function made(known?: Snapshot, since = false) {
  const holds: string[] = []
  const lost: string[] = []
  const wholes: string[][] = []
  const reads: ((snapshot: Snapshot) => void)[] = []
  let tell!: WatcherEvents
  const froms: number[] = []
  const watches = {
    watch(_range: object, from: number, events: WatcherEvents) {
      froms.push(from)
      tell = events
      return () => {}
    },
  }
  const parts = {
    naming,
    runtime: realRuntime,
    clock: new ElapsedClock(realRuntime),
    watches,
    read: () => new Promise<Snapshot>((resolve) => reads.push(resolve)),
    peek: async () => ({ first: undefined, count: 0 }),
  }
  const events = {
    holds: ({ id }: { id: string }) => void holds.push(id),
    gone: ({ id }: { id: string }) => void lost.push(id),
    read: ({ places }: Snapshot) => void wholes.push(places.map(({ id }) => id)),
    changed() {},
  }
  const copy = new Copy('q', parts, events, known, since)
  const answer = async (what: Snapshot): Promise<void> => {
    await expect.poll(() => reads.length).toBeGreaterThan(0)
    reads.shift()!(what)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return {
    copy,
    holds,
    lost,
    wholes,
    froms,
    reads,
    answer,
    tell: () => tell,
    places: () => copy.places.map(({ id }) => id),
  }
}

test('who came between the reading and the watch is missed by neither', async () => {
  // 1. It is read: a, b;  2. c comes;  3. the watch stands;  4. d comes, and a and b leave.
  const { copy, holds, tell, answer, places } = made(snapshot(10, { a: 9, b: 10 }))
  tell().stands!(11)
  expect(copy.standing).toBe(false)
  tell().heard([put('d', 12)])
  tell().heard([gone('a', 13)])
  tell().heard([gone('b', 14)])
  // Without c, of which it has not heard, d would hold.
  expect(holds).toEqual(['a'])
  await answer(snapshot(12, { a: 9, b: 10, c: 11, d: 12 }))
  expect([copy.standing, places(), holds]).toEqual([true, ['c', 'd'], ['a', 'c']])
})

test('an answer that is older than what was heard changes nothing', async () => {
  const { copy, tell, answer, places } = made(snapshot(10, { a: 10 }), true)
  tell().stands!(10)
  expect(copy.standing).toBe(true)
  const refreshed = copy.refresh()
  tell().heard([gone('a', 11), put('b', 11)])
  await answer(snapshot(10, { a: 10 }))
  await refreshed
  expect(places()).toEqual(['b'])
})

test('what is heard twice counts once, and what is read may run ahead of what is heard', async () => {
  const { copy, holds, lost, tell, answer, places } = made()
  tell().stands!(5)
  await answer(snapshot(9, { a: 6, b: 8 }))
  tell().heard([put('a', 6)])
  tell().heard([put('x', 7)])
  tell().heard([gone('x', 8), put('b', 8)])
  tell().heard([gone('a', 10)])
  expect([copy.standing, places(), holds, lost]).toEqual([true, ['b'], ['a', 'b'], ['a']])
})

test('after a watch was lost it is read anew before anything is said', async () => {
  // The deletion of a at revision 11 is never told (etcd-io/etcd#18089).
  const { copy, holds, wholes, tell, answer } = made(snapshot(10, { a: 9, b: 10 }), true)
  tell().stands!(10)
  tell().lost!()
  expect(copy.standing).toBe(false)
  tell().stands!(12)
  expect(copy.standing).toBe(false)
  await answer(snapshot(12, { b: 10 }))
  expect([copy.standing, holds, wholes.at(-1)]).toEqual([true, ['a', 'b'], ['b']])
})

test('a watch that was compacted away begins anew, and keeps its places', async () => {
  const { copy, froms, tell, answer, places } = made(snapshot(10, { a: 9, b: 10 }), true)
  tell().stands!(10)
  const { EtcdError, GRPC } = await import('../../src/backends/etcd/errors.ts')
  tell().ended(new EtcdError(GRPC.outOfRange, 'compacted'))
  expect(places()).toEqual(['a', 'b'])
  await expect.poll(() => froms).toEqual([11, 0])
  tell().stands!(20)
  await answer(snapshot(21, { b: 10, c: 15 }))
  expect([copy.standing, places()]).toEqual([true, ['b', 'c']])
})

test('a place that this process removes is gone at once, and does not come back', () => {
  const { copy, holds, tell, places } = made(snapshot(10, { a: 9, b: 10 }), true)
  tell().stands!(10)
  copy.remove(9)
  expect([places(), holds]).toEqual([['b'], ['a', 'b']])
  tell().heard([gone('a', 11)])
  expect(places()).toEqual(['b'])
})

test('of its own place it says nothing before it has heard of it', () => {
  // Own entries are not put in from the answers of their joins: a foreign one may have come before.
  const { copy, tell, holds } = made(snapshot(10, { a: 10 }), true)
  tell().stands!(10)
  copy.remove(10)
  expect([copy.knows(12), holds]).toEqual([false, ['a']])
  tell().heard([put('foreign', 11)])
  tell().heard([put('mine', 12)])
  expect([copy.knows(12), holds]).toEqual([true, ['a', 'foreign']])
})
