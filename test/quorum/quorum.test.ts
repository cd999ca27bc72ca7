import { describe, expect, test } from 'vitest'
import type { Standing } from '../../src/backend.ts'
import type { Verb } from '../../src/testing/index.ts'
import { connect } from '../../src/connect.ts'
import { World, entry, heldAt, LONGEST_MS } from './kit.ts'

function fenceOf(standing: Standing): bigint {
  expect(standing.state).toBe('held')
  return (standing as { fence: bigint }).fence
}

describe('fences', () => {
  test('a later holder has a larger fence, though it meets the earlier one only in a node whose clock is behind', async () => {
    // Node 1 is an hour ahead. Without the second round, the holder after it would get what node 2 counts: an hour less.
    const world = new World([3_600_000, 0, -3_600_000])
    const backend = world.quorum()
    const first = entry()
    world.away(2)
    const ahead = fenceOf(await world.do(backend.join(first)))
    await world.do(backend.leave(first))
    world.away(0)
    await world.time.advance(100)
    expect(fenceOf(await world.do(backend.join(entry())))).toBeGreaterThan(ahead)
  })

  test('nodes whose clocks are near draw the fence that is proposed, and need no second round', async () => {
    const world = new World([0, 90, -60_000, 20, -3_600_000])
    const asked: Verb[] = []
    for (const index of world.happens.keys()) world.happens[index] = (verb) => void asked.push(verb)
    const backend = world.quorum()
    for (let turn = 0; turn < 3; turn += 1) {
      const holder = entry()
      const fence = fenceOf(await world.do(backend.join(holder)))
      for (const index of [0, 1, 3]) expect(await heldAt(world.node(index))).toBe(fence)
      await world.do(backend.leave(holder))
    }
    expect(asked.filter((verb) => verb === 'join')).toHaveLength(15)
    // A node does not heed what is further ahead of its clock than a second; if it is one of the majority, it is told.
    expect(asked.filter((verb) => verb === 'confirm').length).toBeLessThanOrEqual(6)
  })

  test('a fence that is proposed far ahead of the clock of a node is not heeded', async () => {
    const world = new World([0])
    const now = BigInt(world.time.runtime().wallMs()) * 1000n
    const far = await world.node(0).join(entry(), now + 3_600_000_000n)
    expect(fenceOf(far) - now).toBeLessThan(1_000_000n)
    const near = await world.node(0).join(entry({ name: 'another' }), now + 900_000n)
    expect(fenceOf(near)).toBe(now + 900_000n)
  })

  test('whoever holds is known by one fence on all nodes, also on one that answered late', async () => {
    const world = new World([0, 500, 900])
    world.happens[2] = (verb) => (verb === 'join' ? { replyMs: 20 } : undefined)
    const fence = fenceOf(await world.do(world.quorum().join(entry())))
    await world.time.advance(100)
    for (const index of [0, 1, 2]) expect(await heldAt(world.node(index))).toBe(fence)
  })

  test('an entry that lapses between the rounds holds nothing, and what is left of it is given back', async () => {
    const world = new World([0, 500, 0])
    world.away(2)
    world.happens[0] = (verb) => (verb === 'confirm' ? { requestMs: 40 } : undefined)
    const standing = await world.do(world.quorum().join(entry({ ttlMs: 20 })))
    expect(standing.state).toBe('refused')
    await world.time.advance(100)
    expect(await heldAt(world.node(1))).toBe(undefined)
  })

  test('a join that is carried out twice does not put an entry in again that then holds', async () => {
    const world = new World([0, 500, 0])
    world.away(2)
    // Sent again by a client that has connected anew, after the entry has lapsed.
    world.happens[0] = (verb) => {
      if (verb === 'join') return { againMs: 30 }
      return verb === 'confirm' ? { requestMs: 40 } : undefined
    }
    const standing = await world.do(world.quorum().join(entry({ ttlMs: 20 })))
    expect(standing.state).toBe('refused')
  })

  test('a node whose first answer was lost does not count, though the entry is there', async () => {
    const world = new World([0, 0, 0])
    const lost = { lose: 'reply', silent: true } as const
    for (const index of [0, 1]) world.happens[index] = (verb) => (verb === 'join' ? lost : undefined)
    await expect(world.do(world.quorum().join(entry()))).rejects.toThrow('2 of 3 nodes could not be asked')
  })
})

describe('giving back', () => {
  test('a partial win is given back before the answer', async () => {
    const world = new World([0, 0, 0])
    const [one, other] = [world.quorum(), world.quorum()]
    // Node 1 hears the one first, nodes 2 and 3 the other.
    world.happens[0] = () => ({ requestMs: 0 })
    const first = entry()
    world.away(0)
    fenceOf(await world.do(one.join(first)))
    world.away()
    expect((await world.do(other.join(entry()))).state).toBe('refused')
    expect(await heldAt(world.node(0))).toBe(undefined)
  })

  test('a straggler is undone when it answers', async () => {
    const world = new World([0, 0, 0])
    const holder = entry()
    world.away(2)
    fenceOf(await world.do(world.quorum().join(holder)))
    world.away()
    world.happens[2] = (verb) => (verb === 'join' ? { requestMs: 500 } : undefined)
    expect((await world.do(world.quorum().join(entry()))).state).toBe('refused')
    expect(await heldAt(world.node(2))).toBe(undefined)
    await world.time.advance(499)
    await world.time.advance(50)
    expect(await heldAt(world.node(2))).toBe(undefined)
  })

  test('what was left is not put in again by a node that is late', async () => {
    const world = new World([0, 0, 0])
    const backend = world.quorum()
    world.happens[2] = (verb) => (verb === 'join' ? { requestMs: 500 } : undefined)
    const holder = entry()
    fenceOf(await world.do(backend.join(holder)))
    expect(await world.do(backend.leave(holder))).toBe(true)
    await world.time.advance(600)
    expect(await heldAt(world.node(2))).toBe(undefined)
  })

  test.each([3, 4, 5])('eight contenders on %i nodes are all served', async (count) => {
    const world = new World(Array.from({ length: count }, () => 0))
    const jitter = (): { requestMs: number; replyMs: number } => ({
      requestMs: world.time.random() * 20,
      replyMs: world.time.random() * 20,
    })
    for (const index of world.happens.keys()) world.happens[index] = jitter
    let served = 0
    let holding = 0
    const fences: bigint[] = []
    const contend = async (): Promise<void> => {
      const locks = connect(world.quorum(), { ttl: 1500, runtime: world.time.runtime() })
      for (let round = 0; round < 8; round += 1) {
        await locks.run('n', async ({ fence }) => {
          holding += 1
          expect(holding).toBe(1)
          fences.push(fence)
          await new Promise<void>((resolve) => void world.time.runtime().after(5, resolve))
          holding -= 1
          served += 1
        })
      }
      await locks.close()
    }
    await world.do(Promise.all(Array.from({ length: 8 }, contend)))
    expect(served).toBe(64)
    expect(fences).toEqual(fences.toSorted((one, other) => (one < other ? -1 : 1)))
    expect(new Set(fences).size).toBe(64)
  })
})

describe('nodes that are away', () => {
  test('a minority that is silent is not waited for', async () => {
    const world = new World([0, 0, 0, 0, 0])
    world.silence(1)
    world.silence(3)
    const backend = world.quorum()
    const before = world.time.now
    const holder = entry()
    fenceOf(await world.do(backend.join(holder)))
    expect((await world.do(backend.renew(holder, 1000))).state).toBe('held')
    expect(await world.do(backend.leave(holder))).toBe(true)
    expect(world.time.now).toBe(before)
  })

  test('without a majority everything says which nodes are away', async () => {
    const world = new World([0, 0, 0])
    const backend = world.quorum()
    const holder = entry()
    fenceOf(await world.do(backend.join(holder)))
    world.away(0, 2)
    const text = /2 of 3 nodes could not be asked, and 2 are needed \(node 1: .*; node 3: /
    await expect(world.do(backend.join(entry({ name: 'm' })))).rejects.toThrow(text)
    await expect(world.do(backend.renew(holder, 1000))).rejects.toThrow(text)
    await expect(world.do(backend.leave(holder))).rejects.toThrow(text)
  })

  test('a node that owes an answer is not asked until it has given it, and then is', async () => {
    const world = new World([0, 0, 0])
    let asked = 0
    world.happens[2] = (verb) => {
      if (verb === 'join') asked += 1
      return asked === 1 ? { requestMs: 300 } : undefined
    }
    const backend = world.quorum()
    for (let n = 0; n < 5; n += 1) {
      await world.do(backend.join(entry({ name: `n${n}` })))
      await world.time.advance(60)
    }
    expect(asked).toBe(1)
    await world.time.advance(200)
    await world.do(backend.join(entry({ name: 'last' })))
    expect(asked).toBe(2)
  })

  test('one that never answers is asked again after a while', async () => {
    const world = new World([0, 0, 0])
    world.silence(2)
    const backend = world.quorum()
    await world.do(backend.join(entry({ name: 'a' })))
    await world.time.advance(100)
    world.away()
    await world.do(backend.join(entry({ name: 'b' })))
    expect(await heldAt(world.node(2))).toBe(undefined)
    await world.time.advance(6000)
    await world.do(backend.join(entry({ name: 'c' })))
    await world.time.advance(10)
    expect(await heldAt(world.node(2))).toBeGreaterThan(0n)
  })

  test('a holder whose majority has forgotten it is lost', async () => {
    const world = new World([0, 0, 0])
    const backend = world.quorum()
    const holder = entry()
    fenceOf(await world.do(backend.join(holder)))
    world.forget(0)
    world.forget(1)
    expect((await world.do(backend.renew(holder, 1000))).state).toBe('lost')
  })
})

describe('nodes that forgot', () => {
  test('one grants nothing until the longest lease is over, and is then told the largest fence of the others', async () => {
    const world = new World([0, 3_600_000, 3_600_000])
    const backend = world.quorum()
    const holder = entry()
    const before = fenceOf(await world.do(backend.join(holder)))
    await world.do(backend.leave(holder))
    world.forget(0)
    world.away(2)
    // With node 2 alone there is no majority, for node 1 must not vote.
    expect(await world.do(backend.join(entry()))).toMatchObject({ state: 'refused', reason: 'quarantine' })
    await world.time.advance(LONGEST_MS - 100)
    expect(await world.do(backend.join(entry()))).toMatchObject({ state: 'refused', reason: 'quarantine' })
    world.away()
    await world.time.advance(200)
    const meanwhile = entry()
    const between = fenceOf(await world.do(backend.join(meanwhile)))
    expect(between).toBeGreaterThan(before)
    await world.do(backend.leave(meanwhile))
    await world.time.advance(10)
    // Now it votes, and what it mints is larger than what it was told: its own clock is an hour behind.
    world.away(2)
    expect((await world.node(0).recall()).quarantineMs).toBe(undefined)
    expect(fenceOf(await world.do(backend.join(entry())))).toBeGreaterThan(between)
  })

  test('a holder puts its entry back where it is missing, with its fence', async () => {
    const world = new World([0, 0, 0])
    const backend = world.quorum()
    const holder = entry()
    const fence = fenceOf(await world.do(backend.join(holder)))
    world.forget(1)
    expect((await world.do(backend.renew(holder, 1000))).state).toBe('held')
    await world.time.advance(10)
    expect(await heldAt(world.node(1))).toBe(fence)
    // So another may be away.
    world.away(0)
    expect(await world.do(backend.renew(holder, 1000))).toMatchObject({ state: 'held', fence })
  })

  test('nothing is put back after the lease', async () => {
    const world = new World([0, 0, 0])
    const backend = world.quorum()
    const holder = entry()
    fenceOf(await world.do(backend.join(holder)))
    world.forget(1)
    // The answer of the one that forgot comes when the lease is over.
    world.happens[1] = (verb) => (verb === 'renew' ? { replyMs: 1500 } : undefined)
    await world.do(backend.renew(holder, 1000))
    await world.time.advance(1600)
    expect(await heldAt(world.node(1))).toBe(undefined)
  })

  test('an entry that was left while it was being put back does not stay', async () => {
    const world = new World([0, 0, 0])
    const backend = world.quorum()
    const holder = entry()
    fenceOf(await world.do(backend.join(holder)))
    world.forget(1)
    // What puts it back is overtaken by the leave.
    world.happens[1] = (verb) => (verb === 'seed' ? { requestMs: 100 } : undefined)
    expect((await world.do(backend.renew(holder, 1000))).state).toBe('held')
    await world.do(backend.leave(holder))
    await world.time.advance(150)
    expect(await heldAt(world.node(1))).toBe(undefined)
  })

  test('when all are new, they wait, and then all are taken in', async () => {
    const world = new World([0, 0, 0])
    for (const index of [0, 1, 2]) world.forget(index)
    const locks = connect(world.quorum(), { ttl: 1000, runtime: world.time.runtime() })
    await expect(world.do(locks.tryAcquire('n'))).rejects.toMatchObject({ code: 'UNREACHABLE' })
    const before = world.time.now
    const lease = await world.do(locks.acquire('n'))
    expect(world.time.now - before).toBeGreaterThan(LONGEST_MS - 100)
    expect(await world.do(lease.release())).toBe('released')
    await world.do(locks.close())
  })

  test('a lease that is longer than the quarantine is refused', async () => {
    const world = new World([0, 0, 0])
    const text = 'longer than the 2000 ms that a node waits'
    await expect(world.quorum().join(entry({ ttlMs: LONGEST_MS + 1 }))).rejects.toThrow(text)
    await expect(world.quorum().join(entry({ ttlMs: LONGEST_MS, lockDelayMs: 1 }))).rejects.toThrow(text)
  })
})

test('what a quorum cannot do is refused, with the reason', async () => {
  const world = new World([0, 0, 0])
  const locks = connect(world.quorum(), { ttl: 1000, runtime: world.time.runtime() })
  await expect(async () => locks.rw('n').read().acquire()).rejects.toThrow('lets only one hold at a time')
  await expect(async () => locks.semaphore('n', 2).acquire()).rejects.toThrow('lets only one hold at a time')
  const leases = await world.do(locks.acquire(['a', 'b']))
  await world.do(leases.release())
  await world.do(locks.close())
})

test('inspect shows who holds on a majority, once, and evict removes it there', async () => {
  const world = new World([0, 5, 10])
  const backend = world.quorum()
  const holder = entry({ info: '{"host":"h"}' })
  const fence = fenceOf(await world.do(backend.join(holder)))
  const views = async (): Promise<unknown[]> => {
    const seen: unknown[] = []
    for await (const { name, holders } of backend.inspect('')) seen.push([name, holders.map((each) => each.fence)])
    return seen
  }
  await world.time.advance(10)
  expect(await world.do(views())).toEqual([['n', [fence]]])
  world.away(1)
  expect(await world.do(views())).toEqual([['n', [fence]]])
  world.away()
  expect(await world.do(backend.evict('n', fence))).toBe(true)
  expect(await world.do(views())).toEqual([])
})

test('diagnose tells of nodes that are away, in quarantine, or the same', async () => {
  const world = new World([0, 0, 0])
  world.forget(1)
  world.away(2)
  const findings = await world.do(world.quorum().diagnose())
  const seen = findings.map(({ level, subject, text }) => `${level} ${subject}: ${text}`)
  expect(seen).toContainEqual(expect.stringMatching(/^advice reachability: no answer from node 3/))
  expect(seen).toContainEqual(expect.stringMatching(/^advice node 2: quarantine: it has forgotten/))
})
