import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Backend, Entry, Held } from '../../src/backend.ts'
import { WHOLE } from '../../src/backend.ts'
import type { FileOptions } from '../../src/backends/file/index.ts'
import { file } from '../../src/backends/file/index.ts'
import { decodeLine, encodeLine, encodeText } from '../../src/backends/file/line.ts'
import { FORMAT } from '../../src/backends/file/log.ts'
import { connect } from '../../src/index.ts'
import type { FakeClock } from './kit/fake-clock.ts'
import { fakeClock } from './kit/fake-clock.ts'

const TTL_MS = 10_000

let tokens = 0
const entry = (wanted: Partial<Entry> = {}): Entry => {
  tokens += 1
  const whole = { weight: WHOLE, capacity: WHOLE, ttlMs: TTL_MS, waitTtlMs: TTL_MS, wait: false }
  return { name: 'a', id: `token-${tokens}`, ...whole, ...wanted }
}

/** Empty for what was closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

interface Place {
  readonly directory: string
  readonly clock: FakeClock
  /** Another process at the same store. */
  open(options?: FileOptions): Backend
}

function place(): Place {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-'))
  const directory = join(root, 'store')
  const clock = fakeClock()
  const opened: Backend[] = []
  onTestFinished(async () => {
    await Promise.all(opened.map((backend) => backend.close()))
    rmSync(root, { recursive: true })
  })
  return {
    directory,
    clock,
    open: (options = {}) => {
      const backend = file({ directory, clock, ...options })
      opened.push(backend)
      return backend
    },
  }
}

const held = async (backend: Backend, wanted: Partial<Entry> = {}): Promise<Entry & { readonly fence: bigint }> => {
  const asked = entry(wanted)
  const standing = await backend.join(asked)
  expect(standing.state).toBe('held')
  return { ...asked, fence: (standing as Held).fence }
}
const isFree = async (backend: Backend): Promise<boolean> => {
  const asked = entry()
  const { state } = await backend.join(asked)
  if (state === 'held') await backend.leave(asked)
  return state === 'held'
}
const newestSegment = (directory: string): string => {
  const numbers = readdirSync(directory).flatMap((name) => /^log\.(\d+)$/.exec(name)?.[1] ?? [])
  return join(directory, `log.${Math.max(...numbers.map(Number))}`)
}

describe('after a restart of the machine', () => {
  test('the leases of the old boot are gone, and fences go on growing', async () => {
    const { clock, open } = place()
    const old = open()
    const before = await held(old)
    clock.reboot()
    const backend = open()
    const after = await held(backend)
    expect(after.fence).toBeGreaterThan(before.fence)
    expect((await backend.renew(before, TTL_MS)).state).toBe('lost')
  })

  test('waiters of the old boot are gone, too, and so are its followers', async () => {
    const { clock, open } = place()
    const old = open()
    await old.follow('a', () => {})
    await held(old)
    expect((await old.join(entry({ wait: true }))).state).toBe('waiting')
    clock.reboot()
    expect(await isFree(open())).toBe(true)
  })

  test.each([
    ['on time', 3000, 5000],
    ['with a wall clock that was set back', -3_600_000, 8000],
    ['with a wall clock that was set forward', 3_600_000, 0],
  ])('a minimum hold goes on for what the wall clock says is left: %s', async (_, offMs, leftMs) => {
    const { clock, open } = place()
    const old = open()
    const holder = await held(old)
    clock.advance(2000)
    await old.leave(holder, { lingerMs: 8000 })
    clock.reboot(offMs)
    const backend = open()
    if (leftMs > 0) {
      expect(await isFree(backend)).toBe(false)
      clock.advance(leftMs - 1)
      expect(await isFree(backend)).toBe(false)
      clock.advance(1)
    }
    expect(await isFree(backend)).toBe(true)
  })

  const damages: [how: string, damage: (path: string) => void][] = [
    ['cut off', (path) => truncateSync(path, statSync(path).size - 50)],
    ['filled with NULs at its end', (path) => nul(path, statSync(path).size - 600)],
    ['filled with NULs', (path) => nul(path, 0)],
    ['empty', (path) => truncateSync(path, 0)],
    ['gone', (path) => rmSync(path)],
  ]
  test.each(damages)('fences grow though the wall clock was set back and the last segment is %s', async (_, damage) => {
    const { clock, open, directory } = place()
    const old = open()
    let last = 0n
    for (let n = 0; n < 20; n += 1) {
      const holder = await held(old)
      last = holder.fence
      await old.leave(holder)
      clock.advance(60_000)
    }
    clock.reboot(-365 * 86_400_000)
    damage(newestSegment(directory))
    const next = await held(open())
    expect(next.fence).toBeGreaterThan(last)
  })

  test('fences grow over many restarts at which the clock is set back each time', async () => {
    const { clock, open, directory } = place()
    let last = 0n
    for (let boot = 0; boot < 5; boot += 1) {
      const { fence } = await held(open())
      expect(fence).toBeGreaterThan(last)
      last = fence
      clock.reboot(-86_400_000)
      truncateSync(newestSegment(directory), 0)
    }
  })
})

describe('under another boot id, while the clock has not gone back, as in a container that has one of its own', () => {
  const hidden = (clock: FakeClock): FileOptions => ({
    clock: { now: () => clock.now(), identity: { boot: 'of a container', namespace: 'one' } },
  })

  test('a store in use is refused, and its holder goes on', async () => {
    const { clock, open } = place()
    const backend = open()
    const holder = await held(backend)
    await expect(open(hidden(clock)).join(entry())).rejects.toMatchObject({
      code: 'STORE_MISMATCH',
      message: expect.stringMatching(/boot id.*container/),
    })
    expect((await backend.renew(holder, TTL_MS)).state).toBe('held')
  })

  test('leases end with their ttl, and minimum holds go on', async () => {
    const { clock, open } = place()
    const backend = open()
    const holder = await held(backend)
    const once = await held(backend, { name: 'b' })
    await backend.leave(once, { lingerMs: 2 * TTL_MS })
    clock.advance(TTL_MS)
    const stranger = open(hidden(clock))
    const next = await held(stranger)
    expect(next.fence).toBeGreaterThan(holder.fence)
    expect((await stranger.join(entry({ name: 'b' }))).state).toBe('refused')
    await expect(backend.renew(holder, TTL_MS)).rejects.toMatchObject({ code: 'STORE_MISMATCH' })
    clock.advance(TTL_MS)
    expect((await stranger.join(entry({ name: 'b' }))).state).toBe('held')
  })

  test('a store that nobody uses is taken over and given back, and its fences grow', async () => {
    const { clock, open } = place()
    const [one, two] = [open(), open(hidden(clock))]
    let last = 0n
    for (const backend of [one, two, one, two]) {
      const holder = await held(backend)
      expect(holder.fence).toBeGreaterThan(last)
      last = holder.fence
      await backend.leave(holder)
    }
  })
})

test('fences grow though the wall clock is set back while the store is in use', async () => {
  const { clock, open } = place()
  const backend = open()
  const first = await held(backend)
  clock.jumpWall(-86_400_000)
  await backend.leave(first)
  const second = await held(backend)
  expect(second.fence).toBeGreaterThan(first.fence)
  await backend.leave(second)
  expect((await held(open())).fence).toBeGreaterThan(second.fence)
})

test('a wall clock that jumps ends no lease', async () => {
  const { clock, open } = place()
  const backend = open()
  const holder = await held(backend)
  clock.jumpWall(86_400_000)
  expect(await isFree(open())).toBe(false)
  expect((await backend.renew(holder, TTL_MS)).state).toBe('held')
})

describe('in another time namespace', () => {
  test('a store in use is refused, and its holder goes on', async () => {
    const { clock, open } = place()
    const backend = open()
    const holder = await held(backend)
    const stranger = open({ clock: clock.elsewhere('two') })
    await expect(stranger.join(entry())).rejects.toMatchObject({
      code: 'STORE_MISMATCH',
      message: expect.stringMatching(/time namespace.*directory/),
    })
    expect((await backend.renew(holder, TTL_MS)).state).toBe('held')
  })

  test('a store that nobody uses is taken over, and given back, and its fences grow', async () => {
    const { clock, open } = place()
    const one = open()
    const first = await held(one)
    await one.leave(first)
    const two = open({ clock: clock.elsewhere('two') })
    const second = await held(two)
    expect(second.fence).toBeGreaterThan(first.fence)
    await expect(one.join(entry())).rejects.toMatchObject({ code: 'STORE_MISMATCH' })
    await two.leave(second)
    expect((await held(one)).fence).toBeGreaterThan(second.fence)
  })

  test('a store is in use as long as a minimum hold has not passed', async () => {
    const { clock, open } = place()
    const one = open()
    const holder = await held(one)
    await one.leave(holder, { lingerMs: 5000 })
    const two = open({ clock: clock.elsewhere('two') })
    await expect(two.join(entry())).rejects.toMatchObject({ code: 'STORE_MISMATCH' })
  })
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
    await two.watch(waiter, (news) => (woken = news?.held))
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

function seal(directory: string): void {
  appendFileSync(
    newestSegment(directory),
    encodeLine({ instance: 'newer', now: { monotonicMs: 0, wallMs: 0 }, verbs: [['seal']] }),
  )
}

function nul(path: string, from: number): void {
  const bytes = readFileSync(path)
  writeFileSync(
    path,
    Buffer.concat([bytes.subarray(0, Math.max(0, from)), Buffer.alloc(bytes.length - Math.max(0, from))]),
  )
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
