/** Faults of the store, and of who uses it. The numbers are those of docs/evidence/etcd-faults.md. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, vi } from 'vitest'
import { PUT } from '../../../src/backends/etcd/messages.ts'
import type { History } from '../../../src/verify/history.ts'
import { TIMES } from '../../kit/effort.ts'
import type { EtcdScene } from '../../kit/etcd-scene.ts'
import { MODE, test } from '../../kit/etcd-scene.ts'
import type { Hand } from '../../kit/hand.ts'
import type { Trouble } from '../../kit/rampage.ts'
import { each, rampage } from '../../kit/rampage.ts'
import { NO_SMALL_DISK, SmallDisk } from '../../kit/small-disk.ts'
import { eventually } from '../../../src/verify/torture/clock.ts'

vi.setConfig({ testTimeout: 120_000 * TIMES })
const NO_LEASE = 'an entry without a lease has nothing that this could happen to'

/** How late a holder may hear that its key is gone on a busy machine; its next renewal would be in 20 s. */
const TOLD_MS = 5000

/** 4 MB: more than a crowd needs, and soon full. */
const SMALL = ['--quota-backend-bytes', String(4 * 2 ** 20)]

function losses({ holds }: History): unknown[] {
  return [...holds.values()].filter(({ lost }) => lost)
}

describe.concurrent('servers', () => {
  test('43 a lease is revoked: its holder is told at once, and the next one holds', async ({ scene, skip }) => {
    skip(MODE === 'observed', NO_LEASE)
    const set = await scene(2, { ttl: '60s' })
    const [holder, other] = set.hands
    const fence = await holder.enters()
    await other.waits()
    const at = await set.nemesis.revoke(fence)
    expect(await holder.loss()).toBe('gone')
    await other.entered()
    expect(await other.finishes()).toBe('written')
    expect(await holder.finishes()).toBe('refused')
    await set.recovers()
    const { history } = await set.verdict('counted')
    const toldMs = history.holds.get('w1/1')!.lost!.at - at
    console.log(`43: told ${toldMs.toFixed(1)} ms after its lease was revoked`)
    expect(toldMs).toBeLessThan(TOLD_MS)
  })

  test('43 the lease of a waiter is revoked: it does not win by it, takes a new place, and is served', async ({
    scene,
    skip,
  }) => {
    skip(MODE === 'observed', NO_LEASE)
    const set = await scene(3, { ttl: '60s' })
    const [holder, waiter, last] = set.hands
    await holder.enters()
    await waiter.waits()
    await last.waits()
    const [first] = (await set.locks.inspect('a'))!.waiters
    await set.nemesis.revoke(Number(first!.fence))
    expect(await waiter.isInside()).toBe(false)
    expect(await holder.finishes()).toBe('written')
    await last.entered()
    expect(await last.finishes()).toBe('written')
    expect(await waiter.entered()).toBeGreaterThan(Number(first!.fence))
    expect(await waiter.finishes()).toBe('written')
    await set.verdict()
  })

  test('43 the keys of a lock are deleted by a stranger: the holder is told at once, and fenced data is right', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '60s' })
    const [holder, other] = set.hands
    const fence = await holder.enters()
    // Who waits would be served at once; who comes later is, too.
    await sleep(200)
    const at = await set.nemesis.remove()
    other.works()
    await other.writes()
    expect(await holder.loss()).toBe('gone')
    expect(await holder.finishes()).toBe('refused')
    expect(await holder.enters()).toBeGreaterThan(fence)
    expect(await holder.finishes()).toBe('written')
    await set.recovers()
    const { history, lostUpdates } = await set.verdict('counted')
    expect(lostUpdates).toBeGreaterThan(0)
    const toldMs = history.holds.get('w1/1')!.lost!.at - at
    console.log(`43: told ${toldMs.toFixed(1)} ms after its key was deleted`)
    expect(toldMs).toBeLessThan(TOLD_MS)
  })

  test('48 the store is full: what is held is renewed, released and passed on; what takes a new lease is refused', async ({
    scene,
    skip,
  }) => {
    skip(MODE !== 'process', 'a lease or a write for each')
    const set = await scene(3, { ttl: '3s', server: { words: SMALL } })
    const [holder, waiter, other] = set.hands
    await holder.enters()
    await waiter.waits()
    await set.nemesis.fill()
    expect(await other.fails({ ttl: '9s' })).toBe('STORE_FULL')
    await sleep(4000)
    expect(await holder.state()).toBe('held')
    expect(await holder.finishes()).toBe('written')
    await waiter.entered()
    await sleep(4000)
    expect(await waiter.finishes()).toBe('written')
    await set.nemesis.tidy()
    await other.enters({ ttl: '9s' })
    expect(await other.finishes()).toBe('written')
    await set.recovers()
    const { history } = await set.verdict()
    expect(losses(history)).toEqual([])
  })

  test('48 the store is full, and a join arrives after its release: nothing is put in, and no ghost is kept alive', async ({
    scene,
    skip,
  }) => {
    skip(MODE !== 'process', 'nobody else keeps its lease alive')
    const set = await scene(2, { ttl: '3s', server: { words: SMALL } })
    const [asker, other] = set.hands
    await asker.worker.do((stage) => stage.acquire('elsewhere'))
    const asked = set.nemesis.stall(asker, 'join')
    await asker.begins()
    await asked
    await asker.entered()
    await set.nemesis.fill()
    expect(await asker.finishes()).toBe('written')
    asker.wire.heal()
    await sleep(2000)
    expect(await set.holder()).toBeUndefined()
    await set.nemesis.tidy()
    await set.recovers()
    await other.enters()
    expect(await other.finishes()).toBe('written')
    await asker.worker.do((stage) => stage.release('elsewhere'))
    await set.verdict()
  })

  test('48 the store is full, and who is granted takes a longer lease, which it does not get: it is told in time', async ({
    scene,
    skip,
  }) => {
    skip(MODE !== 'process', 'what waits is kept by what keeps it afterwards')
    const set = await scene(2, { ttl: '4s', waitTtl: '2s', server: { words: SMALL } })
    const [holder, waiter] = set.hands
    await holder.enters()
    await waiter.waits()
    // Until the lease that it got itself when it began is over.
    await sleep(5000)
    await set.nemesis.fill()
    expect(await holder.finishes()).toBe('written')
    await waiter.entered()
    expect(await waiter.loss()).toBe('expired')
    await set.nemesis.tidy()
    await holder.enters()
    expect(await holder.finishes()).toBe('written')
    expect(await waiter.finishes()).toBe('refused')
    await set.recovers()
    await set.verdict()
  })

  test('48 the disk is full: nobody is told that it holds, until there is space again', async ({
    scene,
    skip,
    onTestFinished,
  }) => {
    // etcd takes two files of 64 MB for its log beforehand.
    const disk = SmallDisk.mount('140m')
    if (!disk) return skip(NO_SMALL_DISK)
    onTestFinished(() => disk.end())
    const set = await scene(2, { ttl: '3s', members: 1, server: { within: disk.directory } })
    const [holder, other] = set.hands
    await holder.enters()
    set.nemesis.does('disk full', () => disk.fill())
    // It dies when it has no room for a page of its database.
    const value = Buffer.alloc(1_000_000)
    const wrote = (): Promise<boolean> =>
      set.admin.call(PUT, { key: Buffer.from('filler'), value }).then(Boolean, () => false)
    await eventually(async () => !(await wrote()), 'a member that cannot write')
    expect(await other.fails({ wait: '1s' })).toMatch(/UNAVAILABLE|WAIT_TIMEOUT|STORE_FULL/)
    await holder.loss()
    await set.nemesis.does('space again', async () => disk.free())
    if (set.etcd.members[0]!.ended) await set.nemesis.launch()
    await eventually(() => set.locks.run('b', () => true).catch(() => false), 'a member that can')
    await holder.finishes()
    await set.recovers()
    await other.enters()
    expect(await other.finishes()).toBe('written')
    await set.verdict()
  })

  test('58 two hundred waiters of one lock: a hand-over is two requests at most, in their order', async ({ scene }) => {
    const waiters = 100
    const set = await scene(3, { ttl: '60s', waitTtl: '60s', requestTimeout: '20s' })
    const [holder, ...crowds] = set.hands
    await holder.enters()
    await Promise.all(
      crowds.map(({ worker }) =>
        worker.do((stage, count) => {
          const served = Array.from({ length: count }, () =>
            stage.recorded('a', true, () => stage.locks.acquire('a')).then((hold) => hold!.release()),
          )
          stage.kept.set('served', Promise.all(served))
        }, waiters),
      ),
    )
    await eventually(async () => (await set.locks.inspect('a'))!.waiters.length === 2 * waiters, 'the crowd')
    const counted = async (): Promise<number> => {
      const says = await Promise.all(
        set.etcd.endpoints.map(async (endpoint) => {
          const text = await (await fetch(`${endpoint}/metrics`)).text()
          const calls = text.matchAll(
            /^grpc_server_started_total\{grpc_method="(?:Txn|Range|LeaseGrant|LeaseRevoke)".* (\d+)$/gm,
          )
          return [...calls].reduce((sum, [, count]) => sum + Number(count), 0)
        }),
      )
      return says.reduce((sum, count) => sum + count, 0)
    }
    const before = await counted()
    expect(await holder.finishes()).toBe('written')
    await Promise.all(
      crowds.map(({ worker }) => worker.do(async ({ kept }) => void (await (kept.get('served') as Promise<unknown>)))),
    )
    const requests = (await counted()) - before
    console.log(`58: ${(requests / (2 * waiters)).toFixed(2)} requests a hand-over`)
    expect(requests).toBeLessThanOrEqual(2.2 * 2 * waiters)
    const { history } = await set.verdict()
    const fences = history.events.filter((event) => event.kind === 'granted').map(({ fence }) => fence)
    expect(fences).toEqual(fences.toSorted((one, other) => one - other))
  })

  test('58 a process asks for one name twenty times at once, and for others beside it: no two have the same fence', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '10s' })
    const ask = ({ worker }: Hand): Promise<void> =>
      worker.do(async (stage) => {
        const names = ['a', 'b', 'c'].flatMap((name) => Array.from({ length: 20 }, () => name))
        const one = async (name: string): Promise<void> => {
          const hold = await stage.recorded(name, true, () => stage.locks.acquire(name))
          hold!.check()
          await new Promise((resolve) => void setTimeout(resolve, 2))
          await hold!.release()
        }
        await Promise.all(names.map(one))
      })
    await Promise.all(set.hands.map(ask))
    const { history } = await set.verdict()
    const granted = [...history.holds.values()].flatMap((hold) => hold.granted ?? [])
    expect(new Set(granted.map(({ name, fence }) => `${name} ${fence}`)).size).toBe(120)
  })

  test('a stranger writes into the keys of a lock: it counts as somebody who holds, and the holder goes on', async ({
    scene,
    skip,
  }) => {
    skip(MODE !== 'process', 'what is kept by a write of its own finds out otherwise')
    const set = await scene(2, { ttl: '3s' })
    const [holder, other] = set.hands
    await holder.enters()
    await set.nemesis.overwrite()
    await other.waits()
    await sleep(3500)
    expect(await holder.finishes()).toBe('written')
    await other.entered()
    expect(await other.finishes()).toBe('written')
    await set.recovers()
    await set.verdict()
  })

  test('all leave, and the leases end: nothing is left, not even the keys of the epochs', async ({ scene }) => {
    const set = await scene(3, { ttl: '2s' })
    for (const hand of set.hands) hand.works()
    for (const hand of set.hands) {
      set.nemesis.reset(hand)
      await hand.writes()
    }
    await set.recovers()
    await set.nemesis.kill(set.hands[0])
    await set.hands[1].writes()
    await set.verdict()
    const left = async (): Promise<number> => (await set.nemesis.allKeys()).length + (await set.nemesis.leases()).length
    await eventually(async () => (await left()) === 0, 'the end of all leases')
  })
})

const WAYS = ['up', 'down', 'both'] as const

function anyMember({ etcd }: EtcdScene, random: () => number): number {
  return Math.floor(etcd.members.length * random())
}

/** After these, no two may ever have believed at once. */
const BEARABLE: readonly Trouble<EtcdScene>[] = [
  each(async ({ nemesis }, victim, random) => {
    await nemesis.pause(victim)
    await sleep(300 * random())
    nemesis.resume(victim)
  }),
  each(async ({ nemesis }, victim) => {
    await nemesis.pause(victim)
    await sleep(1800)
    nemesis.resume(victim)
  }),
  each(async ({ nemesis }, victim, random) => {
    nemesis.silence(victim, WAYS[Math.floor(WAYS.length * random())])
    await sleep(1800 * random())
    victim.wire.heal()
  }),
  ...(['join', 'renew', 'leave'] as const).map((verb) =>
    each<EtcdScene>(async ({ nemesis }, victim) => {
      void nemesis.stall(victim, verb)
      await sleep(800)
      victim.wire.heal()
    }),
  ),
  each(async ({ nemesis }, victim) => {
    void nemesis.stallWake(victim)
    await sleep(800)
    victim.wire.heal()
  }),
  each(async ({ nemesis }, victim, random) => {
    nemesis.slow(victim, 100 * random())
    await sleep(300)
    victim.wire.heal()
  }),
  each(({ nemesis }, victim) => nemesis.reset(victim)),
  ({ nemesis }) => nemesis.compact().catch(() => {}),
  async (set, _, random) => {
    await set.nemesis.killMembers(anyMember(set, random))
    await sleep(500 * random())
    await set.nemesis.launch()
  },
]

/** After these, two may have. */
const UNBEARABLE: readonly Trouble<EtcdScene>[] = [
  ...BEARABLE,
  ({ nemesis }) => nemesis.remove().catch(() => {}),
  // A leader that stood still may end leases that are alive.
  async (set, _, random) => {
    set.nemesis.freeze(anyMember(set, random))
    await sleep(2500 * random())
    set.nemesis.thaw()
  },
]

// Beside each other, and after all the rest.
describe('at random', () => {
  test.concurrent.for([
    ['that keep the assumptions: nobody overlaps', BEARABLE, 'none'],
    ['that break them, too: fences and fenced data are right', UNBEARABLE, 'counted'],
  ] as const)('60 all of it, at random, %s', async ([, troubles, overlapping], { scene }) => {
    const set = await scene(4, { ttl: '1s', waitTtl: '1s', requestTimeout: '1s' })
    await rampage(set, troubles, overlapping)
  })
})
