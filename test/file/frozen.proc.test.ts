import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { check } from '../../src/verify/checkers/index.ts'
import { MemoryRecorder } from '../../src/verify/history.ts'
import type { Visitor } from '../../src/verify/register.ts'
import { Register } from '../../src/verify/register.ts'
import { machineNow } from '../../src/verify/torture/clock.ts'
import type { Worker } from '../kit/workers.ts'
import { crew, temporaryDirectory } from '../kit/workers.ts'
import { until } from '../../src/verify/torture/clock.ts'

const TTL_MS = 1000
const BOUNDS = {
  guarded: new Set(['register']),
  turnMs: 1000,
  afterSleepMs: 2000,
  answerMs: 60_000,
  noticeMs: 5000,
  leaveMs: 5000,
} as const

const together = (count: number) => {
  const workers = crew(`file:${temporaryDirectory()}`, { ttl: `${TTL_MS}ms` })
  return { workers, line: workers.startMany(count) as Promise<[Worker, Worker, Worker]> }
}

/** Holds 'a' as the mode says; who it is at a register. */
const visitor = (worker: Worker, mode: 'exclusive' | 'shared'): Promise<Visitor> =>
  worker.do(async (stage, mode) => {
    const side = mode === 'shared' ? stage.locks.rw('a').read() : stage.locks.mutex('a')
    const shape = {
      mode,
      weight: mode === 'shared' ? 1 : stage.holdfast.WHOLE,
      capacity: stage.holdfast.WHOLE,
    } as const
    const hold = (await stage.recorded('a', true, () => side.acquire(), shape))!
    stage.holds.set('a', hold)
    return { process: stage.process, hold: hold.id, fence: Number(hold.lease.fence), mode }
  }, mode)

test('a holder that was stopped past its ttl finds out before its next guarded statement, and its fence opens nothing', async () => {
  const { workers, line } = together(2)
  const [frozen, next] = await line
  const accesses = new MemoryRecorder(machineNow)
  const register = new Register('register', true, accesses)
  const old = await visitor(frozen, 'exclusive')
  expect(register.write(old, register.read(old).version)).toBe(true)

  await frozen.do((stage) => {
    const { lease, check } = stage.holds.get('a')!
    const { signal } = lease
    // Guarded statements, one after the other; what the first one sees that does not run is kept.
    const work = (): void => {
      // Read before the check: a process that is stopped between the check and the statement goes on with the statement,
      // which is why a resource looks at fences.
      const at = stage.now()
      try {
        check()
      } catch (error) {
        const { code, reason } = error as { code: string; reason: string }
        stage.kept.set('end', {
          code,
          reason,
          aborted: signal.aborted,
          remainingMs: lease.remainingMs,
          state: lease.state,
        })
        return
      }
      stage.kept.set('lastAt', at)
      setTimeout(work, 1)
    }
    work()
  })
  await sleep(50)
  await frozen.stop()
  const stoppedAt = machineNow()
  const successor = await visitor(next, 'exclusive')
  expect(register.write(successor, register.read(successor).version)).toBe(true)
  frozen.continue()
  await until(() => frozen.do(({ kept }) => kept.has('end')))
  const { end, lastAt } = await frozen.do(({ kept }) => Object.fromEntries(kept) as { end: object; lastAt: number })
  expect(end).toEqual({ code: 'LEASE_LOST', reason: 'expired', aborted: true, remainingMs: 0, state: 'lost' })
  expect(lastAt).toBeLessThan(stoppedAt)

  expect(register.read(old).accepted).toBe(false)
  expect(register.write(old, 1)).toBe(false)
  expect(register.read(successor).accepted).toBe(true)
  expect(check(workers.history(accesses.events), BOUNDS)).toEqual([])
})

test('a reader that was stopped is refused after a writer, and a live reader beside another is not', async () => {
  const { workers, line } = together(3)
  const [frozen, writer, other] = await line
  const accesses = new MemoryRecorder(machineNow)
  const register = new Register('register', true, accesses)
  const old = await visitor(frozen, 'shared')
  const beside = await visitor(other, 'shared')
  expect(beside.fence).toBeGreaterThan(old.fence)
  expect([beside, old, beside].map((each) => register.read(each).accepted)).toEqual([true, true, true])
  await other.do((stage) => stage.release('a'))
  await frozen.stop()
  const newer = await visitor(writer, 'exclusive')
  expect(register.write(newer, register.read(newer).version)).toBe(true)
  frozen.continue()
  expect(register.read(old).accepted).toBe(false)
  expect(register.write(old, 1)).toBe(false)
  await writer.do((stage) => stage.release('a'))
  const one = await visitor(writer, 'shared')
  const two = await visitor(other, 'shared')
  expect([two, one].map((each) => register.read(each).accepted)).toEqual([true, true])
  await until(() => frozen.do(({ holds }) => holds.get('a')!.lease.state === 'lost'))
  expect(check(workers.history(accesses.events), BOUNDS)).toEqual([])
})

test('run rejects when its process was stopped past the ttl, though its function resolved', async () => {
  const { line } = together(1)
  const [frozen] = await line
  const outcome = frozen.do(async ({ locks, kept }) => {
    const done = await locks
      .run('a', async ({ signal }) => {
        kept.set('signal', signal)
        await new Promise((resolve) => kept.set('resolve', resolve))
        return 'done'
      })
      .catch((error: { code: string; reason: string }) => error)
    return { done, aborted: (kept.get('signal') as AbortSignal).aborted }
  })
  await until(() => frozen.do(({ kept }) => kept.has('resolve')))
  await frozen.stop()
  await sleep(1.5 * TTL_MS)
  frozen.continue()
  void frozen.do(({ kept }) => (kept.get('resolve') as () => void)())
  expect(await outcome).toMatchObject({ done: { code: 'LEASE_LOST', reason: 'expired' }, aborted: true })
})

test('run rejects when its function blocked the event loop past the ttl, and the statement after that finds out', async () => {
  const { line } = together(2)
  const [blocked, next] = await line
  const register = new Register('register', true, new MemoryRecorder(machineNow))
  const outcome = blocked.do(async (stage) => {
    let seen: object = {}
    let fence = 0
    const done = await stage.locks
      .run('a', (lease) => {
        const { signal } = lease
        fence = Number(lease.fence)
        stage.block(2500)
        let code: string | undefined
        try {
          lease.assertHeld()
        } catch (error) {
          code = (error as { code: string }).code
        }
        seen = { code, aborted: signal.aborted, remainingMs: lease.remainingMs }
        return 'done'
      })
      .catch((error: { code: string; reason: string }) => ({ code: error.code, reason: error.reason }))
    return { done, seen, fence }
  })
  await sleep(300)
  // Granted while the other one still computes.
  const successor = await visitor(next, 'exclusive')
  expect(register.write(successor, register.read(successor).version)).toBe(true)
  const { fence, ...rest } = await outcome
  expect(rest).toEqual({
    done: { code: 'LEASE_LOST', reason: 'expired' },
    seen: { code: 'LEASE_LOST', aborted: true, remainingMs: 0 },
  })
  const old: Visitor = { process: 'w1', hold: 'w1/1', fence, mode: 'exclusive' }
  expect([register.read(old).accepted, register.write(old, 1)]).toEqual([false, false])
  expect(register.read(successor).accepted).toBe(true)
  expect(await next.do((stage) => stage.holds.get('a')!.lease.state)).toBe('held')
})
