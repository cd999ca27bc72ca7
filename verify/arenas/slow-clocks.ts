/** What goes wrong with the clocks of a process, where leases are counted by another clock than its own. (Those who share a store share a clock.) */
import { sleep } from '../../src/verify/torture/clock.ts'
import type { Fault, Scene } from '../../src/verify/torture/faults.ts'
import { inside } from '../../src/verify/torture/faults.ts'
import { struckAmidst, wasLost } from '../../src/verify/torture/felt.ts'
import { allNames } from '../../src/verify/torture/workloads.ts'

/** As the margin of a lease allows, which is a tenth. */
const MARGIN = 0.9
const [A_LITTLE, MUCH] = [0.95, 0.6]

/** One whose clocks run so fast has turns like everybody, and stands still inside for a little longer than its lease. */
async function slow(scene: Scene, rate: number): Promise<void> {
  const { crew, random } = scene
  const slow = await crew.hire({ rate })
  crew.note(`the clocks of ${slow.name} run at ${rate}`)
  const still = async (): Promise<void> => {
    await crew.pause(slow)
    await sleep(crew.ttlMs * (1.1 + 0.2 * random()))
    crew.resume(slow)
  }
  // Beyond the margin its entries end which it has reason to think alive.
  const ended = (): Promise<void> => crew.forgets(allNames(crew.prefix), still)
  await inside(scene, rate < MARGIN ? ended : still, slow)
  await crew.dismiss(slow)
}

export const SLOW_CLOCKS: readonly Fault[] = [
  {
    name: 'clock-slow',
    about: 'the clocks of a holder run slow, within the margin of its lease, and it stands still',
    needs: 'clock',
    strike: (scene) => slow(scene, A_LITTLE),
    felt: wasLost,
  },
  {
    name: 'clock-too-slow',
    about: 'the clocks of a holder run slow, beyond the margin of its lease, and it stands still',
    needs: 'clock',
    breaks: 'clocks run at the same rate, within a tenth',
    strike: (scene) => slow(scene, MUCH),
    felt: struckAmidst('the clocks of'),
  },
]
