/** The code under test, from `src/` or from a copy of it with a mistake in it. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { memory } from '../../src/backends/memory/index.ts'
import type { Locks } from '../../src/locks.ts'
import type { Register } from '../../src/verify/register.ts'

export interface Library {
  readonly Locks: typeof Locks
  readonly memory: typeof memory
  readonly Register: typeof Register
}

export async function loadLibrary(root: string): Promise<Library> {
  const load = async <T>(path: string): Promise<T> => import(pathToFileURL(join(root, path)).href) as Promise<T>
  const [locks, backend, register] = await Promise.all([
    load<{ Locks: typeof Locks }>('locks.ts'),
    load<{ memory: typeof memory }>('backends/memory/index.ts'),
    load<{ Register: typeof Register }>('verify/register.ts'),
  ])
  return { Locks: locks.Locks, memory: backend.memory, Register: register.Register }
}
