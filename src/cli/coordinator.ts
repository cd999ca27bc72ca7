/** The coordinator that a command speaks to. Imported with it: help and usage errors need none. */
import type { Backend } from '../backend.ts'
import type { Locks } from '../locks.ts'
import type { Signals } from './hold/signals.ts'

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

/** Let go of it, at the end of the program; a signal does not want to wait for that. */
export async function leave(locks: Locks, signals: Signals): Promise<void> {
  await signals.unlessHurried(locks.close())
  // What was written to those who wait leaves with the next turn of the event loop, and we are about to exit.
  for (let turn = 0; turn < 2; turn += 1) await new Promise(setImmediate)
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
