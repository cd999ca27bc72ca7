import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

const head = `
  import { connect } from 'holdfast'
  import { memory } from 'holdfast/memory'
  import { faulty } from 'holdfast/testing'
  process.on('unhandledRejection', (error) => { console.log('UNHANDLED', error); process.exit(99) })
`

/** Run code as a program of its own, and see how it ends. */
async function run(code: string, withinMs = 10_000): Promise<{ code: number | null; stdout: string; tookMs: number }> {
  const from = performance.now()
  const child = spawn(process.execPath, ['--input-type=module', '-e', head + code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  const limit = setTimeout(() => child.kill('SIGKILL'), withinMs)
  const exit = await new Promise<number | null>((resolve) => child.on('close', resolve))
  clearTimeout(limit)
  return { code: exit, stdout, tookMs: performance.now() - from }
}

test('a lease that is held does not keep a finished process alive', async () => {
  const ended = await run(`
    const locks = connect('memory:')
    const lease = await locks.acquire('a', { ttl: '30s', maxHold: '1h' })
    lease.signal.addEventListener('abort', () => {})
    await locks.run('b', () => {})
    await locks.semaphore('c', 2).acquire({ minHold: '1m' })
    console.log(lease.state)
  `)
  expect(ended).toMatchObject({ code: 0, stdout: 'held\n' })
  expect(ended.tookMs).toBeLessThan(5000)
})

test('a process that waits for a dead holder does not end before its turn', async () => {
  const ended = await run(`
    const shared = memory()
    const WHOLE = 2 ** 31 - 1
    await shared.join({ name: 'lock:a', id: 'dead', weight: WHOLE, capacity: WHOLE, ttlMs: 800, waitTtlMs: 800, wait: true })
    const lease = await connect(shared).acquire('a')
    console.log(lease.waited, lease.waitedMs > 700)
  `)
  expect(ended).toMatchObject({ code: 0, stdout: 'true true\n' })
})

test('a process that waits for a silent coordinator stays alive until it knows', async () => {
  const ended = await run(`
    const never = () => new Promise(() => {})
    const silent = Object.assign(memory(), { join: never, watch: never, leave: never })
    const locks = connect(silent, { requestTimeout: 300 })
    console.log(await locks.acquire('a').catch((error) => error.code))
    console.log(await locks.tryAcquire('a').catch((error) => error.code))
    await locks.close()
    console.log('closed')
  `)
  expect(ended).toMatchObject({ code: 0, stdout: 'UNREACHABLE\nUNREACHABLE\nclosed\n' })
})

test('whatever fails while nobody looks, nothing is an unhandled rejection', async () => {
  const ended = await run(
    `
    const shared = memory()
    for (const preset of ['broken', 'lossy', 'silent', 'chaos', 'deaf']) {
      const locks = connect(faulty(shared, preset), { requestTimeout: 50, ttl: 300, grace: 20 })
      const quietly = (work) => work.catch(() => {})
      const all = []
      for (let n = 0; n < 20; n += 1) {
        const signal = AbortSignal.timeout(5 * n)
        all.push(
          quietly(locks.run('a', { wait: 100, signal }, () => {})),
          quietly(locks.run('a', { wait: 100 }, () => { throw new Error('broken') })),
          quietly(locks.run(['a', 'b'], { wait: 50 }, () => new Promise(() => {}))),
          quietly(locks.acquire('a', { wait: 100, maxHold: 50 })),
          quietly(locks.singleFlight('c', { wait: 100, signal }, () => { throw new Error('broken') })),
          quietly(locks.once('d', { every: 10 }, () => {})),
          quietly(locks.election('e').acquire({ wait: 20 })),
        )
      }
      setTimeout(() => void locks.close(), 150)
      await Promise.race([Promise.all(all), new Promise((resolve) => setTimeout(resolve, 800))])
      await locks.close()
    }
    await new Promise((resolve) => setTimeout(resolve, 300))
    console.log('quiet')
    process.exit(0)
  `,
    30_000,
  )
  expect(ended).toMatchObject({ code: 0, stdout: 'quiet\n' })
})

test('a store that breaks under its users makes no unhandled rejection either', async () => {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  const ended = await run(
    `
    import { rmSync, writeFileSync } from 'node:fs'
    const store = ${JSON.stringify(join(root, 'store'))}
    const quietly = (work) => work.catch(() => {})
    const pass = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
    const breaks = [
      () => rmSync(store, { recursive: true }),
      () => writeFileSync(store + '/log.7', 'this is no log'),
      () => (rmSync(store, { recursive: true }), writeFileSync(store, 'a file in its place')),
    ]
    for (const broken of breaks) {
      const [one, other] = [1, 2].map(() => connect('file:' + store, { ttl: 300, waitTtl: 300, requestTimeout: 100, grace: 20 }))
      const held = await one.acquire('a')
      const all = []
      for (let n = 0; n < 10; n += 1) all.push(quietly(other.acquire('a', { wait: 100 * n })), quietly(other.run(['a', 'b'], { wait: 50 }, () => {})))
      const observing = (async () => { for await (const _ of other.election('e').observe()); })()
      all.push(quietly(observing))
      await pass(50)
      broken()
      await pass(700)
      await quietly(held.release())
      await Promise.all([one.close(), other.close()])
      await Promise.all(all)
      rmSync(store, { recursive: true, force: true })
    }
    await pass(300)
    console.log('quiet')
    process.exit(0)
  `,
    30_000,
  )
  expect(ended).toMatchObject({ code: 0, stdout: 'quiet\n' })
})
