/** How an entry is ended: once, since its key may be another entry's by then; and what comes after the end of a lease. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Backend } from '../../src/backend.ts'
import { WHOLE } from '../../src/backend.ts'
import { EtcdClient, etcd } from '../../src/backends/etcd/index.ts'
import { DELETE, LEASE_REVOKE, RANGE } from '../../src/backends/etcd/messages.ts'
import { connect } from '../../src/connect.ts'
import { realRuntime } from '../../src/runtime.ts'
import { Etcd } from '../kit/etcd.ts'
import { Proxy } from '../../src/verify/torture/wire.ts'

let cluster: Etcd
beforeAll(async () => {
  cluster = await Etcd.start()
})
afterAll(() => cluster.end())

function entryOf(name: string, ttlMs: number) {
  return { name, id: realRuntime.token(), weight: WHOLE, capacity: WHOLE, ttlMs, waitTtlMs: ttlMs, wait: true }
}

/** A backend behind a wire, and how many deletions it has asked for. */
async function made(): Promise<{ backend: Backend; wire: Proxy; deletions: () => number }> {
  const wire = await Proxy.start(cluster.members[0]!.port)
  const client = new EtcdClient({ endpoints: [`http://127.0.0.1:${wire.port}`], callMs: 10_000 })
  let count = 0
  const call = client.call.bind(client)
  client.call = (method, ...words) => {
    if (method.path === DELETE.path) count += 1
    return call(method, ...words)
  }
  const backend = etcd(client)
  onTestFinished(async () => {
    await backend.close()
    client.close()
    await wire.end()
  })
  return { backend, wire, deletions: () => count }
}

test('an entry whose time is over, and that is left meanwhile, is deleted once', async () => {
  const { backend, wire, deletions } = await made()
  const entry = entryOf('over', 400)
  expect(await backend.join(entry)).toMatchObject({ state: 'held' })
  wire.silence('down')
  // Its time is over, and the answer to its deletion does not come.
  await expect.poll(deletions, { timeout: 20_000 }).toBe(1)
  const left = Promise.all([backend.leave(entry), backend.leave(entry)])
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(deletions()).toBe(1)
  wire.heal()
  expect(await left).toEqual([true, true])
  // Its key is used again, and nothing more arrives there.
  const next = entryOf('over', 5000)
  expect(await backend.join(next)).toMatchObject({ state: 'held' })
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(await backend.renew(next, 5000)).toMatchObject({ state: 'held' })
  expect(deletions()).toBe(1)
})

test('a join that has to wait comes in on a new lease when the one that it knows is gone', async () => {
  const [{ backend: other }, { backend }] = [await made(), await made()]
  const admin = new EtcdClient({ endpoints: cluster.endpoints })
  onTestFinished(() => admin.close())
  await other.join(entryOf('gone', 30_000))
  // It knows the queue, and has a lease for waiting.
  const waiter = entryOf('gone', 20_000)
  expect(await backend.join(waiter)).toMatchObject({ state: 'waiting' })
  const range = { key: Buffer.from('holdfast/lock/gone/'), rangeEnd: Buffer.from('holdfast/lock/gone0') }
  const { kvs } = await admin.call(RANGE, range)
  const lease = kvs.find(({ value }) => String(value).includes(waiter.id))!.lease
  await backend.leave(waiter)
  await admin.call(LEASE_REVOKE, { id: lease })
  const next = entryOf('gone', 20_000)
  expect(await backend.join(next)).toMatchObject({ state: 'waiting' })
  expect(await backend.leave(next)).toBe(true)
})

test.each(['process', 'entry', 'observed'])(
  'what lingers ends by itself when its process has left (lease=%s)',
  async (lease) => {
    const url = `etcd://127.0.0.1:${cluster.members[0]!.port}?lease=${lease}`
    const ran = async (): Promise<boolean> => {
      const locks = connect(url)
      try {
        return (await locks.once(`daily-${lease}`, { every: '1s' }, () => {})).ran
      } finally {
        await locks.close()
      }
    }
    expect(await ran()).toBe(true)
    expect(await ran()).toBe(false)
    // Nobody waits for it: each process tries once, and ends.
    await expect.poll(ran, { timeout: 60_000, interval: 500 }).toBe(true)
  },
)
