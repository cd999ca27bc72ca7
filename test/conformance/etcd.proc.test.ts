/** The suite on real members of etcd. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, test } from 'vitest'
import type { Backend } from '../../src/backend.ts'
import type { EtcdOptions } from '../../src/backends/etcd/index.ts'
import { EtcdClient, etcd } from '../../src/backends/etcd/index.ts'
import type { Coordinator } from '../../src/testing/index.ts'
import { conformance } from '../../src/testing/index.ts'
import { Etcd } from '../kit/etcd.ts'
import { named } from './kit/named.ts'

let cluster: Etcd
beforeAll(async () => {
  cluster = await Etcd.start()
})
afterAll(() => cluster.end())

function through(options: EtcdOptions, dressed = (backend: Backend) => backend): () => Promise<Coordinator> {
  return async () => {
    const client = new EtcdClient({ endpoints: cluster.endpoints })
    return {
      backend: dressed(etcd(client, options)),
      another: async () => dressed(etcd(client, options)),
      advance: sleep,
      end: async () => client.close(),
    }
  }
}

const ways = [
  ['with one lease a process', through({})],
  ['with a lease an entry', through({ lease: 'entry' })],
  ['with client-observed leases', through({ lease: 'observed', keyPrefix: 'observed' })],
  ['beside etcdctl', through({ interop: true }, (backend) => named('lock:', backend))],
] as const

describe.each(ways)('etcd %s', (_, make) => {
  test.concurrent.for(conformance(make))('$name', async ({ run }, { skip, expect }) => {
    const outcome = await run()
    skip(outcome === 'skipped')
    expect(outcome).toBe('passed')
  })
})
