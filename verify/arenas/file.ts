/** The embedded store, in a directory of its own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Fault } from '../../src/verify/torture/faults.ts'
import { inside } from '../../src/verify/torture/faults.ts'
import { wasLost } from '../../src/verify/torture/felt.ts'
import type { Arena, Place } from '../../src/verify/torture/trial.ts'
import { WORKLOADS, allNames } from '../../src/verify/torture/workloads.ts'

class FilePlace implements Place {
  readonly #directory = mkdtempSync(join(tmpdir(), 'holdfast-verify-'))
  readonly url = `file:${join(this.#directory, 'store')}`

  async lay(): Promise<{ url: string }> {
    return { url: this.url }
  }

  /** Somebody tidies up who does not know what it is. */
  remove(): void {
    // Others may put something in meanwhile.
    rmSync(join(this.#directory, 'store'), { recursive: true, force: true, maxRetries: 20 })
  }

  async recovers(): Promise<void> {}

  async end(): Promise<void> {
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

const faults: readonly Fault<FilePlace>[] = [
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
  wired: false,
  faults,
  open: async () => new FilePlace(),
}
