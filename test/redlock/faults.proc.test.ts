/**
 * What happens to the nodes of a quorum while several take turns, as histories, with the checkers: `docs/backends/redlock.md`
 * says what is promised.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { TestContext } from 'vitest'
import { describe, expect, test, vi } from 'vitest'
import { redis } from '../../src/backends/redis/index.ts'
import { redlock } from '../../src/backends/redlock/index.ts'
import type { Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { Proxy } from '../../src/verify/torture/wire.ts'
import { Nodes, reached } from '../kit/quorum.ts'
import { Turns } from '../kit/turns.ts'

const WORKERS = 3
const WAIT = { timeout: 60_000 }

/** Of tests that run side by side: each ends what it began. */
type Finished = TestContext['onTestFinished']

async function nodesOf(count: number, onTestFinished: Finished): Promise<Nodes> {
  const nodes = await Nodes.start(count)
  onTestFinished(() => nodes.end())
  return nodes
}

function workersAt(url: string, ttl: string): Locks[] {
  return Array.from({ length: WORKERS }, () => connect(url, { ttl, requestTimeout: '5s' }))
}

type Fault = (nodes: Nodes) => Promise<void> | void
type Case = readonly [what: string, size: number, fault: Fault, heal: Fault]

const revive =
  (...gone: readonly number[]): Fault =>
  async (nodes) => {
    for (const node of gone) await nodes.servers[node]!.start()
  }

const cases: readonly Case[] = [
  ['one of three is killed', 3, (nodes) => nodes.kill(0), revive(0)],
  ['one of three is frozen', 3, (nodes) => nodes.freeze(1), (nodes) => nodes.thaw(1)],
  ['one of three falls into a black hole', 3, (nodes) => nodes.blackHole(2), (nodes) => nodes.wires[2]!.heal()],
  ['one of three resets its connections', 3, (nodes) => nodes.wires[0]!.reset(), () => {}],
  ['one of three is slow', 3, (nodes) => nodes.wires[0]!.slow(200), (nodes) => nodes.wires[0]!.heal()],
  ['two of five are killed and frozen', 5, killAndFreeze, killAndFreezeOver],
]

async function killAndFreeze(nodes: Nodes): Promise<void> {
  await nodes.kill(0)
  nodes.freeze(3)
}

async function killAndFreezeOver(nodes: Nodes): Promise<void> {
  nodes.thaw(3)
  await nodes.servers[0]!.start()
}

/** The fault is over: all go on, and nothing was wrong. */
async function allIsWell(turns: Turns): Promise<void> {
  await turns.goOn()
  turns.healed()
  await turns.goOn()
  await turns.rest()
  expect(turns.violations()).toEqual([])
  expect(turns.lostUpdates).toBe(0)
}

describe.concurrent('faults', () => {
  test.for(cases)('30 a minority is away: %s', async ([what, size, fault, heal], { onTestFinished }) => {
    const nodes = await nodesOf(size, onTestFinished)
    await nodes.enlist()
    const turns = new Turns(workersAt(nodes.url('maxTtlMs=3000'), '3s'), { holdMs: 5, restMs: 50 })
    await turns.goOn()
    turns.fault(what)
    await fault(nodes)
    await turns.goOn()
    await heal(nodes)
    await allIsWell(turns)
    // A section that was under way may have to be tried again; but nobody was told that too few nodes are there.
    expect([...turns.codes].filter((code) => code === 'UNAVAILABLE')).toEqual([])
  })

  test('a diagnosis of new nodes tells of their quarantine, and of nothing that follows from it', async ({
    onTestFinished,
  }) => {
    const nodes = await nodesOf(3, onTestFinished)
    const locks = connect(nodes.url('maxTtlMs=60000'))
    onTestFinished(() => locks.close())
    const findings = await reached(locks)
    const of = (subject: string): number => findings.filter((each) => each.subject.endsWith(subject)).length
    expect([of('quarantine'), of('rights'), of('messages')]).toEqual([3, 3, 0])
    expect(findings.filter(({ level }) => level === 'error')).toEqual([])
    await expect(locks.tryAcquire('a')).rejects.toMatchObject({ code: 'UNREACHABLE' })
  })

  test('a node that comes back with an old memory waits as well, for the longest that it was told', async ({
    onTestFinished,
  }) => {
    const nodes = await nodesOf(3, onTestFinished)
    const once = connect(nodes.url('maxTtlMs=60000&durable'))
    await reached(once)
    await once.close()
    const admin = new Redis(nodes.servers[0]!.port)
    await admin.save()
    admin.disconnect()
    await nodes.restartEmpty(0)
    const locks = connect(nodes.url('maxTtlMs=1000'), { ttl: '1s' })
    onTestFinished(() => locks.close())
    const waits = (await reached(locks)).filter(({ subject }) => subject.endsWith('quarantine'))
    expect(waits).toHaveLength(1)
    // A minute, less the time that a busy machine took.
    expect(Number(/for (\d+) s more/.exec(waits[0]!.text)?.[1])).toBeGreaterThan(20)
  })

  test('31 a majority is away: nobody is granted, holders lose their leases at their deadlines, and all goes on afterwards', async ({
    onTestFinished,
  }) => {
    const nodes = await nodesOf(3, onTestFinished)
    await nodes.enlist()
    const turns = new Turns(workersAt(nodes.url('maxTtlMs=3000'), '2s'), { holdMs: 5, restMs: 50 })
    await turns.goOn()
    const holder = connect(nodes.url('maxTtlMs=3000'), { ttl: '2s' })
    onTestFinished(() => holder.close())
    const lease = await holder.acquire('b')
    turns.fault('two of three are frozen')
    nodes.freeze(0)
    nodes.freeze(2)
    await vi.waitUntil(() => lease.state === 'lost', WAIT)
    await expect(holder.acquire('c', { wait: '1s' })).rejects.toMatchObject({ code: 'WAIT_TIMEOUT' })
    const before = turns.served.reduce((sum, each) => sum + each, 0)
    await vi.waitUntil(() => turns.codes.size > 0, WAIT)
    // What had its answers before the fault may still have been served.
    expect(turns.served.reduce((sum, each) => sum + each, 0) - before).toBeLessThanOrEqual(WORKERS)
    nodes.thaw(0)
    nodes.thaw(2)
    await allIsWell(turns)
  })

  /**
   * A holds on nodes 0 and 1. Node 0 comes back empty, and B, who cannot reach node 1, asks nodes 0 and 2.
   */
  test.for([
    ['waits: one holder', false],
    ['is said to be durable: two holders, and growing fences', true],
  ] as const)('33 a node of the majority comes back empty, and %s', async ([, durable], { onTestFinished }) => {
    const nodes = await nodesOf(3, onTestFinished)
    await nodes.enlist()
    const options = `maxTtlMs=6000${durable ? '&durable' : ''}`
    const first = connect(nodes.url(options), { ttl: '6s' })
    onTestFinished(() => first.close())
    nodes.blackHole(2)
    const lease = await first.acquire('a')
    // It renews no more: what the nodes do is to be seen, and not what the holder finds out.
    nodes.blackHole(0)
    nodes.blackHole(1)
    await nodes.restartEmpty(0)
    const wires = await Promise.all(nodes.servers.map(({ port }) => Proxy.start(port)))
    onTestFinished(() => Promise.all(wires.map((wire) => wire.end())).then(() => {}))
    wires[1]!.silence()
    const second = connect(`redlock://${wires.map(({ port }) => `127.0.0.1:${port}`).join()}?${options}`, { ttl: '6s' })
    onTestFinished(() => second.close())
    let stolen = false
    const next = second.acquire('a').then((grant) => {
      stolen = true
      return grant
    })
    const wasLost = (): boolean => lease.state === 'lost'
    if (durable) expect((await next).fence).toBeGreaterThan(lease.fence)
    expect(wasLost()).toBe(false)
    if (durable) return
    await vi.waitUntil(wasLost, WAIT)
    // Its wait is over soon, but it has to be told what it knew, and node 2 alone cannot say that.
    await sleep(3000)
    expect(stolen).toBe(false)
    wires[1]!.heal()
    expect((await next).fence).toBeGreaterThan(lease.fence)
  })

  test.for([3, 4])(
    '32 eight contenders on %i nodes, with up to 40 ms of jitter a command, are all served',
    async (size, { onTestFinished }) => {
      const nodes = await nodesOf(size, onTestFinished)
      const contenders = await Promise.all(
        Array.from({ length: 8 }, async () => {
          const wires = await Promise.all(nodes.servers.map(({ port }) => Proxy.start(port)))
          for (const wire of wires) wire.slow(10, 'both', 1)
          onTestFinished(() => Promise.all(wires.map((wire) => wire.end())).then(() => {}))
          const clients = wires.map(({ port }) => new Redis(port))
          onTestFinished(() => clients.forEach((client) => client.disconnect()))
          return connect(redlock(clients, { durable: true }), { ttl: '10s' })
        }),
      )
      const turns = new Turns(contenders, { holdMs: 1, rounds: 8 })
      await turns.rest()
      expect(turns.served).toEqual(Array.from({ length: 8 }, () => 8))
      expect(turns.violations()).toEqual([])
      // Nothing stays pending: no entry is left on any node.
      for (const { port } of nodes.servers) {
        const client = new Redis(port)
        onTestFinished(() => client.disconnect())
        expect(await connect(redis(client, { keyPrefix: 'holdfast-redlock' })).inspect(turns.name)).toBe(undefined)
      }
    },
  )
})
