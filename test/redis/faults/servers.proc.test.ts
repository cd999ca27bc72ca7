/** Faults of the server, and of who uses it. The numbers are those of docs/evidence/redis-faults.md. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, vi } from 'vitest'
import { TIMES } from '../../kit/effort.ts'
import { Dial, NO_DIAL } from '../../kit/clocks.ts'
import type { RedisScene } from '../../kit/redis-scene.ts'
import { test } from '../../kit/redis-scene.ts'
import type { Trouble } from '../../kit/rampage.ts'
import { each, rampage } from '../../kit/rampage.ts'
import { NO_SMALL_DISK, SmallDisk } from '../../kit/small-disk.ts'
import { eventually } from '../../../src/verify/torture/clock.ts'
import { forgotten } from './forgotten.ts'

vi.setConfig({ testTimeout: 120_000 * TIMES })
const HOUR_MS = 3_600_000
const HEAD = 'holdfast:{lock:a}'

describe.concurrent('servers', () => {
  test.for([
    ['17 a server is frozen', async (set: RedisScene) => set.nemesis.freeze(), (set: RedisScene) => set.nemesis.thaw()],
    ['18 a server lets nobody write', (set: RedisScene) => set.nemesis.pauseWrites(3000), () => {}],
  ] as const)('%s for longer than a lease: nobody believes its late answers', async ([, begin, end], { scene }) => {
    const set = await scene(3, { ttl: '1500ms', requestTimeout: '10s' })
    const [holder, waiter, asker] = set.hands
    await holder.enters()
    await waiter.waits()
    await begin(set)
    // Answered when the lease that it asks for would be over.
    await asker.begins()
    expect(await holder.loss()).toBe('expired')
    await sleep(1500)
    end(set)
    const served = [waiter, asker].map((hand) => hand.entered().then(() => hand.finishes()))
    expect(await Promise.all(served)).toEqual(['written', 'written'])
    expect(await holder.finishes()).toBe('refused')
    await set.recovers()
    await set.verdict()
  })

  test('19 a server is killed and comes back empty: two may believe, and fences and fenced data are right', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '12s' })
    await forgotten(set, () => set.nemesis.restart())
  })

  test('20 a server with a log of every write is killed and comes back: nothing is forgotten', async ({ scene }) => {
    const set = await scene(2, { ttl: '12s', server: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    const [holder, other] = set.hands
    const fence = await holder.enters()
    await other.waits()
    await set.nemesis.restart()
    await eventually(async () => (await set.holder()) === fence, 'the server')
    expect(await holder.finishes()).toBe('written')
    expect(await other.entered()).toBeGreaterThan(fence)
    expect(await other.finishes()).toBe('written')
    await set.recovers()
    await set.verdict()
  })

  test('21 FLUSHALL: two may believe, and fences and fenced data are right', async ({ scene }) => {
    const set = await scene(2, { ttl: '12s' })
    await forgotten(set, () => set.nemesis.flush())
  })

  test('22 the keys of a lock are deleted by a stranger: the same', async ({ scene }) => {
    const set = await scene(2, { ttl: '12s' })
    await forgotten(set, () => set.nemesis.remove())
  })

  test('22 the key of a lock is overwritten by a stranger: nobody holds, and it is left as it is', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '2s' })
    const [holder, other] = set.hands
    await holder.enters()
    await set.nemesis.overwrite()
    expect(await other.fails()).toBe('STORE_DAMAGED')
    expect(await holder.loss()).toBe('expired')
    await holder.finishes()
    expect(await set.admin.lrange(HEAD, 0, -1)).toEqual(['mine'])
    await set.admin.del(HEAD)
    await set.recovers()
    await other.enters()
    expect(await other.finishes()).toBe('written')
    await set.verdict()
  })

  test('23 SCRIPT FLUSH, again and again: the scripts are told anew', async ({ scene }) => {
    const set = await scene(2, { ttl: '5s' })
    for (const hand of set.hands) hand.works()
    for (let n = 0; n < 20; n += 1) {
      await set.nemesis.scriptFlush()
      await sleep(30)
    }
    await set.recovers()
    expect(await Promise.all(set.hands.map((hand) => hand.rests()))).toEqual([[], []])
    await set.verdict()
  })

  test('24 a full memory: what is held is renewed, released and passed on, and nothing new is granted', async ({
    scene,
  }) => {
    const set = await scene(3, { ttl: '2s' })
    const [holder, waiter, other] = set.hands
    await holder.enters()
    await waiter.waits()
    await set.nemesis.memoryFull()
    expect(await other.fails()).toBe('STORE_FULL')
    await sleep(2500)
    expect(await holder.finishes()).toBe('written')
    await waiter.entered()
    expect(await waiter.finishes()).toBe('written')
    await set.nemesis.memoryFree()
    await other.enters()
    expect(await other.finishes()).toBe('written')
    await set.recovers()
    const { history } = await set.verdict()
    expect([...history.holds.values()].filter(({ lost }) => lost)).toEqual([])
  })

  test('25 a lock is evicted: two may believe, fences and fenced data are right, and diagnose() has warned', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '12s' })
    await forgotten(set, async () => {
      await set.nemesis.evict()
      const errors = (await set.locks.diagnose()).filter(({ level }) => level === 'error')
      expect(errors.map(({ subject }) => subject)).toContain('eviction')
      await set.nemesis.memoryFree()
    })
  })

  test('26 the disk of the server is full: nobody is told that it holds, until there is space again', async ({
    scene,
    skip,
    onTestFinished,
  }) => {
    const disk = SmallDisk.mount('1m')
    if (!disk) return skip(NO_SMALL_DISK)
    onTestFinished(() => disk.end())
    const server = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--auto-aof-rewrite-percentage', '0']
    const set = await scene(2, { ttl: '3s', server, serverDirectory: disk.directory })
    const [holder, other] = set.hands
    await holder.enters()
    set.nemesis.does('disk full', () => disk.fill())
    // It notices when the last page of its log is full.
    const written = (): Promise<boolean> => set.admin.set('junk', 'x'.repeat(5000)).then(Boolean, () => false)
    await eventually(async () => !(await written()), 'a server that cannot write')
    expect(await other.fails({ wait: '1s' })).toBe('UNAVAILABLE')
    expect(await holder.loss()).toBe('expired')
    set.nemesis.does('space again', () => disk.free())
    await eventually(() => set.locks.run('b', () => true).catch(() => false), 'a server that can')
    await holder.finishes()
    await set.recovers()
    await other.enters()
    expect(await other.finishes()).toBe('written')
    await set.verdict()
  })

  test("34 the server's clock jumps ahead: two may believe, and fences and fenced data are right", async ({
    scene,
    skip,
  }) => {
    const dial = Dial.make()
    if (!dial) return skip(NO_DIAL)
    const set = await scene(2, { ttl: '12s', serverEnv: dial.env })
    await forgotten(set, () => set.nemesis.does('server clock ahead', () => dial.leap(HOUR_MS)))
    dial.end()
  })

  test("35 the server's clock is set back: fences go on growing, and nobody waits for longer than it said", async ({
    scene,
    skip,
  }) => {
    const dial = Dial.make()
    if (!dial) return skip(NO_DIAL)
    const set = await scene(3, { ttl: '5s', serverEnv: dial.env })
    const [holder, other, dying] = set.hands
    const fence = await holder.enters()
    set.nemesis.does('server clock back', () => dial.leap(-HOUR_MS))
    expect(await other.fails({ wait: '1s' })).toBe('WAIT_TIMEOUT')
    expect(await holder.finishes()).toBe('written')
    // Whoever asked in vain drew a ticket, too.
    expect(await other.enters()).toBe(fence + 2)
    expect(await other.finishes()).toBe('written')
    // Whoever dies now is succeeded by the clock as it is now.
    await dying.enters()
    await set.nemesis.kill(dying)
    await other.enters()
    expect(await other.finishes()).toBe('written')
    await set.recovers()
    // Not before the last fence, read as a time, has passed.
    await set.verdict('none', HOUR_MS + 121_000)
    dial.end()
  })

  test('58 two hundred waiters of one lock: each hand-over is one request and one message, in their order', async ({
    scene,
  }) => {
    const waiters = 100
    const set = await scene(3, { ttl: '60s', waitTtl: '60s' })
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
    const counted = async (): Promise<[requests: number, messages: number]> => {
      const stats = await set.admin.info('commandstats')
      const calls = (command: string): number =>
        Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
      return [calls('evalsha'), calls('publish')]
    }
    const before = await counted()
    expect(await holder.finishes()).toBe('written')
    await Promise.all(
      crowds.map(({ worker }) => worker.do(async ({ kept }) => void (await (kept.get('served') as Promise<unknown>)))),
    )
    const after = await counted()
    const [requests, messages] = after.map((count, index) => count - before[index]!) as [number, number]
    expect(messages).toBe(2 * waiters)
    expect(requests).toBeLessThanOrEqual(2.2 * 2 * waiters)
    const { history } = await set.verdict()
    const fences = history.events.filter((event) => event.kind === 'granted').map(({ fence }) => fence)
    expect(fences).toEqual(fences.toSorted((one, other) => one - other))
  })
})

const WAYS = ['up', 'down', 'both'] as const

/** After these, no two may ever have believed at once. */
const BEARABLE: readonly Trouble<RedisScene>[] = [
  each(async ({ nemesis }, victim, random) => {
    await nemesis.pause(victim)
    await sleep(300 * random())
    nemesis.resume(victim)
  }),
  each(async ({ nemesis }, victim) => {
    await nemesis.pause(victim)
    await sleep(1500)
    nemesis.resume(victim)
  }),
  each(async ({ nemesis }, victim, random) => {
    nemesis.silence(victim, WAYS[Math.floor(WAYS.length * random())])
    await sleep(1500 * random())
    victim.wire.heal()
  }),
  each(async ({ nemesis }, victim) => {
    void nemesis.stall(victim, 'renew')
    await sleep(500)
    nemesis.hangUp(victim)
    await sleep(500)
    victim.wire.heal()
  }),
  each(async ({ nemesis }, victim, random) => {
    nemesis.slow(victim, 100 * random())
    await sleep(300)
    victim.wire.heal()
  }),
  each(({ nemesis }, victim) => nemesis.reset(victim)),
  ({ nemesis }) => nemesis.killConnections('pubsub'),
  ({ nemesis }) => nemesis.killConnections('normal'),
  ({ nemesis }) => nemesis.scriptFlush(),
  async ({ nemesis }, _, random) => {
    const ms = Math.ceil(1200 * random())
    await nemesis.pauseWrites(ms)
    await sleep(ms)
  },
  async ({ nemesis }, _, random) => {
    nemesis.freeze()
    await sleep(1200 * random())
    nemesis.thaw()
  },
]

/** After these, two may have. */
const UNBEARABLE: readonly Trouble<RedisScene>[] = [
  ...BEARABLE,
  ({ nemesis }) => nemesis.flush(),
  ({ nemesis }) => nemesis.remove(),
  ({ nemesis }) => nemesis.restart(),
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
