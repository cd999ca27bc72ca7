import fs, {
  appendFileSync,
  linkSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Entry, Held, Renewal } from '../../src/backend.ts'
import { decodeLine, eachLine, encodeLine } from '../../src/backends/file/line.ts'
import type { Line, Verb } from '../../src/backends/file/line.ts'
import type { FileClock } from '../../src/backends/file/clock.ts'
import type { LogEvents } from '../../src/backends/file/log.ts'
import { Log } from '../../src/backends/file/log.ts'
import type { Answer, ReplicaState } from '../../src/backends/file/replica.ts'
import { Replica } from '../../src/backends/file/replica.ts'
import { prepareDirectory } from '../../src/backends/file/directory.ts'
import type { Table } from '../../src/queue/table.ts'
import { LONG } from '../kit/effort.ts'
import type { FakeClock } from './kit/fake-clock.ts'
import { fakeClock } from './kit/fake-clock.ts'

/** With the blank before it. */
const CHECKSUM_LENGTH = 9
const TIMES = LONG ? 20 : 1
const QUIET: LogEvents = { written: () => {}, applied: () => {}, skipped: () => {} }

interface Place {
  readonly directory: string
  readonly clock: FakeClock
  open(instance: string, events?: Partial<LogEvents>, clock?: FileClock): Log
}

function place(): Place & Disposable {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-'))
  const modes = prepareDirectory(directory, false)
  const clock = fakeClock()
  const logs: Log[] = []
  return {
    directory,
    clock,
    open: (instance, events = {}, own = clock) => {
      const log = new Log(directory, modes, instance, own, { ...QUIET, ...events })
      logs.push(log)
      return log
    },
    [Symbol.dispose]: () => {
      for (const log of logs) log.close()
      rmSync(directory, { recursive: true })
    },
  }
}

const join_ = (name: string, id: string, wanted: Partial<Entry> = {}): Verb => [
  'join',
  { name, id, weight: 1, capacity: 1, ttlMs: 10_000, waitTtlMs: 5000, wait: true, ...wanted },
]
const segments = (directory: string): number[] =>
  readdirSync(directory)
    .flatMap((name) => /^log\.(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
const plain = (replica: Replica): unknown => JSON.parse(JSON.stringify(replica.dump()))
const stateOf = (log: Log): unknown => plain(log.replica)

test('what stands behind a seal is void, and is said again in the next segment', () => {
  using here = place()
  const one = here.open('one')
  const two = here.open('two')
  one.exchange([join_('a', '1')])
  two.exchange([['seal']])
  // One has not read the seal yet: its line lands behind it.
  const [standing] = one.exchange([join_('a', '2')])
  expect(standing).toMatchObject({ state: 'waiting', ahead: 1 })
  expect(readFileSync(join(here.directory, 'log.1'), 'utf8')).toContain('["join","a","2",')
  two.sync()
  expect(stateOf(two)).toEqual(stateOf(one))
  expect(two.replica.table.queue('a')?.seats.map(({ id }) => id)).toEqual(['1', '2'])
  expect(segments(here.directory)).toEqual([1, 2])
})

test('of two that make the same segment one does, and both go on in it', () => {
  using here = place()
  const one = here.open('one')
  const two = here.open('two')
  one.exchange([join_('a', '1')])
  two.sync()
  appendFileSync(join(here.directory, 'log.1'), encodeLine({ instance: 'x', now: here.clock.now(), verbs: [['seal']] }))
  one.sync()
  two.sync()
  expect(segments(here.directory)).toEqual([1, 2])
  expect(two.exchange([join_('a', '2')])).toMatchObject([{ state: 'waiting' }])
  one.sync()
  expect(stateOf(one)).toEqual(stateOf(two))
})

test('who was stopped between its look and its making of a segment does not fork the store', () => {
  using here = place()
  const skipped: string[] = []
  const late = here.open('late', { skipped: () => skipped.push('late') })
  const others = here.open('others')
  const path = (number: number): string => join(here.directory, `log.${number}`)
  others.exchange([join_('a', '1')])
  others.exchange([['seal']])
  // 1. it reads the seal of the first segment, looks, finds no second one, and is stopped; here that is played by hand:
  const second = readFileSync(path(2))
  // 2. others make the next ones, and remove the second;
  for (let n = 2; n < 5; n += 1) {
    others.exchange([join_('a', `${n}`)])
    others.exchange([['seal']])
  }
  expect(segments(here.directory)).toEqual([4, 5])
  // 3. it goes on, and makes the second one again.
  writeFileSync(join(here.directory, 'tmp.late.2'), second)
  linkSync(join(here.directory, 'tmp.late.2'), path(2))
  unlinkSync(join(here.directory, 'tmp.late.2'))
  expect(late.exchange([join_('a', '9')])).toMatchObject([{ state: 'waiting', ahead: 4 }])
  others.sync()
  expect(stateOf(late)).toEqual(stateOf(others))
  expect(skipped).toEqual(['late'])
  // And it is cleared away with the next one.
  others.exchange([['seal']])
  expect(segments(here.directory)).toEqual([5, 6])
})

test('who was stopped between its look and its opening of a segment does not hold in one that was made again', () => {
  using here = place()
  const others = here.open('others')
  const path = (number: number): string => join(here.directory, `log.${number}`)
  others.exchange([join_('a', '1')])
  others.exchange([['leave', { name: 'a', id: '1' }, 0]])
  others.exchange([['seal']])
  const second = readFileSync(path(2))
  // 1. It looks, finds that the second one is the highest, and is stopped.
  afterNextLook(() => {
    // 2. Others hold, and go on until the second one is removed.
    others.exchange([join_('a', '2')])
    for (let n = 2; n < 4; n += 1) others.exchange([['seal']])
    expect(segments(here.directory)).toEqual([3, 4])
    // 3. One that was stopped before it made the second one goes on, and makes it again.
    writeFileSync(path(2), second)
  })
  // 4. It goes on, and opens it.
  const newcomer = here.open('newcomer')
  expect(newcomer.exchange([join_('a', '3')])).toMatchObject([{ state: 'waiting', ahead: 1 }])
  expect(stateOf(newcomer)).toEqual((others.sync(), stateOf(others)))
})

test('who goes on from a store that was removed makes nothing in the fresh one', () => {
  using here = place()
  const old = here.open('old')
  old.exchange([join_('a', 'old')])
  appendFileSync(join(here.directory, 'log.1'), encodeLine({ instance: 'x', now: here.clock.now(), verbs: [['seal']] }))
  unlinkSync(join(here.directory, 'log.1'))
  const fresh = here.open('fresh')
  expect(fresh.exchange([join_('a', 'fresh')])).toMatchObject([{ state: 'held' }])
  expect(old.exchange([['renew', { name: 'a', id: 'old' }, 10_000]])).toEqual([{ state: 'lost' }])
  expect(segments(here.directory)).toEqual([1])
  expect(fresh.exchange([['renew', { name: 'a', id: 'fresh' }, 10_000]])).toMatchObject([{ state: 'held' }])
})

test('who slept over many segments catches up, and knows that it has missed something', () => {
  using here = place()
  let skips = 0
  const sleeper = here.open('sleeper', { skipped: () => (skips += 1) })
  const other = here.open('other')
  sleeper.exchange([join_('a', 'sleeper')])
  for (let n = 0; n < 50; n += 1) {
    other.exchange([join_('a', `${n}`), join_(`b${n}`, `b${n}`)])
    other.exchange([['seal']])
  }
  expect(sleeper.exchange([['renew', { name: 'a', id: 'sleeper' }, 10_000]])).toMatchObject([{ state: 'held' }])
  expect(skips).toBe(1)
  other.sync()
  expect(stateOf(sleeper)).toEqual(stateOf(other))
  expect(sleeper.replica.table.seatCount).toBe(101)
})

test.each([
  ['another time namespace', (clock: FakeClock) => clock.elsewhere('two').identity],
  ['another boot id', () => ({ boot: 'of a container', namespace: 'one' })],
])('who joins just when %s takes over a store at rest is not forgotten', (_, identityOf) => {
  // The stranger reads its clock before each of its steps: at one of them somebody joins.
  for (let step = 1; step <= 6; step += 1) {
    using here = place()
    const local = here.open('local')
    local.exchange([join_('a', 'gone')])
    local.exchange([['leave', { name: 'a', id: 'gone' }, 0]])
    let steps = 0
    let joined: unknown
    const now = () => {
      steps += 1
      if (steps === step) joined = attempt(() => local.exchange([join_('a', 'local')])[0])
      return here.clock.now()
    }
    const stranger = attempt(() => {
      const log = here.open('stranger', {}, { now, identity: identityOf(here.clock) })
      return log.exchange([join_('a', 'stranger', { wait: false })])[0]
    })
    const outcomes = [joined, stranger].map((each) => (each as { state?: string; code?: string } | undefined) ?? {})
    const holders = outcomes.filter(({ state }) => state === 'held')
    expect(holders.length, `step ${step}: ${JSON.stringify(outcomes.map(({ state, code }) => state ?? code))}`).toBe(1)
    const others = outcomes.filter(({ state }) => state !== 'held' && state !== undefined)
    expect(others.length).toBe(0)
  }
})

test('a segment is sealed when it has grown long, and not before', () => {
  using here = place()
  const log = here.open('one')
  const claim = { name: 'a', id: '1' }
  log.exchange([join_('a', '1')])
  for (let n = 0; n < 20_000 && segments(here.directory).at(-1) === 1; n += 1) {
    log.exchange([['renew', claim, 10_000]])
    log.tidy()
  }
  expect(segments(here.directory)).toEqual([1, 2])
  expect(readFileSync(join(here.directory, 'log.1')).length).toBeGreaterThan(256 * 1024)
  expect(readFileSync(join(here.directory, 'log.1')).length).toBeLessThan(300 * 1024)
  // With a large state the next segments are longer, or all that is ever written would be states.
  const many: Verb[] = Array.from({ length: 3000 }, (_, n) => join_(`name ${n}`, `id ${n}`))
  log.exchange(many)
  log.exchange([['seal']])
  const size = readFileSync(join(here.directory, 'log.3')).length
  for (let n = 0; n < 3000; n += 1) {
    log.exchange([['renew', claim, 10_000]])
    log.tidy()
  }
  expect(segments(here.directory)).toEqual([2, 3])
  expect(size).toBeGreaterThan(256 * 1024)
})

test('a line larger than any buffer is read whole', () => {
  using here = place()
  const one = here.open('one')
  const two = here.open('two')
  const info = 'x'.repeat(300_000)
  one.exchange([join_('a', '1', { info })])
  two.exchange([join_('a', '2')])
  one.sync()
  expect(stateOf(one)).toEqual(stateOf(two))
  expect(two.replica.table.seat('1')?.info).toBe(info)
})

test('fences are reserved on disk before one of them is used', () => {
  using here = place()
  const log = here.open('one')
  for (let n = 0; n < 20; n += 1) {
    const [standing] = log.exchange([join_('a', `${n}`)])
    const fence = Number((standing as Held).fence)
    log.reserve(fence)
    const reserved = readdirSync(here.directory).flatMap((name) => /^fence\.(\d+)$/.exec(name)?.[1] ?? [])
    expect(reserved).toHaveLength(1)
    expect(Number(reserved[0])).toBeGreaterThanOrEqual(fence)
    here.clock.advance(600_000)
  }
})

const names = fc.constantFrom('a', 'b', 'c')
const numbers = fc.integer({ min: 1, max: 4 })
/** An id names one try at one name. A claim may err. */
const claims = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(names, numbers).map(([name, number]) => ({ name, id: `${name}${number}` })) },
  {
    weight: 1,
    arbitrary: fc.tuple(names, names, numbers).map(([name, of, number]) => ({ name, id: `${of}${number}` })),
  },
)
const durations = fc.constantFrom(0, 1, 50, 500, 5000)
const verbs: fc.Arbitrary<Verb> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({
        name: names,
        id: numbers,
        weight: fc.integer({ min: 1, max: 4 }),
        capacity: fc.constantFrom(3, 4),
        ttlMs: fc.constantFrom(100, 1000, 5000),
        waitTtlMs: fc.constantFrom(100, 1000),
        wait: fc.boolean(),
        waitersMax: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
        lockDelayMs: fc.option(durations, { nil: undefined }),
        info: fc.option(fc.string(), { nil: undefined }),
      })
      .map(
        (entry) => ['join', JSON.parse(JSON.stringify({ ...entry, id: `${entry.name}${entry.id}` })) as Entry] as const,
      ),
  },
  { weight: 3, arbitrary: fc.tuple(fc.constant('renew' as const), claims, durations) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constant('renewals' as const), names, durations, fc.array(fc.nat({ max: 2 ** 40 }))),
  },
  { weight: 3, arbitrary: fc.tuple(fc.constant('leave' as const), claims, durations) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('lighten' as const), claims, fc.integer({ min: 1, max: 4 })) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('describe' as const), claims, fc.string()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('follow' as const), names, fc.boolean()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('bury' as const), fc.constantFrom('0', '1', '2')) },
  { weight: 1, arbitrary: fc.constant(['seal'] as const) },
)
/** One process says something, or only reads, or time passes. */
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ log: fc.nat(2), say: fc.array(verbs, { minLength: 1, maxLength: 3 }) }) },
    { weight: 2, arbitrary: fc.record({ log: fc.nat(2), say: fc.constant([]) }) },
    { weight: 2, arbitrary: fc.record({ pass: fc.constantFrom(1, 40, 400, 3000) }) },
  ),
  { minLength: 1, maxLength: 80, size: 'max' },
)

test(
  'all replicas of a log agree, with one that starts from the last segment, and with the table alone',
  { timeout: 10_000 * TIMES },
  () => {
    fc.assert(
      fc.property(steps, (steps) => {
        using here = place()
        const logs = [0, 1, 2].map((n) => here.open(`${n}`))
        // What the log says, said to one replica that has never seen a file.
        const alone = new Replica(logs[0]!.replica.dump())
        for (const step of steps) {
          if ('pass' in step) {
            here.clock.advance(step.pass)
            continue
          }
          const log = logs[step.log]!
          if (step.say.length === 0) {
            log.sync()
            continue
          }
          // A seal ends a line in practice; what a line says after it belongs to nobody.
          const seal = step.say.findIndex(([verb]) => verb === 'seal')
          const said = seal === -1 ? step.say : [...step.say.slice(0, seal), step.say[seal]!]
          const line: Line = { instance: `${step.log}`, now: here.clock.now(), verbs: said }
          const expected = alone.apply(line)
          alone.sealed = false
          expect(log.exchange(said)).toEqual(expected)
        }
        for (const log of logs) log.sync()
        const fresh = here.open('fresh')
        fresh.sync()
        const expected = plain(alone)
        for (const log of [...logs, fresh]) expect(stateOf(log)).toEqual(expected)
        consistent(fresh.replica.table)
      }),
      { numRuns: 150 * TIMES },
    )
  },
)

test('a state survives JSON, whatever it is', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(verbs, fc.constantFrom(1, 40, 400))), (said) => {
      const clock = fakeClock()
      const replica = new Replica()
      let copy = new Replica()
      for (const [verb, passed] of said) {
        clock.advance(passed)
        const line: Line = { instance: 'x', now: clock.now(), verbs: [verb] }
        expect(copy.apply(line)).toEqual(replica.apply(line))
        copy = new Replica(JSON.parse(JSON.stringify(copy.dump())) as ReplicaState)
        expect(copy.dump()).toEqual(replica.dump())
      }
    }),
    { numRuns: 150 },
  )
})

test('a line is read as it was written, and no part of it is', () => {
  fc.assert(
    fc.property(fc.array(verbs, { minLength: 1, maxLength: 5 }), fc.nat(), (said, at) => {
      const line: Line = { instance: 'x', now: { monotonicMs: 1.25, wallMs: 7 }, verbs: said }
      const bytes = encodeLine(line)
      const lines: Buffer[] = []
      eachLine(bytes, (each) => lines.push(each) > 0)
      expect(lines.map(decodeLine)).toEqual([line])
      const torn = bytes.subarray(1, 1 + (at % (bytes.length - 2)))
      expect(decodeLine(torn)).toBeUndefined()
      const flipped = Buffer.from(bytes.subarray(1, -1))
      const place = at % flipped.length
      flipped[place]! ^= 1
      // The blank before the checksum is the one byte that may be any.
      if (place !== flipped.length - CHECKSUM_LENGTH) expect(decodeLine(flipped)).toBeUndefined()
    }),
  )
})

test('many renewals in one say what each would have said', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(verbs, fc.constantFrom(1, 40, 400)), { maxLength: 40 }),
      names,
      durations,
      (said, name, ttlMs) => {
        const clock = fakeClock()
        const apart = new Replica()
        const together = new Replica()
        const elsewhere = new Replica()
        const say = (replica: Replica, verbs: readonly Verb[]): Answer[] =>
          replica.apply({ instance: 'x', now: clock.now(), verbs })
        for (const [verb, passed] of said) {
          clock.advance(passed)
          for (const replica of [apart, together, elsewhere]) say(replica, [verb])
        }
        const seats = apart.table.dump().queues.find((queue) => queue.name === name)?.seats ?? []
        const fences = seats.map(({ fence }) => fence).toReversed()
        const claims = seats.map(({ id }): Verb => ['renew', { name, id }, ttlMs]).toReversed()
        const [answers] = say(together, [['renewals', name, ttlMs, fences]]) as [readonly Renewal[]]
        elsewhere.apply({ instance: 'x', now: clock.now(), verbs: [['renewals', name, ttlMs, fences]] }, false)
        const expected = say(apart, claims)
        // Two seats may share an id while the older one lingers; a fence tells them apart.
        for (const [index, { lingering }] of seats.toReversed().entries())
          expect(answers[index]).toEqual(lingering ? { state: 'lost' } : expected[index])
        expect(together.dump()).toEqual(apart.dump())
        expect(elsewhere.dump()).toEqual(apart.dump())
      },
    ),
    { numRuns: 300 },
  )
})

test('who seals a segment that another has just sealed leaves the next one alone', () => {
  using here = place()
  const [one, other] = [here.open('one'), here.open('other')]
  while (statSync(join(here.directory, 'log.1')).size < 300_000) one.exchange([join_('a', 'x'.repeat(500))])
  other.sync()
  one.tidy()
  other.tidy()
  expect(segments(here.directory)).toEqual([1, 2])
  one.exchange([['leave', { name: 'a', id: 'nobody' }, 0]])
  other.sync()
  expect(segments(here.directory)).toEqual([1, 2])
  expect(stateOf(one)).toEqual(stateOf(other))
})

/** Do this when somebody has just listed a directory: between that call of the kernel and its next one. */
function afterNextLook(work: () => void): void {
  const { readdirSync } = fs
  const restored = (): void => {
    fs.readdirSync = readdirSync
    syncBuiltinESMExports()
  }
  const looking = (...args: Parameters<typeof readdirSync>): ReturnType<typeof readdirSync> => {
    const found = readdirSync(...args)
    restored()
    work()
    return found
  }
  fs.readdirSync = looking as typeof readdirSync
  syncBuiltinESMExports()
}

/** What it answers, or the error that it throws. */
function attempt(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}

/** What must be true of any table. */
function consistent(table: Table): void {
  for (const { name, capacity, seats } of table.dump().queues) {
    const fences = seats.map(({ fence }) => fence)
    expect(fences).toEqual([...new Set(fences)].sort((a, b) => a - b))
    const holders = seats.filter(({ heldAt }) => heldAt !== undefined)
    expect(seats.slice(0, holders.length)).toEqual(holders)
    expect(holders.reduce((sum, { weight }) => sum + weight, 0)).toBeLessThanOrEqual(capacity)
    expect(table.queue(name)?.holders).toBe(holders.length)
  }
}
