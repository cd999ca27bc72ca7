import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { EtcdClient, etcd } from '../../src/backends/etcd/index.ts'
import { parseEtcdUrl } from '../../src/backends/etcd/url.ts'
import { connect } from '../../src/index.ts'

test.each([
  ['etcd://a', ['http://a:2379']],
  ['etcd://a:1,b,[::1]:3', ['http://a:1', 'http://b:2379', 'http://[::1]:3']],
  ['etcds://a/', ['https://a:2379']],
])('%s names members', (url, endpoints) => {
  expect(parseEtcdUrl(url).client.endpoints).toEqual(endpoints)
})

test('users, options and files', () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-url-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  for (const name of ['ca', 'cert', 'key']) writeFileSync(join(directory, name), name)
  const files = ['ca', 'cert', 'key'].map((name) => `${name}=${encodeURIComponent(join(directory, name))}`).join('&')
  expect(parseEtcdUrl(`etcds://us%40er:p%3Ass@a?${files}&prefix=shop&lease=observed&interop=1`)).toEqual({
    client: {
      endpoints: ['https://a:2379'],
      user: 'us@er',
      password: 'p:ss',
      security: { ca: Buffer.from('ca'), cert: Buffer.from('cert'), key: Buffer.from('key') },
    },
    options: { keyPrefix: 'shop', lease: 'observed', interop: true },
  })
})

test.each([
  ['etcd:', 'no address of etcd'],
  ['etcd://', 'no list of hosts'],
  ['etcd://a,,b', 'no list of hosts'],
  ['etcd://a:port', 'no list of hosts'],
  ['etcd://a/b', 'no address of etcd'],
  ['etcd://user@a', 'write user:password@'],
  ['etcd://:secret@a', 'write user:password@'],
  ['etcd://u:p%zz@a', 'no percent-encoding'],
  ['etcd://a?replicas=1', 'it knows ?ca=ca.crt&cert=me.crt'],
  ['etcd://a?prefix=a&prefix=b', 'prefix is there twice'],
  ['etcd://a?prefix=%0A', 'without control characters'],
  ['etcd://a?lease=mine', "not 'mine'"],
  ['etcd://a?interop=yes', "not 'yes'"],
  ['etcd://a?ca=ca.crt', 'write etcds://'],
  ['etcds://a?cert=me.crt', 'come together'],
  ['etcds://a?ca=/no/such/file', 'the file of ca cannot be read'],
])('%s is refused', (url, said) => {
  expect(() => connect(url)).toThrow(
    expect.objectContaining({ code: 'BAD_URL', message: expect.stringContaining(said) as string }),
  )
})

test('no message shows a password', () => {
  expect(() => connect('etcd://user:secret@a?nonsense=1')).toThrow(/etcd:\/\/…@a/)
  expect(() => connect('etcd://user:secret@a?nonsense=1')).not.toThrow(/secret/)
})

test.each([
  [() => etcd({} as EtcdClient), 'takes the EtcdClient'],
  [() => etcd(new EtcdClient({ endpoints: ['http://a:1'] }), { lease: 'mine' as 'entry' }), 'lease must be'],
  [() => etcd(new EtcdClient({ endpoints: ['http://a:1'] }), { interop: 1 as never }), 'interop must be'],
  [() => etcd(new EtcdClient({ endpoints: ['http://a:1'] }), { keyPrefix: '' }), 'keyPrefix must be'],
  [() => etcd(new EtcdClient({ endpoints: ['http://a:1'] }), { nonsense: 1 } as object), "no option 'nonsense'"],
  [() => new EtcdClient({ endpoints: [] }), 'one member at least'],
  [() => new EtcdClient({ endpoints: ['a:2379'] }), 'http://host:port'],
  [() => new EtcdClient({ endpoints: ['http://a:1'], callMs: 0 }), 'callMs must be'],
  [() => new EtcdClient({ endpoints: ['http://a:1'], user: 'me' }), 'come together'],
])('what makes no sense is told at once (%#)', (make, said) => {
  expect(make).toThrow(
    expect.objectContaining({ code: 'MISCONFIGURED', message: expect.stringContaining(said) as string }),
  )
})
