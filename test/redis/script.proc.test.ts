/**
 * The script beside the reference: the same verbs at the same times, on a real server and in `Table`, and the same answers,
 * the same queues, the same wakes.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Entry } from '../../src/backend.ts'
import { WHOLE } from '../../src/backend.ts'
import { clientOf } from '../../src/backends/redis/client.ts'
import { RedisBackend } from '../../src/backends/redis/index.ts'
import type { Moment } from '../../src/queue/table.ts'
import { Table } from '../../src/queue/table.ts'
import { ownRedis } from '../kit/own-redis.ts'
import { START_MS, said, setClock, staged } from './staged.ts'

const own = ownRedis()

type Shape = Omit<Entry, 'name' | 'id'>

/** Entry `n` of a run: few of them, so that they meet. */
type Step =
  | { readonly verb: 'join'; readonly n: number; readonly shape: Shape }
  | { readonly verb: 'renew'; readonly n: number; readonly ttlMs: number }
  | { readonly verb: 'leave'; readonly n: number; readonly lingerMs: number }
  | { readonly verb: 'lighten'; readonly n: number; readonly weight: number }
  | { readonly verb: 'describe'; readonly n: number }
  | { readonly verb: 'evict'; readonly n: number }
  | { readonly verb: 'look' }
  | { readonly verb: 'pass'; readonly ms: number }

const n = fc.nat(4)
/** Most entries live for long beside the steps of time, or what is said of one would hardly ever find it. */
const ms = fc.constantFrom(1, 50, 250, 1000, 5000)
const passMs = fc.constantFrom(1, 1, 50, 100, 250, 1000)
const shape: fc.Arbitrary<Shape> = fc.record(
  {
    weight: fc.constantFrom(1, 1, 2, 3, WHOLE),
    capacity: fc.constantFrom(1, 3, 3, 3, 3, WHOLE),
    ttlMs: ms,
    waitTtlMs: ms,
    wait: fc.constantFrom(true, true, true, false),
    lockDelayMs: fc.constantFrom(0, 60, 300),
    waitersMax: fc.constantFrom(0, 2, 9),
    info: fc.constantFrom('a', '{"host":"b"}'),
  },
  { requiredKeys: ['weight', 'capacity', 'ttlMs', 'waitTtlMs', 'wait'] },
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ verb: fc.constant('join' as const), n, shape }),
  },
  { weight: 5, arbitrary: fc.record({ verb: fc.constant('renew' as const), n, ttlMs: ms }) },
  {
    weight: 5,
    arbitrary: fc.record({ verb: fc.constant('leave' as const), n, lingerMs: fc.constantFrom(0, 0, 0, 80, 400) }),
  },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('lighten' as const), n, weight: fc.constantFrom(1, 2) }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('describe' as const), n }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('evict' as const), n }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('look' as const) }) },
  { weight: 5, arbitrary: fc.record({ verb: fc.constant('pass' as const), ms: passMs }) },
)

test('every verb answers as the reference does, wakes the same, and leaves the same queue', async () => {
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
      async (inCompany, steps) => {
        run += 1
        const pair = new Pair(`run-${run}`, inCompany)
        for (const each of steps) await pair.take(each)
        await pair.end()
      },
    ),
    { numRuns: Number(process.env['HOLDFAST_RUNS'] ?? 300) },
  )
  expect(run).toBeGreaterThan(0)
})

test('when the clock is set back, a name is remembered until its last fence is past', async () => {
  const backend = new RedisBackend(clientOf(own.client), {}, { scripts: staged })
  const entry = { name: 'back', id: 'first', weight: 1, capacity: 1, ttlMs: 100, waitTtlMs: 100, wait: false }
  await setClock(own.client, START_MS)
  await backend.join(entry)
  await backend.leave(entry)
  await setClock(own.client, START_MS - 600_000)
  const again = await backend.join({ ...entry, id: 'second' })
  assert.ok(again.state === 'held' && again.fence === BigInt(START_MS * 1000 + 1))
  await backend.leave({ ...entry, id: 'second' })
  // The key expires by the clock of the server, which was not set back; what the head says counts by the other one.
  expect(await expiryOf('back')).toBeGreaterThan(START_MS + 60_000)
  await own.client.flushall()
  await backend.close()
})

test('a head knows when its key expires', async () => {
  const backend = new RedisBackend(clientOf(own.client))
  const entry = { name: 'kept', id: 'first', weight: 1, capacity: 1, ttlMs: 1000, waitTtlMs: 1000, wait: false }
  const check = async (): Promise<void> => {
    const inReality = Date.now() + (await own.client.pttl('holdfast:{kept}'))
    expect(Math.abs((await expiryOf('kept')) - inReality)).toBeLessThan(2000)
  }
  await backend.join(entry)
  await check()
  for (const ttlMs of [1000, 500_000, 600_000]) {
    await backend.renew(entry, ttlMs)
    await check()
  }
  await backend.leave(entry)
  await check()
  await backend.join({ ...entry, id: 'second' })
  await check()
  await backend.leave({ ...entry, id: 'second' })
  await check()
  await own.client.flushall()
  await backend.close()
})

/** In milliseconds of the server's clock, as the head has it. */
async function expiryOf(name: string): Promise<number> {
  const head = await own.client.getBuffer(`holdfast:{${name}}`)
  return head!.readDoubleBE(18) / 1000
}

/** The reference and the script, side by side. */
class Pair {
  readonly #name: string
  readonly #inCompany: boolean
  readonly #table = new Table()
  readonly #backend: RedisBackend
  readonly #fences = new Map<string, bigint>()
  /** What a message about an entry begins with: the backend counts those that it watches. */
  readonly #tags = new Map<string, string>()
  #now = START_MS

  /** @param inCompany a verb that travels with others is written differently, and answered by other lines of the script */
  constructor(name: string, inCompany: boolean) {
    this.#name = name
    this.#inCompany = inCompany
    this.#backend = new RedisBackend(clientOf(own.client), {}, { scripts: staged })
  }

  async take(step: Step): Promise<void> {
    const at: Moment = { monotonicMs: this.#now, wallMs: this.#now }
    await setClock(own.client, this.#now)
    if (step.verb === 'join') await this.#backend.watch(this.#entry(step.n), () => {})
    if (this.#inCompany) this.#askElsewhere()
    switch (step.verb) {
      case 'pass':
        this.#now += step.ms
        return
      case 'look':
        return this.#compareQueues(at)
      case 'join': {
        const entry = { ...this.#entry(step.n), ...step.shape }
        const expected = this.#table.join(entry, at, 'owner')
        if (!this.#tags.has(entry.id)) this.#tags.set(entry.id, String(this.#tags.size + 1))
        const standing = await this.#backend.join(entry)
        assert.deepEqual(standing, expected)
        if ('fence' in standing) this.#fences.set(entry.id, standing.fence)
        return this.#compareWakes(entry.id)
      }
      case 'renew':
        assert.deepEqual(
          await this.#backend.renew(this.#entry(step.n), step.ttlMs),
          this.#table.renew(this.#entry(step.n), step.ttlMs, at),
        )
        break
      case 'leave':
        assert.equal(
          await this.#backend.leave(this.#entry(step.n), step),
          this.#table.leave(this.#entry(step.n), at, step.lingerMs),
        )
        break
      case 'lighten':
        assert.deepEqual(
          await this.#backend.lighten(this.#entry(step.n), step.weight),
          this.#table.lighten(this.#entry(step.n), step.weight, at),
        )
        break
      case 'describe':
        assert.equal(
          await this.#backend.describe(this.#entry(step.n), 'new'),
          this.#table.describe(this.#entry(step.n), 'new', at),
        )
        break
      case 'evict': {
        const fence = this.#fences.get(this.#entry(step.n).id) ?? 1n
        assert.equal(await this.#backend.evict(this.#name, fence), this.#table.evict(this.#name, Number(fence), at))
      }
    }
    await this.#compareWakes(undefined)
  }

  /** In the same requests as what is asked next in this turn. */
  #askElsewhere(): void {
    const nobody = { name: 'elsewhere', id: 'nobody' }
    void this.#backend.describe(nobody, 'info')
    void this.#backend.leave(nobody)
  }

  async end(): Promise<void> {
    await this.#compareQueues({ monotonicMs: this.#now, wallMs: this.#now })
    for (const key of await own.client.keys(`*${this.#name}*`)) {
      assert.ok((await own.client.pttl(key)) > 0, `${key} expires`)
    }
    await own.client.flushall()
    await this.#backend.close()
  }

  #entry(n: number): Entry {
    const whole = { weight: WHOLE, capacity: WHOLE, ttlMs: 100, waitTtlMs: 100, wait: true }
    return { name: this.#name, id: `${this.#name}:${n}`, ...whole }
  }

  async #compareQueues(at: Moment): Promise<void> {
    await setClock(own.client, at.monotonicMs)
    const views = []
    for await (const view of this.#backend.inspect(this.#name)) views.push(view)
    // The reference looks without pruning, the script prunes: what people see is the same, what is told is told later.
    this.#table.pruneAll(at)
    assert.deepEqual(views, [...this.#table.view(this.#name, at)])
    await this.#compareWakes(undefined)
  }

  /** Who is told what, apart from the one that has just been put in, whose answer says it. */
  async #compareWakes(asking: string | undefined): Promise<void> {
    const { granted, sooner, shifted } = this.#table
    const expected = [
      ...sooner.splice(0).map(({ id }) => this.#tags.get(id)),
      ...granted
        .splice(0)
        .flatMap(({ id, fence, joinedAt }) =>
          id === asking && joinedAt === this.#now ? [] : [`${this.#tags.get(id)} ${fence}`],
        ),
    ]
    shifted.length = 0
    const { wakes: told } = await said(own.client)
    assert.deepEqual(new Set(told), new Set(expected))
    assert.equal(told.length, expected.length)
  }
}
