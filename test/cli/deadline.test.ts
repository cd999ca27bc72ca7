import { expect, onTestFinished, test } from 'vitest'
import { memory } from '../../src/backends/memory/index.ts'
import { Deadline } from '../../src/cli/hold/deadline.ts'
import { connect } from '../../src/index.ts'
import { simulatedTime } from '../../src/testing/simulated.ts'

/** A command under a lease of 30 s, which is to be asked 5 s before the end; `told` is what was said to it, or of it. */
async function setUp() {
  const time = simulatedTime()
  const runtime = time.runtime()
  const locks = connect(memory({ clocks: time.runtime() }), { runtime, margin: 0 })
  const lease = await locks.acquire('x', { ttl: '30s' })
  const told: string[] = []
  const deadline = new Deadline(
    lease,
    5000,
    { moved: () => told.push('moved'), ask: () => told.push('ask'), kill: () => told.push('kill') },
    runtime,
  )
  onTestFinished(async () => {
    deadline.stop()
    await time.during(locks.close())
  })
  return { time, runtime, deadline, told }
}

test('a renewal moves it', async () => {
  const { time, deadline, told } = await setUp()
  await time.advance(100_000)
  expect(new Set(told)).toEqual(new Set(['moved']))
  expect(deadline.over).toBe(false)
})

test('a renewal after a sleep that was too long changes nothing: the guardian may have asked the command', async () => {
  const { time, runtime, deadline, told } = await setUp()
  runtime.sleep(26_000)
  await time.advance(28_000)
  expect(told).toEqual(['ask'])
  expect(deadline.over).toBe(true)
})

test('after a sleep that was short enough it is moved', async () => {
  const { time, runtime, deadline, told } = await setUp()
  runtime.sleep(20_000)
  await time.advance(22_000)
  expect(told).toEqual(['moved'])
  expect(deadline.over).toBe(false)
})
