/** Watches beside real members: nothing is missed and nothing heard twice, whatever becomes of the stream. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { EtcdClient } from '../../src/backends/etcd/client.ts'
import type { EtcdError } from '../../src/backends/etcd/errors.ts'
import { GRPC } from '../../src/backends/etcd/errors.ts'
import { COMPACT, DELETE, EVENT, PUT, RANGE } from '../../src/backends/etcd/messages.ts'
import { Watches } from '../../src/backends/etcd/watches.ts'
import { Etcd } from '../kit/etcd.ts'
import { Proxy } from '../../src/verify/torture/wire.ts'

const b = (text: string): Buffer => Buffer.from(text)
const all = (folder: string) => ({ key: b(`${folder}/`), rangeEnd: b(`${folder}0`) })

let etcd: Etcd
beforeAll(async () => {
  etcd = await Etcd.start()
})
afterAll(() => etcd.end())

/** Watches through a wire, a client that writes straight, and what was heard. */
async function made(folder: string, cluster = etcd) {
  const wire = await Proxy.start(cluster.members[0]!.port)
  const direct = new EtcdClient({ endpoints: cluster.endpoints })
  const watching = new EtcdClient({ endpoints: [`http://127.0.0.1:${wire.port}`] })
  const watches = new Watches(watching)
  onTestFinished(async () => {
    watches.close()
    watching.close()
    direct.close()
    await wire.end()
  })
  const heard: string[] = []
  const ends: EtcdError[] = []
  const now = async (): Promise<number> => (await direct.call(RANGE, { key: b('x') })).header!.revision
  const stop = watches.watch(all(folder), (await now()) + 1, {
    heard: (events) => {
      for (const { type, kv } of events) heard.push(`${type === EVENT.put ? 'put' : 'gone'} ${String(kv!.key)}`)
    },
    ended: (error) => ends.push(error),
  })
  const put = (name: string) => direct.call(PUT, { key: b(`${folder}/${name}`) })
  return { wire, direct, watches, heard, ends, stop, put, now }
}

test('what happens in a range is heard in order, and nothing else', async () => {
  const { direct, heard, put, stop } = await made('order')
  for (const name of ['a', 'b']) await put(name)
  await direct.call(PUT, { key: b('elsewhere') })
  await direct.call(DELETE, { key: b('order/a') })
  await expect.poll(() => heard).toEqual(['put order/a', 'put order/b', 'gone order/a'])
  stop()
  await put('c')
  expect(heard).toHaveLength(3)
})

test('many watches on one stream each hear their own', async () => {
  const { watches, put, heard, direct, now } = await made('many')
  const others = await Promise.all(
    Array.from({ length: 50 }, async (_, index) => {
      const names: string[] = []
      watches.watch(all(`other-${index}`), (await now()) + 1, {
        heard: (events) => names.push(...events.map(({ kv }) => String(kv!.key))),
        ended: () => {},
      })
      return names
    }),
  )
  await Promise.all(others.map((_, index) => direct.call(PUT, { key: b(`other-${index}/x`) })))
  await put('a')
  await expect.poll(() => others).toEqual(others.map((_, index) => [`other-${index}/x`]))
  await expect.poll(() => heard).toEqual(['put many/a'])
})

test('a stream that is lost again and again costs no event, and doubles none', async () => {
  const { wire, put, heard } = await made('lost')
  const expected: string[] = []
  for (let index = 0; index < 60; index += 1) {
    if (index % 5 === 0) {
      // It stands, and has heard all; then it is lost while more is written.
      await expect.poll(() => heard).toEqual(expected)
      wire.reset()
    }
    await put(String(index))
    expected.push(`put lost/${index}`)
  }
  await expect.poll(() => heard, { timeout: 20_000 }).toEqual(expected)
})

test('what was compacted away while the stream was lost is said, and not skipped', async () => {
  const { wire, put, heard, ends, direct } = await made('compacted')
  await put('a')
  await expect.poll(() => heard).toHaveLength(1)
  wire.silence()
  await put('b')
  const { header } = await put('c')
  await direct.call(COMPACT, { revision: header!.revision, physical: true })
  wire.reset()
  wire.heal()
  await expect.poll(() => ends, { timeout: 20_000 }).toMatchObject([{ grpc: GRPC.outOfRange }])
  expect(heard).toHaveLength(1)
})
