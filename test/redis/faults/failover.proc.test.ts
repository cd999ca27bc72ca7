/** Another server takes over. The numbers are those of docs/evidence/redis-faults.md. */
import { Redis } from 'ioredis'
import { describe, expect } from 'vitest'
import { Proxy } from '../../../src/verify/torture/wire.ts'
import { RedisServer } from '../../kit/redis.ts'
import { SentinelGroup } from '../../kit/redis-groups.ts'
import { test } from '../../kit/redis-scene.ts'
import { eventually } from '../../../src/verify/torture/clock.ts'
import { forgotten } from './forgotten.ts'

/** A server that follows the one at `port`, and a connection to it. */
async function replicaOf(port: number): Promise<readonly [RedisServer, Redis]> {
  const server = await RedisServer.start('--replicaof', '127.0.0.1', String(port))
  const admin = new Redis(server.port)
  await eventually(async () => (await admin.info('replication')).includes('master_link_status:up'), 'a replica')
  return [server, admin]
}

describe.concurrent('failover', () => {
  test('27 a replica takes over that knows nothing of the lock: two may believe, and fences and fenced data are right', async ({
    scene,
    onTestFinished,
  }) => {
    const set = await scene(2, { ttl: '12s' })
    const link = await Proxy.start(set.server.port)
    onTestFinished(() => link.end())
    const [replica, admin] = await replicaOf(link.port)
    onTestFinished(() => replica.end())
    link.silence('down')
    await forgotten(set, async () => {
      await set.server.kill()
      await admin.replicaof('NO', 'ONE')
      admin.disconnect()
      await set.nemesis.does('failover', () => set.leadTo(replica))
    })
  })

  test('28 a primary becomes a replica, and knows the lock: an error says so, and on the new primary all goes on', async ({
    scene,
    onTestFinished,
  }) => {
    const set = await scene(2, { ttl: '10s' })
    const [holder, other] = set.hands
    const [replica, admin] = await replicaOf(set.server.port)
    onTestFinished(() => replica.end())
    const fence = await holder.enters()
    const head = (at: Redis): Promise<string | null> => at.get('holdfast:{lock:a}')
    await eventually(async () => (await head(admin)) === (await head(set.admin)), 'the lock on the replica')
    await admin.replicaof('NO', 'ONE')
    await set.nemesis.does('demoted', () => set.admin.replicaof('127.0.0.1', replica.port))
    expect(await other.fails({ wait: '2s' })).toBe('UNAVAILABLE')
    await set.nemesis.does('failover', () => set.leadTo(replica))
    admin.disconnect()
    await eventually(
      () => other.worker.do(({ locks }) => locks.run('b', () => true).catch(() => false)),
      'a new connection',
    )
    await other.waits()
    expect(await set.holder()).toBe(fence)
    expect(await holder.finishes()).toBe('written')
    expect(await other.entered()).toBeGreaterThan(fence)
    expect(await other.finishes()).toBe('written')
    await set.recovers()
    await set.verdict()
  })

  test('29 the primary under sentinels is killed: work goes on with larger fences, and fenced data is right', async ({
    scene,
    skip,
    onTestFinished,
  }) => {
    skip(process.env['HOLDFAST_REDIS_CLIENT'] !== undefined, 'the clients of users are connected to one address')
    const group = await SentinelGroup.start()
    onTestFinished(() => group.end())
    const set = await scene(3, { ttl: '2s', at: { server: await group.primary(), url: group.url } })
    for (const hand of set.hands) hand.works()
    await set.hands[0].writes()
    await set.nemesis.does('failover', () => group.failOver())
    await set.leadTo(await group.primary())
    await set.recovers()
    await set.verdict('counted')
  })
})
