import { expect, test } from 'vitest'
import type { Entry } from '../../src/backend.ts'
import { memory } from '../../src/backends/memory/index.ts'
import type { Fault, Plan, Preset, Verb } from '../../src/testing/faults.ts'
import { faulty } from '../../src/testing/faults.ts'
import { simulatedTime } from '../../src/testing/simulated.ts'

const entry = (id: string): Entry => ({
  name: 'a',
  id,
  weight: 1,
  capacity: 1,
  ttlMs: 10_000,
  waitTtlMs: 5000,
  wait: true,
})

/** A backend with one fault on the first call of one verb. */
function withFault(verb: Verb, fault: Fault) {
  const time = simulatedTime()
  const inner = memory({ clocks: time.runtime() })
  const plan: Plan = (each, _target, n) => (each === verb && n === 1 ? fault : undefined)
  return { time, inner, backend: faulty(inner, plan, { runtime: time.runtime() }) }
}

test('requests and replies take their time', async () => {
  const { time, inner, backend } = withFault('join', { requestMs: 30, replyMs: 50 })
  const answer = backend.join(entry('one'))
  await time.advance(29)
  expect((await inner.renew(entry('one'), 1)).state).toBe('lost')
  await time.advance(2)
  expect((await inner.renew(entry('one'), 1)).state).toBe('held')
  expect((await time.during(answer)).state).toBe('held')
  expect(time.now).toBe(80)
})

test('a lost request is not carried out, a lost reply is', async () => {
  for (const [lose, state] of [
    ['request', 'lost'],
    ['reply', 'held'],
  ] as const) {
    const { time, inner, backend } = withFault('join', { lose, replyMs: 10 })
    await expect(time.during(backend.join(entry('one')))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect((await inner.renew(entry('one'), 1)).state).toBe(state)
  }
})

test('what is lost in silence is never answered', async () => {
  const { time, inner, backend } = withFault('join', { lose: 'reply', silent: true })
  await expect(time.during(backend.join(entry('one')), 1e6)).rejects.toThrow('has not settled')
  expect((await inner.join(entry('two'))).state).toBe('waiting')
})

test('a doubled request lands twice and is answered once', async () => {
  const { time, backend } = withFault('join', { againMs: 100 })
  expect((await backend.join(entry('one'))).state).toBe('held')
  expect(await backend.leave(entry('one'))).toBe(true)
  await time.advance(150)
  expect((await backend.join(entry('two'))).state).toBe('waiting')
})

test('a call can fail with an error of the test', async () => {
  const { inner, backend } = withFault('leave', { fail: new Error('no route') })
  await inner.join(entry('one'))
  await expect(backend.leave(entry('one'))).rejects.toThrow('no route')
  expect(await backend.leave(entry('one'))).toBe(true)
})

test.each([
  [{ requestMs: 40 }, [40]],
  [{ requestMs: 40, againMs: 60 }, [40, 100]],
  [{ lose: 'request' }, []],
  [{}, [0]],
] satisfies [Fault, number[]][])('a wake with %j arrives at %j', async (fault, arrivals) => {
  const { time, backend } = withFault('wake', fault)
  const woken: number[] = []
  await backend.join(entry('one'))
  await backend.watch(entry('two'), () => woken.push(time.now))
  await backend.join(entry('two'))
  await backend.leave(entry('one'))
  await time.advance(1000)
  expect(woken).toEqual(arrivals)
})

test('a subscription that is lost never calls, and does not fail', async () => {
  const { backend } = withFault('watch', { lose: 'request' })
  const unwatch = await backend.watch(entry('one'), () => expect.unreachable())
  await backend.join(entry('one'))
  unwatch()
})

const presets: Preset[] = ['slow', 'reordered', 'doubled', 'lossy', 'deaf', 'jumpy', 'chaos']

test.each(presets)('through a network that is %s the coordinator can be used', async (preset) => {
  const time = simulatedTime({ seed: 11 })
  const backend = faulty(memory({ clocks: time.runtime() }), preset, { runtime: time.runtime() })
  const asked = Array.from({ length: 50 }, (_, n) => backend.join({ ...entry(`${n}`), name: `${n}`, ttlMs: 1e6 }))
  await time.advance(10_000)
  let held = 0
  for (const each of asked) void each.then(() => (held += 1)).catch(() => {})
  await time.settle()
  expect(held).toBeGreaterThan(30)
})

test('silent answers nothing, and broken fails always', async () => {
  const time = simulatedTime()
  const silent = faulty(memory(), 'silent', { runtime: time.runtime() })
  await expect(time.during(silent.join(entry('one')))).rejects.toThrow('has not settled')
  const broken = faulty(memory(), 'broken')
  await expect(broken.join(entry('one'))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  await expect(broken.inspect('')[Symbol.asyncIterator]().next()).rejects.toThrow('reset')
})
