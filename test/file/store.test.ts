/** The one store: what is said in it, what damages it, and where it cannot be. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Backend } from '../../src/backend.ts'
import { file } from '../../src/backends/file/index.ts'
import { decodeLine, encodeLine, encodeText } from '../../src/backends/file/line.ts'
import { FORMAT } from '../../src/backends/file/log.ts'
import { connect } from '../../src/index.ts'
import { fakeClock } from './kit/fake-clock.ts'
import { TTL_MS, entry, held, isFree, newestSegment, place, seal } from './kit/place.ts'

/** Empty for what was closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

test('many renewals are one verb for each name, and each has its own answer', async () => {
  const { open, directory } = place()
  const backend = open()
  const holder = entry()
  const [one, two, three] = [entry({ wait: true }), entry({ wait: true }), entry({ wait: true })]
  const elsewhere = entry({ name: 'b' })
  for (const each of [holder, one, two, three, elsewhere]) await backend.join(each)
  const answers = await Promise.all([
    backend.renewAll!([three, entry(), one, elsewhere, { ...two, name: 'b' }], 3000),
    backend.leave(holder),
    backend.renewAll!([two, one], 3000),
  ])
  expect(answers).toMatchObject([
    [
      { state: 'waiting', ahead: 3 },
      { state: 'lost' },
      { state: 'waiting', ahead: 1 },
      { state: 'held' },
      { state: 'lost' },
    ],
    true,
    [{ state: 'waiting', ahead: 1 }, { state: 'held' }],
  ])
  const [line] = readFileSync(join(directory, 'log.1'), 'utf8').trim().split('\n').slice(-1)
  const { verbs } = decodeLine(Buffer.from(line!))!
  const words = verbs.map(([word, , , fences]) => (word === 'renewals' ? `${word} ${fences.length}` : word))
  expect(words).toEqual(['renewals 3', 'renewals 2', 'leave', 'renewals 2'])
})

describe('a directory that is taken away', () => {
  const ways: [how: string, take: (directory: string) => void][] = [
    ['removed', (directory) => rmSync(directory, { recursive: true })],
    ['moved away', (directory) => renameSync(directory, `${directory}.moved`)],
    [
      'moved away and replaced',
      (directory) => {
        renameSync(directory, `${directory}.moved`)
        mkdirSync(directory, { mode: 0o700 })
      },
    ],
    [
      'removed and made anew by others',
      (directory) => {
        rmSync(directory, { recursive: true })
        mkdirSync(directory, { mode: 0o700 })
        writeFileSync(join(directory, 'a file of somebody else'), '')
      },
    ],
  ]
  test.each(ways)(
    '%s: the holder is told, and newcomers meet in a fresh store, with larger fences',
    async (_, take) => {
      const { clock, open, directory } = place()
      const backend = open()
      const holder = await held(backend)
      take(directory)
      // It looks for its path now and then, far more often than it renews.
      clock.advance(1000)
      const newcomer = open()
      const next = await held(newcomer)
      expect(next.fence).toBeGreaterThan(holder.fence)
      expect((await backend.renew(holder, TTL_MS)).state).toBe('lost')
      expect(await isFree(backend)).toBe(false)
      expect((await newcomer.renew(next, TTL_MS)).state).toBe('held')
    },
  )

  test('its lease says that it is gone', async () => {
    const { open, directory } = place()
    // A clock of the machine: leases of the core live in real time.
    const backend = file({ directory })
    open()
    const locks = connect(backend, { ttl: '900ms' })
    onTestFinished(() => locks.close())
    const lease = await locks.acquire('a')
    rmSync(directory, { recursive: true })
    await new Promise((resolve) => void lease.on('lost', () => resolve(undefined)))
    expect(() => lease.assertHeld()).toThrow(expect.objectContaining({ code: 'LEASE_LOST', reason: 'gone' }))
  })

  test.each([
    ['removed', () => {}],
    ['removed and made anew by others', (open: () => Backend) => open().join(entry({ name: 'b' }))],
  ])('%s while a seal was not read yet: it goes on in the fresh store, and is known there', async (_, others) => {
    const { open, directory } = place()
    const [one, other] = [open(), open()]
    await one.join(entry())
    seal(directory)
    rmSync(directory, { recursive: true })
    await others(open)
    const holder = entry()
    expect(await one.join(holder)).toMatchObject({ state: 'held' })
    expect(await other.join(entry())).toMatchObject({ state: 'refused', reason: 'held' })
    expect(readdirSync(join(directory, 's')).length).toBeGreaterThanOrEqual(2)
  })

  test('removed while others wait: they line up in the fresh store', async () => {
    const { directory } = place()
    const locks = [connect(file({ directory })), connect(file({ directory }))]
    onTestFinished(async () => void (await Promise.all(locks.map((each) => each.close()))))
    const [one, two] = locks as [(typeof locks)[0], (typeof locks)[0]]
    await one.acquire('a', { ttl: '60s' })
    const waiting = two.acquire('a', { ttl: '60s' })
    await sleep(50)
    rmSync(directory, { recursive: true })
    // The waiter renews its place every two seconds.
    await waiting
    expect(existsSync(directory)).toBe(true)
  })
})

describe('what does not belong into a store', () => {
  test.each([
    [FORMAT + 1, 'newer'],
    [FORMAT - 1, 'older'],
  ])('a store of format %i, which is %s, is refused', async (format, age) => {
    const { open, directory, clock } = place()
    mkdirSync(join(directory, 's'), { recursive: true, mode: 0o700 })
    writeFileSync(join(directory, 'log.1'), encodeText(JSON.stringify({ format, ...clock.identity, more: true })))
    await expect(open().join(entry())).rejects.toMatchObject({
      code: 'STORE_VERSION',
      message: expect.stringMatching(new RegExp(`format ${format}.*${age}`)),
    })
    expect(readdirSync(directory).sort()).toEqual(['log.1', 's'])
  })

  test.runIf(process.platform === 'linux')('a store that cannot be opened costs no descriptor', async () => {
    const { open, directory } = place()
    mkdirSync(join(directory, 's'), { recursive: true, mode: 0o700 })
    writeFileSync(join(directory, 'log.1'), encodeText(JSON.stringify({ format: FORMAT + 1 })))
    const backend = open()
    for (let round = 0; round < 5; round += 1)
      await expect(backend.join(entry())).rejects.toMatchObject({ code: 'STORE_VERSION' })
    const descriptors = readdirSync('/proc/self/fd').map((fd) => linkOf(`/proc/self/fd/${fd}`))
    expect(descriptors.filter((path) => path.startsWith(directory))).toEqual([])
  })

  test('a segment of a newer format that comes while a lease is held tells nothing, so the deadline ends it', async () => {
    const { directory } = place()
    const backend = file({ directory })
    const locks = connect(backend, { ttl: '900ms' })
    onTestFinished(() => locks.close())
    const lease = await locks.acquire('a')
    const doubtful = new Promise((resolve) => void lease.on('doubtful', () => resolve('doubtful')))
    seal(directory)
    writeFileSync(join(directory, 'log.2'), encodeText(JSON.stringify({ format: FORMAT + 1 })))
    expect(await doubtful).toBe('doubtful')
    await new Promise((resolve) => void lease.on('lost', () => resolve(undefined)))
    expect(() => lease.assertHeld()).toThrow(expect.objectContaining({ code: 'LEASE_LOST', reason: 'expired' }))
    await expect(locks.acquire('b')).rejects.toMatchObject({ code: 'STORE_VERSION' })
  })

  test.each([
    ['garbage', 'this is no log\n'],
    ['a header with a broken checksum', encodeText(`{"format":${FORMAT}}`).toString().replace('format', 'formaT')],
    ['a header without a state', encodeText(JSON.stringify({ format: FORMAT, ...fakeClock().identity })).toString()],
  ])('a segment that begins with %s is damaged, and stays as it is', async (_, text) => {
    const { open, directory } = place()
    mkdirSync(join(directory, 's'), { recursive: true, mode: 0o700 })
    writeFileSync(join(directory, 'log.7'), text)
    await expect(open().join(entry())).rejects.toMatchObject({
      code: 'STORE_DAMAGED',
      message: expect.stringContaining('log.7'),
    })
    expect(readFileSync(join(directory, 'log.7'), 'utf8')).toBe(text)
  })

  test('a segment that was cut off in its state by a crash of the machine is begun anew, with larger fences', async () => {
    const { open, directory, clock } = place()
    const old = open()
    const before = await held(old)
    const path = newestSegment(directory)
    const [, header = ''] = readFileSync(path, 'utf8').split('\n')
    truncateSync(path, header.length + 40)
    await expect(open().join(entry())).rejects.toMatchObject({ code: 'STORE_DAMAGED' })
    clock.reboot(-1000)
    expect((await held(open())).fence).toBeGreaterThan(before.fence)
  })

  test('torn lines between the lines of others hurt nobody', async () => {
    const { open, directory } = place()
    const one = open()
    const two = open()
    const holder = await held(one)
    const { name, id } = holder
    const whole = encodeLine({ instance: 'x', now: { monotonicMs: 1, wallMs: 1 }, verbs: [['leave', { name, id }, 0]] })
    const waiter = entry({ wait: true })
    for (let length = 0; length < whole.length - 2; length += 1) {
      appendFileSync(newestSegment(directory), whole.subarray(0, length))
      const [backend, other] = length % 2 === 0 ? [one, two] : [two, one]
      expect((await backend.renew(holder, TTL_MS)).state).toBe('held')
      expect((await other.join(waiter)).state).toBe('waiting')
    }
    for (const text of ['\0'.repeat(100), '\n\n\n', 'x'.repeat(200_000), '["x",1,1,[]] 00000000', '[1] 1']) {
      appendFileSync(newestSegment(directory), text)
      expect((await one.renew(holder, TTL_MS)).state).toBe('held')
    }
    expect(await two.leave(holder)).toBe(true)
    expect((await one.renew(waiter, TTL_MS)).state).toBe('held')
    expect((await open().renew(waiter, TTL_MS)).state).toBe('held')
  })

  test('a line without its last byte counts as soon as others write', async () => {
    const { open, directory, clock } = place()
    const one = open()
    const holder = await held(one)
    const whole = encodeLine({ instance: 'x', now: clock.now(), verbs: [['leave', { name: 'a', id: holder.id }, 0]] })
    appendFileSync(newestSegment(directory), whole.subarray(0, -1))
    expect((await one.renew(holder, TTL_MS)).state).toBe('lost')
    expect(await isFree(open())).toBe(true)
  })

  test('other files in the directory are left alone', async () => {
    const { open, directory } = place()
    mkdirSync(join(directory, 's'), { recursive: true, mode: 0o700 })
    const others = ['log.x', 'log.', 'log.-1', 'log.99999999999999999', 'log.1.bak', 'fence.x', 'notes']
    for (const name of others) writeFileSync(join(directory, name), 'mine')
    expect(await isFree(open())).toBe(true)
    for (const name of others) expect(readFileSync(join(directory, name), 'utf8')).toBe('mine')
  })
})

describe('where a store cannot be', () => {
  test.runIf(existsSync('/proc/self/fd'))('in a file system without files of its own', async () => {
    await expect(file({ directory: '/proc/holdfast' }).join(entry())).rejects.toMatchObject({
      code: expect.stringMatching(/UNAVAILABLE|DENIED/),
      message: expect.stringContaining('/proc/holdfast'),
    })
  })

  test('behind a file', async () => {
    const { directory } = place()
    writeFileSync(directory, '')
    for (const each of [directory, join(directory, 'x')]) {
      await expect(file({ directory: each }).join(entry())).rejects.toMatchObject({
        code: 'MISCONFIGURED',
        message: expect.stringContaining(each),
      })
    }
  })

  test('behind a circle of links', async () => {
    const { directory } = place()
    symlinkSync(directory, `${directory}.2`)
    symlinkSync(`${directory}.2`, directory)
    await expect(file({ directory }).join(entry())).rejects.toMatchObject({ code: 'MISCONFIGURED' })
  })
})

describe('paths', () => {
  test('a path longer than the address of a socket works, and wakes', async () => {
    const { directory, clock } = place()
    const long = join(directory, 'x'.repeat(90), 'y'.repeat(90), 'ü'.repeat(60))
    const [one, two] = [file({ directory: long, clock }), file({ directory: long, clock })]
    onTestFinished(async () => void (await Promise.all([one.close(), two.close()])))
    const holder = await held(one)
    const waiter = entry({ wait: true })
    let woken: bigint | undefined
    two.watch(waiter, (news) => (woken = news?.held))
    expect((await two.join(waiter)).state).toBe('waiting')
    await one.leave(holder)
    await expect.poll(() => woken, { timeout: 10_000 }).toBeGreaterThan(holder.fence)
  })

  test('a relative path is that of the working directory, and a link leads to the same store', async () => {
    const { directory, open } = place()
    const holder = await held(open())
    symlinkSync(directory, `${directory}.link`)
    const other = file({ directory: `${directory}.link`, clock: fakeClock() })
    onTestFinished(() => other.close())
    expect((await other.join(entry())).state).toBe('refused')
    expect(file({ directory: 'x/y' }).directory).toBe(join(process.cwd(), 'x/y'))
    expect(holder.fence).toBeGreaterThan(0n)
  })
})
