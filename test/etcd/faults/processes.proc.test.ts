/** Faults of the processes that hold and wait, and of their clocks. The numbers are those of docs/evidence/etcd-faults.md. */
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import type { Granted, History } from '../../../src/verify/history.ts'
import { TIMES } from '../../kit/effort.ts'
import { Dial, NO_DIAL } from '../../kit/clocks.ts'
import { deletionsIn } from '../../kit/etcd-deletions.ts'
import { MODE, test } from '../../kit/etcd-scene.ts'
import { eventually } from '../../../src/verify/torture/clock.ts'

const HOUR_MS = 3_600_000
/** How late a grant may be on a busy machine. */
const LATE_MS = 3000

function grants({ holds }: History): Granted[] {
  return [...holds.values()].flatMap(({ granted }) => granted ?? []).sort((a, b) => a.at - b.at)
}

describe.concurrent('processes', () => {
  test('1 a holder is killed: the next one holds when its ttl has passed, and not before', async ({ scene }) => {
    const set = await scene(2, { ttl: '2s' })
    const [holder, waiter] = set.hands
    const deletions = deletionsIn(set.admin)
    await holder.enters()
    await waiter.waits()
    await set.nemesis.kill(holder)
    await waiter.entered()
    expect(await waiter.finishes()).toBe('written')
    deletions.end()
    const { history } = await set.verdict()
    const [first, second] = grants(history)
    expect(second!.at).toBeGreaterThan(first!.until)
    expect(second!.at - history.crashes.get(holder.worker.name)!.at).toBeLessThan(2000 + LATE_MS)
    const [since, deletedAt] = [history.crashes.get(holder.worker.name)!.at, deletions.of(first!.fence)!]
    const ms = [deletedAt - since, second!.at - deletedAt].map((each) => each.toFixed(1))
    console.log(`1: its key was gone ${ms[0]} ms after it was killed, and ${ms[1]} ms later the next one held`)
  })

  test('1 a holder is killed in the middle of its release: as if it had been before it, or after', async ({
    scene,
    skip,
  }) => {
    skip(MODE === 'entry', 'the end of a lease looks like any other')
    const set = await scene(3, { ttl: '2s' })
    const [unheard, heard, waiter] = set.hands
    await heard.enters()
    await waiter.waits()
    set.nemesis.silence(heard, 'down')
    void heard.finishes()
    // Its release has arrived, though it does not know.
    await waiter.entered()
    await set.nemesis.kill(heard)
    expect(await waiter.finishes()).toBe('written')
    await unheard.enters()
    await waiter.waits()
    const asked = set.nemesis.stall(unheard, 'leave')
    void unheard.finishes()
    await asked
    set.nemesis.silence(unheard)
    await set.nemesis.kill(unheard)
    await waiter.entered()
    expect(await waiter.finishes()).toBe('written')
    await set.recovers()
    await set.verdict()
  })

  test('2 waiters are killed, at the head of the queue and in its middle: nobody waits for them', async ({ scene }) => {
    const set = await scene(4, { ttl: '30s', waitTtl: '2s' })
    const [holder, head, middle, last] = set.hands
    await holder.enters()
    for (const waiter of [head, middle, last]) await waiter.waits()
    await set.nemesis.kill(middle)
    await set.nemesis.kill(head)
    expect(await holder.finishes()).toBe('written')
    await last.entered()
    expect(await last.finishes()).toBe('written')
    const { history } = await set.verdict()
    const [first, second] = grants(history)
    expect(second!.at - history.holds.get(first!.hold)!.released!.at).toBeLessThan(2000 + LATE_MS)
  })

  test('2 a waiter is killed when it has been granted, and does not know: the next one follows in its waitTtl', async ({
    scene,
  }) => {
    const set = await scene(3, { ttl: '30s', waitTtl: '2s' })
    const [holder, head, last] = set.hands
    await holder.enters()
    await head.waits()
    await last.waits()
    await set.nemesis.pause(head)
    expect(await holder.finishes()).toBe('written')
    expect(await last.isInside()).toBe(false)
    await set.nemesis.kill(head)
    await last.entered()
    expect(await last.finishes()).toBe('written')
    await set.verdict()
  })

  test('3 a holder is paused for less than its lease: nothing is lost, and it renews again', async ({ scene }) => {
    const set = await scene(2, { ttl: '6s' })
    const [holder, waiter] = set.hands
    await holder.enters()
    await waiter.waits()
    await set.nemesis.pause(holder)
    await sleep(2000)
    set.nemesis.resume(holder)
    expect(await holder.state()).toBe('held')
    expect(await holder.finishes()).toBe('written')
    await waiter.entered()
    expect(await waiter.finishes()).toBe('written')
    const { history } = await set.verdict()
    expect(history.holds.get('w1/1')!.lost).toBeUndefined()
  })

  test('4 a holder is paused for longer than its lease: it is told before its next step, and its late write is refused', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '1s' })
    const [holder, other] = set.hands
    await holder.enters()
    other.works()
    await set.nemesis.pause(holder)
    await other.writes()
    set.nemesis.resume(holder)
    expect(await holder.finishes()).toBe('refused')
    const { history, lostUpdates } = await set.verdict()
    expect(history.holds.get('w1/1')!.checked).toEqual([])
    // Without a look at the fence it would have undone what the other one wrote.
    expect(lostUpdates).toBeGreaterThan(0)
  })

  test('4 a waiter is paused for longer than its place lasts: it takes a new one, and is served', async ({
    scene,
    skip,
  }) => {
    const set = await scene(2, { ttl: '30s', waitTtl: '1s' })
    skip(MODE === 'observed', 'without a lease, a place behind others is ended by nobody')
    const [holder, waiter] = set.hands
    await holder.enters()
    await waiter.waits()
    await set.nemesis.pause(waiter)
    await eventually(async () => (await set.locks.inspect('a'))?.waiters.length === 0, 'the end of its place')
    set.nemesis.resume(waiter)
    expect(await holder.finishes()).toBe('written')
    await waiter.entered()
    expect(await waiter.finishes()).toBe('written')
    await set.verdict()
  })

  test('5 a process is paused between its request and the answer: no hold begins after its deadline', async ({
    scene,
    skip,
  }) => {
    skip(MODE === 'entry', 'its lease is asked for first, and that is not answered')
    const set = await scene(2, { ttl: '1s', requestTimeout: '5s' })
    const [late, other] = set.hands
    await late.enters()
    await late.finishes()
    set.nemesis.silence(late, 'down')
    await late.begins()
    await eventually(async () => (await set.holder()) !== undefined, 'the grant')
    const fence = await set.holder()
    await set.nemesis.pause(late)
    // The answer is in its socket when it goes on.
    late.wire.heal()
    await other.enters()
    set.nemesis.resume(late)
    expect(await late.isInside()).toBe(false)
    expect(await other.finishes()).toBe('written')
    expect(await late.entered()).toBeGreaterThan(fence!)
    expect(await late.finishes()).toBe('written')
    await set.verdict()
  })

  test('6 the event loop of a holder is blocked for longer than its lease: the next statement is told', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '1s' })
    const [holder, other] = set.hands
    await holder.enters()
    other.works()
    const blocked = set.nemesis.block(holder, 2500)
    await other.writes()
    await blocked
    expect(await holder.finishes()).toBe('refused')
    const { history, lostUpdates } = await set.verdict()
    expect(history.holds.get('w1/1')!.checked).toEqual([])
    expect(lostUpdates).toBeGreaterThan(0)
  })

  test("36 a holder's wall clock jumps: ahead it is lost, which is safe; back, nothing happens", async ({
    scene,
    skip,
  }) => {
    const dial = Dial.make()
    if (!dial) return skip(NO_DIAL)
    const set = await scene(1, { ttl: '3s' })
    const [other] = set.hands
    const holder = await set.hire({ env: { ...process.env, ...dial.env } })
    await holder.enters()
    set.nemesis.does('wall clock back', () => dial.leap(-HOUR_MS))
    await sleep(3500)
    expect(await holder.state()).toBe('held')
    expect(await holder.finishes()).toBe('written')
    await holder.enters()
    await other.waits()
    set.nemesis.does('wall clock ahead', () => dial.leap(2 * HOUR_MS))
    expect(await holder.loss()).toBe('expired')
    await holder.finishes()
    await other.entered()
    expect(await other.finishes()).toBe('written')
    await set.verdict()
    dial.end()
  })

  test('37 a machine is suspended: whoever held there is told before it does anything', async ({ scene, skip }) => {
    const dial = Dial.make()
    if (!dial) return skip(NO_DIAL)
    const set = await scene(1, { ttl: '30s' })
    const holder = await set.hire({ env: { ...process.env, ...dial.env } })
    await holder.enters()
    await set.nemesis.pause(holder)
    // While it sleeps its monotonic clock stands still; only the wall clock knows.
    set.nemesis.does('suspended for an hour', () => dial.leap(HOUR_MS))
    set.nemesis.resume(holder)
    await holder.finishes()
    await set.hands[0].enters()
    await set.hands[0].finishes()
    const { history } = await set.verdict()
    const asleep = history.holds.get(`${holder.worker.name}/1`)!
    expect(asleep.checked).toEqual([])
    expect(asleep.lost?.reason).toBe('expired')
    dial.end()
  })

  test.for([
    ['within the margin', 0.95, 'none'],
    ['by more than the margin', 0.5, 'counted'],
  ] as const)("38 a holder's clock runs slow, %s", async ([, rate, overlapping], { scene, skip }) => {
    const dial = Dial.make(rate)
    if (!dial) return skip(NO_DIAL)
    const set = await scene(1, { ttl: '2s' })
    const [other] = set.hands
    const holder = await set.hire({
      env: { ...process.env, ...dial.env },
      machineTime: (at) => dial.machineTime(at),
    })
    await holder.enters()
    await other.waits()
    set.nemesis.silence(holder)
    await other.entered()
    expect(await other.finishes()).toBe('written')
    expect(await holder.loss()).toBe('expired')
    await set.recovers()
    expect(await holder.finishes()).toBe('refused')
    const { overlaps } = await set.verdict(overlapping)
    // 2 s, less the margin of a tenth, by a clock that runs at half, are 3.6 s; etcd is up to 0.7 s late.
    if (overlapping === 'counted') expect(overlaps).toBeGreaterThan(0)
    dial.end()
  })

  test('55 a child of a holder has nothing of the lease, and keeps nothing alive', async ({
    scene,
    onTestFinished,
  }) => {
    const set = await scene(2, { ttl: '2s' })
    const [holder, waiter] = set.hands
    await holder.enters()
    const child = await holder.worker.do(async ({ url }) => {
      const { spawn } = process.getBuiltinModule('node:child_process')
      const program = `
        import { connect } from 'holdfast'
        const locks = connect('${url}')
        console.log(String(await locks.tryAcquire('a')))
        await locks.close()
        setInterval(() => {}, 1000)`
      const words = ['--input-type=module', '-e', program]
      const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'ignore'] })
      const said = await new Promise((resolve) => child.stdout.once('data', (text) => resolve(String(text).trim())))
      return { pid: child.pid!, said }
    })
    onTestFinished(() => void process.kill(child.pid, 'SIGKILL'))
    expect(child.said).toBe('undefined')
    await waiter.waits()
    await set.nemesis.kill(holder)
    await waiter.entered()
    process.kill(child.pid, 0)
    expect(await waiter.finishes()).toBe('written')
    await set.verdict()
  })

  test('56 an abort races the grant: it holds or it does not, and leaves neither an entry nor a listener', async ({
    scene,
  }) => {
    const set = await scene(2, { ttl: '30s' })
    const [racer, other] = set.hands
    other.works()
    await other.writes()
    const { granted, aborted, listeners } = await racer.worker.do(async (stage, count) => {
      const { getEventListeners } = process.getBuiltinModule('node:events')
      const came = { granted: 0, aborted: 0, listeners: 0 }
      for (let n = 0; n < count; n += 1) {
        const { signal, abort } = ((controller) => ({
          signal: controller.signal,
          abort: () => controller.abort(),
        }))(new AbortController())
        const timer = setTimeout(abort, Math.random() * (n % 2 === 0 ? 30 : 500))
        try {
          const hold = await stage.acquire('a', { signal })
          came.granted += 1
          hold.check()
          await hold.release()
        } catch (error) {
          if ((error as Error).name !== 'AbortError') throw error
          came.aborted += 1
        }
        clearTimeout(timer)
        came.listeners += getEventListeners(signal, 'abort').length
      }
      stage.holds.clear()
      return came
    }, 100 * TIMES)
    expect([granted > 0, aborted > 0, listeners]).toEqual([true, true, 0])
    await other.writes()
    await set.verdict()
  })

  test('57 an entry joins while another one of its process is looked at, whose time may be over: it is not ended with it', async ({
    scene,
  }) => {
    const set = await scene(1, { ttl: '1s' })
    const [holder] = set.hands
    // Between the join and its answer lies a keep-alive, which takes a while.
    set.nemesis.slow(holder, 60)
    await holder.worker.do(async (stage, count) => {
      await stage.acquire('elsewhere', { ttl: '1s' })
      for (let n = 0; n < count; n += 1) {
        const hold = await stage.acquire('a', { ttl: '20s' })
        await new Promise((resolve) => void setTimeout(resolve, 100))
        hold.check()
        if ((await hold.release()) !== 'released') throw new Error('it was ended')
      }
      await stage.release('elsewhere')
      stage.holds.clear()
    }, 20 * TIMES)
    await set.recovers()
    const { history } = await set.verdict()
    const losses = [...history.holds.values()].filter(({ lost, granted }) => lost && granted?.name === 'a')
    expect(losses).toEqual([])
  })

  test("57 a release races the end of its lease: nobody's hold but its own is ended", async ({ scene }) => {
    const set = await scene(3, { ttl: '30s' })
    const [one, two, other] = set.hands
    other.works()
    const race = ({ worker }: typeof one): Promise<string[]> =>
      worker.do(async (stage, count) => {
        const came = new Set<string>()
        for (let n = 0; n < count; n += 1) {
          const hold = await stage.acquire('a', { ttl: 80, margin: 10 })
          // From six milliseconds before its end by the local clock, to two after its end on the server.
          const at = stage.now() + hold.lease.remainingMs - 6 + Math.random() * 18
          stage.block(Math.max(0, at - stage.now()))
          came.add(await hold.release())
        }
        stage.holds.clear()
        return [...came]
      }, 20 * TIMES)
    const came = await Promise.all([one, two].map(race))
    expect(new Set(came.flat())).toEqual(new Set(['released', 'gone']))
    await other.writes()
    await set.verdict()
  })
})

test('59 one CPU for all, and others who want it: things get slow, and nothing else', async ({
  scene,
  onTestFinished,
}) => {
  const set = await scene(0, { ttl: '2s' })
  const hands = await Promise.all([1, 2, 3].map(() => set.hire({ under: ['taskset', '-c', '0'] })))
  const greedy = [1, 2, 3].map(() => spawn('taskset', ['-c', '0', process.execPath, '-e', 'for (;;);']))
  onTestFinished(() => greedy.forEach((each) => void each.kill('SIGKILL')))
  for (const hand of hands) hand.works()
  await sleep(2000 * TIMES)
  await Promise.all(hands.map((hand) => hand.writes(1)))
  for (const each of greedy) each.kill('SIGKILL')
  await set.verdict()
})
