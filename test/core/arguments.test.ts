import { afterEach, expect, test, vi } from 'vitest'
import type { Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { world } from './kit.ts'

type Uses = [what: string, use: (locks: Locks, value: never) => unknown]

const entrances: Uses[] = [
  ['acquire', (locks, name) => locks.acquire(name)],
  ['tryAcquire', (locks, name) => locks.tryAcquire(name)],
  ['run', (locks, name) => locks.run(name, () => {})],
  ['several names', (locks, name) => locks.acquire(['fine', name])],
  ['mutex', async (locks, name) => locks.mutex(name)],
  ['rw', async (locks, name) => locks.rw(name)],
  ['semaphore', async (locks, name) => locks.semaphore(name, 2)],
  ['election', async (locks, name) => locks.election(name)],
  ['elect', async (locks, name) => locks.elect(name).next()],
  ['once', (locks, name) => locks.once(name, { every: '1h' }, () => {})],
  ['singleFlight', (locks, name) => locks.singleFlight(name, () => {})],
  ['inspect', (locks, name) => locks.inspect(name)],
  ['evict', (locks, name) => locks.evict(name, 1n)],
]

const names: [shown: string, name: unknown, message: string][] = [
  ['an empty name', '', 'a name is empty'],
  ['undefined', undefined, 'a name is undefined'],
  ['null', null, 'a name is null'],
  ['a number', 5, 'a name is 5'],
  ['an object', {}, 'a name is a object'],
  ['a line end', 'a\nb', 'control character'],
  ['a NUL', 'a\0', 'control character'],
  ['a delete', 'a\x7f', 'control character'],
  ['a C1 control', 'a\x85', 'control character'],
  ['half of a surrogate pair', 'a\ud83d', 'surrogate'],
  ['the other half', '\udd12a', 'surrogate'],
  ['513 bytes', 'x'.repeat(513), 'a name has 513 bytes; 512'],
  ['171 characters of 3 bytes', '漢'.repeat(171), 'a name has 513 bytes; 512'],
]

test.each(entrances)('%s refuses what is no name, with the reason', async (_, use) => {
  const { locks } = world()
  for (const [shown, name, message] of names) {
    const given = (async () => use(locks, name as never))()
    await expect(given, shown).rejects.toThrow(message)
    await expect(given, shown).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  }
})

test.each(['x', ' ', '🔒', 'x'.repeat(512), '漢'.repeat(170), '../..', 'a b:c/d*'])('%j is a name', async (name) => {
  const { locks } = world()
  await expect(locks.run(name, (lease) => lease.name)).resolves.toBe(name)
})

test.each([
  [{ ttl: 0 }, 'ttl is 0; a lease must last some time'],
  [{ ttl: '0s' }, 'ttl is 0'],
  [{ ttl: -1 }, 'ttl is -1'],
  [{ ttl: NaN }, 'ttl is NaN'],
  [{ ttl: Infinity }, 'ttl is Infinity; the longest is a year'],
  [{ ttl: '30' }, "ttl is '30'"],
  [{ ttl: null }, 'ttl is null'],
  [{ ttl: 150 }, 'ttl is 150 ms, but its last 100 ms are the margin in which it counts as lost; use 200 ms or more'],
  [{ ttl: '1s', margin: '600ms' }, 'use 1200 ms or more, or set margin'],
  [{ margin: -1 }, 'margin is -1'],
  [{ wait: -1 }, 'wait is -1'],
  [{ wait: NaN }, 'wait is NaN'],
  [{ wait: 'long' }, "wait is 'long'"],
  [{ maxHold: 0 }, 'maxHold is 0'],
  [{ minHold: Infinity }, 'minHold is Infinity'],
  [{ lockDelay: '400d' }, "lockDelay is '400d'; the longest is a year"],
  [{ maxWaiters: -1 }, 'maxWaiters is -1'],
  [{ maxWaiters: 1.5 }, 'maxWaiters is 1.5; give a whole number'],
  [{ label: 5 }, 'label is 5; give a string'],
  [{ signal: {} }, 'signal is a object; give an AbortSignal'],
  [{ reentrant: 'yes' }, "reentrant is 'yes'; give true or false"],
  [{ timeout: 5 }, "there is no option 'timeout'; there are ttl, margin"],
  [null, 'options are null; give an object'],
  ['10s', "options are '10s'; give an object"],
  [[], 'options are an array; give an object'],
])('the options %j are refused, with the reason', async (options, message) => {
  const { locks, calls } = world()
  const given = locks.acquire('a', options as object)
  await expect(given).rejects.toThrow(message)
  await expect(given).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  expect(calls).toEqual([])
})

const doors: Uses[] = [
  ['acquire', (locks, options) => locks.acquire('a', options)],
  ['tryAcquire', (locks, options) => locks.tryAcquire('a', options)],
  ['run', (locks, options) => locks.run('a', options, () => {})],
  ['acquire of several', (locks, options) => locks.acquire(['a', 'b'], options)],
  ['tryAcquire of several', (locks, options) => locks.tryAcquire(['a', 'b'], options)],
  ['mutex acquire', (locks, options) => locks.mutex('a').acquire(options)],
  ['mutex tryAcquire', (locks, options) => locks.mutex('a').tryAcquire(options)],
  ['mutex run', (locks, options) => locks.mutex('a').run(options, () => {})],
  ['read', (locks, options) => locks.rw('a').read().acquire(options)],
  ['write', (locks, options) => locks.rw('a').write().tryAcquire(options)],
  ['semaphore acquire', (locks, options) => locks.semaphore('a', 2).acquire(options)],
  ['semaphore tryAcquire', (locks, options) => locks.semaphore('a', 2).tryAcquire(options)],
  ['semaphore run', (locks, options) => locks.semaphore('a', 2).run(options, () => {})],
  ['election acquire', (locks, options) => locks.election('a').acquire(options)],
  ['election tryAcquire', (locks, options) => locks.election('a').tryAcquire(options)],
  ['election run', (locks, options) => locks.election('a').run(options, () => {})],
  ['terms', (locks, options) => locks.election('a').terms(options).next()],
  ['observe', (locks, options) => locks.election('a').observe(options).next()],
  ['elect', (locks, options) => locks.elect('a', options).next()],
  ['once', (locks, options) => locks.once('a', options, () => {})],
  ['singleFlight', (locks, options) => locks.singleFlight('a', options, () => {})],
  ['inspect', (locks, options) => locks.inspect('a', options)],
  ['evict', (locks, options) => locks.evict('a', 1n, options)],
]

const noOptions: [shown: string, options: unknown, message: string][] = [
  ['null', null, 'options are null; give an object'],
  ['a number', 5, 'options are 5; give an object'],
  ['text', '10s', "options are '10s'; give an object"],
  ['an array', [], 'options are an array; give an object'],
  ['a mistyped name', { tll: '5s' }, "there is no option 'tll'; there are "],
]

test.each(doors)('%s refuses what are no options, with the reason, and asks nobody', async (_, use) => {
  const { locks, calls } = world()
  for (const [shown, options, message] of noOptions) {
    const given = (async () => use(locks, options as never))()
    await expect(given, shown).rejects.toThrow(message)
    await expect(given, shown).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  }
  expect(calls).toEqual([])
})

test('what never waits has no options about waiting', async () => {
  const { locks } = world()
  for (const option of [{ wait: '5s' }, { maxWaiters: 1 }]) {
    const [key] = Object.keys(option)
    await expect(locks.tryAcquire('a', option as object)).rejects.toThrow(`tryAcquire has no option '${key}'`)
    await expect(locks.tryAcquire('a', option as object)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  }
  for (const option of [{ wait: 0 }, { minHold: '1h' }, { reentrant: true }]) {
    const [key] = Object.keys(option)
    await expect(locks.once('a', { every: '1h', ...option }, () => {})).rejects.toThrow(`there is no option '${key}'`)
  }
})

test('a flight that is boarded has its options checked like one that is started', async () => {
  const { locks } = world()
  const flight = locks.singleFlight('a', async () => {})
  await expect(locks.singleFlight('a', { ttl: 'soon' }, async () => {})).rejects.toThrow("ttl is 'soon'")
  await flight
})

test('calls that give an object throw at once', () => {
  const { locks } = world()
  expect(() => locks.elect('a', { ttl: 'soon' })).toThrow("ttl is 'soon'")
  expect(() => locks.elect('a', { value: 5 as never })).toThrow('value is 5; give a string')
  expect(() => locks.election('a').observe({ signal: 'x' as never })).toThrow("signal is 'x'; give an AbortSignal")
  expect(() => locks.list(null as never)).toThrow('start is null; give a string')
})

test.each(['semaphore', 'constructor', '', null, 5])('there is no kind of queue that is called %j', async (kind) => {
  const { locks, calls } = world()
  for (const given of [locks.inspect('a', { kind: kind as never }), locks.evict('a', 1n, { kind: kind as never })]) {
    await expect(given).rejects.toThrow(/^there is no kind .*; there are lock, permits, election$/)
    await expect(given).rejects.toMatchObject({ name: 'ArgumentTypeError', code: 'BAD_ARGUMENT' })
  }
  expect(calls).toEqual([])
})

test.each([
  [0, 'permits is 0; give a whole number from 1'],
  [-2, 'permits is -2'],
  [1.5, 'permits is 1.5; give a whole number'],
  ['4', "permits is '4'"],
  [2 ** 31, 'permits is 2147483648'],
])('a semaphore of %j permits is refused', (permits, message) => {
  expect(() => world().locks.semaphore('a', permits as number)).toThrow(message)
})

test.each([
  [5, '"a" has 4; nobody could ever be granted that'],
  [0, 'permits is 0'],
  [NaN, 'permits is NaN'],
  [null, 'permits is null'],
])('%j permits of four are refused', async (permits, message) => {
  await expect(
    world()
      .locks.semaphore('a', 4)
      .acquire({ permits: permits as number }),
  ).rejects.toThrow(message)
})

test('functions, values and fences are checked', async () => {
  const { locks } = world()
  const bad = { code: 'BAD_ARGUMENT' }
  await expect(locks.run('a', {} as never)).rejects.toMatchObject(bad)
  await expect(locks.run('a', {}, undefined as never)).rejects.toThrow('run needs a function')
  await expect(locks.singleFlight('a', 5 as never)).rejects.toThrow('singleFlight needs a function')
  await expect(locks.once('a', { every: '1h' }, 5 as never)).rejects.toMatchObject(bad)
  await expect(locks.once('a', { every: 0 }, () => {})).rejects.toThrow('every is 0')
  await expect(locks.once('a', {} as never, () => {})).rejects.toThrow('every is undefined')
  await expect(locks.election('a').acquire({ value: 5 as never })).rejects.toThrow('value is 5')
  await expect(locks.evict('a', 5 as never)).rejects.toThrow('fence is 5; give a bigint')
  await expect(locks.acquire([])).rejects.toThrow('there are no names')
  await expect(locks.acquire(['a', 'a'])).rejects.toThrow('a name is given twice')
  await expect(locks.acquire({} as never)).rejects.toMatchObject(bad)
  const lease = await locks.acquire('a')
  expect(() => lease.on('lost', 5 as never)).toThrow('a listener is a function')
  await expect(lease.renew('soon')).rejects.toThrow("ttl is 'soon'")
  await expect(lease.renew(0)).rejects.toThrow('ttl is 0')
  await expect(lease.renew(150)).rejects.toThrow('use 200 ms or more')
  expect(lease.state).toBe('held')
  await lease.release()
  expect(await locks.inspect('a')).toBeUndefined()
})

afterEach(() => void vi.unstubAllEnvs())

test.each([
  [[undefined], 'connect got undefined'],
  [[''], "connect got ''"],
  [[null], 'connect got null'],
  [[5], 'connect got 5'],
  [[{}], 'connect got a object'],
  [['locks'], 'that is no URL'],
  [['ftp://host'], 'there is no coordinator for ftp:; there are memory:'],
  [['reddis://host'], 'there is no coordinator for reddis:; did you mean redis?'],
  [['constructor:x'], 'there is no coordinator for constructor:; there are memory:, file:'],
  [['memory:shared'], 'memory: takes nothing behind the colon'],
  [['file://host/dir'], 'file: takes no host'],
  [['file:/dir?mode=1'], 'knows ?shared and nothing else'],
  [['file:/%zz'], 'write %25 for a percent sign'],
  [['memory:', { tll: '5s' }], "there is no option 'tll'; there are prefix"],
  [['memory:', null], 'options are null'],
  [['memory:', []], 'options are an array'],
  [['memory:', { prefix: 5 }], 'prefix is 5'],
  [['memory:', { prefix: 'a\n' }], 'prefix has a control character in it'],
  [['memory:', { prefix: 'x'.repeat(513) }], 'prefix has 513 bytes'],
  [['memory:', { runtime: null }], 'runtime is null; give a Runtime'],
  [['memory:', { runtime: {} }], 'runtime is a object; give a Runtime'],
  [['memory:', { label: 5 }], 'label is 5'],
  [['memory:', { requestTimeout: Infinity }], 'requestTimeout is Infinity'],
  [['memory:', { requestTimeout: 0 }], 'requestTimeout is 0'],
  [['memory:', { waitTtl: 'x' }], "waitTtl is 'x'"],
  [['memory:', { waitTtl: 0 }], 'waitTtl is 0'],
  [['memory:', { ttl: -5 }], 'ttl is -5'],
  [['memory:', { ttl: 0 }], 'ttl is 0'],
  [['memory:', { ttl: null }], 'ttl is null'],
  [['memory:', { wait: NaN }], 'wait is NaN'],
])('connect(...%j) is refused, with the reason', (given, message) => {
  const use = () => connect(...(given as ['memory:']))
  expect(use).toThrow(message)
  expect(use).toThrow(expect.objectContaining({ code: expect.stringMatching(/^BAD_(ARGUMENT|URL)$/) as string }))
})

test('an empty HOLDFAST_URL is refused, and one that is set is used', async () => {
  vi.stubEnv('HOLDFAST_URL', '')
  expect(() => connect()).toThrow('HOLDFAST_URL is empty')
  vi.stubEnv('HOLDFAST_URL', 'nowhere://x')
  expect(() => connect()).toThrow('there is no coordinator for nowhere:')
  vi.stubEnv('HOLDFAST_URL', 'memory:')
  const locks = connect()
  expect(locks.kind).toBe('memory')
  await locks.close()
})
