/** The coordinator that a command speaks to. Imported with it: help and usage errors need none. */
import type { Backend } from '../backend.ts'
import type { Locks } from '../locks.ts'

export interface Coordinator {
  readonly backend: Backend
  readonly locks: Locks
}

/** @param url as it was given; `undefined`: HOLDFAST_URL, or the store of this machine @throws BadUrlError */
export async function open(url: string | undefined): Promise<Coordinator> {
  const { backendFor, connect } = await import('../connect.ts')
  const backend = backendFor(url)
  return { backend, locks: connect(backend) }
}

/** Do something with it, and let go of it. */
export async function withLocks<T>(url: string | undefined, work: (locks: Locks) => Promise<T>): Promise<T> {
  const { locks } = await open(url)
  try {
    return await work(locks)
  } finally {
    await locks.close()
  }
}
