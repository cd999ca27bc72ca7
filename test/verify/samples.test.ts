/** Histories as the simulation makes them, judged by the sweeps of the checkers and by the search. */
import { expect, test } from 'vitest'
import { exclusion } from '../../src/verify/checkers/exclusion.ts'
import { permits } from '../../src/verify/checkers/permits.ts'
import { readersWriters } from '../../src/verify/checkers/readers-writers.ts'
import type { Event } from '../../src/verify/history.ts'
import { historyOf } from '../../src/verify/history.ts'
import { loadLibrary } from '../simulation/library.ts'
import { memoryPlanOf } from '../simulation/memory/plan.ts'
import { CAPACITY } from '../simulation/plan.ts'
import { run } from '../simulation/run.ts'
import { source } from '../simulation/tasks.ts'
import { linearizable } from './search/linearizable.ts'
import { lockOf, noReaderBesideWriter, oneWriter, stepsOf, within } from './search/locks.ts'

const withinCapacity = within(CAPACITY)
const lock = lockOf((shapes) => oneWriter(shapes) && noReaderBesideWriter(shapes) && withinCapacity(shapes))

/** What both say of these events. */
function isGood(events: readonly Event[], about: string): boolean {
  const history = historyOf(events)
  const good = exclusion(history).length + readersWriters(history).length + permits(history).length === 0
  const names = new Set([...history.holds.values()].flatMap(({ ask }) => ask?.name ?? []))
  expect(good, about).toBe([...names].every((name) => linearizable(stepsOf(history, name), lock)))
  return good
}

test('of simulated runs the sweeps and the search say the same, also when releases are forgotten', async () => {
  const library = await loadLibrary(source)
  let bad = 0
  for (let seed = 1; seed <= 20; seed += 1) {
    const { events } = await run(memoryPlanOf(seed), library)
    expect(isGood(events, `seed ${seed}`)).toBe(true)
    const forgetful = events.filter(({ kind }, index) => kind !== 'released' || index % 5 !== 0)
    if (!isGood(forgetful, `seed ${seed}, forgetful`)) bad += 1
  }
  expect(bad).toBeGreaterThan(5)
}, 60_000)
