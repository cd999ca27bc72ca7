/** Faults of members, of which there are three. The numbers are those of docs/evidence/etcd-faults.md. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, vi } from 'vitest'
import { MATRIX, TIMES } from '../../kit/effort.ts'
import { deletionsIn } from '../../kit/etcd-deletions.ts'
import type { EtcdScene } from '../../kit/etcd-scene.ts'
import { MODE, test } from '../../kit/etcd-scene.ts'
import type { Hand } from '../../kit/hand.ts'

vi.setConfig({ testTimeout: 120_000 * TIMES })

const TOO_LONG = 'it takes minutes: npm run test:matrix etcd'

/** The places of the others. */
function othersThan(place: number): [number, number] {
  return [0, 1, 2].filter((each) => each !== place) as [number, number]
}

/** One that is connected to one of these members. */
async function connectedTo(set: EtcdScene, places: readonly number[]): Promise<Hand> {
  for (;;) {
    const hand = set.hands.find((each) => set.placesOf(each).some((place) => places.includes(place)))
    if (hand) return hand
    await set.hire()
  }
}

/** The leader stands still for longer than a ttl and comes back, while somebody holds and others want to. */
async function frozenLeader(set: EtcdScene, rounds: number): Promise<void> {
  const [holder, ...others] = set.hands
  for (const other of others) other.works()
  for (let n = 0; n < rounds; n += 1) {
    await holder.enters()
    set.nemesis.freeze(await set.nemesis.leader())
    await sleep(3500)
    set.nemesis.thaw()
    await sleep(1500)
    await holder.finishes()
    await Promise.all(others.map((other) => other.writes(1)))
  }
  await set.recovers()
}

describe.concurrent('members', () => {
  test('39 the leader is killed, and comes back: what is held is held, and all go on', async ({ scene }) => {
    const set = await scene(3, { ttl: '5s', members: 3 })
    const [holder, ...others] = set.hands
    const fence = await holder.enters()
    for (const other of others) other.works()
    await set.nemesis.killMembers(await set.nemesis.leader())
    await sleep(6000)
    expect(await holder.state()).toBe('held')
    expect(await set.holder()).toBe(fence)
    await set.nemesis.launch()
    expect(await holder.finishes()).toBe('written')
    await set.recovers()
    const { history } = await set.verdict()
    expect(history.holds.get('w1/1')!.lost).toBeUndefined()
  })

  test('40 the leader stands still for longer than a ttl: who is ended by mistake is told at once, and fenced data is right', async ({
    scene,
    skip,
  }) => {
    skip(MODE === 'observed', 'see the one below')
    const set = await scene(3, { ttl: '3s', members: 3 })
    const deletions = deletionsIn(set.admin)
    await frozenLeader(set, MATRIX ? 10 : 1)
    deletions.end()
    const { history, overlaps } = await set.verdict('counted')
    const late = deletions.toldAfter(history)
    console.log(`40: ${overlaps} overlaps; told after ${late.map((ms) => ms.toFixed(1)).join(', ') || '-'} ms`)
    for (const ms of late) expect(ms).toBeLessThan(5000)
  })

  test('40 the same where entries have no lease: no two believe at once', async ({ scene }) => {
    const set = await scene(3, { ttl: '3s', members: 3, lease: 'observed' })
    await frozenLeader(set, MATRIX ? 10 : 1)
    await set.verdict()
  })

  test('41 the member that a client speaks to stands still, and does not lead: it goes on at another one in time', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '5s', members: 3 })
    const followers = othersThan(await set.nemesis.leader())
    const holder = await connectedTo(set, followers)
    const other = set.hands.find((hand) => hand !== holder)!
    await holder.enters()
    await other.waits()
    set.nemesis.freeze(...set.placesOf(holder).filter((place) => followers.includes(place)))
    await sleep(6500)
    expect(await holder.state()).toBe('held')
    expect(await holder.finishes()).toBe('written')
    await other.entered()
    expect(await other.finishes()).toBe('written')
    await set.recovers()
    const { history } = await set.verdict()
    expect([...history.holds.values()].filter(({ lost }) => lost)).toEqual([])
  })

  test('42 there is no quorum: nobody is granted, and who holds is told in time; all goes on when there is one again', async ({
    scene,
  }) => {
    const set = await scene(3, { ttl: '2s', members: 3, requestTimeout: '2s' })
    const [holder, waiter, asker] = set.hands
    await holder.enters()
    await waiter.waits()
    await set.nemesis.killMembers(...othersThan(await set.nemesis.leader()))
    expect(await holder.loss()).toBe('expired')
    expect(await asker.fails()).toMatch(/UNREACHABLE|UNAVAILABLE/)
    expect(await waiter.isInside()).toBe(false)
    await set.nemesis.launch()
    expect(await holder.finishes()).toMatch(/written|refused/)
    // It has kept its place, or was told that it had lost it.
    await waiter.finishes()
    await set.recovers()
    await asker.enters()
    expect(await asker.finishes()).toBe('written')
    await set.verdict()
  })

  test.for([1, 3] as const)(
    '47 all members (%i) are killed, and come back with their disks: what is held is held',
    async (members, { scene }) => {
      const set = await scene(3, { ttl: '12s', members })
      const [holder, waiter, asker] = set.hands
      const fence = await holder.enters()
      await waiter.waits()
      await set.nemesis.killMembers(...set.etcd.members.keys())
      await set.nemesis.launch()
      await asker.waits()
      await sleep(8000)
      expect(await holder.state()).not.toBe('lost')
      expect(await set.holder()).toBe(fence)
      expect(await holder.finishes()).toBe('written')
      expect(await waiter.entered()).toBeGreaterThan(fence)
      expect(await waiter.finishes()).toBe('written')
      await asker.entered()
      expect(await asker.finishes()).toBe('written')
      await set.recovers()
      const { history } = await set.verdict()
      expect([...history.holds.values()].filter(({ lost }) => lost)).toEqual([])
    },
  )
})

test('48 the disk of a member is slow: it stands still half of the time, and nobody overlaps', async ({
  scene,
  skip,
}) => {
  skip(!MATRIX, TOO_LONG)
  const set = await scene(3, { ttl: '4s', members: 3 })
  for (const hand of set.hands) hand.works()
  const [slow] = othersThan(await set.nemesis.leader())
  for (let n = 0; n < 100 * TIMES; n += 1) {
    set.nemesis.freeze(slow)
    await sleep(100)
    set.nemesis.thaw()
    await sleep(100)
  }
  await set.recovers()
  await set.verdict()
})
