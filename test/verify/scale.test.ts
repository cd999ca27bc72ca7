import { expect, test } from 'vitest'
import { costs, eventsOf } from './scale.ts'

/** How often each checker looks at an event, whatever the machine does meanwhile. `node test/verify/scale.ts` has times. */
function looksAt(holds: number): Record<string, number> {
  let looks = 0
  const events = eventsOf(holds, 3).map(
    (event) => new Proxy(event, { get: (target, key) => ((looks += 1), Reflect.get(target, key)) }),
  )
  return costs(events, (work) => {
    const before = looks
    work()
    return looks - before
  })
}

test('ten times as many holds are ten times the work, and not a hundred times', () => {
  const few = looksAt(1500)
  const many = looksAt(15_000)
  // Sorting takes a little more than ten times as long.
  for (const [name, looks] of Object.entries(many)) expect(looks, name).toBeLessThanOrEqual(15 * few[name]!)
})
