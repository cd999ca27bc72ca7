/** Keep-alives beside a real member: whose answer is whose, and what a lost stream means. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { EtcdClient } from '../../src/backends/etcd/client.ts'
import { GRPC } from '../../src/backends/etcd/errors.ts'
import { Heartbeat } from '../../src/backends/etcd/heartbeat.ts'
import { LEASE_GRANT, LEASE_REVOKE } from '../../src/backends/etcd/messages.ts'
import { Etcd } from '../kit/etcd.ts'
import { Proxy } from '../../src/verify/torture/wire.ts'

let etcd: Etcd
beforeAll(async () => {
  etcd = await Etcd.start()
})
afterAll(() => etcd.end())

async function made(timeoutMs = 1000): Promise<{ client: EtcdClient; heart: Heartbeat; wire: Proxy }> {
  const wire = await Proxy.start(etcd.members[0]!.port)
  const client = new EtcdClient({ endpoints: [`http://127.0.0.1:${wire.port}`] })
  const heart = new Heartbeat(client, timeoutMs)
  onTestFinished(async () => {
    heart.close()
    client.close()
    await wire.end()
  })
  return { client, heart, wire }
}

test('each lease is answered for itself, and one that is gone says so', async () => {
  const { client, heart } = await made()
  const ids = await Promise.all([5, 7, 9].map(async (ttl) => (await client.call(LEASE_GRANT, { ttl })).id))
  expect(await Promise.all(ids.map((id) => heart.beat(id)))).toEqual([5, 7, 9])
  await client.call(LEASE_REVOKE, { id: ids[1]! })
  expect(await Promise.all(ids.map((id) => heart.beat(id)))).toEqual([5, 0, 9])
  expect(await heart.beat(ids[2]!)).toBe(9)
})

test('what one turn asks for is one keep-alive, and a later turn has one of its own', async () => {
  const { client, heart } = await made()
  const { id } = await client.call(LEASE_GRANT, { ttl: 5 })
  const [first, second] = [heart.beat(id), heart.beat(id)]
  expect(second).toBe(first)
  await new Promise((resolve) => void setImmediate(resolve))
  const third = heart.beat(id)
  expect(third).not.toBe(first)
  expect(await Promise.all([first, second, third])).toEqual([5, 5, 5])
})

test('a lost connection leaves it unknown, and the next keep-alive is answered', async () => {
  const { client, heart, wire } = await made()
  const { id } = await client.call(LEASE_GRANT, { ttl: 5 })
  expect(await heart.beat(id)).toBe(5)
  wire.reset()
  await expect.poll(() => heart.beat(id).catch(() => 'unknown'), { timeout: 10_000 }).toBe(5)
})

test('a silent connection is given up in time', async () => {
  const { client, heart, wire } = await made(500)
  const { id } = await client.call(LEASE_GRANT, { ttl: 5 })
  expect(await heart.beat(id)).toBe(5)
  wire.silence('down')
  await expect(heart.beat(id)).rejects.toMatchObject({ grpc: GRPC.unavailable })
  wire.heal()
  await expect.poll(() => heart.beat(id).catch(() => 'unknown'), { timeout: 10_000 }).toBe(5)
})
