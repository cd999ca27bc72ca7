/** What a coordinator does that has no room on its disk. */
import { sleep } from '../../src/verify/torture/clock.ts'
import type { Fault, Scene } from '../../src/verify/torture/faults.ts'
import { inside } from '../../src/verify/torture/faults.ts'
import { SmallDisk } from '../../test/kit/small-disk.ts'

/** A place for that. */
interface OnDisk {
  /** What it writes to, where that can be filled. */
  readonly disk: SmallDisk | undefined
}

/** A disk of its own for a place, if a fault wants to fill it. */
export function diskFor({ needs }: Pick<Fault, 'needs'>): SmallDisk | undefined {
  return needs === 'small disk' ? SmallDisk.mount('16m') : undefined
}

/**
 * There is no room for longer than a lease, while somebody holds.
 *
 * @param noticed resolves when the coordinator has noticed that there is none, or that there is some again
 */
export async function fill(
  scene: Scene<OnDisk>,
  noticed: (room: boolean) => Promise<void> = async () => {},
): Promise<void> {
  const { crew, place, random } = scene
  await inside(scene, async () => {
    crew.note('the disk is full')
    place.disk!.fill()
    await noticed(false)
    await sleep(crew.ttlMs * (1 + random()))
    crew.note('there is room again')
    place.disk!.free()
    await noticed(true)
  })
}
