/**
 * A server as a node of a quorum, beside the reference of one, which is `memory:`: the same verbs at the same times, also
 * while it waits because it has forgotten, and the same answers, the same queues, the same memory.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Claim, Entry, QueueView } from '../../src/backend.ts'
import { WHOLE } from '../../src/backend.ts'
import { MemoryBackend } from '../../src/backends/memory/index.ts'
import { clientOf } from '../../src/backends/redis/client.ts'
import { RedisBackend } from '../../src/backends/redis/index.ts'
import type { Memory, Node } from '../../src/quorum/node.ts'
import { PROPOSED_AHEAD_MAX_MS } from '../../src/quorum/node.ts'
import { ownRedis } from '../kit/own-redis.ts'
import { START_MS, setClock, staged } from './staged.ts'

const PREFIX = 'test-node'
const LONGEST_MS = 1000
const AHEAD_MAX = PROPOSED_AHEAD_MAX_MS * 1000

/** Who is never there. */
const NOBODY = { name: 'nobody', id: 'nobody' }

const own = ownRedis()

interface Who {
  readonly name: number
  readonly n: number
}

/** A fence that a verb speaks of: so much above what the entry drew, or above all that the node knows of. */
type Verb =
  | (Who & {
      readonly verb: 'join'
      readonly ttlMs: number
      readonly lockDelayMs: number
      readonly wait: boolean
      /** Microseconds from now. */
      readonly proposed: number | undefined
    })
  | (Who & { readonly verb: 'confirm'; readonly above: number; readonly otherTicket: boolean })
  | (Who & { readonly verb: 'seed'; readonly ttlMs: number; readonly above: number })
  | (Who & { readonly verb: 'renew'; readonly ttlMs: number })
  | (Who & { readonly verb: 'leave'; readonly lingerMs: number })
  | (Who & { readonly verb: 'describe' })
  | (Who & { readonly verb: 'evict' })
  | { readonly verb: 'renewAll'; readonly of: readonly Who[]; readonly ttlMs: number }
  | { readonly verb: 'recall' }
  | { readonly verb: 'admit'; readonly above: number; readonly formerLife: boolean }

type Step = { readonly verbs: readonly Verb[] } | { readonly passMs: number } | 'look' | 'forget'

const who = { name: fc.nat(1), n: fc.nat(3) }
/** Most entries live for long beside the steps of time, or what is said of one would hardly ever find it. */
const ms = fc.constantFrom(100, 1000, 5000)
const passMs = fc.constantFrom(1, 1, 100, 250, 1000)
const above = fc.constantFrom(0, 1, 1000, 5_000_000)
const verb: fc.Arbitrary<Verb> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      verb: fc.constant('join' as const),
      ...who,
      ttlMs: ms,
      lockDelayMs: fc.constantFrom(0, 0, 60),
      wait: fc.boolean(),
      proposed: fc.constantFrom(undefined, -1, 100_000, 100_000, AHEAD_MAX, AHEAD_MAX + 1, 10 * AHEAD_MAX),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      verb: fc.constant('confirm' as const),
      ...who,
      above,
      otherTicket: fc.constantFrom(false, false, false, true),
    }),
  },
  { weight: 3, arbitrary: fc.record({ verb: fc.constant('seed' as const), ...who, ttlMs: ms, above }) },
  { weight: 3, arbitrary: fc.record({ verb: fc.constant('renew' as const), ...who, ttlMs: ms }) },
  {
    weight: 3,
    arbitrary: fc.record({ verb: fc.constant('leave' as const), ...who, lingerMs: fc.constantFrom(0, 0, 80) }),
  },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('describe' as const), ...who }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('evict' as const), ...who }) },
  {
    weight: 1,
    arbitrary: fc.record({
      verb: fc.constant('renewAll' as const),
      of: fc.array(fc.record(who), { maxLength: 6 }),
      ttlMs: ms,
    }),
  },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('recall' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      verb: fc.constant('admit' as const),
      above,
      formerLife: fc.constantFrom(false, false, false, true),
    }),
  },
)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 50, arbitrary: fc.record({ verbs: fc.array(verb, { minLength: 1, maxLength: 4 }) }) },
  { weight: 20, arbitrary: fc.record({ passMs }) },
  { weight: 10, arbitrary: fc.constant('look' as const) },
  { weight: 1, arbitrary: fc.constant('forget' as const) },
)

test('a node answers as the reference does, and remembers the same, also when it has forgotten', async () => {
  let granted = 0
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
      async (isList, steps) => {
        const pair = await Pair.open(isList)
        for (const each of steps) await pair.take(each)
        await pair.end()
        granted += pair.granted
      },
    ),
    { numRuns: Number(process.env['HOLDFAST_RUNS'] ?? 300) },
  )
  // Half of the time it waits.
  expect(granted).toBeGreaterThan(100)
})

/** The reference and the server, side by side. */
class Pair {
  granted = 0
  readonly #node: Node = new RedisBackend(
    clientOf(own.client),
    {},
    { node: { keyPrefix: PREFIX, longestMs: LONGEST_MS, durable: false }, scripts: staged },
  )
  #reference: Node
  #now = START_MS
  readonly #tickets = new Map<string, bigint>()
  readonly #last = new Map<string, string>()
  /** Of this life of each, and of the one before. */
  #lives: readonly [now: readonly string[], before: readonly string[]] = [[], ['', '']]

  readonly #isList: boolean

  private constructor(isList: boolean) {
    this.#isList = isList
    this.#reference = this.#reborn()
  }

  /** @param isList whether the node is asked for lists of verbs, or for one at a time */
  static async open(isList: boolean): Promise<Pair> {
    await own.client.flushall()
    const pair = new Pair(isList)
    await pair.#begin()
    return pair
  }

  async take(step: Step): Promise<void> {
    await setClock(own.client, this.#now)
    if (step === 'look') return this.#compareQueues()
    if (step === 'forget') return this.#forget()
    if ('passMs' in step) {
      this.#now += step.passMs
      return
    }
    // One after the other: what a verb speaks of is what the ones before it have answered.
    for (const each of step.verbs) await this.#compare(each)
  }

  async end(): Promise<void> {
    await setClock(own.client, this.#now)
    await this.#compareQueues()
    await this.#node.close()
  }

  #reborn(): Node {
    const clocks = { monotonicMs: () => this.#now, wallMs: () => this.#now }
    return new MemoryBackend({ clocks, quarantineMs: LONGEST_MS })
  }

  async #forget(): Promise<void> {
    await own.client.flushall()
    // A life of a server is named after its beginning.
    this.#now += 1
    this.#reference = this.#reborn()
    this.#tickets.clear()
    await this.#begin()
  }

  /** Its wait begins with the first question. */
  async #begin(): Promise<void> {
    await setClock(own.client, this.#now)
    const memories = await this.#recalled()
    this.#lives = [
      memories.map(({ incarnation }) => incarnation),
      this.#lives[0].length > 0 ? this.#lives[0] : ['', ''],
    ]
  }

  async #compare(verb: Verb): Promise<void> {
    const [memory] = await this.#recalled()
    const [ours, theirs] = await Promise.all([
      this.#inCompany(() => this.#ask(this.#node, 0, verb, memory.top)),
      this.#ask(this.#reference, 1, verb, memory.top),
    ])
    assert.deepEqual(ours, theirs, JSON.stringify(verb))
    // A server keeps to the fence that it was told also where the entry is gone. Larger fences than need be harm nobody.
    if (verb.verb === 'confirm' && memory.quarantineMs === undefined)
      await this.#reference.admit(this.#lives[0][1]!, this.#confirmed(verb))
    if (verb.verb !== 'join' && verb.verb !== 'seed' && verb.verb !== 'confirm') return
    const standing = ours as { readonly state: string; readonly fence?: bigint }
    if (standing.fence !== undefined) {
      const { name, id } = verb.verb === 'confirm' ? this.#claim(verb) : this.#tried(verb)
      this.#tickets.set(id, standing.fence)
      this.#last.set(name, id)
    }
    if (standing.state === 'held') this.granted += 1
  }

  /** What both remember, which is the same but for the name that each has for its life. */
  async #recalled(): Promise<[Memory, Memory]> {
    const memories = await Promise.all([this.#inCompany(() => this.#node.recall()), this.#reference.recall()])
    const [ours, theirs] = memories.map(({ top, quarantineMs }) => ({ top, quarantineMs }))
    assert.deepEqual(ours, theirs)
    return memories
  }

  /** What is asked in one turn leaves as a list: for one of what grants, and for one of all else. */
  async #inCompany<T>(ask: () => Promise<T>): Promise<T> {
    const company = this.#isList ? [this.#node.describe(NOBODY, ''), this.#node.renew(NOBODY, 1)] : []
    const [answer] = await Promise.all([ask(), ...company])
    return answer
  }

  #ask(node: Node, which: number, verb: Verb, top: bigint): Promise<unknown> {
    switch (verb.verb) {
      case 'join':
        return node.join(this.#entry(verb, verb.ttlMs, verb.wait, verb.lockDelayMs), this.#proposed(verb.proposed))
      case 'confirm': {
        const drawn = this.#ticket(verb)
        return node.confirm(this.#claim(verb), verb.otherTicket ? drawn - 1n : drawn, this.#confirmed(verb))
      }
      case 'seed':
        return node.seed(this.#entry(verb, verb.ttlMs, false, 0), this.#drawnElsewhere(top) + BigInt(verb.above))
      case 'renew':
        return node.renew(this.#claim(verb), verb.ttlMs)
      case 'leave':
        return node.leave(this.#claim(verb), verb)
      case 'describe':
        return node.describe(this.#claim(verb), 'new')
      case 'evict':
        return node.evict(this.#claim(verb).name, this.#ticket(verb))
      case 'renewAll':
        return node.renewAll!(
          verb.of.map((one) => this.#claim(one)),
          verb.ttlMs,
        )
      case 'recall':
        return node.recall().then(({ top: known, quarantineMs }) => [known, quarantineMs])
      case 'admit':
        return node.admit(this.#lives[verb.formerLife ? 1 : 0][which]!, top + BigInt(verb.above))
    }
  }

  #tried({ name, n }: Who): Claim {
    const named = 'ab'[name]!
    return { name: named, id: `${named}:${n}` }
  }

  /** Mostly of the last entry that stood there: otherwise hardly any verb would find one. */
  #claim(of: Who): Claim {
    const tried = this.#tried(of)
    return { ...tried, id: (of.n === 0 ? undefined : this.#last.get(tried.name)) ?? tried.id }
  }

  /** Whole: a quorum has no other entries. */
  #entry(of: Who, ttlMs: number, wait: boolean, lockDelayMs: number): Entry {
    return { ...this.#tried(of), weight: WHOLE, capacity: WHOLE, ttlMs, waitTtlMs: ttlMs, wait, lockDelayMs, info: 'x' }
  }

  #proposed(ahead: number | undefined): bigint | undefined {
    return ahead === undefined ? undefined : BigInt(this.#now) * 1000n + BigInt(ahead)
  }

  #ticket(of: Who): bigint {
    return this.#tickets.get(this.#claim(of).id) ?? 1n
  }

  #confirmed(of: Who & { readonly above: number }): bigint {
    return this.#ticket(of) + BigInt(of.above)
  }

  /** No other node's clock is behind; the reference would have used up a fence of now for an older one. */
  #drawnElsewhere(top: bigint): bigint {
    const now = BigInt(this.#now) * 1000n
    return (top > now ? top : now) + 1n
  }

  async #compareQueues(): Promise<void> {
    // The reference looks without pruning, the script prunes; every verb about a name does.
    for (const name of ['a', 'b']) await this.#reference.leave({ name, id: 'nobody' })
    const views: QueueView[][] = [[], []]
    for (const [index, node] of [this.#node, this.#reference].entries())
      for await (const view of node.inspect('')) views[index]!.push(view)
    assert.deepEqual(views[0], views[1])
  }
}
