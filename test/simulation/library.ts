/** The code under test, from `src/` or from a copy of it with a mistake in it. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { memory } from '../../src/backends/memory/index.ts'
import type { EtcdBackend, EtcdClient } from '../../src/backends/etcd/index.ts'
import type { EtcdError } from '../../src/backends/etcd/errors.ts'
import type { Table } from '../../src/queue/table.ts'
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
  /** What the models are made of as well: the queue of Redis, and what members of etcd say. */
  readonly Table: typeof Table
  readonly EtcdError: typeof EtcdError
  readonly Register: typeof Register
}

const FILES = [
  'connect.ts',
  'backends/memory/index.ts',
  'quorum/index.ts',
  'backends/redis/index.ts',
  'backends/etcd/index.ts',
  'backends/etcd/errors.ts',
  'queue/table.ts',
  'verify/register.ts',
]

export async function loadLibrary(root: string): Promise<Library> {
  const modules = await Promise.all(
    FILES.map(async (file) => import(pathToFileURL(join(root, file)).href) as Promise<object>),
  )
  return Object.assign({}, ...modules) as Library
}
