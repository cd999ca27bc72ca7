/**
 * Mistakes of `etcd:` that the simulation found, each with the seed that showed it at the time and a short story that tells why
 * it was one. Seeds show other schedules when plans change; the stories stay.
 */
import { expect, test } from 'vitest'
import type { Lease } from '../../../src/core/lease.ts'
import { Story } from './story.ts'

/** Whether it settles within so long. */
async function settles(story: Story, work: Promise<unknown>, ms: number): Promise<boolean> {
  let settled = false
  void work.finally(() => (settled = true)).catch(() => {})
  await story.time.advance(ms)
  return settled
}

// Seed 43: nobody deletes an entry that has no lease, so others stood behind it for its whole ttl.
test('an entry that was left before it came in does not stay, though the first leave is answered last', async () => {
  const story = new Story('observed')
  const hasty = story.person([
    { verb: 'join', n: 1, does: 'late-request', ms: 20 },
    { verb: 'leave', n: 1, does: 'late-reply', ms: 100 },
  ])
  const abort = new AbortController()
  const asked = hasty.locks.acquire('n', { signal: abort.signal })
  await story.time.advance(5)
  abort.abort()
  await expect(story.time.during(asked)).rejects.toThrow(Error)
  await story.time.advance(500)
  expect(await settles(story, story.person().locks.acquire('n'), 1000)).toBe(true)
})

// Seed 288: it took the revision of the second writing for its ticket, lost its lease by that, and left its entry to stand.
test('a reader whose join was not answered asks again, and has the ticket that it drew', async () => {
  const story = new Story('process')
  const reader = story.person([{ verb: 'join', n: 1, does: 'lose-reply', ms: 0 }])
  const lease = await story.time.during(reader.locks.rw('n').read().acquire())
  await story.time.advance(1000)
  expect(lease.state).toBe('held')
  await story.time.during(lease.release())
  expect(await settles(story, story.person().locks.acquire('n'), 1000)).toBe(true)
})

// Seed 1471: two more than there were permits.
test('whoever has the second permit is not taken over by a waiter before its first renewal', async () => {
  const story = new Story('observed')
  const permit = (): Promise<Lease> => story.person([], { waitTtl: '1s' }).locks.semaphore('n', 2).acquire()
  const holders = [await story.time.during(permit()), await story.time.during(permit())]
  expect(await settles(story, permit(), 5000)).toBe(false)
  expect(holders.map(({ state }) => state)).toEqual(['held', 'held'])
})

// Seed 3959: its own process ended the entry, a second before its holder was told.
test('a holder whose wall clock is set ahead is told before its entry is ended', async () => {
  const story = new Story('process')
  const [ahead, next] = [story.person(), story.person()]
  const lease = await story.time.during(ahead.locks.acquire('n'))
  const told: string[] = []
  lease.signal.addEventListener('abort', () => told.push('lost'))
  void next.locks.acquire('n').then(() => told.push('granted'))
  await story.time.advance(10)
  ahead.runtime.jumpWall(60_000)
  await story.time.advance(500)
  expect(told).toEqual(['lost', 'granted'])
})

// Seed 5849: two exclusive holders, and nothing but an answer was lost.
test('an entry is not put on a lease that ends before it was promised to', async () => {
  const story = new Story('process')
  const options = { ttl: '3s', waitTtl: '1s', margin: 100 }
  const [first, second, third] = [story.person([], options), story.person([], options), story.person([], options)]
  const held = await story.time.during(first.locks.acquire('n'))
  const granted = second.locks.acquire('n')
  await story.time.advance(10)
  let overlaps = false
  void third.locks.acquire('n').then(async () => (overlaps = (await granted).remainingMs > 0))
  await story.time.advance(2500)
  await story.time.during(held.release())
  await story.time.during(granted)
  second.hearsNothing(5000)
  await story.time.advance(4000)
  expect(overlaps).toBe(false)
})

// Seed 5953: it was swept away while the lease was kept alive, and then lingered for its lock delay.
test('a try whose lease has no more time left than its lock delay is granted', async () => {
  const story = new Story('process')
  const { locks } = story.person()
  const options = { ttl: '10s', lockDelay: '5s' }
  const from = story.time.now
  await story.time.during((await story.time.during(locks.acquire('n', options))).release())
  // At ten seconds it is looked for what is over; the lease is being kept alive.
  await story.time.advance(from + 10_000 - 3 - story.time.now)
  expect(await story.time.during(locks.tryAcquire('n', options))).toMatchObject({ state: 'held' })
})

// Seed 2072: it was answered that the coordinator is silent.
test('a try whose lease ends while it is on its way is granted', async () => {
  const story = new Story('process')
  const { locks } = story.person()
  await story.time.during(locks.acquire('other', { ttl: '60s' }))
  const from = story.time.now
  await story.time.during((await story.time.during(locks.acquire('n', { ttl: '10s' }))).release())
  await story.time.advance(from + 10_000 - 1 - story.time.now)
  expect(await story.time.during(locks.tryAcquire('n', { ttl: '10s' }))).toMatchObject({ state: 'held' })
})

// Seed 5216: others stood behind it for as long as its process lived.
test('a join that was left before it came in is not sent again', async () => {
  const story = new Story('process')
  const hasty = story.person([
    { verb: 'join', n: 2, does: 'late-request', ms: 10 },
    { verb: 'join', n: 4, does: 'late-request', ms: 1000 },
  ])
  // What keeps the lease alive that both are on.
  await story.time.during(hasty.locks.acquire('other'))
  const abort = new AbortController()
  const asked = hasty.locks.acquire('n', { signal: abort.signal })
  await story.time.advance(2)
  abort.abort()
  await expect(story.time.during(asked)).rejects.toThrow(Error)
  await story.time.advance(3000)
  expect(await settles(story, story.person().locks.acquire('n'), 1000)).toBe(true)
})

// Seed 7599: it held beside the holder.
test('a waiter whose wall clock is set ahead takes over nothing', async () => {
  const story = new Story('observed')
  const [holder, waiter] = [story.person(), story.person()]
  const lease = await story.time.during(holder.locks.acquire('n'))
  const asked = waiter.locks.acquire('n')
  await story.time.advance(1000)
  waiter.runtime.jumpWall(60_000)
  expect(await settles(story, asked, 20_000)).toBe(false)
  expect(lease.state).toBe('held')
})

// Seed 7338: the readers that it had let in lost their leases.
test('a downgrade that was not answered is not taken back by the next renewal', async () => {
  const story = new Story('observed')
  const [writer, other] = [story.person(), story.person()]
  const lease = await story.time.during(writer.locks.rw('n').write().acquire())
  const asked = other.locks.rw('n').read().acquire()
  await story.time.advance(1000)
  writer.hearsNothing(6000)
  await expect(story.time.during(lease.downgrade())).rejects.toMatchObject({ code: 'UNREACHABLE' })
  const reader = await story.time.during(asked)
  await story.time.advance(30_000)
  expect([lease.state, reader.state]).toEqual(['held', 'held'])
})

// Seed 7338, as well.
test('a renewal that comes late does not take back a downgrade', async () => {
  const story = new Story('observed')
  const writer = story.person([{ verb: 'join', n: 2, does: 'late-request', ms: 3000 }])
  const lease = await story.time.during(writer.locks.rw('n').write().acquire())
  await story.time.advance(11_000)
  await story.time.during(lease.downgrade())
  await story.time.advance(3000)
  expect(await settles(story, story.person().locks.rw('n').read().acquire(), 1000)).toBe(true)
})

// Seed 8267: as of 5216.
test('a join that comes late, when its entry lingers, puts nothing in', async () => {
  const story = new Story('process')
  const { locks } = story.person([{ verb: 'join', n: 2, does: 'late-request', ms: 3000 }])
  await story.time.during(locks.acquire('other'))
  await story.time.during((await story.time.during(locks.acquire('n', { minHold: '1s' }))).release())
  await story.time.advance(4000)
  expect(await settles(story, story.person().locks.acquire('n'), 1000)).toBe(true)
})

// The same, found by reading: the join had asked for another lease than that on which its entry stood later.
test('a join that comes late, when its entry has waited and was left, puts nothing in', async () => {
  const story = new Story('process')
  const waiter = story.person([{ verb: 'join', n: 2, does: 'late-request', ms: 3000 }])
  await story.time.during(waiter.locks.acquire('other'))
  const held = await story.time.during(story.person().locks.acquire('n'))
  await expect(story.time.during(waiter.locks.acquire('n', { wait: '1500ms' }))).rejects.toThrow(Error)
  await story.time.during(held.release())
  await story.time.advance(3000)
  expect(await settles(story, story.person().locks.acquire('n'), 1000)).toBe(true)
})

// Seed 5231: a try was answered, and what it had asked for before put something in.
test('a join that comes late, when a try was refused, puts nothing in', async () => {
  const story = new Story('process')
  const hasty = story.person([{ verb: 'join', n: 2, does: 'late-request', ms: 3000 }])
  await story.time.during(hasty.locks.acquire('other'))
  const held = await story.time.during(story.person().locks.acquire('n'))
  await expect(story.time.during(hasty.locks.acquire('n', { wait: 0 }))).rejects.toMatchObject({ code: 'HELD' })
  await story.time.during(held.release())
  await story.time.advance(3000)
  expect(await settles(story, story.person().locks.acquire('n'), 1000)).toBe(true)
})

// The same, found by reading.
test('a join of several names that comes late, when one of them was not free, puts nothing in', async () => {
  const story = new Story('process')
  const hasty = story.person([{ verb: 'join', n: 2, does: 'late-request', ms: 3000 }])
  await story.time.during(hasty.locks.acquire('other'))
  const held = await story.time.during(story.person().locks.acquire('n'))
  const asked = hasty.locks.acquire(['n', 'm'], { wait: 0 })
  await expect(story.time.during(asked)).rejects.toMatchObject({ code: 'HELD' })
  await story.time.during(held.release())
  await story.time.advance(3000)
  expect(await settles(story, story.person().locks.acquire(['n', 'm']), 1000)).toBe(true)
})

// Seed 677: two exclusive holders.
test('of two renewals at once, the one for less takes nothing from the other', async () => {
  const story = new Story('observed')
  const [holder, waiter] = [story.person(), story.person()]
  const lease = await story.time.during(holder.locks.acquire('n'))
  let overlaps = false
  void waiter.locks.acquire('n').then(() => (overlaps = lease.remainingMs > 0))
  await story.time.advance(5000)
  await story.time.during(Promise.all([lease.renew('30s'), lease.renew('3s')]))
  holder.away(60_000)
  await story.time.advance(40_000)
  expect(overlaps).toBe(false)
})

// Seed 1370: its holder was told that it was lost, and it stood for its whole ttl.
test('the end of what an unanswered join had put in is not taken for the end of what the next one did', async () => {
  const story = new Story('process')
  const { locks } = story.person([
    { verb: 'join', n: 2, does: 'late-reply', ms: 1000 },
    { verb: 'watch', n: 3, does: 'late-request', ms: 200 },
  ])
  const before = await story.time.during(locks.acquire('n'))
  await story.time.advance(200)
  await story.time.during(before.release())
  const asked = locks.acquire('n')
  // It is about to ask once more, on a new connection; one revision was the release, and one its join.
  await story.time.advance(505)
  expect(await story.time.during(story.person().locks.evict('n', before.fence + 2n))).toBe(true)
  const lease = await story.time.during(asked)
  await story.time.advance(1000)
  expect(lease.state).toBe('held')
})

// Seed 6418: it was told at its next renewal.
test('a holder whose entry ends before it watches is told when it does', async () => {
  const story = new Story('process')
  const lease = await story.time.during(story.person().locks.rw('n').read().acquire())
  expect(await story.time.during(story.person().locks.evict('n', lease.fence))).toBe(true)
  await story.time.advance(1000)
  expect(lease.state).toBe('lost')
})

// Seed 5922: whoever left it began the next epoch of one of them only, and that ended with this lease.
test('a join that comes late, when one of the two leases that it asked for has ended, puts nothing in', async () => {
  const story = new Story('process')
  const options = { ttl: '10s', waitTtl: '2s' }
  const hasty = story.person([{ verb: 'join', n: 5, does: 'late-request', ms: 1500 }], options)
  const { locks } = story.person()
  const held = await story.time.during(locks.acquire('n'))
  await story.time.during(locks.acquire('other'))
  await story.time.during((await story.time.during(hasty.locks.acquire('first'))).release())
  // What keeps the lease alive that those who wait are on.
  void hasty.locks.acquire('other')
  await story.time.advance(8900)
  await expect(story.time.during(hasty.locks.acquire('n', { wait: 600 }))).rejects.toMatchObject({
    code: 'WAIT_TIMEOUT',
  })
  await story.time.advance(2000)
  await story.time.during(held.release())
  expect(await settles(story, locks.acquire('n'), 1000)).toBe(true)
})
