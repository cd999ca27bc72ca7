import { expect, test } from 'vitest'
import { outcomeOf, world } from '../core/kit.ts'

const deadlock = { code: 'SELF_DEADLOCK', lock: 'a' }

test('code that asks for what it holds is told of the deadlock, with the fix', async () => {
  const { locks } = world()
  await locks.run('a', async () => {
    const again = locks.acquire('a')
    await expect(again).rejects.toMatchObject(deadlock)
    await expect(again).rejects.toThrow('Hand the lease on to where it is needed, or set reentrant: true')
    await expect(locks.run('a', () => {})).rejects.toMatchObject(deadlock)
    await expect(locks.run('a', { wait: '5s' }, () => {})).rejects.toMatchObject(deadlock)
    expect(await locks.tryAcquire('a')).toBeUndefined()
    await expect(locks.acquire('a', { wait: 0 })).rejects.toMatchObject({ code: 'HELD' })
    await (await locks.acquire('b')).release()
  })
  await locks.run('a', () => {})
})

test('the context follows awaited calls and calls that are started and not awaited', async () => {
  const { locks, time, runtime } = world()
  let started: Promise<unknown> = Promise.resolve()
  await time.during(
    locks.run('a', async () => {
      await new Promise<void>((resolve) => runtime.after(10, resolve))
      await expect((async () => locks.acquire('a'))()).rejects.toMatchObject(deadlock)
      started = locks.run('b', () => locks.acquire('a'))
      await started.catch(() => {})
    }),
  )
  await expect(started).rejects.toMatchObject(deadlock)
})

test('code that runs beside the holder waits like any other, and so does another connection', async () => {
  const { time, locks, process } = world()
  const beside: { value?: unknown; settled: boolean }[] = []
  const wait = () => beside.push(outcomeOf(locks.acquire('a')))
  let fire = (): void => {}
  const fired = new Promise<void>((resolve) => (fire = resolve)).then(wait)
  const second = process().locks
  const third = outcomeOf(
    locks.run('a', async () => {
      fire()
      await fired
      await expect(second.acquire('a', { wait: 0 })).rejects.toMatchObject({ code: 'HELD' })
    }),
  )
  await time.advance(10)
  expect(third.settled).toBe(true)
  expect(beside[0]?.settled).toBe(true)
})

test('reentrant: true holds it again, with the same fence, and the last release frees it', async () => {
  const { locks, isFree, calls } = world()
  await locks.run('a', async (outer) => {
    const inner = await locks.acquire('a', { reentrant: true })
    expect([inner.fence, inner.name, inner.mode, inner.waited, inner.waitedMs]).toEqual([
      outer.fence,
      'a',
      'exclusive',
      false,
      0,
    ])
    await locks.run('a', { reentrant: true }, ({ fence }) => expect(fence).toBe(outer.fence))
    expect(calls.filter((verb) => verb === 'join')).toHaveLength(1)
    expect(await outer.release()).toBe('released')
    expect(await isFree('a')).toBe(false)
    inner.assertHeld()
    expect([await inner.release(), await inner.release()]).toEqual(['released', 'released'])
    expect([inner.state, inner.remainingMs]).toEqual(['released', 0])
    expect(() => inner.assertHeld()).toThrow('was released')
    expect(await isFree('a')).toBe(true)
  })
})

test('code that was told to stop does not get what it holds once more', async () => {
  const { locks, isFree } = world()
  const signal = AbortSignal.abort('enough')
  await locks.run('a', async () => {
    await expect(locks.acquire('a', { reentrant: true, signal })).rejects.toBe('enough')
    await expect(locks.tryAcquire('a', { reentrant: true, signal })).rejects.toBe('enough')
  })
  expect(await isFree('a')).toBe(true)
})

test('what is held twice is lost together', async () => {
  const { time, locks } = world()
  const ran = locks.run('a', { ttl: '30s' }, async (outer) => {
    const inner = await locks.acquire('a', { reentrant: true })
    time.block(31_000)
    expect([inner.state, outer.state, inner.signal.aborted]).toEqual(['lost', 'lost', true])
    expect(() => inner.assertHeld()).toThrow('ended')
    expect(await inner.release()).toBe('gone')
  })
  await expect(ran).rejects.toMatchObject({ code: 'LEASE_LOST' })
})

test('once the lease is released or lost, the same code may ask anew', async () => {
  const { time, locks } = world()
  await locks.run('a', async (lease) => {
    await lease.release()
    await locks.run('a', () => {})
  })
  const ran = locks.run('a', { ttl: '30s' }, async () => {
    time.block(34_000)
    await locks.run('a', () => {})
  })
  await expect(ran).rejects.toMatchObject({ code: 'LEASE_LOST' })
})

test('a reader cannot become a writer, and is told what to do', async () => {
  const { locks } = world()
  const lock = locks.rw('a')
  await lock.read().run(async () => {
    const writing = lock.write().acquire({ reentrant: true })
    await expect(writing).rejects.toMatchObject(deadlock)
    await expect(writing).rejects.toThrow('acquire the write side first and downgrade it')
    await expect(lock.read().acquire()).rejects.toMatchObject(deadlock)
    await lock.read().run({ reentrant: true }, () => {})
  })
})

test('a writer that reads again, with reentrant: true, keeps its write lease', async () => {
  const { locks } = world()
  const lock = locks.rw('a')
  await lock.write().run(async (outer) => {
    await lock.read().run({ reentrant: true }, (inner) => expect(inner.fence).toBe(outer.fence))
    const inner = await lock.write().acquire({ reentrant: true })
    await expect(inner.downgrade()).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
    await inner.release()
    await outer.downgrade()
    await expect(lock.write().acquire({ reentrant: true })).rejects.toMatchObject(deadlock)
  })
})

test('permits can be taken again while there are enough, and the rest is a deadlock', async () => {
  const { locks } = world()
  const pool = locks.semaphore('a', 4)
  await pool.run({ permits: 3 }, async () => {
    await pool.run({ permits: 1 }, async () => {
      const more = pool.acquire({ permits: 1 })
      await expect(more).rejects.toMatchObject(deadlock)
      await expect(more).rejects.toThrow('Take all permits that are needed at once')
    })
    await expect(pool.acquire({ permits: 2 })).rejects.toMatchObject(deadlock)
    await locks.run('a', () => {})
  })
})

test('several names that include a held one are a deadlock', async () => {
  const { locks, isFree } = world()
  await locks.run('a', async () => {
    await expect(locks.acquire(['0', 'a'])).rejects.toMatchObject(deadlock)
    expect(await isFree('0')).toBe(true)
    expect(await locks.tryAcquire(['0', 'a'])).toBeUndefined()
  })
  await locks.run(['a', 'b'], async () => {
    await expect(locks.acquire('b')).rejects.toMatchObject({ ...deadlock, lock: 'b' })
  })
})

test('a single flight inside of itself is a deadlock, and not a flight that never lands', async () => {
  const { time, locks } = world()
  const flight = locks.singleFlight('a', () => locks.singleFlight('a', () => 'inner'))
  await expect(time.during(flight)).rejects.toMatchObject(deadlock)
  await locks.run('a', async () => {
    await expect(locks.singleFlight('a', () => {})).rejects.toMatchObject(deadlock)
  })
  const again = locks.singleFlight('a', () => locks.singleFlight('a', { reentrant: true }, () => 'inner'))
  expect(await time.during(again)).toBe('inner')
})

test('whoever hears of a loss while somebody else holds is not taken for that one', async () => {
  const { time, locks } = world()
  const stranger = await locks.acquire('other', { maxHold: '5s' })
  let asked: ReturnType<typeof outcomeOf> | undefined
  let heard: ReturnType<typeof outcomeOf> | undefined
  stranger.on('lost', () => (asked = outcomeOf(locks.run('a', () => 'its turn'))))
  stranger.signal.addEventListener('abort', () => (heard = outcomeOf(locks.run('a', { reentrant: true }, () => 1))))
  await locks.run('a', async () => {
    // Whoever sets the timer lends it the context that all deadlines come in from then on.
    await locks.acquire('b', { ttl: '300ms' })
    await time.advance(6000)
    expect([stranger.state, asked?.settled, heard?.settled]).toEqual(['lost', false, false])
  })
  await time.settle()
  expect([asked?.value, heard?.value]).toEqual(['its turn', 1])
})

test('a hold that was released renews nothing', async () => {
  const { locks } = world()
  await locks.run('a', async () => {
    const again = await locks.acquire('a', { reentrant: true })
    await again.release()
    await expect(again.renew('1h')).rejects.toMatchObject({ code: 'LEASE_LOST', reason: 'released' })
  })
})

test('a hold within a hold tells of its own release', async () => {
  const { locks } = world()
  const heard: string[] = []
  await locks.run('a', async (outer) => {
    const inner = await locks.acquire('a', { reentrant: true })
    outer.on('released', () => heard.push('outer'))
    inner.on('released', () => heard.push('inner'))
    inner.on('released', () => heard.push('never'))()
    await inner.release()
    await inner.release()
    expect(heard).toEqual(['inner'])
  })
  expect(heard).toEqual(['inner', 'outer'])
})
