/** Several servers that belong together, and one of them dies or gives a slot away in the middle. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createCluster } from 'redis'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { redis } from '../../src/backends/redis/index.ts'
import { backendFor } from '../../src/connect.ts'
import type { Backend, Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import type { Coordinator } from '../../src/testing/index.ts'
import { conformance } from '../../src/testing/index.ts'
import { MATRIX } from '../kit/effort.ts'
import { ClusterGroup, SentinelGroup } from '../kit/redis-groups.ts'

/** A ttl that outlives a failover. */
const TTL = '20s'
const WORKERS = 4

let sentinels: SentinelGroup
let cluster: ClusterGroup
beforeAll(async () => {
  ;[sentinels, cluster] = await Promise.all([SentinelGroup.start(), ClusterGroup.start()])
})
afterAll(() => Promise.all([sentinels.end(), cluster.end()]))

function at(url: () => string): () => Promise<Coordinator> {
  return async () => ({ backend: backendFor(url()), another: async () => backendFor(url()), advance: sleep })
}

async function throughNodeRedisCluster(): Promise<Coordinator> {
  const client = createCluster({
    rootNodes: cluster.addresses.map(({ port }) => ({ url: `redis://127.0.0.1:${port}` })),
  })
  client.on('error', () => {})
  await client.connect()
  return {
    backend: redis(client),
    another: async () => redis(client),
    advance: sleep,
    end: async () => client.destroy(),
  }
}

describe.runIf(MATRIX).each([
  ['a primary under sentinels', at(() => sentinels.url)],
  ['a cluster', at(() => cluster.url)],
  ['a cluster through node-redis', throughNodeRedisCluster],
] as const)('%s (in the matrix)', (_, make) => {
  test.concurrent.for(conformance(make, { waiters: 200 }))('$name', async ({ run }, { skip, expect }) => {
    const outcome = await run()
    skip(outcome === 'skipped')
    expect(outcome).toBe('passed')
  })
})

test('whoever only looks at a cluster sees what is there', async () => {
  const [locks, looking] = [connect(cluster.url), connect(cluster.url)]
  onTestFinished(() => Promise.all([locks.close(), looking.close()]).then(() => {}))
  await locks.acquire('seen')
  expect((await looking.inspect('seen'))?.holders).toHaveLength(1)
  const diagnosed = connect(cluster.url)
  onTestFinished(() => diagnosed.close())
  expect((await diagnosed.diagnose()).filter(({ subject }) => subject === 'version')).toHaveLength(3)
})

/** One section after the other, by several processes' worth of connections; what `meanwhile` does happens in the middle. */
async function sections(open: () => Backend | string, meanwhile: () => Promise<void>): Promise<void> {
  const workers: Locks[] = Array.from({ length: WORKERS }, () => connect(open(), { ttl: TTL, requestTimeout: '2s' }))
  onTestFinished(() => Promise.all(workers.map((locks) => locks.close())).then(() => {}))
  const fences: bigint[] = []
  const rounds = workers.map(() => 0)
  let over = false
  let holding = 0
  let most = 0
  const work = async (locks: Locks, n: number): Promise<void> => {
    while (!over) {
      try {
        await locks.run('counter', async ({ fence }) => {
          holding += 1
          most = Math.max(most, holding)
          fences.push(fence)
          await sleep(5)
          holding -= 1
          rounds[n]! += 1
        })
      } catch (error) {
        // While nobody answers, an acquisition may fail; the next one waits for its turn again.
        expect((error as { code: string }).code).toMatch(/UNREACHABLE|UNAVAILABLE|NOT_REPLICATED|LEASE_LOST/)
        await sleep(50)
      }
    }
  }
  const working = workers.map(work)
  await expect.poll(() => Math.min(...rounds)).toBeGreaterThan(5)
  await meanwhile()
  const before = [...rounds]
  await expect
    .poll(() => Math.min(...rounds.map((count, n) => count - before[n]!)), { timeout: 60_000 })
    .toBeGreaterThan(5)
  over = true
  await Promise.all(working)
  expect(fences).toEqual(fences.toSorted((one, other) => (one < other ? -1 : 1)))
  expect(new Set(fences).size).toBe(fences.length)
  // What was replicated when the primary died is all that was granted: nothing here is written faster than it is read.
  expect(most).toBe(1)
}

test('a slot moves to another node while its name is in use: no section is lost', () =>
  sections(
    () => cluster.url,
    () => cluster.migrate('holdfast:{lock:counter}'),
  ))

test('a node of a cluster dies: its replica goes on, with larger fences', () =>
  sections(
    () => cluster.url,
    () => cluster.failOver('holdfast:{lock:counter}'),
  ))

test('the primary under sentinels dies: a replica goes on, with larger fences', () =>
  sections(
    () => sentinels.url,
    () => sentinels.failOver(),
  ))

test('the same with replicas: 1, which the other replica is then', async () => {
  const group = await SentinelGroup.start()
  onTestFinished(() => group.end())
  await sections(
    () => `${group.url}?replicas=1`,
    () => group.failOver(),
  )
})
