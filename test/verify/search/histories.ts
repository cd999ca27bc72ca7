/** Small histories at random, good and bad, for tests of the checkers. Few instants, so that many things happen at one. */
import fc from 'fast-check'
import type { Event, History, Mode } from '../../../src/verify/history.ts'
import { historyOf } from '../../../src/verify/history.ts'

export const CAPACITY = 3

interface Ask {
  readonly process: number
  readonly mode: Mode
  readonly weight: number
  readonly fence: number
  readonly askedAt: number
  readonly afterMs: number
  readonly ttlMs: number
  readonly outcome: 'granted' | 'pending' | 'gave-up'
  readonly deeds: readonly Deed[]
}

interface Deed {
  readonly does: 'renews' | 'reshapes' | 'releases' | 'loses'
  readonly afterMs: number
  readonly ttlMs: number
  readonly weight: number
}

const ms = (max: number, min = 0) => fc.integer({ min, max })

const deed: fc.Arbitrary<Deed> = fc.record({
  does: fc.constantFrom('renews', 'renews', 'reshapes', 'releases', 'loses'),
  afterMs: ms(5),
  // The answer to a renewal may come when what it promises is over.
  ttlMs: ms(6, -2),
  weight: ms(CAPACITY, 1),
})

function ask(modes: readonly Mode[]): fc.Arbitrary<Ask> {
  return fc.record({
    process: ms(2),
    mode: fc.constantFrom(...modes),
    weight: ms(CAPACITY, 1),
    fence: ms(6),
    askedAt: ms(12),
    afterMs: ms(4),
    ttlMs: ms(6, -1),
    outcome: fc.constantFrom('granted', 'granted', 'granted', 'granted', 'granted', 'pending', 'gave-up'),
    deeds: fc.array(deed, { maxLength: 3 }),
  })
}

const trouble = fc.record({
  crash: fc.option(fc.record({ process: ms(2), at: ms(18) }), { freq: 3 }),
  eviction: fc.option(fc.record({ fence: ms(6), at: ms(18) }), { freq: 3 }),
})

/** Two to seven asks for the name `n`, in these modes. */
export function histories(...modes: Mode[]): fc.Arbitrary<History> {
  return fc.tuple(fc.array(ask(modes), { minLength: 2, maxLength: 7 }), trouble).map(([asks, { crash, eviction }]) => {
    const events = asks.flatMap(eventsOf)
    if (crash) events.push({ at: crash.at, process: `p${crash.process}`, kind: 'crash' })
    if (eviction) events.push({ at: eviction.at, process: 'c', kind: 'evicted', name: 'n', fence: eviction.fence })
    return historyOf(events.sort((a, b) => a.at - b.at))
  })
}

function eventsOf(of: Ask, index: number): Event[] {
  const hold = `h${index}`
  const about = { process: `p${of.process}`, hold }
  const events: Event[] = [{ ...about, kind: 'ask', at: of.askedAt, name: 'n', waits: true }]
  let at = of.askedAt + of.afterMs
  if (of.outcome === 'pending') return events
  if (of.outcome === 'gave-up') return [...events, { ...about, kind: 'gave-up', at, code: 'WAIT_TIMEOUT' }]
  const { mode, fence, weight } = of
  const granted = { ...about, name: 'n', mode, fence, weight, capacity: CAPACITY } as const
  events.push({ ...granted, kind: 'granted', at, until: at + of.ttlMs })
  for (const { does, afterMs, ttlMs, weight: other } of of.deeds) {
    at += afterMs
    if (does === 'renews') events.push({ ...about, kind: 'deadline', at, until: at + ttlMs })
    else if (does === 'releases') events.push({ ...about, kind: 'released', at })
    else if (does === 'loses') events.push({ ...about, kind: 'lost', at, by: 'signal', reason: 'expired' })
    else if (mode === 'permits') events.push({ ...about, kind: 'reshaped', at, mode, weight: other })
    else events.push({ ...about, kind: 'reshaped', at, mode: other === 1 ? 'exclusive' : 'shared', weight })
  }
  return events
}
