/**
 * A store beside the reference: what several processes ask of one directory, in turns, is answered as one table would answer
 * it, and whoever waits is woken for the same. In between, segments are sealed by others, and lines are torn.
 *
 * The processes are backends of this one; each reads the log by itself, and they meet in the directory alone.
 */
import assert from 'node:assert/strict'
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Claim, Entry, Standing } from '../../src/backend.ts'
import type { FileBackend } from '../../src/backends/file/index.ts'
import { file } from '../../src/backends/file/index.ts'
import type { Verb } from '../../src/backends/file/line.ts'
import { encodeLine } from '../../src/backends/file/line.ts'
import type { Moment } from '../../src/queue/table.ts'
import { Table } from '../../src/queue/table.ts'
import { TIMES } from '../kit/effort.ts'
import { fakeClock } from './kit/fake-clock.ts'
import { newestSegment } from './kit/place.ts'

const NAMES = ['a', 'b', 'c']
const PROCESSES = 3
/** Of each process, under each name. */
const TRIES = 3
const RUNS = 100 * TIMES
const timeout = 60_000 * TIMES

/** A name, and one of its entries: few, so that they meet. Each is put in by one process, and any may speak of it. */
interface Who {
  readonly name: number
  readonly n: number
}

type Asked =
  | (Who & { readonly verb: 'join'; readonly terms: Omit<Entry, 'name' | 'id'> })
  | (Who & { readonly verb: 'renew'; readonly ttlMs: number })
  | (Who & { readonly verb: 'leave'; readonly lingerMs: number })
  | (Who & { readonly verb: 'lighten'; readonly weight: number })
  | (Who & { readonly verb: 'describe'; readonly info: string })
  | (Who & { readonly verb: 'evict' })
  /** Of all that this process has put in under a name. */
  | { readonly verb: 'renewAll'; readonly name: number; readonly ttlMs: number }

interface Turn {
  readonly process: number
  readonly asked: readonly Asked[]
  /** Before it asks, others write something: a seal, and then what it says first is void; or half a line. */
  readonly before: readonly ('seal' | 'torn')[]
  readonly passMs: number
}

const who = { name: fc.nat(2), n: fc.nat(PROCESSES * TRIES - 1) }
/** Most entries live for long beside the steps of time. */
const ms = fc.constantFrom(1, 50, 500, 3000, 9000)
const terms = fc.record(
  {
    weight: fc.integer({ min: 1, max: 3 }),
    capacity: fc.constantFrom(3, 3, 3, 4),
    ttlMs: ms,
    waitTtlMs: ms,
    wait: fc.constantFrom(true, true, true, false),
    waitersMax: fc.constantFrom(0, 1, 9, 9),
    lockDelayMs: fc.constantFrom(0, 60, 300),
    info: fc.constantFrom('a', '{"host":"ü\\n"}'),
  },
  { requiredKeys: ['weight', 'capacity', 'ttlMs', 'waitTtlMs', 'wait'] },
)
const asked: fc.Arbitrary<Asked> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ verb: fc.constant('join' as const), ...who, terms }) },
  { weight: 4, arbitrary: fc.record({ verb: fc.constant('renew' as const), ...who, ttlMs: ms }) },
  {
    weight: 4,
    arbitrary: fc.record({ verb: fc.constant('leave' as const), ...who, lingerMs: fc.constantFrom(0, 0, 80, 400) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ verb: fc.constant('lighten' as const), ...who, weight: fc.integer({ min: 1, max: 2 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ verb: fc.constant('describe' as const), ...who, info: fc.constantFrom('c', 'd') }),
  },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('evict' as const), ...who }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('renewAll' as const), name: who.name, ttlMs: ms }) },
)
const turn: fc.Arbitrary<Turn> = fc.record({
  process: fc.nat(PROCESSES - 1),
  asked: fc.array(asked, { minLength: 1, maxLength: 4 }),
  before: fc.array(fc.constantFrom('seal' as const, 'torn' as const), { maxLength: 2 }),
  passMs: fc.constantFrom(0, 0, 0, 1, 1, 50, 100, 1000),
})
const turns = fc.array(turn, { minLength: 5, maxLength: 30, size: 'max' })

test(
  'what several processes ask of a store is answered as one table would, and wakes the same',
  { timeout },
  async () => {
    let sealed = 0
    await fc.assert(
      fc.asyncProperty(turns, async (all) => {
        await using pair = new Pair()
        await pair.followAll()
        for (const each of all) {
          await pair.take(each)
          await pair.readAll()
          pair.compareNews()
        }
        await pair.compareQueues()
        sealed = Math.max(sealed, pair.highestSegment())
      }),
      { numRuns: RUNS },
    )
    expect(sealed).toBeGreaterThan(5)
  },
)

test('the same, where each reads only when it asks, and may have slept over many segments', { timeout }, async () => {
  await fc.assert(
    fc.asyncProperty(turns, async (all) => {
      await using pair = new Pair()
      for (const each of all) await pair.take(each)
      await pair.compareQueues()
    }),
    { numRuns: RUNS },
  )
})

/** A store and the reference, side by side. */
class Pair implements AsyncDisposable {
  readonly #root = mkdtempSync(join(tmpdir(), 'holdfast-'))
  readonly #directory = join(this.#root, 'store')
  readonly #clock = fakeClock()
  readonly #processes: readonly FileBackend[] = Array.from({ length: PROCESSES }, () =>
    file({ directory: this.#directory, clock: this.#clock }),
  )
  readonly #table = new Table()
  /** What each process has put in, and watches. */
  readonly #entries: readonly Set<string>[] = Array.from({ length: PROCESSES }, () => new Set())
  readonly #fences = new Map<string, bigint>()
  /** Who is there, by name. */
  #there: ReadonlyMap<string, readonly string[]> = new Map()
  /** What was heard, and what should have been. */
  #heard: string[] = []
  #expected: string[] = []

  async followAll(): Promise<void> {
    for (const name of NAMES) await this.#processes[0]!.follow(name, () => void this.#heard.push(`news of ${name}`))
  }

  async take({ process, asked, before, passMs }: Turn): Promise<void> {
    this.#clock.advance(passMs)
    // Only what was answered is renewed: so a process says which entries are its own by what it has read.
    const joins = asked.some(({ verb }) => verb === 'join')
    const all = asked.filter(({ verb }) => !(joins && verb === 'renewAll'))
    const backend = this.#processes[process]!
    for (const each of all) if (each.verb === 'join') this.#watch(process, this.#own(process, each))
    for (const what of before) this.#write(what)
    this.#there = new Map(NAMES.map((name) => [name, this.#table.queue(name)?.seats.map(({ id }) => id) ?? []]))
    // All in one turn of the event loop, so they are one line.
    const answers = await Promise.all(all.map((each) => this.#ask(process, backend, each)))
    const expected = all.map((each) => this.#expect(process, each))
    this.#announce()
    for (const [index, each] of all.entries()) {
      assert.deepEqual(answers[index], expected[index], JSON.stringify(each))
      if (each.verb !== 'join') continue
      const standing = answers[index] as Standing
      if (standing.state !== 'refused') this.#fences.set(this.#own(process, each).id, standing.fence)
    }
  }

  async readAll(): Promise<void> {
    for (const process of this.#processes) for await (const _ of process.inspect('')) void _
  }

  compareNews(): void {
    assert.deepEqual(this.#heard.toSorted(), this.#expected.toSorted())
    this.#heard = []
    this.#expected = []
  }

  async compareQueues(): Promise<void> {
    const expected = [...this.#table.view('', this.#now())]
    for (const process of this.#processes) {
      const views = []
      for await (const view of process.inspect('')) views.push(view)
      assert.deepEqual(views, expected)
    }
  }

  highestSegment(): number {
    if (!existsSync(this.#directory)) return 0
    return Math.max(0, ...readdirSync(this.#directory).map((name) => Number(/^log\.(\d+)$/.exec(name)?.[1] ?? 0)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.close()))
    rmSync(this.#root, { recursive: true })
  }

  #ask(process: number, backend: FileBackend, each: Asked): Promise<unknown> {
    switch (each.verb) {
      case 'join':
        return backend.join({ ...each.terms, ...this.#own(process, each) })
      case 'renew':
        return backend.renew(this.#claim(each), each.ttlMs)
      case 'renewAll':
        return backend.renewAll(this.#ownOf(process, each.name), each.ttlMs)
      case 'leave':
        return backend.leave(this.#claim(each), each)
      case 'lighten':
        return backend.lighten(this.#claim(each), each.weight)
      case 'describe':
        return backend.describe(this.#claim(each), each.info)
      case 'evict':
        return backend.evict(this.#claim(each).name, this.#fenceOf(each))
    }
  }

  #expect(process: number, each: Asked): unknown {
    const table = this.#table
    const now = this.#now()
    switch (each.verb) {
      case 'join':
        return table.join({ ...each.terms, ...this.#own(process, each) }, now, `${process}`)
      case 'renew':
        return table.renew(this.#claim(each), each.ttlMs, now)
      case 'renewAll':
        return this.#ownOf(process, each.name).map((claim) => table.renew(claim, each.ttlMs, now))
      case 'leave':
        return table.leave(this.#claim(each), now, each.lingerMs)
      case 'lighten':
        return table.lighten(this.#claim(each), each.weight, now)
      case 'describe':
        return table.describe(this.#claim(each), each.info, now)
      case 'evict':
        return table.evict(this.#claim(each).name, Number(this.#fenceOf(each)), now)
    }
  }

  /** A process that is not ours, but follows the same rules: in its own time, to the newest segment. */
  #write(what: 'seal' | 'torn'): void {
    if (this.highestSegment() === 0) return
    const verbs: Verb[] = what === 'seal' ? [['seal']] : [['evict', 'a', Number(this.#fences.get('a0') ?? 1n)]]
    const line = encodeLine({ instance: 'another', now: this.#now(), verbs })
    appendFileSync(newestSegment(this.#directory), what === 'seal' ? line : line.subarray(0, -4))
    if (what === 'torn') return
    this.#table.pruneAll(this.#now())
    this.#announce()
  }

  #watch(process: number, { name, id }: Claim): void {
    if (this.#entries[process]!.has(id)) return
    this.#entries[process]!.add(id)
    const wake = (news?: { readonly held: bigint }): void =>
      void this.#heard.push(`process ${process}: ${id} ${news ? `holds with ${news.held}` : 'asks again'}`)
    this.#processes[process]!.watch({ name, id }, wake)
  }

  /** What a line has changed is told once it is read. */
  #announce(): void {
    const { granted, sooner, shifted, changed } = this.#table
    const tell = (id: string, news: string): void => {
      for (const [process, ids] of this.#entries.entries())
        if (ids.has(id)) this.#expected.push(`process ${process}: ${id} ${news}`)
    }
    for (const { id } of sooner.splice(0)) tell(id, 'asks again')
    for (const { id, fence } of granted.splice(0)) tell(id, `holds with ${fence}`)
    for (const name of changed) this.#expected.push(`news of ${name}`)
    changed.clear()
    shifted.length = 0
  }

  #tried({ name, n }: Who): Claim {
    const named = NAMES[name]!
    return { name: named, id: `${named}${n}` }
  }

  /** Mostly of an entry that was there before this turn, whoever has put it in: otherwise hardly any verb would find one. */
  #claim(each: Who): Claim {
    const tried = this.#tried(each)
    const there = this.#there.get(tried.name) ?? []
    return each.n === 0 || there.length === 0 ? tried : { ...tried, id: there[each.n % there.length]! }
  }

  #own(process: number, { name, n }: Who): Claim {
    return this.#tried({ name, n: process * TRIES + (n % TRIES) })
  }

  #ownOf(process: number, name: number): Claim[] {
    const named = NAMES[name]!
    const own = [...this.#entries[process]!].filter((id) => id.startsWith(named))
    return own.map((id) => ({ name: named, id }))
  }

  #fenceOf(each: Who): bigint {
    return this.#fences.get(this.#claim(each).id) ?? 1n
  }

  #now(): Moment {
    return this.#clock.now()
  }
}
