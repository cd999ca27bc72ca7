/** The suite on real members of etcd: with each kind of lease; in the matrix also on three of them, of which one may be gone. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, test } from 'vitest'
import type { Backend } from '../../src/backend.ts'
import type { EtcdOptions } from '../../src/backends/etcd/index.ts'
import { EtcdClient, etcd } from '../../src/backends/etcd/index.ts'
import { backendFor } from '../../src/connect.ts'
import type { ConformanceOptions, Coordinator } from '../../src/testing/index.ts'
import { conformance } from '../../src/testing/index.ts'
import { Etcd } from '../kit/etcd.ts'
import { MATRIX, andInMatrix } from '../kit/effort.ts'
import { named } from './kit/named.ts'

let one: Etcd
let three: Etcd | undefined
/** Three, of which one was killed. */
let two: Etcd | undefined
beforeAll(async () => {
  one = await Etcd.start()
  if (!MATRIX) return
  ;[three, two] = await Promise.all([Etcd.start(3), Etcd.start(3)])
  const [killed, ...others] = two.members
  await killed!.kill()
  await two.stands(others)
})
afterAll(() => Promise.all([one, three, two].map(async (each) => each?.end())))

function through(
  cluster: () => Etcd,
  options: EtcdOptions,
  dressed = (backend: Backend): Backend => backend,
): () => Promise<Coordinator> {
  return async () => {
    const client = new EtcdClient({ endpoints: cluster().endpoints })
    return {
      backend: dressed(etcd(client, options)),
      another: async () => dressed(etcd(client, options)),
      advance: sleep,
      end: async () => client.close(),
    }
  }
}

function atAddress(url: () => string): () => Promise<Coordinator> {
  return async () => ({ backend: backendFor(url()), another: async () => backendFor(url()), advance: sleep })
}

type Way = readonly [name: string, make: () => Promise<Coordinator>]

const some: readonly Way[] = [
  ['with one lease a process', through(() => one, {})],
  ['with client-observed leases', through(() => one, { lease: 'observed', keyPrefix: 'observed' })],
  [
    'beside etcdctl',
    through(
      () => one,
      { interop: true },
      (backend) => named('lock:', backend),
    ),
  ],
]

const more: readonly Way[] = [
  ['of three members', through(() => three!, {})],
  ['with a lease an entry', through(() => one, { lease: 'entry' })],
  ['at an address', atAddress(() => one.endpoints[0]!.replace('http', 'etcd'))],
  ['of three members, one of them gone', through(() => two!, {})],
  ['of three members, client-observed', through(() => three!, { lease: 'observed', keyPrefix: 'observed' })],
]

/** They share the machine with other tests, and an election of three takes half a second. */
const OPTIONS: ConformanceOptions = { ttlMs: 2000 }

describe.each(andInMatrix(some, more))('etcd %s', (_, make) => {
  test.concurrent.for(conformance(make, OPTIONS))('$name', async ({ run }, { skip, expect }) => {
    const outcome = await run()
    skip(outcome === 'skipped')
    expect(outcome).toBe('passed')
  })
})
