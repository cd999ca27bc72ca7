import { expect, test } from 'vitest'
import { Naming } from '../../src/backends/redis/keys.ts'
import { SCHEMES, parseRedisUrl } from '../../src/backends/redis/url.ts'
import { connect } from '../../src/index.ts'

const single = { kind: 'single', tls: false, database: 0 }

test.each([
  ['redis://localhost', { ...single, addresses: [{ host: 'localhost', port: 6379 }] }],
  ['valkey://[::1]:7000/3', { ...single, addresses: [{ host: '::1', port: 7000 }], database: 3 }],
  [
    'rediss://app:p%40ss:word@db.example:6380/2',
    {
      ...single,
      tls: true,
      addresses: [{ host: 'db.example', port: 6380 }],
      username: 'app',
      password: 'p@ss:word',
      database: 2,
    },
  ],
  ['redis://:secret@h', { ...single, addresses: [{ host: 'h', port: 6379 }], password: 'secret' }],
  [
    'redis+unix:///run/redis.sock?db=4',
    { kind: 'unix', tls: false, addresses: [], path: '/run/redis.sock', database: 4 },
  ],
  [
    'redis+sentinel://:pw@a:26379,b/main/1',
    {
      kind: 'sentinel',
      tls: false,
      addresses: [
        { host: 'a', port: 26_379 },
        { host: 'b', port: 26_379 },
      ],
      password: 'pw',
      master: 'main',
      database: 1,
    },
  ],
  [
    'redis+cluster://a:7000,b:7001',
    {
      kind: 'cluster',
      tls: false,
      addresses: [
        { host: 'a', port: 7000 },
        { host: 'b', port: 7001 },
      ],
      database: 0,
    },
  ],
  ['redis://h/1?replicas=2', { ...single, addresses: [{ host: 'h', port: 6379 }], database: 1, replicas: 2 }],
  [
    'redis+unix:///s?db=4&replicas=1',
    { kind: 'unix', tls: false, addresses: [], path: '/s', database: 4, replicas: 1 },
  ],
])('%s', (url, location) => {
  expect(parseRedisUrl(url)).toEqual(location)
})

test.each([
  ['redis://', 'is no list of hosts'],
  ['redis://a,b', 'it takes one host'],
  ['redis://h/x', 'a database is a number'],
  ['redis://h/1/2', 'nothing else'],
  ['redis://h:port', 'is no list of hosts'],
  ['redis://h?tls', 'it knows ?replicas=1 and nothing else'],
  ['redis://h?db=1', 'it knows ?replicas=1 and nothing else'],
  ['redis://h?replicas=1&replicas=1', 'is there twice'],
  ['redis://h?replicas=0', 'replicas is a number from 1 to'],
  ['redis+cluster://a?replicas=1', 'a cluster cannot wait for replicas'],
  ['redis://u:%zz@h', 'percent-encoding'],
  ['redis+unix://h/path', 'a path and no host'],
  ['redis+unix://', 'there is no path'],
  ['redis+unix:///s?x=1', 'it knows ?db=1&replicas=1 and nothing else'],
  ['redis+sentinel://a', 'the name of the primary'],
  ['redis+cluster://a/1', 'one database'],
])('%s is an error that says what to write', (url, text) => {
  expect(() => parseRedisUrl(url)).toThrow(text)
})

test('connect() says at once what is wrong with an address', () => {
  const message = expect.stringContaining('a database is a number')
  expect(() => connect('redis://h/x')).toThrow(expect.objectContaining({ code: 'BAD_URL', message }))
})

test('no error shows a password', () => {
  expect(() => parseRedisUrl('redis://u:secret@h/x')).toThrow(/^(?!.*secret)/)
})

test('a name is in its hash tag whatever characters it has, and is found again', () => {
  const naming = new Naming('holdfast')
  for (const name of ['lock:a', 'lock:{a}', 'lock:100%', 'lock:%7b', 'lock:}{%25']) {
    const [head, ...others] = naming.of(name).keys
    const tag = /\{(.*?)\}/.exec(head)![1]
    for (const key of others) expect(/\{(.*?)\}/.exec(key)![1]).toBe(tag)
    expect(naming.nameOf(head)).toBe(name)
    for (const key of others) expect(naming.nameOf(key)).toBeUndefined()
  }
})

test('connect() knows the same schemes', () => {
  for (const scheme of Object.keys(SCHEMES)) {
    expect(() => connect(`${scheme}://h?nonsense`)).toThrow(`'${scheme}://h?nonsense': `)
  }
  expect(() => connect('redis+nonsense://h')).toThrow(
    Object.keys(SCHEMES)
      .map((each) => `${each}:`)
      .join(', '),
  )
})

test.each(['', 'a{b', 'a\n', '}'])('a prefix of %j is refused', (prefix) => {
  expect(() => new Naming(prefix)).toThrow(expect.objectContaining({ code: 'MISCONFIGURED' }))
})
