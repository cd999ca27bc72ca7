/** The ways to a cluster: users with the least rights, tokens that end, certificates, and what `diagnose` says of it. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { TestContext } from 'vitest'
import { describe, expect, test, vi } from 'vitest'
import type { Backend } from '../../src/backend.ts'
import { WHOLE } from '../../src/backend.ts'
import { etcdAt } from '../../src/backends/etcd/index.ts'
import type { Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { realRuntime } from '../../src/runtime.ts'
import { textOf } from '../docs/pages.ts'
import { certify } from '../kit/certificates.ts'
import { Etcd } from '../kit/etcd.ts'

const run = promisify(execFile)
const TOKEN_S = 2
const WAIT = { timeout: 30_000 }

/** Of tests that run side by side: each ends what it began. */
type Finished = TestContext['onTestFinished']

function locksAt(url: string, onTestFinished: Finished): Locks {
  const locks = connect(url)
  onTestFinished(() => locks.close())
  return locks
}

async function startEtcd(onTestFinished: Finished, ...words: Parameters<typeof Etcd.start>): Promise<Etcd> {
  const etcd = await Etcd.start(...words)
  onTestFinished(() => etcd.end())
  return etcd
}

/** One holds, and the next one is woken. */
async function handOver(locks: Locks, name = 'x'): Promise<void> {
  const first = await locks.acquire(name)
  const second = locks.acquire(name)
  await vi.waitUntil(async () => (await locks.inspect(name))?.waiters.length === 1, WAIT)
  expect(await first.release()).toBe('released')
  expect(await (await second).release()).toBe('released')
}

async function joinAndLeave(backend: Backend, name: string): Promise<void> {
  const whole = { weight: WHOLE, capacity: WHOLE, ttlMs: 5000, waitTtlMs: 5000, wait: true }
  const entry = { name, id: realRuntime.token(), ...whole }
  await backend.join(entry)
  await backend.leave(entry)
}

function levels(findings: Awaited<ReturnType<Locks['diagnose']>>, level: string): string[] {
  return findings.filter((each) => each.level === level).map(({ subject, text }) => `${subject}: ${text}`)
}

/** A cluster of one whose users are on, with the rights that the page of the backend names. */
async function withUsers(onTestFinished: Finished): Promise<string> {
  const etcd = await startEtcd(onTestFinished, 1, { words: ['--auth-token-ttl', String(TOKEN_S)] })
  const host = etcd.endpoints[0]!.replace('http://', '')
  const env = { ...process.env, ETCDCTL_API: '3' }
  const etcdctl = (...words: string[]) => run('etcdctl', ['--endpoints', host, ...words], { env })
  const page = /```sh\n(etcdctl role add[^`]+)```/.exec(textOf('docs/backends/etcd.md'))![1]!
  for (const line of page.trim().split('\n')) await etcdctl(...line.split(' ').slice(1))
  await etcdctl('user', 'add', 'root:secret')
  await etcdctl('user', 'grant-role', 'root', 'root')
  await etcdctl('auth', 'enable')
  return host
}

describe.concurrent('users', () => {
  test('the rights of the page are enough, and no others are needed', async ({ onTestFinished }) => {
    const host = await withUsers(onTestFinished)
    const locks = locksAt(`etcd://holdfast:secret@${host}`, onTestFinished)
    await handOver(locks)
    await locks.run(['a', 'b'], async () => {})
    const findings = await locks.diagnose()
    expect(levels(findings, 'error')).toEqual([])
    expect(findings.map(({ subject }) => subject)).toEqual(
      expect.arrayContaining(['latency', 'version', 'leader', 'quota', 'members', 'leases', 'clock', 'rights']),
    )
  })

  test('a wrong password, and a right that is missing, say so', async ({ onTestFinished }) => {
    const host = await withUsers(onTestFinished)
    const wrong = locksAt(`etcd://holdfast:wrong@${host}`, onTestFinished)
    await expect(wrong.acquire('x')).rejects.toMatchObject({ code: 'DENIED' })
    await expect(wrong.acquire('x')).rejects.not.toThrow(/wrong/)
    const elsewhere = locksAt(`etcd://holdfast:secret@${host}?prefix=other`, onTestFinished)
    await expect(elsewhere.acquire('x')).rejects.toMatchObject({ code: 'DENIED' })
    expect(levels(await elsewhere.diagnose(), 'error')).toEqual([expect.stringContaining('rights')])
  })

  test('a token that ends meanwhile is renewed, and so is what holds, waits and follows', async ({
    onTestFinished,
  }) => {
    const host = await withUsers(onTestFinished)
    const locks = locksAt(`etcd://holdfast:secret@${host}`, onTestFinished)
    const other = locksAt(`etcd://holdfast:secret@${host}`, onTestFinished)
    const lease = await locks.acquire('x', { ttl: '3s' })
    const waiting = other.acquire('x', { ttl: '3s' })
    // Tokens of etcd live on while they are used, so nothing may be asked for that time but keep-alives.
    await sleep(4 * TOKEN_S * 1000)
    expect(lease.state).toBe('held')
    expect(await lease.release()).toBe('released')
    const next = await waiting
    await sleep(2 * TOKEN_S * 1000)
    expect(next.state).toBe('held')
    await next.release()
    await handOver(locks)
  })

  test('a watch that is asked for when the token has ended is there all the same', async ({ onTestFinished }) => {
    const host = await withUsers(onTestFinished)
    const backend = etcdAt(`etcd://holdfast:secret@${host}`)
    onTestFinished(() => backend.close())
    // Keeps the stream, which goes on with the token that it began with.
    await backend.follow('first', () => {})
    await sleep(3 * TOKEN_S * 1000)
    let woken = 0
    await backend.follow('second', () => (woken += 1))
    const other = etcdAt(`etcd://holdfast:secret@${host}`)
    onTestFinished(() => other.close())
    await vi.waitUntil(async () => {
      await joinAndLeave(other, 'second')
      return woken > 0
    }, WAIT)
  })
})

describe.concurrent('certificates', () => {
  test('by address: an authority, and a certificate of ours', async ({ onTestFinished }) => {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-etcd-ways-'))
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
    certify(directory)
    const etcd = await startEtcd(onTestFinished, 1, { certificates: directory })
    const host = etcd.endpoints[0]!.replace('https://', '')
    const file = (name: string): string => encodeURIComponent(join(directory, name))
    const locks = locksAt(
      `etcds://${host}?ca=${file('ca.crt')}&cert=${file('client.crt')}&key=${file('client.key')}`,
      onTestFinished,
    )
    const released = await vi.waitUntil(
      () =>
        locks.tryAcquire('y').then(
          (lease) => lease?.release(),
          () => undefined,
        ),
      WAIT,
    )
    expect(released).toBe('released')
    await handOver(locks)
    const without = locksAt(`etcds://${host}?ca=${file('ca.crt')}`, onTestFinished)
    await expect(without.acquire('x', { wait: 0 })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })
})

describe.concurrent('diagnose', () => {
  test('three members, of which one is down, and one address that nobody has', async ({ onTestFinished }) => {
    const etcd = await startEtcd(onTestFinished, 3)
    const hosts = etcd.endpoints.map((endpoint) => endpoint.replace('http://', ''))
    const locks = locksAt(`etcd://${hosts.join(',')}`, onTestFinished)
    const well = await locks.diagnose()
    expect(levels(well, 'error')).toEqual([])
    expect(levels(well, 'ok')).toContain('members: there are 3 members, of which 1 may fail')
    await etcd.members[1]!.kill()
    // If that was the leader, there is another one soon.
    await vi.waitUntil(async () => levels(await locks.diagnose(), 'error').length === 0, WAIT)
    expect(levels(await locks.diagnose(), 'advice').join('\n')).toContain(
      `reachability: ${etcd.endpoints[1]!} cannot be asked`,
    )
    const one = locksAt(`etcd://${hosts[0]!}`, onTestFinished)
    expect(levels(await one.diagnose(), 'advice').join('\n')).toContain('2 of them are not in the address')
  })

  test('one member, an old version, and a store that is full', async ({ onTestFinished }) => {
    const etcd = await startEtcd(onTestFinished, 1, { words: ['--quota-backend-bytes', String(64 * 1024)] })
    const host = etcd.endpoints[0]!.replace('http://', '')
    const locks = locksAt(`etcd://${host}`, onTestFinished)
    const advice = levels(await locks.diagnose(), 'advice').join('\n')
    expect(advice).toContain('there is one member')
    expect(advice).toContain('version 3.4.23: a watch may miss a deletion')
    const held = await locks.acquire('held', { ttl: '3s' })
    const fill = run('etcdctl', ['--endpoints', host, 'put', 'filler', 'x'.repeat(100_000)], {
      env: { ...process.env, ETCDCTL_API: '3' },
    })
    await fill.catch(() => {})
    await expect(locks.acquire('new')).rejects.toMatchObject({ code: 'STORE_FULL' })
    expect(levels(await locks.diagnose(), 'error').join('\n')).toContain('NOSPACE')
    await sleep(4000)
    // Renewed, and given back, all the same.
    expect(held.state).toBe('held')
    expect(await held.release()).toBe('released')
  })
})
