/** Before the tests that need servers: the servers, and what makes certificates for them. Where one is missing it is installed, or it is said what to install. */
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A program, and the Debian package that brings it. */
const SERVERS = {
  'redis-server': 'redis-server',
  openssl: 'openssl',
  etcd: 'etcd-server',
  etcdctl: 'etcd-client',
} as const

export function setup(): void {
  const missing = Object.entries(SERVERS).flatMap(([program, packageName]) => (runs(program) ? [] : [packageName]))
  if (missing.length === 0) return
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...missing]
  console.log(`installing ${missing.join(', ')}, which the tests need`)
  if (process.getuid?.() === 0 && (apt(...install) || (apt('update', '-qq') && apt(...install)))) return
  throw new Error(`the tests need ${missing.join(' and ')}: apt-get install ${missing.join(' ')}`)
}

function runs(program: string): boolean {
  return spawnSync(program, ['--version']).error === undefined
}

/** One at a time: tests are run by two processes, and each of them looks whether the servers are there. */
function apt(...args: string[]): boolean {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const words = [join(tmpdir(), 'holdfast-apt.lock'), 'apt-get', ...args]
  return spawnSync('flock', words, { stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0
}
