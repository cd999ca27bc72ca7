/**
 * Many verbs in one request, about several names, beside the reference: it carries them out one after the other, at the same
 * time. The same answers, the same queues, the same wakes, and the same news to those who follow a name.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Claim, Entry } from '../../src/backend.ts'
import { WHOLE } from '../../src/backend.ts'
import { clientOf } from '../../src/backends/redis/client.ts'
import { RedisBackend } from '../../src/backends/redis/index.ts'
import type { Moment } from '../../src/queue/table.ts'
import { Table } from '../../src/queue/table.ts'
import { ownRedis } from '../kit/own-redis.ts'
import { START_MS, said, setClock, staged } from './staged.ts'

const own = ownRedis()

type Terms = Omit<Entry, 'name' | 'id'>

/** Of which name, and which of its entries: few, so that they meet. */
interface Who {
  readonly name: number
  readonly n: number
}

/** Joins travel together with what changes infos, and all else together; but renewals of many travel by themselves. */
type Join =
  | (Who & { readonly verb: 'join'; readonly terms: number })
  | (Who & { readonly verb: 'describe'; readonly info: string })
interface Many {
  readonly verb: 'renewAll'
  readonly of: readonly (Who & { readonly fence: 'none' | 'another' | 'its own' })[]
  readonly ttlMs: number
}
type Other =
  | (Who & { readonly verb: 'renew'; readonly ttlMs: number })
  | (Who & { readonly verb: 'leave'; readonly lingerMs: number })
  | (Who & { readonly verb: 'lighten'; readonly weight: number })
  | (Who & { readonly verb: 'evict' })

type Step =
  | { readonly request: readonly (Join | Other | Many)[] }
  | { readonly follow: number }
  | { readonly passMs: number }
  | 'look'

const name = fc.nat(2)
const n = fc.nat(5)
/** Most entries live for long beside the steps of time. */
const ms = fc.constantFrom(50, 250, 1000, 5000)
const passMs = fc.constantFrom(1, 1, 1, 50, 100, 1000)
const who = { name, n }
const terms: fc.Arbitrary<Terms> = fc.record(
  {
    weight: fc.constantFrom(1, 1, 2, 3, WHOLE),
    capacity: fc.constantFrom(1, 3, 3, 3, 3, 3, 3, WHOLE),
    ttlMs: ms,
    waitTtlMs: ms,
    wait: fc.constantFrom(true, true, true, false),
    lockDelayMs: fc.constantFrom(0, 60, 300),
    waitersMax: fc.constantFrom(0, 2, 9, 9),
    info: fc.constantFrom('a', '{"host":"b"}'),
  },
  { requiredKeys: ['weight', 'capacity', 'ttlMs', 'waitTtlMs', 'wait'] },
)
const join: fc.Arbitrary<Join> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ verb: fc.constant('join' as const), ...who, terms: fc.nat(3) }) },
  {
    weight: 1,
    arbitrary: fc.record({ verb: fc.constant('describe' as const), ...who, info: fc.constantFrom('c', 'd') }),
  },
)
const other: fc.Arbitrary<Other> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ verb: fc.constant('renew' as const), ...who, ttlMs: ms }) },
  {
    weight: 5,
    arbitrary: fc.record({ verb: fc.constant('leave' as const), ...who, lingerMs: fc.constantFrom(0, 0, 0, 80, 400) }),
  },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('lighten' as const), ...who, weight: fc.constantFrom(1, 2) }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('evict' as const), ...who }) },
)
const many: fc.Arbitrary<Many> = fc.record({
  verb: fc.constant('renewAll' as const),
  of: fc.array(fc.record({ ...who, fence: fc.constantFrom('none', 'another', 'its own') }), { maxLength: 8 }),
  ttlMs: ms,
})
/** What was found at random, and is rare: in one request, one comes to hold, lingers, and is evicted. It is told nothing. */
const whole: Terms = { weight: WHOLE, capacity: WHOLE, ttlMs: 1000, waitTtlMs: 1000, wait: true }
const heldAndGone: [Terms[], Step[], number] = [
  [whole, whole, whole, whole],
  [
    { request: [0, 1].map((each) => ({ verb: 'join', name: 0, n: each, terms: 0 })) },
    {
      request: [
        { verb: 'evict', name: 0, n: 0 },
        { verb: 'leave', name: 0, n: 1, lingerMs: 80 },
        { verb: 'evict', name: 0, n: 1 },
      ],
    },
    'look',
  ],
  Infinity,
]
/** The same: what could never hold is not asked for, so what has ended before it is not seen yet. */
const tooHeavy: Terms = { ...whole, capacity: 1 }
const brief: Terms = { ...whole, weight: 1, capacity: 1, ttlMs: 50, waitTtlMs: 5000 }
const neverAsked: [Terms[], Step[], number] = [
  [tooHeavy, brief, brief, brief],
  [
    { request: [0, 1].map((each) => ({ verb: 'join', name: 1, n: each, terms: 1 })) },
    { passMs: 50 },
    { request: [0, 1].map((each) => ({ verb: 'join', name: each, n: 2, terms: 0 })) },
    'look',
  ],
  Infinity,
]

/** At least two: one alone is written in another way. */
const several = { minLength: 2, maxLength: 8 }
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ request: fc.array(join, several) }) },
  { weight: 5, arbitrary: fc.record({ request: fc.array(other, several) }) },
  { weight: 2, arbitrary: fc.record({ request: fc.tuple(many) }) },
  { weight: 1, arbitrary: fc.record({ follow: name }) },
  { weight: 4, arbitrary: fc.record({ passMs }) },
  { weight: 1, arbitrary: fc.constant('look' as const) },
)

test('many verbs in one request answer as one after the other would, wake the same, and leave the same queues', async () => {
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(terms, { minLength: 4, maxLength: 4 }),
      fc.array(step, { minLength: 5, maxLength: 25, size: 'max' }),
      fc.constantFrom(1, Infinity),
      async (shapes, steps, burst) => {
        run += 1
        const pair = new Pair(`run-${run}`, shapes, burst)
        for (const each of steps) await pair.take(each)
        await pair.end()
      },
    ),
    { numRuns: Number(process.env['HOLDFAST_RUNS'] ?? 600), examples: [heldAndGone, neverAsked] },
  )
  expect(run).toBeGreaterThan(0)
})

/** The reference and the script, side by side. */
class Pair {
  readonly #run: string
  readonly #shapes: readonly Terms[]
  /** One for each name: the fences of a server are those of a name. */
  readonly #tables: ReadonlyMap<string, Table>
  readonly #backend: RedisBackend
  /** What needs more than a head is asked for once more: then also what it changes again was told. News are hints. */
  readonly #twice: boolean
  /** What a message about an entry begins with: the backend counts those that it watches. */
  readonly #tags = new Map<string, string>()
  readonly #fences = new Map<string, bigint>()
  readonly #followed = new Set<string>()
  /** Names of which somebody has ended since the last news: a script that finds a single holder ended may leave it there. */
  readonly #untold = new Set<string>()
  /** Who is there, by name. */
  #there: ReadonlyMap<string, readonly string[]> = new Map()
  #now = START_MS

  /** @param burst so many in one request leave with heads alone at first */
  constructor(run: string, shapes: readonly Terms[], burst: number) {
    this.#run = run
    this.#twice = burst < Infinity
    this.#backend = new RedisBackend(clientOf(own.client), {}, { scripts: staged, burst })
    this.#shapes = shapes
    this.#tables = new Map(['a', 'b', 'c'].map((each) => [`${run}:${each}`, new Table()]))
  }

  async take(step: Step): Promise<void> {
    await setClock(own.client, this.#now)
    if (step === 'look') return this.#compareQueues()
    if ('passMs' in step) {
      this.#now += step.passMs
      return
    }
    if ('follow' in step) return this.#follow(this.#name(step.follow))
    for (const each of step.request) if (each.verb === 'join') await this.#watch(this.#tried(each).id)
    this.#there = new Map(
      [...this.#tables].map(([name, table]) => [name, table.queue(name)?.seats.map(({ id }) => id) ?? []]),
    )
    // All are asked before any is answered, so they leave together.
    const asked = step.request.map((each) => this.#ask(each))
    for (const name of this.#tables.keys())
      if (step.request.some((each) => this.#isAbout(each, name))) this.#prune(name)
    const expected = step.request.map((each) => this.#expect(each))
    const answers = await Promise.all(asked)
    assert.deepEqual(answers, expected)
    const held = new Set<string>()
    for (const [index, each] of step.request.entries()) {
      if (each.verb !== 'join') continue
      const answer = answers[index] as { readonly state: string; readonly fence?: bigint }
      const { id } = this.#tried(each)
      if (answer.fence !== undefined) this.#fences.set(id, answer.fence)
      if (answer.state === 'held') held.add(id)
    }
    await this.#compareNews(held)
  }

  async end(): Promise<void> {
    await setClock(own.client, this.#now)
    await this.#compareQueues()
    await this.#backend.close()
    await own.client.flushall()
  }

  /** For longer than any run takes. */
  async #follow(name: string): Promise<void> {
    if (this.#followed.has(name)) return
    this.#followed.add(name)
    await this.#backend.follow(name, () => {})
    this.#prune(name)
    await this.#compareNews(new Set())
  }

  #ask(each: Join | Other | Many): Promise<unknown> {
    switch (each.verb) {
      case 'join':
        return this.#backend.join(this.#entry(each, each.terms))
      case 'describe':
        return this.#backend.describe(this.#claim(each), each.info)
      case 'renewAll':
        return this.#renewAll(each)
      case 'renew':
        return this.#backend.renew(this.#claim(each), each.ttlMs)
      case 'leave':
        return this.#backend.leave(this.#claim(each), each)
      case 'lighten':
        return this.#backend.lighten(this.#claim(each), each.weight)
      case 'evict':
        return this.#backend.evict(this.#name(each.name), this.#fenceOf(each))
    }
  }

  /** With the answer that `undefined` stands for. */
  async #renewAll({ of, ttlMs }: Many): Promise<unknown> {
    const fences = { none: () => undefined, another: () => 1n, 'its own': (one: Who) => this.#fenceOf(one) }
    const placed = of.map((one) => ({ ...this.#claim(one), fence: fences[one.fence](one) }))
    const renewals = await this.#backend.renewAll(placed, ttlMs)
    return renewals.map((renewal, index) => renewal ?? { state: 'held', fence: placed[index]!.fence, ttlMs })
  }

  #expect(each: Join | Other | Many): unknown {
    if (each.verb === 'renewAll')
      return each.of.map((one) => this.#expect({ ...one, verb: 'renew', ttlMs: each.ttlMs }))
    const table = this.#table(this.#name(each.name))
    const at = this.#moment()
    switch (each.verb) {
      case 'join':
        return table.join(this.#entry(each, each.terms), at, 'owner')
      case 'describe':
        return table.describe(this.#claim(each), each.info, at)
      case 'renew':
        return table.renew(this.#claim(each), each.ttlMs, at)
      case 'leave':
        return table.leave(this.#claim(each), at, each.lingerMs)
      case 'lighten':
        return table.lighten(this.#claim(each), each.weight, at)
      case 'evict':
        return table.evict(this.#name(each.name), Number(this.#fenceOf(each)), at)
    }
  }

  /** The script looks for what has ended when it is asked about a name. */
  #prune(name: string): void {
    const table = this.#table(name)
    table.pruneAll(this.#moment())
    if (table.changed.size > 0) this.#untold.add(name)
    table.changed.clear()
  }

  /** What can never hold is not asked for. */
  #isAbout(each: Join | Other | Many, name: string): boolean {
    if (each.verb === 'renewAll') return each.of.some((one) => this.#name(one.name) === name)
    if (each.verb === 'join' && this.#shapes[each.terms]!.weight > this.#shapes[each.terms]!.capacity) return false
    return this.#name(each.name) === name
  }

  #table(name: string): Table {
    return this.#tables.get(name)!
  }

  #name(number: number): string {
    return `${this.#run}:${'abc'[number]}`
  }

  #tried(each: Who): Claim {
    const name = this.#name(each.name)
    return { name, id: `${name}:${each.n}` }
  }

  /** Mostly of an entry that was there before this request: otherwise hardly any verb would find one. */
  #claim(each: Who): Claim {
    const tried = this.#tried(each)
    const there = this.#there.get(tried.name) ?? []
    return each.n === 0 || there.length === 0 ? tried : { ...tried, id: there[each.n % there.length]! }
  }

  #entry(each: Who, shape: number): Entry {
    return { ...this.#shapes[shape]!, ...this.#tried(each) }
  }

  #fenceOf(each: Who): bigint {
    return this.#fences.get(this.#claim(each).id) ?? 1n
  }

  #moment(): Moment {
    return { monotonicMs: this.#now, wallMs: this.#now }
  }

  async #watch(id: string): Promise<void> {
    if (this.#tags.has(id)) return
    this.#tags.set(id, String(this.#tags.size + 1))
    await this.#backend.watch({ name: '', id }, () => {})
  }

  async #compareQueues(): Promise<void> {
    const views = []
    for await (const view of this.#backend.inspect(this.#run)) views.push(view)
    // The reference looks without pruning, the script prunes: what people see is the same, what is told is told later.
    for (const name of this.#tables.keys()) this.#prune(name)
    const expected = [...this.#tables].flatMap(([name, table]) => [...table.view(name, this.#moment())])
    assert.deepEqual(views, expected)
    await this.#compareNews(new Set())
  }

  /** @param held those who have just joined, and hold: the answer says so */
  async #compareNews(held: ReadonlySet<string>): Promise<void> {
    const wakes: string[] = []
    const changes: string[] = []
    for (const { granted, sooner, shifted, changed } of this.#tables.values()) {
      for (const { id } of sooner.splice(0)) wakes.push(this.#tags.get(id)!)
      for (const { id, fence, joinedAt } of granted.splice(0))
        if (!held.has(id) || joinedAt !== this.#now) wakes.push(`${this.#tags.get(id)} ${fence}`)
      changes.push(...changed)
      shifted.length = 0
      changed.clear()
    }
    const told = await said(own.client)
    if (this.#twice) for (const each of wakes) assert.ok(told.wakes.includes(each), `${each} was not told`)
    else assert.deepEqual(told.wakes.toSorted(), wakes.toSorted())
    const news = new Set(told.changes.map((head) => head.slice('holdfast:{'.length, -1)))
    for (const name of changes) assert.ok(news.has(name) || !this.#followed.has(name), `no news of ${name}`)
    for (const name of news) {
      assert.ok(this.#twice || changes.includes(name) || this.#untold.has(name), `news of ${name}, but nothing is new`)
      this.#untold.delete(name)
    }
  }
}
