/**
 * Known mistakes, to be put in on purpose: a checker that never failed has not been tested.
 *
 * Each is a textual patch of the sources, made in a copy of them. What a patch looks for must stand there exactly once, or
 * the run fails: so the table stays in step with the code.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Library } from './library.ts'
import { loadLibrary } from './library.ts'

export interface Mutant {
  readonly name: string
  /** What goes wrong, in words. */
  readonly mistake: string
  readonly patches: readonly Patch[]
  /** It is one of a quorum of so many nodes. */
  readonly nodes?: number
  /** It must be caught within so many seeds. */
  readonly seedsMax: number
}

export interface Patch {
  readonly file: string
  readonly find: string
  readonly replace: string
}

/** Carry out `work` with a copy of the sources that has this mistake in it. */
export async function withMutant<T>(
  mutant: Mutant,
  source: string,
  work: (library: Library) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-mutant-'))
  try {
    const root = join(folder, 'src')
    cpSync(source, root, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    for (const { file, find, replace } of mutant.patches) {
      const path = join(root, file)
      const text = readFileSync(path, 'utf8')
      const found = text.split(find).length - 1
      if (found !== 1) throw new Error(`mutant ${mutant.name}: ${file} has ${found} times, not once: ${find}`)
      writeFileSync(
        path,
        text.replace(find, () => replace),
      )
    }
    return await work(await loadLibrary(root))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
