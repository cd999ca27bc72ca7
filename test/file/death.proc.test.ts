import { execFileSync, spawn } from 'node:child_process'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { connect as dial } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker as Thread } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import { exclusion } from '../../src/verify/checkers/exclusion.ts'
import type { Crew, Worker, WorkerOptions } from '../kit/workers.ts'
import { crew, temporaryDirectory } from '../kit/workers.ts'
import { until } from '../../src/verify/torture/clock.ts'

const distribution = pathToFileURL('dist/index.js').href

/** Nobody in these tests waits for the end of a ttl, unless the test is about that. */
const LONG = { ttl: '10m', waitTtl: '10m' } as const
/** What is at once on a slow machine, and far from any ttl. */
const AT_ONCE_MS = 10_000

const waits = async (worker: Worker, name = 'a'): Promise<void> => {
  void worker.do((stage, name) => stage.acquire(name).then(() => stage.kept.set('granted', name)), name)
  await until(() =>
    worker
      .do(({ locks }) => locks.inspect('a').then((seen) => seen?.waiters.map(({ who }) => who.pid)))
      .then((pids) => pids?.includes(worker.pid) ?? false),
  )
}
const holds = (worker: Worker): Promise<boolean> => worker.do(({ kept }) => kept.has('granted'))
const heldAtOnce = (worker: Worker): Promise<void> => until(() => holds(worker), 'the grant', AT_ONCE_MS)
const acquires = (worker: Worker): Promise<void> => worker.do((stage) => stage.acquire('a').then(() => {}))
const tries = (worker: Worker): Promise<boolean> =>
  worker.do((stage) => stage.tryAcquire('a').then((hold) => hold !== undefined))

async function people(
  count: number,
  options: WorkerOptions = {},
): Promise<{ workers: Crew; line: Worker[]; store: string }> {
  const store = temporaryDirectory()
  const workers = crew(`file:${store}`, LONG)
  return { workers, store, line: await workers.startMany(count, options) }
}

test('a dead holder is succeeded at once', async () => {
  const { line, workers } = await people(2)
  const [holder, waiter] = line as [Worker, Worker]
  await acquires(holder)
  await waits(waiter)
  expect(await holds(waiter)).toBe(false)
  await holder.kill()
  await heldAtOnce(waiter)
  expect(exclusion(workers.history())).toEqual([])
})

test('a dead waiter at the head of the queue holds nobody up', async () => {
  const { line } = await people(3)
  const [holder, head, second] = line as [Worker, Worker, Worker]
  await acquires(holder)
  await waits(head)
  await waits(second)
  await head.kill()
  expect(await holds(second)).toBe(false)
  await holder.do((stage) => stage.release('a'))
  await heldAtOnce(second)
})

test('a waiter that dies after it was granted the lock, and before it knows, holds nobody up', async () => {
  const { line } = await people(3)
  const [holder, head, second] = line as [Worker, Worker, Worker]
  await acquires(holder)
  await waits(head)
  await waits(second)
  await head.stop()
  await holder.do((stage) => stage.release('a'))
  expect(await holds(second)).toBe(false)
  await head.kill()
  await heldAtOnce(second)
})

test('a dead waiter in the middle of the queue holds nobody up', async () => {
  const { line } = await people(4)
  const [holder, head, middle, last] = line as [Worker, Worker, Worker, Worker]
  await acquires(holder)
  for (const worker of [head, middle, last]) await waits(worker)
  await middle.kill()
  await holder.do((stage) => stage.release('a'))
  await heldAtOnce(head)
  expect(await holds(last)).toBe(false)
  await head.do((stage) => stage.release('a'))
  await heldAtOnce(last)
})

test('when a holder and its successors die together, the next one alive holds at once', async () => {
  const { line } = await people(5)
  await acquires(line[0]!)
  for (const worker of line.slice(1)) await waits(worker)
  await Promise.all(line.slice(0, 4).map((worker) => worker.kill()))
  await heldAtOnce(line[4]!)
})

test('a dead reader among several lets the writer in when the others have released', async () => {
  const { line } = await people(3)
  const [dying, reader, writer] = line as [Worker, Worker, Worker]
  const read = (worker: Worker): Promise<void> =>
    worker.do((stage) =>
      stage.locks
        .rw('a')
        .read()
        .acquire()
        .then((lease) => void stage.kept.set('lease', lease)),
    )
  await read(dying)
  await read(reader)
  await waits(writer)
  await dying.kill()
  expect(await holds(writer)).toBe(false)
  await reader.do((stage) => (stage.kept.get('lease') as { release(): Promise<string> }).release())
  await heldAtOnce(writer)
})

test('a try finds out that the holder is dead', async () => {
  const { line } = await people(2)
  const [holder, other] = line as [Worker, Worker]
  await acquires(holder)
  expect(await tries(other)).toBe(false)
  await holder.kill()
  expect(await tries(other)).toBe(true)
})

test('a holder that exits without a word is succeeded at once', async () => {
  const { line } = await people(2)
  const [holder, waiter] = line as [Worker, Worker]
  await acquires(holder)
  await waits(waiter)
  await holder.do(() => process.exit(3)).catch(() => {})
  await heldAtOnce(waiter)
})

test('a holder whose program comes to its end without a release is succeeded at once', async () => {
  const { line, store } = await people(1)
  const [waiter] = line as [Worker]
  const script = `
    import { connect } from '${distribution}'
    const locks = connect(${JSON.stringify(`file:${store}`)}, { ttl: '10m' })
    await locks.acquire('a')
    console.log('held')
    await new Promise((resolve) => process.stdin.once('data', resolve))
    process.stdin.pause()`
  const holder = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void holder.kill('SIGKILL'))
  await new Promise((resolve) => void holder.stdout.once('data', resolve))
  await waits(waiter)
  holder.stdin.end('end\n')
  await new Promise((resolve) => void holder.once('exit', resolve))
  expect(holder.exitCode).toBe(0)
  await heldAtOnce(waiter)
})

test('a live holder in another network namespace is not taken for dead', async ({ skip }) => {
  skip(!can('unshare', '-n', 'true'), 'a network namespace needs root')
  const { workers, line } = await people(1)
  const other = line[0]!
  const holder = await workers.start({ under: ['unshare', '-n'] })
  await acquires(holder)
  expect(await tries(other)).toBe(false)
  await expect(other.do((stage) => stage.acquire('a', { wait: '1500ms' }))).rejects.toMatchObject({
    code: 'WAIT_TIMEOUT',
  })
  await waits(other)
  await holder.do((stage) => stage.release('a'))
  await heldAtOnce(other)
  // And a wake, and a death, go the other way as well.
  await waits(holder)
  await other.kill()
  await heldAtOnce(holder)
})

test('a stopped holder is not dead, and is succeeded when its ttl has passed, and not before', async () => {
  const store = temporaryDirectory()
  const workers = crew(`file:${store}`, { ttl: '2s' })
  const [holder, waiter] = (await workers.startMany(2)) as [Worker, Worker]
  await acquires(holder)
  await holder.stop()
  expect(await tries(waiter)).toBe(false)
  await waits(waiter)
  await heldAtOnce(waiter)
  holder.continue()
  const history = workers.history()
  const [first, second] = [...history.holds.values()].filter(({ granted }) => granted)
  const deadline = first!.deadlines.at(-1)?.until ?? first!.granted!.until
  expect(second!.granted!.at).toBeGreaterThan(deadline)
  expect(exclusion(history)).toEqual([])
})

test('a holder whose socket file was removed is not dead', async () => {
  const { line, store } = await people(2)
  const [holder, other] = line as [Worker, Worker]
  await acquires(holder)
  for (const name of readdirSync(join(store, 's'))) rmSync(join(store, 's', name))
  expect(await tries(other)).toBe(false)
  await expect(other.do((stage) => stage.acquire('a', { wait: '1500ms' }))).rejects.toMatchObject({
    code: 'WAIT_TIMEOUT',
  })
  await holder.do((stage) => stage.release('a'))
  expect(await tries(other)).toBe(true)
})

test('a holder that accepts no connection, and whose backlog is full, is not dead', async ({ skip }) => {
  const { line, store } = await people(2)
  const [holder, other] = line as [Worker, Worker]
  await acquires(holder)
  const [socket] = readdirSync(join(store, 's')) as [string]
  await holder.stop()
  const callers: Socket[] = []
  onTestFinished(() => callers.forEach((each) => each.destroy()))
  let refusal = ''
  while (refusal === '' && callers.length < 5000) {
    const batch = Array.from({ length: 100 }, () => dial(join(store, 's', socket)))
    callers.push(...batch)
    await Promise.all(
      batch.map(
        (each) =>
          new Promise<void>((resolve) => {
            each.on('connect', resolve)
            each.on('error', (error: NodeJS.ErrnoException) => {
              refusal = error.code ?? ''
              resolve()
            })
          }),
      ),
    )
  }
  skip(refusal === 'EMFILE', 'too few open files are allowed to fill a backlog')
  expect(refusal).toBe('EAGAIN')
  expect(await tries(other)).toBe(false)
  await expect(other.do((stage) => stage.acquire('a', { wait: '1500ms' }))).rejects.toMatchObject({
    code: 'WAIT_TIMEOUT',
  })
  for (const each of callers) each.destroy()
  holder.continue()
  await waits(other)
  await holder.do((stage) => stage.release('a'))
  await heldAtOnce(other)
})

test('a child that inherits the lifeline keeps the place of its dead parent until it has ended, too', async () => {
  const { line, store } = await people(2)
  const [parent, other] = line as [Worker, Worker]
  const child = await parent.do(async ({ file, holdfast, kept }, directory) => {
    const backend = file.file({ directory })
    const locks = holdfast.connect(backend, { ttl: '10m' })
    kept.set('lease', await locks.acquire('a'))
    const { spawn } = process.getBuiltinModule('node:child_process')
    return spawn('sleep', ['600'], { stdio: ['ignore', 'ignore', 'ignore', backend.lifeline()] }).pid!
  }, store)
  onTestFinished(() => kill(child))
  await parent.kill()
  expect(await tries(other)).toBe(false)
  await waits(other)
  expect(await tries(other)).toBe(false)
  await expect(other.do((stage) => stage.acquire('a', { wait: '1500ms' }))).rejects.toMatchObject({
    code: 'WAIT_TIMEOUT',
  })
  expect(await holds(other)).toBe(false)
  kill(child)
  await heldAtOnce(other)
})

test('a thread that is terminated frees its leases, and its process lives on', async () => {
  const { line, store } = await people(1)
  const [other] = line as [Worker]
  const script = `
    import { parentPort } from 'node:worker_threads'
    import { connect } from '${distribution}'
    const locks = connect(${JSON.stringify(`file:${store}`)}, { ttl: '10m' })
    const lease = await locks.acquire('a')
    parentPort.on('message', () => {})
    parentPort.postMessage(Number(lease.fence))`
  const thread = new Thread(new URL(`data:text/javascript,${encodeURIComponent(script)}`))
  onTestFinished(() => void thread.terminate())
  await new Promise((resolve, reject) => thread.once('message', resolve).once('error', reject))
  expect(await tries(other)).toBe(false)
  await waits(other)
  await thread.terminate()
  await heldAtOnce(other)
})

test('workers of node:cluster exclude each other, and a killed one is succeeded at once', async () => {
  const directory = temporaryDirectory()
  const script = join(directory, 'cluster.mjs')
  writeFileSync(
    script,
    `
    import cluster from 'node:cluster'
    import { connect } from '${distribution}'
    if (cluster.isPrimary) {
      const [one, two] = [cluster.fork(), cluster.fork()]
      const told = (worker, text) => new Promise((resolve) => worker.on('message', (said) => said === text && resolve()))
      const ready = Promise.all([told(one, 'ready'), told(two, 'ready')])
      const oneHolds = told(one, 'holds')
      const twoHolds = told(two, 'holds')
      await ready
      one.send('go')
      await oneHolds
      two.send('go')
      const early = await Promise.race([twoHolds.then(() => true), new Promise((resolve) => setTimeout(resolve, 1000, false))])
      one.process.kill('SIGKILL')
      await twoHolds
      console.log(JSON.stringify({ early }))
      two.process.kill('SIGKILL')
    } else {
      const locks = connect(${JSON.stringify(`file:${join(directory, 'store')}`)}, { ttl: '10m', waitTtl: '10m' })
      process.on('message', () => void locks.acquire('a').then(() => process.send('holds')))
      process.send('ready')
    }`,
  )
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  await until(() => said.endsWith('\n'), 'the succession', 60_000)
  expect(JSON.parse(said)).toEqual({ early: false })
})

function can(command: string, ...words: string[]): boolean {
  try {
    execFileSync(command, words, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended already.
  }
}
