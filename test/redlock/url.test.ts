import { expect, test } from 'vitest'
import { redlock } from '../../src/backends/redlock/index.ts'
import { parseRedlockUrl } from '../../src/backends/redlock/url.ts'
import { connect } from '../../src/index.ts'

test('an address names all nodes, with one login and one database for all', () => {
  const { locations, options } = parseRedlockUrl('redlocks://me:s%40fe@a,b:7000,[::1]:7001/3?maxTtlMs=5000&durable')
  const own = { kind: 'single', tls: true, username: 'me', password: 's@fe', database: 3 }
  expect(locations).toEqual([
    { ...own, addresses: [{ host: 'a', port: 6379 }] },
    { ...own, addresses: [{ host: 'b', port: 7000 }] },
    { ...own, addresses: [{ host: '::1', port: 7001 }] },
  ])
  expect(options).toEqual({ maxTtlMs: 5000, durable: true })
})

test.each([
  ['redlock://', 'write redlock://a:6379,b:6379,c:6379'],
  ['redlock://a,,b', 'is no list of hosts'],
  ['redlock://me:secret@a:6379', 'one server is no quorum; write redis://a:6379 for one, or name three'],
  ['redlock://a,b,a:6379', 'a:6379 is there twice, and would be a majority of itself'],
  ['redlock://a,b,c?ttl=5', 'it knows ?maxTtlMs=60000'],
  ['redlock://a,b,c?maxTtlMs=5s', 'it knows ?maxTtlMs=60000'],
  ['redlock://a,b,c?maxTtlMs=0', 'maxTtlMs is 0; give milliseconds from 1'],
  ['redlock://a,b,c/x', "a database is a number, not 'x'"],
  ['redlock://me:secret%@a,b,c', 'is no percent-encoding'],
])('%s is refused by connect() at once, and the reason is said', (url, reason) => {
  const refused = expect.objectContaining({ code: 'BAD_URL', message: expect.stringContaining(reason) as string })
  expect(() => connect(url)).toThrow(refused)
  expect(() => connect(url)).not.toThrow('secret')
})

test.each([
  [[], {}, 'got no clients'],
  [{}, {}, 'got no clients'],
  [[{}], {}, 'no client of Redis'],
  [[{ defineCommand: true }], { maxTtlMs: -1 }, 'maxTtlMs is -1'],
  [[{ defineCommand: true }], { nodeTimeoutMs: '1s' }, 'nodeTimeoutMs is 1s'],
  [[{ defineCommand: true }], { durable: 1 }, 'durable is 1'],
  [[{ defineCommand: true }], { keyPrefix: '{' }, 'keyPrefix must be'],
])('redlock(%j, %j) is refused', (clients, options, reason) => {
  expect(() => redlock(clients as never, options as never)).toThrow(
    expect.objectContaining({ code: 'MISCONFIGURED', message: expect.stringContaining(reason) as string }),
  )
})

test('one client is not two nodes', () => {
  const client = { defineCommand: true }
  expect(() => redlock([client, client] as never)).toThrow('is there twice')
})
