/** The suite on real members of etcd. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, test } from 'vitest'
import type { EtcdOptions } from '../../src/backends/etcd/index.ts'
import { EtcdClient, etcd } from '../../src/backends/etcd/index.ts'
import type { Coordinator } from '../../src/testing/index.ts'
import { conformance } from '../../src/testing/index.ts'
import { Etcd } from '../kit/etcd.ts'

let cluster: Etcd
beforeAll(async () => {
  cluster = await Etcd.start()
})
afterAll(() => cluster.end())

function through(options: EtcdOptions): () => Promise<Coordinator> {
  return async () => {
    const client = new EtcdClient({ endpoints: cluster.endpoints })
    return {
      backend: etcd(client, options),
      another: async () => etcd(client, options),
      advance: sleep,
      end: async () => client.close(),
    }
  }
}

const ways = [
  ['with one lease a process', through({})],
  ['with a lease an entry', through({ lease: 'entry' })],
  ['with client-observed leases', through({ lease: 'observed', keyPrefix: 'observed' })],
  ['beside etcdctl', through({ interop: true })],
] as const

describe.each(ways)('etcd %s', (_, make) => {
  test.concurrent.for(conformance(make))('$name', async ({ run }, { skip, expect }) => {
    const outcome = await run()
    skip(outcome === 'skipped')
    expect(outcome).toBe('passed')
  })
})
