/** The code under test, from `src/` or from a copy of it with a mistake in it. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { memory } from '../../src/backends/memory/index.ts'
import type { EtcdBackend, EtcdClient } from '../../src/backends/etcd/index.ts'
import type { RedisBackend } from '../../src/backends/redis/index.ts'
import type { connect } from '../../src/connect.ts'
import type { QuorumBackend } from '../../src/quorum/index.ts'
import type { Register } from '../../src/verify/register.ts'

export interface Library {
  readonly connect: typeof connect
  readonly memory: typeof memory
  readonly QuorumBackend: typeof QuorumBackend
  readonly RedisBackend: typeof RedisBackend
  readonly EtcdBackend: typeof EtcdBackend
  readonly EtcdClient: typeof EtcdClient
  readonly Register: typeof Register
}

export async function loadLibrary(root: string): Promise<Library> {
  const load = async <T>(path: string): Promise<T> => import(pathToFileURL(join(root, path)).href) as Promise<T>
  const [door, backend, quorum, redis, etcd, register] = await Promise.all([
    load<{ connect: typeof connect }>('connect.ts'),
    load<{ memory: typeof memory }>('backends/memory/index.ts'),
    load<{ QuorumBackend: typeof QuorumBackend }>('quorum/index.ts'),
    load<{ RedisBackend: typeof RedisBackend }>('backends/redis/index.ts'),
    load<Pick<Library, 'EtcdBackend' | 'EtcdClient'>>('backends/etcd/index.ts'),
    load<{ Register: typeof Register }>('verify/register.ts'),
  ])
  return {
    connect: door.connect,
    memory: backend.memory,
    QuorumBackend: quorum.QuorumBackend,
    RedisBackend: redis.RedisBackend,
    EtcdBackend: etcd.EtcdBackend,
    EtcdClient: etcd.EtcdClient,
    Register: register.Register,
  }
}
