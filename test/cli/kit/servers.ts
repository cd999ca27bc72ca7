/** Coordinators for the command line to speak to, and what its tests do to the servers among them. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { connect } from '../../../src/index.ts'
import { Etcd } from '../../kit/etcd.ts'
import { RedisServer } from '../../kit/redis.ts'
import { until } from './until.ts'

/** A server, and what these tests do to it. */
export interface Server {
  readonly port: number
  /** A user who may do nothing with locks: `poor`, `secret`. */
  refusePoor(): Promise<unknown>
  /** It knows of no lock any more. */
  forget(): Promise<unknown>
  end(): Promise<void>
}

async function redisServer(): Promise<Server> {
  const server = await RedisServer.start()
  const ask = async (...words: [string, ...string[]]): Promise<void> => {
    const admin = new Redis(server.port)
    await admin.call(...words)
    admin.disconnect()
  }
  return {
    port: server.port,
    refusePoor: () => ask('ACL', 'SETUSER', 'poor', 'on', '>secret', '~other:*', '&*', '+@all'),
    forget: () => ask('FLUSHALL'),
    end: () => server.end(),
  }
}

async function etcdServer(): Promise<Server> {
  const etcd = await Etcd.start()
  const { port } = etcd.members[0]!
  const run = promisify(execFile)
  const env = { ...process.env, ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: `127.0.0.1:${port}` }
  const etcdctl = (...words: string[]): Promise<unknown> => run('etcdctl', words, { env })
  return {
    port,
    async refusePoor() {
      for (const user of ['poor:secret', 'root:root']) await etcdctl('user', 'add', user)
      await etcdctl('user', 'grant-role', 'root', 'root')
      await etcdctl('auth', 'enable')
    },
    forget: () => etcdctl('del', '--prefix', 'holdfast/'),
    end: () => etcd.end(),
  }
}

export const SERVERS = [
  ['redis', redisServer],
  ['etcd', etcdServer],
] as const

/** Whatever a URL leads to. */
export interface Coordinator {
  readonly url: string
  end(): unknown
}

function fileStore(): Promise<Coordinator> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-look-'))
  return Promise.resolve({ url: `file:${dir}`, end: () => rmSync(dir, { recursive: true, force: true }) })
}

/** Each kind that the command line is tried at. */
export const COORDINATORS: readonly (readonly [string, () => Promise<Coordinator>])[] = [
  ['file', fileStore],
  ...SERVERS.map(([scheme, start]) => {
    const begin = async (): Promise<Coordinator> => {
      const server = await start()
      return { url: `${scheme}://127.0.0.1:${server.port}`, end: () => server.end() }
    }
    return [scheme, begin] as const
  }),
]

/** How many stand in the queue. */
export async function waiting(name: string, url: string): Promise<number> {
  const locks = connect(url)
  try {
    return (await locks.inspect(name))?.waiters.length ?? 0
  } finally {
    await locks.close()
  }
}

/** The line on stderr may be older than the place in the queue. */
export function oneWaits(name: string, url: string): Promise<void> {
  return until(async () => (await waiting(name, url)) === 1, `a waiter of ${name}`)
}
