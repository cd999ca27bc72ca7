/** The ways to a server: TLS, unix sockets, sentinels with a password. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { RedisLike } from '../../src/backends/redis/index.ts'
import type { Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { certify } from '../kit/certificates.ts'
import { SentinelGroup } from '../kit/redis-groups.ts'
import { RedisServer, freePort } from '../kit/redis.ts'

const directory = mkdtempSync(join(tmpdir(), 'holdfast-ways-'))
const file = (name: string): string => join(directory, name)

let server: RedisServer
let tlsPort: number
beforeAll(async () => {
  certify(directory)
  ;[server, tlsPort] = await startWithTls('--unixsocket', file('redis.sock'))
})
afterAll(async () => {
  await server.end()
  rmSync(directory, { recursive: true, force: true })
})

async function startWithTls(...more: string[]): Promise<[server: RedisServer, tlsPort: number]> {
  const port = await freePort()
  const tls = ['--tls-port', String(port), '--tls-auth-clients', 'no', '--tls-ca-cert-file', file('ca.crt')]
  const pair = ['--tls-cert-file', file('server.crt'), '--tls-key-file', file('server.key')]
  return [await RedisServer.start(...tls, ...pair, ...more), port]
}

/** One holds, and the next one is woken by a message. */
async function handOver(locks: Locks): Promise<void> {
  const first = await locks.acquire('x')
  const second = locks.acquire('x')
  await expect.poll(async () => (await locks.inspect('x'))?.waiters.length).toBe(1)
  expect(await first.release()).toBe('released')
  expect(await (await second).release()).toBe('released')
}

function locksAt(target: string | RedisLike): Locks {
  const locks = connect(target)
  onTestFinished(() => locks.close())
  return locks
}

/** What a program of its own says, which trusts our authority: `done`, or the error. */
async function trusting(url: string): Promise<string> {
  const program = `
    import { connect } from 'holdfast'
    const locks = connect('${url}')
    try {
      await locks.diagnose()
      const first = await locks.acquire('z')
      setTimeout(() => void first.release(), 100)
      await (await locks.acquire('z')).release()
      console.log('done')
    } catch (error) {
      console.log(error.code, error.message)
    }
    await locks.close()`
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: file('ca.crt') }
  const words = ['--input-type=module', '-e', program]
  const { stdout } = await promisify(execFile)(process.execPath, words, { timeout: 60_000, env })
  return stdout.trim()
}

describe('TLS', () => {
  test('at an address, with the authority in NODE_EXTRA_CA_CERTS', async () => {
    expect(await trusting(`rediss://127.0.0.1:${tlsPort}`)).toBe('done')
  })

  test('a quorum at addresses', async () => {
    const started = await Promise.all([startWithTls(), startWithTls(), startWithTls()])
    onTestFinished(async () => void (await Promise.all(started.map(([node]) => node.end()))))
    const hosts = started.map(([, port]) => `127.0.0.1:${port}`).join(',')
    // New nodes that keep what they answer need not wait out the longest lease; the first diagnosis admits them.
    expect(await trusting(`redlocks://${hosts}?durable`)).toBe('done')
  })

  test('an unknown authority is an error that says so', async () => {
    const refused = locksAt(`rediss://127.0.0.1:${tlsPort}`).acquire('x')
    await expect(refused).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('certificate'),
    })
  })

  test('a certificate for another name is an error that says so', async () => {
    expect(await trusting(`rediss://localhost:${tlsPort}`)).toMatch(/^UNAVAILABLE .*localhost.* altnames/)
  })

  test('no TLS where there should be: the server ends the connection', async () => {
    const refused = locksAt(`redis://127.0.0.1:${tlsPort}`).acquire('x')
    await expect(refused).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  test('TLS where there is none: the server waits for more, and the request timeout ends that', async () => {
    const locks = connect(`rediss://127.0.0.1:${server.port}`, { requestTimeout: '1s' })
    onTestFinished(() => locks.close())
    await expect(locks.acquire('x')).rejects.toMatchObject({ code: 'UNREACHABLE' })
  })

  test('through a client that knows the authority', async () => {
    const ca = readFileSync(file('ca.crt'))
    const ioRedis = new Redis(tlsPort, '127.0.0.1', { tls: { ca } })
    const nodeRedis = createClient({ socket: { host: '127.0.0.1', port: tlsPort, tls: true, ca } })
    onTestFinished(() => {
      ioRedis.disconnect()
      nodeRedis.destroy()
    })
    await nodeRedis.connect()
    for (const client of [ioRedis, nodeRedis]) await handOver(locksAt(client))
  })
})

test('a unix socket, and a database of its own', async () => {
  const locks = locksAt(`redis+unix://${file('redis.sock')}?db=3`)
  await handOver(locks)
  const lease = await locks.acquire('here')
  const admin = new Redis(server.port, { db: 3 })
  onTestFinished(() => admin.disconnect())
  expect(await admin.exists('holdfast:{lock:here}')).toBe(1)
  expect(await lease.release()).toBe('released')
  await admin.select(0)
  expect(await admin.exists('holdfast:{lock:here}')).toBe(0)
})

test('a unix socket that is not there is an error that names it', async () => {
  const refused = locksAt(`redis+unix://${file('none.sock')}`).acquire('x')
  await expect(refused).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('none.sock') })
})

test('sentinels, and servers that want a password', async () => {
  const group = await SentinelGroup.start({ password: 'p@ss' })
  onTestFinished(() => group.end())
  await expect(locksAt(group.url).acquire('x')).rejects.toMatchObject({ code: 'DENIED' })
  await handOver(locksAt(group.url.replace('://', '://:p%40ss@')))
  await handOver(locksAt(`${group.url.replace('://', '://:p%40ss@')}?replicas=2`))
})
