import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Holder } from '../../src/guards/index.ts'
import { UNSEEN, accept, visitorOf, welcome } from '../../src/guards/rule.ts'
import { connect } from '../../src/index.ts'
import type { Cell } from './kit/cell.ts'
import { bySentence, everyGuard } from './kit/cell.ts'

const visit = fc.record({ fence: fc.integer({ min: 1, max: 8 }), mode: fc.constantFrom('exclusive', 'shared') })

test('the rule is the sentence of the documents: exclusive iff fence >= s, shared iff fence >= x', () => {
  fc.assert(
    fc.property(fc.array(visit, { maxLength: 30 }), (visits) => {
      const accepted: typeof visits = []
      let seen = UNSEEN
      for (const { fence, mode } of visits) {
        const visitor = visitorOf({ name: 'a', fence: BigInt(fence), mode })
        const may = bySentence(accepted, fence, mode)
        expect(welcome(seen, visitor)).toBe(may)
        if (!may) {
          expect(() => accept(seen, visitor)).toThrow(expect.objectContaining({ code: 'STALE_FENCE' }))
          continue
        }
        seen = accept(seen, visitor)
        accepted.push({ fence, mode })
        expect(seen.x <= seen.s).toBe(true)
      }
    }),
    { numRuns: 2000 },
  )
})

describe('the rule by itself', () => {
  everyGuard(async () => inMemory())
})

function inMemory(): Cell {
  let seen = UNSEEN
  let version = 0
  let order = 0
  const found = () => ({ version, order: (order += 1) })
  const read = async (holder: Holder) => {
    seen = accept(seen, visitorOf(holder))
    return found()
  }
  return {
    read,
    async write(holder, next) {
      const before = await read(holder)
      version = next
      return before
    },
    peek: async () => found(),
  }
}

test('every kind of lease is a holder, but permits are none', async () => {
  const locks = connect('memory:')
  await locks.run('a', async (lease) =>
    expect(visitorOf(lease)).toEqual({ name: 'a', fence: lease.fence, mode: 'exclusive' }),
  )
  const reading = await locks.rw('a').read().acquire()
  expect(visitorOf(reading).mode).toBe('shared')
  await reading.release()
  const writing = await locks.rw('a').write().acquire()
  expect(visitorOf(writing).mode).toBe('exclusive')
  await writing.downgrade()
  expect(visitorOf(writing).mode).toBe('shared')
  await locks.election('e').run((term) => expect(visitorOf(term).mode).toBe('exclusive'))
  await locks.run(['b', 'c'], (set) => {
    expect(visitorOf({ name: 'b', fence: set.fences.get('b')! }).mode).toBe('exclusive')
  })
  const permit = await locks.semaphore('s', 2).acquire()
  expect(() => visitorOf(permit)).toThrow(expect.objectContaining({ code: 'NOT_SUPPORTED', lock: 's' }))
  expect(() => visitorOf(permit)).toThrow('the fences of permits cannot be ordered')
  await locks.close()
})

test.each([
  [undefined, 'the holder is undefined'],
  ['a', "the holder is 'a'"],
  [{ name: '', fence: 1n }, 'a name is empty'],
  [{ name: 'a' }, 'fence is undefined; give the bigint of a lease'],
  [{ name: 'a', fence: 1 }, 'fence is 1; give the bigint of a lease'],
  [{ name: 'a', fence: '1' }, "fence is '1'"],
  [{ name: 'a', fence: 0n }, 'fence is 0; a fence is above 0'],
  [{ name: 'a', fence: -1n }, 'fence is -1'],
  [{ name: 'a', fence: 2n ** 53n }, 'below 2^53'],
  [{ name: 'a', fence: 1n, mode: 'write' }, "mode is 'write'"],
])('%o is no holder', (holder, message) => {
  expect(() => visitorOf(holder as never)).toThrow(message)
  expect(() => visitorOf(holder as never)).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
})
