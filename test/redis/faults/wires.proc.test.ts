/** Faults on the way to the server. The numbers are those of docs/evidence/redis-faults.md. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { test } from '../../kit/redis-scene.ts'
import { eventually } from '../../../src/verify/torture/clock.ts'

/** How late a grant may be on a busy machine. */
const LATE_MS = 3000
/** A client of the user's own, as ioredis makes it, sends again what was on its way. */
const SENDS_AGAIN = process.env['HOLDFAST_REDIS_CLIENT']?.startsWith('ioredis') ?? false
/** What has been delivered is carried out by then. */
const CARRIED_OUT_MS = 500

describe.concurrent('wires', () => {
  test('7 the answer to an acquisition is lost: it rejects, and what it got is given back', async ({ scene }) => {
    const set = await scene(2, { ttl: '30s', requestTimeout: '1s' })
    const [asker, other] = set.hands
    set.nemesis.silence(asker, 'down')
    expect(await asker.fails()).toBe('UNREACHABLE')
    // Long before the ttl.
    await other.enters()
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
    set.nemesis.silence(asker, 'up')
    expect(await asker.fails()).toBe('UNREACHABLE')
    expect(await set.holder()).toBeUndefined()
    await set.recovers()
    await other.enters()
    expect(await other.finishes()).toBe('written')
    await set.verdict()
  })

  test('8 an acquisition arrives when its sender has left: it ends by its ttl, and nobody believes in it', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '2s', requestTimeout: '60s' })
    const [asker, other] = set.hands
    const asked = set.nemesis.stall(asker, 'join')
    await asker.begins({ wait: 0 })
    await asked
    const hungUpAt = performance.now()
    set.nemesis.hangUp(asker)
    expect(await asker.finishes()).toBe(SENDS_AGAIN ? 'written' : 'UNAVAILABLE')
    // That the connection is lost is known at once, and not when the time for a request is up.
    expect(performance.now() - hungUpAt).toBeLessThan(30_000)
    // Over the new connection it has left, before its join arrives.
    await asker.isAnswered()
    await set.recovers()
    await eventually(async () => (await set.holder()) !== undefined, 'the late arrival')
    const ghost = await set.holder()
    expect(await other.enters()).toBeGreaterThan(ghost!)
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

  test('10 a release arrives when another holds: it ends nothing', async ({ scene }) => {
    const set = await scene(2, { ttl: '2s', requestTimeout: '1s' })
    const [old, next] = set.hands
    await old.enters()
    await next.waits()
    const asked = set.nemesis.stall(old, 'leave')
    const finished = old.finishes()
    await asked
    set.nemesis.hangUp(old)
    const fence = await next.entered()
    await finished
    await set.recovers()
    await sleep(CARRIED_OUT_MS)
    expect(await set.holder()).toBe(fence)
    expect(await next.finishes()).toBe('written')
    await set.verdict()
  })

  test('11 a renewal arrives when another holds: it renews nothing, and nobody comes back', async ({ scene }) => {
    const set = await scene(3, { ttl: '2s' })
    const [old, next, last] = set.hands
    await old.enters()
    await next.waits()
    await set.nemesis.stall(old, 'renew')
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
    await set.nemesis.stall(old, 'renew')
    set.nemesis.hangUp(old)
    expect(await old.finishes()).toBe('written')
    const fence = await next.entered()
    await set.recovers()
    await sleep(CARRIED_OUT_MS)
    const seen = await set.locks.inspect('a')
    expect([seen?.holders.map((each) => Number(each.fence)), seen?.waiters]).toEqual([[fence], []])
    expect(await next.finishes()).toBe('written')
    await set.verdict()
  })

  test('11 a renewal arrives after a longer one that was sent later: the lease is not cut short', async ({ scene }) => {
    const set = await scene(2, { ttl: '2s' })
    const [holder, other] = set.hands
    await holder.enters()
    await other.waits()
    await set.nemesis.stall(holder, 'renew')
    set.nemesis.hangUp(holder)
    await holder.worker.do(async ({ holds }) => {
      const { lease } = holds.get('a')!
      // The first try may meet the connection that is just being lost.
      await lease.renew('20s').catch(() => lease.renew('20s'))
    })
    holder.wire.heal()
    set.nemesis.silence(holder)
    await sleep(2500)
    // Its holder believes in the 20 s that it was promised.
    expect(await holder.state()).not.toBe('lost')
    expect(await other.isInside()).toBe(false)
    await set.recovers()
    expect(await holder.finishes()).toBe('written')
    await other.entered()
    expect(await other.finishes()).toBe('written')
    await set.verdict()
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
    ['to the server', 'up'],
    ['from the server', 'down'],
  ] as const)('13 nothing arrives any more in one direction, %s', async ([, way], { scene }) => {
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
      if (n % 10 === 9) await set.nemesis.killConnections('normal')
      await sleep(100)
    }
    await set.recovers()
    await set.verdict()
  })

  test('15 the connections for messages are cut: a waiter is served as soon as they are back', async ({ scene }) => {
    const set = await scene(2, { ttl: '30s' })
    const [holder, waiter] = set.hands
    for (let n = 0; n < 3; n += 1) {
      await holder.enters()
      await waiter.waits()
      await set.nemesis.killConnections('pubsub')
      expect(await holder.finishes()).toBe('written')
      await waiter.entered()
      expect(await waiter.finishes()).toBe('written')
    }
    await set.verdict()
  })

  test('15 the connection for messages is lost while it comes back: nothing is thrown, and a waiter is served', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '30s' })
    const [holder, waiter] = set.hands
    await holder.enters()
    await waiter.waits()
    for (let n = 0; n < 3; n += 1) {
      const asked = set.nemesis.does('stall its subscription', () => waiter.wire.stall(/\nsubscribe\r\n/, 'up'))
      await set.nemesis.killConnections('pubsub')
      await asked
      set.nemesis.hangUp(waiter)
      waiter.wire.heal()
    }
    expect(await holder.finishes()).toBe('written')
    await waiter.entered()
    expect(await waiter.finishes()).toBe('written')
    await set.recovers()
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
    expect(granted.at - released.at).toBeLessThan(5000 + LATE_MS)
  })

  test('16 the network is slow, and unsteady: what would be over when it comes is not handed out', async ({
    scene,
  }) => {
    const set = await scene(3, { ttl: '2s' })
    for (const hand of set.hands) set.nemesis.slow(hand, 300)
    const [one, two, hasty] = set.hands
    expect(await hasty.fails({ ttl: '400ms', wait: 0 })).toBe('UNREACHABLE')
    for (const hand of [one, two]) hand.works()
    await Promise.all([one, two].map((hand) => hand.writes()))
    await set.recovers()
    await set.verdict()
  })

  test('a wake-up that comes late, for a ticket that has lapsed, makes nobody hold', async ({ scene }) => {
    const set = await scene(3, { ttl: '30s', waitTtl: '2s' })
    const [holder, waiter, other] = set.hands
    await holder.enters()
    await waiter.waits()
    const [first] = (await set.locks.inspect('a'))!.waiters
    const sent = set.nemesis.stallWake(waiter)
    expect(await holder.finishes()).toBe('written')
    await sent
    // It holds, and does not know; then its place is over, and another one holds.
    await set.nemesis.pause(waiter)
    const fence = await other.enters()
    set.nemesis.resume(waiter)
    await eventually(async () => (await set.locks.inspect('a'))?.waiters.length === 1, 'its next try')
    waiter.wire.heal()
    await sleep(CARRIED_OUT_MS)
    expect(await waiter.isInside()).toBe(false)
    // And the same for every try that it may have made, as if messages were mixed up.
    for (const inbox of (await set.admin.call('PUBSUB', 'CHANNELS', 'holdfast:inbox:*')) as string[])
      for (let tag = 1; tag <= 10; tag += 1) await set.admin.publish(inbox, `${tag} ${first!.fence}`)
    await sleep(CARRIED_OUT_MS)
    expect(await waiter.isInside()).toBe(false)
    expect(await set.holder()).toBe(fence)
    await set.recovers()
    expect(await other.finishes()).toBe('written')
    await waiter.entered()
    expect(await waiter.finishes()).toBe('written')
    await set.verdict()
  })
})
