import { expect, test } from 'vitest'
import { simulatedTime } from '../../src/testing/simulated.ts'

test('timers fire in their order, and what they set off runs before the next one', async () => {
  const time = simulatedTime()
  const process = time.runtime()
  const seen: string[] = []
  process.after(20, () => seen.push('second'))
  process.after(10, () => void Promise.resolve().then(() => seen.push('after the first')))
  process.after(10, () => seen.push('first')).cancel()
  await time.advance(15)
  expect(seen).toEqual(['after the first'])
  await time.advance(15)
  expect(seen).toEqual(['after the first', 'second'])
  expect(time.now).toBe(30)
})

test.each([0.003, -0.003, 0, 0.1])(
  'a timer never fires before its time on a clock with a drift of %d',
  async (drift) => {
    const time = simulatedTime()
    const process = time.runtime({ drift })
    for (let ms = 0.1; ms < 200; ms *= 1.37) {
      const due = process.monotonicMs() + ms
      let firedAt = 0
      process.after(ms, () => (firedAt = process.monotonicMs()))
      await time.step()
      expect(firedAt).toBeGreaterThanOrEqual(due)
      expect(firedAt).toBeLessThan(due + 0.01)
    }
  },
)

test('clocks of several processes run at their own rates', async () => {
  const time = simulatedTime()
  const [fast, slow] = [time.runtime({ drift: 0.1 }), time.runtime({ drift: -0.1 })]
  const [fastFrom, slowFrom] = [fast.monotonicMs(), slow.monotonicMs()]
  await time.advance(1000)
  expect(fast.monotonicMs() - fastFrom).toBeCloseTo(1100)
  expect(slow.monotonicMs() - slowFrom).toBeCloseTo(900)
})

test('while a machine sleeps its monotonic clock stands and its wall clock goes on', async () => {
  const time = simulatedTime()
  const process = time.runtime()
  const [monotonic, wall] = [process.monotonicMs(), process.wallMs()]
  let firedAt = 0
  process.after(50, () => (firedAt = time.now))
  process.sleep(1000)
  expect(process.wallMs()).toBe(wall)
  await time.advance(600)
  expect([process.monotonicMs() - monotonic, process.wallMs() - wall]).toEqual([0, 600])
  await time.advance(600)
  expect([process.monotonicMs() - monotonic, process.wallMs() - wall]).toEqual([200, 1200])
  expect(firedAt).toBe(1050)
})

test('a wall clock that is set changes nothing else', () => {
  const process = simulatedTime().runtime()
  const [monotonic, wall] = [process.monotonicMs(), process.wallMs()]
  process.jumpWall(-5000)
  expect([process.monotonicMs() - monotonic, process.wallMs() - wall]).toEqual([0, -5000])
})

test('the timers of a paused process fire late, when it goes on', async () => {
  const time = simulatedTime()
  const [paused, other] = [time.runtime(), time.runtime()]
  const seen: string[] = []
  paused.after(10, () => seen.push(`paused ${time.now}`))
  other.after(20, () => seen.push(`other ${time.now}`))
  paused.pause()
  await time.advance(100)
  paused.continue()
  await time.advance(0)
  expect(seen).toEqual(['other 20', 'paused 100'])
})

test('a killed process fires no timer, neither an old nor a new one', async () => {
  const time = simulatedTime()
  const process = time.runtime()
  process.after(10, () => expect.unreachable())
  process.kill()
  process.after(10, () => expect.unreachable())
  expect(await time.step()).toBe(false)
})

test('in a blocked event loop time passes and nothing fires', async () => {
  const time = simulatedTime()
  const process = time.runtime()
  let fired = false
  process.after(10, () => (fired = true))
  time.block(100)
  await time.settle()
  expect(fired).toBe(false)
  await time.advance(0)
  expect(fired).toBe(true)
})

test('the same seed gives the same tokens and numbers, and another seed others', () => {
  const draw = (seed: number) => {
    const process = simulatedTime({ seed }).runtime()
    return [process.token(), process.token(), process.random()]
  }
  expect(draw(1)).toEqual(draw(1))
  const all = [...draw(1), ...draw(2), ...draw(2 ** 40 + 1)]
  expect(new Set(all).size).toBe(9)
})

test('during moves the clock until a promise settles, and gives up in time', async () => {
  const time = simulatedTime()
  const process = time.runtime()
  const after = (ms: number) => new Promise<number>((resolve) => process.after(ms, () => resolve(time.now)))
  expect(await time.during(after(500))).toBe(500)
  await expect(time.during(Promise.reject(new Error('broken')))).rejects.toThrow('broken')
  await expect(time.during(after(500), 100)).rejects.toThrow('after 100 simulated ms it has not settled (seed 1)')
})
