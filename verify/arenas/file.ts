/** The embedded store, in a directory of its own. */
import { mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sleep } from '../../src/verify/torture/clock.ts'
import type { Fault } from '../../src/verify/torture/faults.ts'
import { inside } from '../../src/verify/torture/faults.ts'
import { askedInVain, wasLost } from '../../src/verify/torture/felt.ts'
import type { Arena, Place } from '../../src/verify/torture/trial.ts'
import { WORKLOADS, allNames } from '../../src/verify/torture/workloads.ts'
import type { SmallDisk } from '../../test/kit/small-disk.ts'
import { FileLog } from '../logs/file.ts'
import { diskFor, fill } from './full-disk.ts'
import { AHEAD_S, ELSEWHERE } from './here.ts'

class FilePlace implements Place {
  readonly disk: SmallDisk | undefined
  readonly #directory: string
  readonly url: string

  constructor(disk: SmallDisk | undefined) {
    this.disk = disk
    this.#directory = disk?.directory ?? mkdtempSync(join(tmpdir(), 'holdfast-verify-'))
    this.url = `file:${join(this.#directory, 'store')}`
  }

  async lay(): Promise<{ url: string }> {
    return { url: this.url }
  }

  async listen(): Promise<FileLog> {
    return FileLog.open(join(this.#directory, 'store'))
  }

  /** Somebody tidies up who does not know what it is. */
  remove(): void {
    const aside = join(this.#directory, 'removed')
    // Out of sight at once: others put something in meanwhile.
    renameSync(join(this.#directory, 'store'), aside)
    rmSync(aside, { recursive: true, force: true })
  }

  async recovers(): Promise<void> {
    this.disk?.free()
  }

  async end(): Promise<void> {
    if (this.disk) this.disk.end()
    else rmSync(this.#directory, { recursive: true, force: true })
  }
}

const faults: readonly Fault<FilePlace>[] = [
  {
    name: 'disk-full',
    about: 'there is no room on the disk for longer than a lease',
    needs: 'small disk',
    strike: (scene) => fill(scene),
    felt: askedInVain('STORE_FULL'),
  },
  {
    name: 'other-clock',
    about: 'somebody asks whose monotonic clock is another one: what a lease lasts it cannot know',
    needs: 'time namespace',
    strike: async ({ crew, random }) => {
      const stranger = await crew.hire({ under: ELSEWHERE, aheadMs: AHEAD_S * 1000 })
      crew.note(`${stranger.name} has another clock`)
      await sleep(crew.ttlMs * random())
      await crew.dismiss(stranger)
    },
    felt: askedInVain('STORE_MISMATCH'),
  },
  {
    name: 'store-removed',
    about: 'the directory is removed while somebody holds',
    breaks: 'the store stays where it is',
    strike: async (scene) => {
      const { crew, place } = scene
      await inside(scene, async () => {
        crew.note('the store is removed')
        await crew.forgets(allNames(crew.prefix), async () => place.remove(), 2 * crew.ttlMs)
      })
    },
    felt: wasLost,
  },
]

export const file: Arena<FilePlace> = {
  name: 'file',
  ttlMs: 1000,
  workloads: WORKLOADS,
  has: new Set(),
  faults,
  open: async (fault) => new FilePlace(diskFor(fault)),
}
