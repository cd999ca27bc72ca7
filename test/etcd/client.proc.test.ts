/** The client beside real members: calls, streams, another member when one is gone, and what each error means. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Security } from '../../src/backends/etcd/channel.ts'
import { EtcdClient } from '../../src/backends/etcd/client.ts'
import { EtcdError, GRPC } from '../../src/backends/etcd/errors.ts'
import type { LeaseKeepAliveResponse, Method, WatchResponse } from '../../src/backends/etcd/messages.ts'
import {
  BY,
  COMPACT,
  DELETE,
  EVENT,
  IS,
  LEASE_GRANT,
  LEASE_KEEP_ALIVE,
  LEASE_REVOKE,
  LEASE_TIME_TO_LIVE,
  MEMBERS,
  OF,
  ORDER,
  PUT,
  RANGE,
  STATUS,
  TXN,
  WATCH,
} from '../../src/backends/etcd/messages.ts'
import { Message } from '../../src/backends/etcd/proto.ts'
import { certify } from '../kit/certificates.ts'
import { Etcd } from '../kit/etcd.ts'

const b = (text: string): Buffer => Buffer.from(text)

/** What only an administrator says. */
const NOTHING = new Message<object>({})
const admin = <Q>(method: string, request: Message<Q>): Method<Q, object> => ({
  path: `/etcdserverpb.Auth/${method}`,
  request,
  response: NOTHING,
})
const USER_ADD = admin<{ name: string; password: string }>(
  'UserAdd',
  new Message<{ name: string; password: string }>({ name: [1, 'text'], password: [2, 'text'] }),
)
const USER_GRANT = admin<{ user: string; role: string }>(
  'UserGrantRole',
  new Message<{ user: string; role: string }>({ user: [1, 'text'], role: [2, 'text'] }),
)
const ROLE_ADD = admin('RoleAdd', new Message<{ name: string }>({ name: [1, 'text'] }))
interface Permission {
  readonly type: number
  readonly key: Buffer
  readonly rangeEnd: Buffer
}
const ROLE_GRANT = admin<{ name: string; permission: Permission }>(
  'RoleGrantPermission',
  new Message<{ name: string; permission: Permission }>({
    name: [1, 'text'],
    permission: [2, new Message<Permission>({ type: [1, 'int'], key: [2, 'bytes'], rangeEnd: [3, 'bytes'] })],
  }),
)
const AUTH_ENABLE = admin('AuthEnable', NOTHING)

let single: Etcd
beforeAll(async () => {
  single = await Etcd.start()
})
afterAll(() => single.end())

function clientOf(etcd: Etcd, endpoints: readonly string[] = etcd.endpoints): EtcdClient {
  const client = new EtcdClient({ endpoints })
  onTestFinished(() => client.close())
  return client
}

describe('one member', () => {
  test('keys are put, ranged over in an order, and deleted', async () => {
    const client = clientOf(single)
    for (const name of ['a', 'c', 'b']) await client.call(PUT, { key: b(`range/${name}`), value: b(name) })
    const { kvs, count } = await client.call(RANGE, {
      key: b('range/'),
      rangeEnd: b('range0'),
      order: ORDER.descending,
      by: BY.create,
      limit: 2,
    })
    expect(kvs.map(({ key, value }) => [String(key), String(value)])).toEqual([
      ['range/b', 'b'],
      ['range/c', 'c'],
    ])
    expect(count).toBe(3)
    expect(kvs[0]!.createRevision).toBeGreaterThan(kvs[1]!.createRevision)
    expect((await client.call(DELETE, { key: b('range/'), rangeEnd: b('range0') })).deleted).toBe(3)
  })

  test('a transaction compares a whole range, and contains others, which all see what was there before', async () => {
    const client = clientOf(single)
    const free = { is: IS.equal, of: OF.create, key: b('txn/'), rangeEnd: b('txn0'), createRevision: 0 }
    const take = (name: string) => ({
      transaction: { compare: [free], success: [{ put: { key: b(`txn/${name}`), value: b(name) } }] },
    })
    const both = await client.call(TXN, { success: [take('one'), take('two')] })
    expect(both.outcomes.map(({ transaction }) => transaction!.succeeded)).toEqual([true, true])
    expect(await client.call(TXN, { compare: [free] })).toMatchObject({ succeeded: false })
  })

  test('values of any size and any bytes come back as they were', async () => {
    const client = clientOf(single)
    for (const size of [0, 1, 127, 128, 255, 256, 16_384, 1_000_000]) {
      const value = randomBytes(size)
      await client.call(PUT, { key: b('large'), value })
      const { kvs } = await client.call(RANGE, { key: b('large') })
      expect(kvs[0]!.value.equals(value)).toBe(true)
    }
  })

  test('a lease keeps a key, tells how long, and takes it along', async () => {
    const client = clientOf(single)
    // With the highest bit: an id is any number of 64 bits.
    const id = -(2n ** 62n) - 5n
    const granted = await client.call(LEASE_GRANT, { ttl: 5, id }).catch((error: unknown) => error)
    expect(granted).toMatchObject({ ttl: 5, error: '' })
    await client.call(PUT, { key: b('leased'), lease: id })
    expect(await client.call(LEASE_TIME_TO_LIVE, { id, keys: true })).toMatchObject({
      id,
      grantedTtl: 5,
      keys: [b('leased')],
    })
    const heard: LeaseKeepAliveResponse[] = []
    const stream = await client.stream(LEASE_KEEP_ALIVE, { message: (said) => heard.push(said), ended: () => {} })
    stream.send({ id })
    await expect.poll(() => heard).toMatchObject([{ id, ttl: 5 }])
    await client.call(LEASE_REVOKE, { id })
    expect((await client.call(RANGE, { key: b('leased') })).count).toBe(0)
    stream.send({ id })
    await expect.poll(() => heard[1]).toMatchObject({ id, ttl: 0 })
    expect(await client.call(LEASE_TIME_TO_LIVE, { id })).toMatchObject({ ttl: -1 })
    stream.end()
  })

  test('a watch tells of what happens, and that what it asks for was compacted away', async () => {
    const client = clientOf(single)
    const heard: WatchResponse[] = []
    const stream = await client.stream(WATCH, { message: (said) => heard.push(said), ended: () => {} })
    stream.send({ create: { key: b('watched'), previous: true, watchId: 1 } })
    await expect.poll(() => heard[0]).toMatchObject({ watchId: 1, created: true })
    await client.call(PUT, { key: b('watched'), value: b('v') })
    const { header } = await client.call(DELETE, { key: b('watched') })
    await expect.poll(() => heard.flatMap(({ events }) => events).length).toBe(2)
    const [put, gone] = heard.flatMap(({ events }) => events)
    expect(put).toMatchObject({ type: EVENT.put, kv: { key: b('watched'), value: b('v') } })
    expect(gone).toMatchObject({ type: EVENT.delete, previous: { value: b('v') } })
    await client.call(COMPACT, { revision: header!.revision, physical: true })
    stream.send({ create: { key: b('watched'), startRevision: 1, watchId: 2 } })
    await expect
      .poll(() => heard.find(({ canceled }) => canceled))
      .toMatchObject({ watchId: 2, compactRevision: header!.revision })
    stream.end()
  })

  test('an error of the server has its code and its words', async () => {
    const client = clientOf(single)
    const put = client.call(PUT, { key: b('x'), lease: 12345n })
    await expect(put).rejects.toMatchObject({ grpc: GRPC.notFound, message: 'etcdserver: requested lease not found' })
  })

  test('what it is, and who its members are', async () => {
    const client = clientOf(single)
    expect((await client.call(STATUS, {})).version).toMatch(/^3\.\d+\.\d+/)
    const { members } = await client.call(MEMBERS, {})
    expect(members).toMatchObject([{ name: 'm1', clientUrls: single.endpoints }])
  })

  test('a member that is not there is named, and nothing was sent', async () => {
    const client = clientOf(single, ['http://127.0.0.1:1'])
    await expect(client.call(STATUS, {})).rejects.toMatchObject({
      grpc: GRPC.unavailable,
      message: expect.stringMatching(/^no member can be reached: http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/),
    })
  })

  test('a closed client says so', async () => {
    const client = clientOf(single)
    client.close()
    await expect(client.call(STATUS, {})).rejects.toBeInstanceOf(EtcdError)
  })
})

describe('users', () => {
  let secured: Etcd
  beforeAll(async () => {
    secured = await Etcd.start()
    const admin = new EtcdClient({ endpoints: secured.endpoints })
    for (const name of ['root', 'me']) await admin.call(USER_ADD, { name, password: 'secret' })
    await admin.call(ROLE_ADD, { name: 'locks' })
    const permission = { type: 2, key: b('mine/'), rangeEnd: b('mine0') }
    await admin.call(ROLE_GRANT, { name: 'locks', permission })
    await admin.call(USER_GRANT, { user: 'root', role: 'root' })
    await admin.call(USER_GRANT, { user: 'me', role: 'locks' })
    await admin.call(AUTH_ENABLE, {})
    admin.close()
  })
  afterAll(() => secured.end())

  function as(user: string | undefined, password?: string): EtcdClient {
    const client = new EtcdClient({
      endpoints: secured.endpoints,
      user,
      ...(password === undefined ? {} : { password }),
    })
    onTestFinished(() => client.close())
    return client
  }

  test('a user may do what its role allows, and no more', async () => {
    const client = as('me', 'secret')
    await client.call(PUT, { key: b('mine/x') })
    await expect(client.call(PUT, { key: b('yours') })).rejects.toMatchObject({ grpc: GRPC.permissionDenied })
  })

  test('a wrong password, and none', async () => {
    const put = { key: b('mine/x') }
    await expect(as('me', 'wrong').call(PUT, put)).rejects.toMatchObject({ grpc: GRPC.invalidArgument })
    await expect(as(undefined).call(PUT, put)).rejects.toMatchObject({ message: 'etcdserver: user name is empty' })
  })

  test('a token that the server has forgotten is asked for again', async () => {
    const client = as('me', 'secret')
    await client.call(PUT, { key: b('mine/x') })
    await secured.members[0]!.kill()
    secured.members[0]!.launch()
    await secured.stands()
    const again = (): Promise<boolean> =>
      client.call(PUT, { key: b('mine/x') }).then(
        () => true,
        () => false,
      )
    await expect.poll(again, { timeout: 20_000 }).toBe(true)
  })
})

describe('certificates', () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-etcd-tls-'))
  const file = (name: string): Buffer => readFileSync(join(directory, name))
  let secured: Etcd
  beforeAll(async () => {
    certify(directory)
    secured = await Etcd.start(1, { certificates: directory })
  })
  afterAll(async () => {
    await secured.end()
    rmSync(directory, { recursive: true, force: true })
  })

  function trusting(security: Security): EtcdClient {
    const client = new EtcdClient({ endpoints: secured.endpoints, security })
    onTestFinished(() => client.close())
    return client
  }

  test('with one of a known authority', async () => {
    const client = trusting({ ca: file('ca.crt'), cert: file('client.crt'), key: file('client.key') })
    await expect.poll(() => client.call(PUT, { key: b('x') }).then(() => true, String)).toBe(true)
  })

  test('without one, and of a server that nobody knows', async () => {
    const without = trusting({ ca: file('ca.crt') }).call(PUT, { key: b('x') })
    await expect(without).rejects.toMatchObject({
      grpc: GRPC.unavailable,
      message: expect.stringMatching(/alert|certificate|closed/),
    })
    const unknown = trusting({}).call(PUT, { key: b('x') })
    await expect(unknown).rejects.toMatchObject({
      grpc: GRPC.unavailable,
      message: expect.stringContaining('certificate'),
    })
  })
})

describe('three members', () => {
  let three: Etcd
  beforeAll(async () => {
    three = await Etcd.start(3)
  })
  afterAll(() => three.end())

  test.for(['killed', 'frozen'] as const)('the member that is asked is %s: another one is', async (how) => {
    for (const victim of three.members) {
      const others = three.members.filter((member) => member !== victim)
      const client = new EtcdClient({ endpoints: [victim, ...others].map(({ endpoint }) => endpoint) })
      onTestFinished(() => client.close())
      await client.call(PUT, { key: b('k'), value: b('before') })
      if (how === 'killed') await victim.kill()
      else victim.freeze()
      const answered = (): Promise<boolean> =>
        client.call(PUT, { key: b('k'), value: b('after') }).then(
          () => true,
          (error: unknown) => {
            expect(error).toMatchObject({ grpc: GRPC.unavailable })
            return false
          },
        )
      await expect.poll(answered, { timeout: 20_000 }).toBe(true)
      if (how === 'killed') victim.launch()
      else victim.thaw()
      await three.stands()
    }
  })

  test('a member that is cut off from a leader ends a stream that needs one', async () => {
    const [watched, ...others] = three.members as [(typeof three.members)[0], ...typeof three.members]
    const client = new EtcdClient({ endpoints: [watched.endpoint] })
    onTestFinished(() => client.close())
    let ended: EtcdError | undefined
    const stream = await client.stream(
      WATCH,
      { message: () => {}, ended: (error) => (ended = error) },
      { needsLeader: true },
    )
    stream.send({ create: { key: b('k') } })
    for (const member of others) member.freeze()
    await expect.poll(() => ended, { timeout: 20_000 }).toMatchObject({ grpc: GRPC.unavailable })
    for (const member of others) member.thaw()
    await three.stands()
  })
})
