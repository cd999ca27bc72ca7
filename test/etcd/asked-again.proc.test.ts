/** A join whose answer is lost is asked for once more, and finds its entry. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Backend } from '../../src/backend.ts'
import { WHOLE } from '../../src/backend.ts'
import { EtcdClient, etcd } from '../../src/backends/etcd/index.ts'
import { RANGE } from '../../src/backends/etcd/messages.ts'
import type { KeyValue } from '../../src/backends/etcd/messages.ts'
import { realRuntime } from '../../src/runtime.ts'
import { eventually } from '../../src/verify/torture/clock.ts'
import { Proxy } from '../../src/verify/torture/wire.ts'
import { Etcd } from '../kit/etcd.ts'

let cluster: Etcd
let admin: EtcdClient
beforeAll(async () => {
  cluster = await Etcd.start()
  admin = new EtcdClient({ endpoints: cluster.endpoints })
})
afterAll(async () => {
  admin.close()
  await cluster.end()
})

async function made(): Promise<{ backend: Backend; wire: Proxy }> {
  const wire = await Proxy.start(cluster.members[0]!.port)
  const client = new EtcdClient({ endpoints: [`http://127.0.0.1:${wire.port}`], callMs: 10_000 })
  const backend = etcd(client)
  onTestFinished(async () => {
    await backend.close()
    client.close()
    await wire.end()
  })
  return { backend, wire }
}

async function keysOf(name: string): Promise<readonly KeyValue[]> {
  const range = { key: Buffer.from(`holdfast/lock/${name}/`), rangeEnd: Buffer.from(`holdfast/lock/${name}0`) }
  return (await admin.call(RANGE, range)).kvs
}

/** The way down is silent until the entry is in; then the connection is reset. */
async function loseAnswer(wire: Proxy, name: string): Promise<void> {
  wire.silence('down')
  await eventually(async () => (await keysOf(name)).length > 0, 'the entry')
  wire.reset()
  wire.heal()
}

const shapes = [
  ['a writer', WHOLE, WHOLE],
  ['a reader', 1, WHOLE],
  ['a holder of a permit', 1, 3],
] as const

test.each(shapes)('%s has the ticket that it drew first, and leaves nothing', async (what, weight, capacity) => {
  const { backend, wire } = await made()
  const name = what.replaceAll(' ', '-')
  const warm = { name: 'warm', id: realRuntime.token(), weight, capacity, ttlMs: 20_000, waitTtlMs: 20_000, wait: true }
  await backend.join(warm)
  await backend.leave(warm)
  const entry = { ...warm, name, id: realRuntime.token() }
  const lost = loseAnswer(wire, name)
  const standing = await backend.join(entry)
  await lost
  const [first] = await keysOf(name)
  expect(standing).toMatchObject({ state: 'held', fence: BigInt(first!.createRevision) })
  expect(await backend.leave(entry)).toBe(true)
  expect(await keysOf(name)).toEqual([])
})

test('several names that are taken together, too', async () => {
  const { backend, wire } = await made()
  const entryOf = (name: string) => {
    return { name, id: realRuntime.token(), weight: 1, capacity: WHOLE, ttlMs: 20_000, waitTtlMs: 20_000, wait: true }
  }
  // It has a lease by then.
  await backend.join(entryOf('warm'))
  const entries = [entryOf('one'), entryOf('two')]
  const lost = loseAnswer(wire, 'one')
  const standings = await backend.joinAll!(entries)
  await lost
  for (const [index, { name }] of entries.entries()) {
    const [first] = await keysOf(name)
    expect(standings![index]).toMatchObject({ state: 'held', fence: BigInt(first!.createRevision) })
  }
  for (const entry of entries) expect(await backend.leave(entry)).toBe(true)
  expect(await keysOf('one')).toEqual([])
  expect(await keysOf('two')).toEqual([])
})
