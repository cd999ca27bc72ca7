/** What is left of a store under another boot, another clock, or in another time namespace. */
import { rmSync, statSync, truncateSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { FileOptions } from '../../src/backends/file/index.ts'
import type { FakeClock } from './kit/fake-clock.ts'
import { TTL_MS, entry, held, isFree, newestSegment, nul, place } from './kit/place.ts'

describe('after a restart of the machine', () => {
  test('the leases of the old boot are gone, and fences go on growing', async () => {
    const { clock, open } = place()
    const old = open()
    const before = await held(old)
    clock.reboot()
    const backend = open()
    const after = await held(backend)
    expect(after.fence).toBeGreaterThan(before.fence)
    expect((await backend.renew(before, TTL_MS)).state).toBe('lost')
  })

  test('waiters of the old boot are gone, too, and so are its followers', async () => {
    const { clock, open } = place()
    const old = open()
    await old.follow('a', () => {})
    await held(old)
    expect((await old.join(entry({ wait: true }))).state).toBe('waiting')
    clock.reboot()
    expect(await isFree(open())).toBe(true)
  })

  test.each([
    ['on time', 3000, 5000],
    ['with a wall clock that was set back', -3_600_000, 8000],
    ['with a wall clock that was set forward', 3_600_000, 0],
  ])('a minimum hold goes on for what the wall clock says is left: %s', async (_, offMs, leftMs) => {
    const { clock, open } = place()
    const old = open()
    const holder = await held(old)
    clock.advance(2000)
    await old.leave(holder, { lingerMs: 8000 })
    clock.reboot(offMs)
    const backend = open()
    if (leftMs > 0) {
      expect(await isFree(backend)).toBe(false)
      clock.advance(leftMs - 1)
      expect(await isFree(backend)).toBe(false)
      clock.advance(1)
    }
    expect(await isFree(backend)).toBe(true)
  })

  const damages: [how: string, damage: (path: string) => void][] = [
    ['cut off', (path) => truncateSync(path, statSync(path).size - 50)],
    ['filled with NULs at its end', (path) => nul(path, statSync(path).size - 600)],
    ['filled with NULs', (path) => nul(path, 0)],
    ['empty', (path) => truncateSync(path, 0)],
    ['gone', (path) => rmSync(path)],
  ]
  test.each(damages)('fences grow though the wall clock was set back and the last segment is %s', async (_, damage) => {
    const { clock, open, directory } = place()
    const old = open()
    let last = 0n
    for (let n = 0; n < 20; n += 1) {
      const holder = await held(old)
      last = holder.fence
      await old.leave(holder)
      clock.advance(60_000)
    }
    clock.reboot(-365 * 86_400_000)
    damage(newestSegment(directory))
    const next = await held(open())
    expect(next.fence).toBeGreaterThan(last)
  })

  test('fences grow over many restarts at which the clock is set back each time', async () => {
    const { clock, open, directory } = place()
    let last = 0n
    for (let boot = 0; boot < 5; boot += 1) {
      const { fence } = await held(open())
      expect(fence).toBeGreaterThan(last)
      last = fence
      clock.reboot(-86_400_000)
      truncateSync(newestSegment(directory), 0)
    }
  })
})

describe('under another boot id, while the clock has not gone back, as in a container that has one of its own', () => {
  const hidden = (clock: FakeClock): FileOptions => ({
    clock: { now: () => clock.now(), identity: { boot: 'of a container', namespace: 'one' } },
  })

  test('a store in use is refused, and its holder goes on', async () => {
    const { clock, open } = place()
    const backend = open()
    const holder = await held(backend)
    await expect(open(hidden(clock)).join(entry())).rejects.toMatchObject({
      code: 'STORE_MISMATCH',
      message: expect.stringMatching(/boot id.*container/),
    })
    expect((await backend.renew(holder, TTL_MS)).state).toBe('held')
  })

  test('leases end with their ttl, and minimum holds go on', async () => {
    const { clock, open } = place()
    const backend = open()
    const holder = await held(backend)
    const once = await held(backend, { name: 'b' })
    await backend.leave(once, { lingerMs: 2 * TTL_MS })
    clock.advance(TTL_MS)
    const stranger = open(hidden(clock))
    const next = await held(stranger)
    expect(next.fence).toBeGreaterThan(holder.fence)
    expect((await stranger.join(entry({ name: 'b' }))).state).toBe('refused')
    await expect(backend.renew(holder, TTL_MS)).rejects.toMatchObject({ code: 'STORE_MISMATCH' })
    clock.advance(TTL_MS)
    expect((await stranger.join(entry({ name: 'b' }))).state).toBe('held')
  })

  test('a store that nobody uses is taken over and given back, and its fences grow', async () => {
    const { clock, open } = place()
    const [one, two] = [open(), open(hidden(clock))]
    let last = 0n
    for (const backend of [one, two, one, two]) {
      const holder = await held(backend)
      expect(holder.fence).toBeGreaterThan(last)
      last = holder.fence
      await backend.leave(holder)
    }
  })
})

test('fences grow though the wall clock is set back while the store is in use', async () => {
  const { clock, open } = place()
  const backend = open()
  const first = await held(backend)
  clock.jumpWall(-86_400_000)
  await backend.leave(first)
  const second = await held(backend)
  expect(second.fence).toBeGreaterThan(first.fence)
  await backend.leave(second)
  expect((await held(open())).fence).toBeGreaterThan(second.fence)
})

test('a wall clock that jumps ends no lease', async () => {
  const { clock, open } = place()
  const backend = open()
  const holder = await held(backend)
  clock.jumpWall(86_400_000)
  expect(await isFree(open())).toBe(false)
  expect((await backend.renew(holder, TTL_MS)).state).toBe('held')
})

describe('in another time namespace', () => {
  test('a store in use is refused, and its holder goes on', async () => {
    const { clock, open } = place()
    const backend = open()
    const holder = await held(backend)
    const stranger = open({ clock: clock.elsewhere('two') })
    await expect(stranger.join(entry())).rejects.toMatchObject({
      code: 'STORE_MISMATCH',
      message: expect.stringMatching(/time namespace.*directory/),
    })
    expect((await backend.renew(holder, TTL_MS)).state).toBe('held')
  })

  test('a store that nobody uses is taken over, and given back, and its fences grow', async () => {
    const { clock, open } = place()
    const one = open()
    const first = await held(one)
    await one.leave(first)
    const two = open({ clock: clock.elsewhere('two') })
    const second = await held(two)
    expect(second.fence).toBeGreaterThan(first.fence)
    await expect(one.join(entry())).rejects.toMatchObject({ code: 'STORE_MISMATCH' })
    await two.leave(second)
    expect((await held(one)).fence).toBeGreaterThan(second.fence)
  })

  test('a store is in use as long as a minimum hold has not passed', async () => {
    const { clock, open } = place()
    const one = open()
    const holder = await held(one)
    await one.leave(holder, { lingerMs: 5000 })
    const two = open({ clock: clock.elsewhere('two') })
    await expect(two.join(entry())).rejects.toMatchObject({ code: 'STORE_MISMATCH' })
  })
})
