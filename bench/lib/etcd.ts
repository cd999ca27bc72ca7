/** Those who take part on etcd: holdfast, its peers, what its client can do at most. And what the servers count. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect } from 'holdfast'
import { EtcdClient } from '../../src/backends/etcd/client.ts'
import { DELETE, IS, LEASE_GRANT, OF, TXN } from '../../src/backends/etcd/messages.ts'
import type { Contestant, Place } from './contestant.ts'
import { holdfast, peers } from './contestant.ts'
import { sum } from './numbers.ts'

const TTL_S = 30
/** How often those ask again who cannot wait. */
const AGAIN_MS = 10

export const ETCD_CONTESTANTS: Readonly<Record<string, (place: Place) => Contestant | Promise<Contestant>>> = {
  'etcd:': ({ endpoints }) => {
    const locks = connect(`etcd://${endpoints.map((each) => new URL(each).host).join(',')}`)
    return { ...holdfast(locks), keep: (name, ttl) => locks.acquire(name, { ttl }) }
  },
  etcd3,
  'bare transaction': bareTransaction,
}

/** A program of its own, which speaks as worker.ts does. */
export const GO_MUTEX = 'Go concurrency.Mutex'

/** Its lock does not wait: it throws, and is asked for again. */
function etcd3({ endpoints }: Place): Contestant {
  interface Lock {
    ttl(seconds: number): Lock
    acquire(): Promise<Lock>
    release(): Promise<void>
  }
  interface Module {
    Etcd3: new (options: object) => { lock(name: string): Lock; close(): void }
    EtcdLockFailedError: new () => Error
  }
  const { Etcd3, EtcdLockFailedError } = peers('etcd3') as Module
  const client = new Etcd3({ hosts: endpoints })
  const acquire = async (name: string, seconds: number): Promise<Lock> => {
    for (;;) {
      try {
        return await client.lock(name).ttl(seconds).acquire()
      } catch (error) {
        if (!(error instanceof EtcdLockFailedError)) throw error
      }
      await sleep(AGAIN_MS)
    }
  }
  return {
    locker: (name) => ({ acquire: () => acquire(name, TTL_S), release: (held) => (held as Lock).release() }),
    keep: (name, ttlMs) => acquire(name, ttlMs / 1000),
    close: () => client.close(),
  }
}

/** What a pair of calls costs by itself, through the client of holdfast: a put if absent, on a lease, and a delete. */
async function bareTransaction({ endpoints }: Place): Promise<Contestant> {
  const client = new EtcdClient({ endpoints })
  const { id } = await client.call(LEASE_GRANT, { ttl: 600 })
  const value = Buffer.from('x')
  let count = 0
  return {
    // Keys of its own for everybody who takes part: a store, not a lock.
    locker(name) {
      const key = Buffer.from(`${name}.${process.pid}.${(count += 1)}`)
      const absent = { key, of: OF.create, is: IS.equal, createRevision: 0 }
      const take = { compare: [absent], success: [{ put: { key, value, lease: id } }], failure: [{ range: { key } }] }
      return { acquire: () => client.call(TXN, take), release: () => client.call(DELETE, { key }) }
    },
    close: () => client.close(),
  }
}

let built: string | undefined

/** The program, built from what Debian has of Go and etcd; what was compiled is kept beside the installed peers. */
export function goMutex(directory: string): string {
  if (built !== undefined) return built
  const folder = fileURLToPath(new URL('../peers/', import.meta.url))
  const program = join(directory, 'go-mutex')
  const own = { GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: join(folder, 'node_modules/.cache/go') }
  try {
    execFileSync('go', ['build', '-o', program, join(folder, 'go/main.go')], { env: { ...process.env, ...own } })
  } catch (cause) {
    throw new Error('bench/peers/go needs: apt-get install golang-go golang-etcd-server-dev', { cause })
  }
  return (built = program)
}

/** What all members together have counted since they started. */
export interface Counted {
  /** Calls that were answered. */
  readonly calls: number
  /** Messages of keep-alives that came, and messages of watches that went out. */
  readonly keepAlives: number
  readonly told: number
  /** Microseconds of their processors, and bytes of memory they take. */
  readonly cpu: number
  readonly rss: number
}

export async function counted(endpoints: readonly string[]): Promise<Counted> {
  const pages = await Promise.all(endpoints.map(pageOf))
  const total = (name: string, ...labels: string[]): number =>
    sum(pages.flatMap((page) => valuesOf(page, name, labels)))
  return {
    calls: total('grpc_server_handled_total', 'grpc_type="unary"'),
    keepAlives: total('grpc_server_msg_received_total', 'grpc_method="LeaseKeepAlive"'),
    told: total('grpc_server_msg_sent_total', 'grpc_service="etcdserverpb.Watch"'),
    cpu: total('process_cpu_seconds_total') * 1e6,
    rss: total('process_resident_memory_bytes'),
  }
}

export async function leads(endpoint: string): Promise<boolean> {
  return valuesOf(await pageOf(endpoint), 'etcd_server_is_leader', [])[0] === 1
}

async function pageOf(endpoint: string): Promise<string> {
  const answer = await fetch(`${endpoint}/metrics`)
  return answer.text()
}

function valuesOf(page: string, name: string, labels: readonly string[]): number[] {
  const lines = page.split('\n').filter((line) => line.startsWith(name) && labels.every((each) => line.includes(each)))
  return lines.map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)))
}
