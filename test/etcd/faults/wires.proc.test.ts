/** Faults on the way to the members. The numbers are those of docs/evidence/etcd-faults.md. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import type { Hand } from '../../kit/hand.ts'
import { MODE, test } from '../../kit/etcd-scene.ts'
import { eventually } from '../../../src/verify/torture/clock.ts'

/** How late a grant may be on a busy machine. */
const LATE_MS = 3000
/** What has been delivered is carried out by then. */
const CARRIED_OUT_MS = 500
/** What keeps an entry: a write of its own, or a keep-alive. */
const RENEW = MODE === 'observed' ? 'rewrite' : 'renew'
const NO_LEASE = 'an entry without a lease has nothing that this could happen to'
const OWN_LEASE = 'nobody else is on the lease'

/** Something that needs the way there and back. */
function answered(hand: Hand): Promise<void> {
  const ask = (): Promise<boolean> =>
    hand.worker.do(({ locks }) =>
      locks.inspect('warm').then(
        () => true,
        () => false,
      ),
    )
  return eventually(ask, `an answer to ${hand.worker.name}`)
}

describe.concurrent('wires', () => {
  test('7 the answer to an acquisition is lost: it rejects, and what it got is given back', async ({ scene }) => {
    const set = await scene(2, { ttl: '30s', requestTimeout: '1s' })
    const [asker, other] = set.hands
    set.nemesis.silence(asker, 'down')
    expect(await asker.fails()).toBe('UNREACHABLE')
    const since = performance.now()
    await other.enters()
    // Long before the ttl.
    expect(performance.now() - since).toBeLessThan(15_000)
    set.nemesis.reset(asker)
    await set.recovers()
    expect(await other.finishes()).toBe('written')
    await asker.enters()
    expect(await asker.finishes()).toBe('written')
    await set.verdict()
  })

  test('8 an acquisition arrives when its sender has given up: it is taken back', async ({ scene }) => {
    const set = await scene(2, { ttl: '30s', requestTimeout: '1s' })
    const [asker, other] = set.hands
    const asked = set.nemesis.stall(asker, 'join')
    const failed = asker.fails()
    await asked
    set.nemesis.silence(asker)
    expect(await failed).toBe('UNREACHABLE')
    expect(await set.holder()).toBeUndefined()
    await set.recovers()
    await other.enters()
    expect(await other.finishes()).toBe('written')
    await set.verdict()
  })

  test('8 an acquisition arrives after the release that was sent later: nothing is put in, and no ghost is kept alive', async ({
    scene,
    skip,
  }) => {
    skip(MODE === 'observed', NO_LEASE)
    const set = await scene(2, { ttl: '3s' })
    const [asker, other] = set.hands
    const asked = set.nemesis.stall(asker, 'join')
    await asker.begins()
    await asked
    // It has asked again, and has got it.
    await asker.entered()
    expect(await asker.finishes()).toBe('written')
    // Its lease is kept alive for another name.
    await asker.worker.do((stage) => stage.acquire('elsewhere'))
    await set.recovers()
    await sleep(CARRIED_OUT_MS)
    expect(await set.holder()).toBeUndefined()
    await sleep(3000)
    await other.enters()
    expect(await other.finishes()).toBe('written')
    await asker.worker.do((stage) => stage.release('elsewhere'))
    await set.verdict()
  })

  test('8 an acquisition arrives when its sender is dead: a ghost, which nobody believes in, until its lease ends', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '2s' })
    const [asker, other] = set.hands
    const asked = set.nemesis.stall(asker, 'join')
    await asker.begins()
    await asked
    set.nemesis.silence(asker)
    await set.nemesis.kill(asker)
    await set.recovers()
    await eventually(async () => (await set.holder()) !== undefined, 'the late arrival')
    const ghost = await set.holder()
    const since = performance.now()
    expect(await other.enters()).toBeGreaterThan(ghost!)
    expect(performance.now() - since).toBeLessThan(2000 + LATE_MS)
    expect(await other.finishes()).toBe('written')
    const { history } = await set.verdict()
    expect([...history.holds.values()].map(({ granted }) => granted?.fence)).not.toContain(ghost)
  })

  test('9 the answer to a release is lost: the next one holds, and the release says that it does not know', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '30s', requestTimeout: '1s' })
    const [holder, other] = set.hands
    await holder.enters()
    await other.waits()
    set.nemesis.silence(holder, 'down')
    const finished = holder.finishes()
    await other.entered()
    expect(await finished).toBe('written')
    await set.recovers()
    expect(await other.finishes()).toBe('written')
    await set.verdict()
  })

  test('9 a release is lost: the next one holds when the ttl has passed', async ({ scene }) => {
    const set = await scene(2, { ttl: '2s', requestTimeout: '1s' })
    const [holder, other] = set.hands
    await holder.enters()
    await other.waits()
    set.nemesis.silence(holder, 'up')
    expect(await holder.finishes()).toBe('written')
    await other.entered()
    set.nemesis.reset(holder)
    await set.recovers()
    expect(await other.finishes()).toBe('written')
    await set.verdict()
  })

  test('9 a release is lost, and its process lives on: it is repeated, and no ghost is kept alive by others', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '20s', requestTimeout: '1s' })
    const [holder, other] = set.hands
    await holder.worker.do((stage) => stage.acquire('elsewhere'))
    await holder.enters()
    await other.waits()
    set.nemesis.silence(holder, 'up')
    expect(await holder.finishes()).toBe('written')
    // Longer than it tries within one request.
    await sleep(6000)
    expect(await other.isInside()).toBe(false)
    await set.recovers()
    const healedAt = performance.now()
    await other.entered()
    expect(performance.now() - healedAt).toBeLessThan(10_000)
    expect(await other.finishes()).toBe('written')
    await holder.worker.do((stage) => stage.release('elsewhere'))
    await set.verdict()
  })

  test('10 a release arrives when another holds: it ends nothing', async ({ scene, skip }) => {
    skip(MODE === 'entry', 'the end of a lease looks like any other')
    const set = await scene(2, { ttl: '2s', requestTimeout: '1s' })
    const [old, next] = set.hands
    await old.enters()
    await next.waits()
    const asked = set.nemesis.stall(old, 'leave')
    const finished = old.finishes()
    await asked
    set.nemesis.silence(old)
    const fence = await next.entered()
    await finished
    await set.recovers()
    await sleep(CARRIED_OUT_MS)
    expect(await set.holder()).toBe(fence)
    expect(await next.finishes()).toBe('written')
    await set.verdict()
  })

  test('10 a release arrives when its own process holds once more: it ends nothing', async ({ scene }) => {
    const set = await scene(1, { ttl: '10s' })
    const [hand] = set.hands
    const first = await hand.enters()
    const asked = set.nemesis.stall(hand, 'leave')
    const finished = hand.finishes()
    await asked
    expect(await finished).toBe('written')
    const fence = await hand.enters()
    expect(fence).toBeGreaterThan(first)
    await set.recovers()
    await sleep(CARRIED_OUT_MS)
    expect(await set.holder()).toBe(fence)
    expect(await hand.state()).toBe('held')
    expect(await hand.finishes()).toBe('written')
    await set.verdict()
  })

  test('11 a renewal arrives when another holds: it renews nothing, and nobody comes back', async ({ scene }) => {
    const set = await scene(3, { ttl: '2s' })
    const [old, next, last] = set.hands
    await old.enters()
    await next.waits()
    await set.nemesis.stall(old, RENEW)
    set.nemesis.silence(old)
    const fence = await next.entered()
    await set.recovers()
    await sleep(CARRIED_OUT_MS)
    expect(await set.holder()).toBe(fence)
    await last.waits()
    expect(await next.finishes()).toBe('written')
    await last.entered()
    expect(await last.finishes()).toBe('written')
    expect(await old.finishes()).toBe('refused')
    await set.verdict()
  })

  test('11 a renewal arrives after the release that was sent later: the entry does not come back', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '3s' })
    const [old, next] = set.hands
    await old.enters()
    await next.waits()
    await set.nemesis.stall(old, RENEW)
    expect(await old.finishes()).toBe('written')
    const fence = await next.entered()
    await set.recovers()
    await sleep(CARRIED_OUT_MS)
    const seen = await set.locks.inspect('a')
    expect([seen?.holders.map((each) => Number(each.fence)), seen?.waiters]).toEqual([[fence], []])
    expect(await next.finishes()).toBe('written')
    await set.verdict()
  })

  test('11 a renewal is sent while an earlier one is on its way: the answer to that one says nothing of it', async ({
    scene,
    skip,
  }) => {
    skip(MODE === 'observed', NO_LEASE)
    const set = await scene(1, { ttl: '30s' })
    const [holder] = set.hands
    await holder.enters()
    await holder.worker.do(({ holds }) => holds.get('a')!.lease.renew('30s'))
    const began = (): Promise<number> =>
      holder.worker.do(({ holds, kept }) => {
        const { lease } = holds.get('a')!
        const number = kept.size
        void lease.renew('30s').then(
          () => kept.set(`renewal ${number}`, 'renewed'),
          () => kept.set(`renewal ${number}`, 'unknown'),
        )
        kept.set(`renewal ${number}`, 'asked')
        return number
      })
    holder.wire.slow(600, 'down')
    const first = await began()
    await sleep(150)
    // This one does not arrive.
    set.nemesis.silence(holder, 'up')
    const second = await began()
    const came = (number: number): Promise<unknown> =>
      holder.worker.do(({ kept }, number) => kept.get(`renewal ${number}`), number)
    await eventually(async () => (await came(first)) === 'renewed', 'the first answer')
    await eventually(async () => (await came(second)) !== 'asked', 'the end of the second one')
    expect(await came(second)).toBe('unknown')
    await set.recovers()
    expect(await holder.finishes()).toBe('written')
    await set.verdict()
  })

  test('11 an entry joins a lease that has lasted for a while, and it is not renewed: it is held for what is left, no longer', async ({
    scene,
    skip,
  }) => {
    skip(MODE !== 'process', OWN_LEASE)
    const set = await scene(2, { ttl: '6s' })
    const [late, other] = set.hands
    await sleep(3600)
    const asked = set.nemesis.stall(late, 'renew')
    await late.begins()
    await asked
    set.nemesis.silence(late)
    await late.entered()
    await other.waits()
    await other.entered()
    expect(await other.finishes()).toBe('written')
    expect(await late.loss()).toBe('expired')
    await set.recovers()
    expect(await late.finishes()).toBe('refused')
    const { history } = await set.verdict()
    const { at, until } = history.holds.get('w1/1')!.granted!
    expect(until - at).toBeLessThan(2500)
  })

  test('12 a connection is dead, and nobody says so: the lease ends in time, and another holds after that', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '2s' })
    const [holder, other] = set.hands
    await holder.enters()
    await other.waits()
    set.nemesis.silence(holder)
    expect(await holder.loss()).toBe('expired')
    const fence = await other.entered()
    expect(await other.finishes()).toBe('written')
    await set.recovers()
    expect(await holder.finishes()).toBe('refused')
    expect(await holder.enters()).toBeGreaterThan(fence)
    expect(await holder.finishes()).toBe('written')
    const { history } = await set.verdict()
    const told = history.holds.get('w1/1')!.lost!
    expect(told.at).toBeLessThan(history.holds.get('w2/1')!.granted!.at)
  })

  test.for([
    ['to the members', 'up'],
    ['from the members', 'down'],
  ] as const)('13 nothing arrives any more in one direction, %s', async ([, way], { scene, skip }) => {
    skip(MODE === 'observed' && way === 'down', 'what only has to arrive there keeps the entry')
    const set = await scene(2, { ttl: '2s' })
    const [holder, other] = set.hands
    await holder.enters()
    await other.waits()
    set.nemesis.silence(holder, way)
    expect(await holder.loss()).toBe('expired')
    await other.entered()
    expect(await other.finishes()).toBe('written')
    await set.recovers()
    expect(await holder.finishes()).toBe('refused')
    await set.verdict()
  })

  test('14 connections are reset again and again: nobody is stuck, and nothing is left over', async ({ scene }) => {
    const set = await scene(3, { ttl: '3s' })
    for (const hand of set.hands) hand.works()
    for (let n = 0; n < 30; n += 1) {
      set.nemesis.reset(set.hands[n % 3]!)
      await sleep(100)
    }
    await set.recovers()
    await set.verdict()
  })

  test('15 the connection of a waiter is lost when it is its turn: it is served as soon as it is back', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '30s' })
    const [holder, waiter] = set.hands
    for (let n = 0; n < 3; n += 1) {
      await holder.enters()
      await waiter.waits()
      set.nemesis.reset(waiter)
      expect(await holder.finishes()).toBe('written')
      await waiter.entered()
      expect(await waiter.finishes()).toBe('written')
    }
    await set.verdict()
  })

  test('15 a wake-up is lost: it costs no more than the next look, a third of waitTtl', async ({ scene }) => {
    const set = await scene(2, { ttl: '60s', waitTtl: '15s' })
    const [holder, waiter] = set.hands
    await holder.enters()
    await waiter.waits()
    const lost = set.nemesis.stallWake(waiter)
    expect(await holder.finishes()).toBe('written')
    await lost
    await waiter.entered()
    expect(await waiter.finishes()).toBe('written')
    await set.recovers()
    const { history } = await set.verdict()
    const [released, granted] = [history.holds.get('w1/1')!.released!, history.holds.get('w2/1')!.granted!]
    expect(granted.at - released.at).toBeLessThan(5000 + 1000 + LATE_MS)
  })

  test('16 the network is slow, and unsteady: what would be over when it comes is not handed out', async ({
    scene,
  }) => {
    const set = await scene(3, { ttl: '3s' })
    for (const hand of set.hands) set.nemesis.slow(hand, 250)
    const [one, two, hasty] = set.hands
    expect(await hasty.fails({ ttl: '300ms', wait: 0 })).toBe('UNREACHABLE')
    for (const hand of [one, two]) hand.works()
    await Promise.all([one, two].map((hand) => hand.writes()))
    await set.recovers()
    await set.verdict()
  })

  test('44 what a waiter would hear is compacted away while it is cut off: it keeps its place, and is served', async ({
    scene,
  }) => {
    const set = await scene(3, { ttl: '60s', waitTtl: '60s' })
    const [holder, waiter, last] = set.hands
    await holder.enters()
    await waiter.waits()
    await last.waits()
    set.nemesis.silence(waiter)
    set.nemesis.reset(waiter)
    expect(await holder.finishes()).toBe('written')
    // Somebody else comes and goes, so that there is more than one revision.
    await set.locks.run('c', () => {})
    await set.nemesis.compact()
    set.nemesis.reset(waiter)
    await set.recovers()
    const healedAt = performance.now()
    await waiter.entered()
    // Its next look would be in a third of its ttl.
    expect(performance.now() - healedAt).toBeLessThan(10_000)
    expect(await waiter.finishes()).toBe('written')
    await last.entered()
    expect(await last.finishes()).toBe('written')
    await set.verdict()
  })

  test('44 the very deletion from which a watch goes on is compacted, of which old servers do not tell: it is served', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '60s', waitTtl: '60s' })
    const [holder, waiter] = set.hands
    await holder.enters()
    await waiter.waits()
    // It has heard of its own coming, and of nothing else.
    await answered(waiter)
    set.nemesis.silence(waiter)
    set.nemesis.reset(waiter)
    expect(await holder.finishes()).toBe('written')
    await eventually(async () => (await set.nemesis.keys()).length === 1, 'the deletion')
    await set.nemesis.compact()
    set.nemesis.reset(waiter)
    await set.recovers()
    const healedAt = performance.now()
    await waiter.entered()
    expect(performance.now() - healedAt).toBeLessThan(10_000)
    expect(await waiter.finishes()).toBe('written')
    await set.verdict()
  })

  test('45 the connection with the watch of a waiter is silently dead: it costs no more than the next look', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '60s', waitTtl: '15s' })
    const [holder, waiter] = set.hands
    await holder.enters()
    await waiter.waits()
    const dead = set.nemesis.does('no more answers on this connection', () => waiter.wire.stall(/[^]/, 'down'))
    expect(await holder.finishes()).toBe('written')
    await dead
    await waiter.entered()
    expect(await waiter.finishes()).toBe('written')
    await set.recovers()
    const { history } = await set.verdict()
    const [released, granted] = [history.holds.get('w1/1')!.released!, history.holds.get('w2/1')!.granted!]
    expect(granted.at - released.at).toBeLessThan(5000 + 1000 + LATE_MS)
  })

  test('46 the connection that a holder renews on is silently dead: it renews on another one in time', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '5s' })
    const [holder, other] = set.hands
    await holder.enters()
    await other.waits()
    for (const way of ['down', 'up', 'down'] as const) {
      await set.nemesis.does(`nothing more ${way} this connection`, () => holder.wire.stall(/[^]/, way))
      await sleep(2500)
    }
    expect(await holder.state()).toBe('held')
    expect(await holder.finishes()).toBe('written')
    await other.entered()
    expect(await other.finishes()).toBe('written')
    await set.recovers()
    const { history } = await set.verdict()
    expect(history.holds.get('w1/1')!.lost).toBeUndefined()
  })
})
