/** A store of its own for each test, on a clock that the test drives, and what tests put into it and do to it. */
import { appendFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import type { Backend, Entry, Held } from '../../../src/backend.ts'
import { WHOLE } from '../../../src/backend.ts'
import type { FileOptions } from '../../../src/backends/file/index.ts'
import { file } from '../../../src/backends/file/index.ts'
import { encodeLine } from '../../../src/backends/file/line.ts'
import type { FakeClock } from './fake-clock.ts'
import { fakeClock } from './fake-clock.ts'

export const TTL_MS = 10_000

let tokens = 0

export function entry(wanted: Partial<Entry> = {}): Entry {
  tokens += 1
  const whole = { weight: WHOLE, capacity: WHOLE, ttlMs: TTL_MS, waitTtlMs: TTL_MS, wait: false }
  return { name: 'a', id: `token-${tokens}`, ...whole, ...wanted }
}

export interface Place {
  readonly directory: string
  readonly clock: FakeClock
  /** Another process at the same store. */
  open(options?: FileOptions): Backend
}

export function place(): Place {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-'))
  const directory = join(root, 'store')
  const clock = fakeClock()
  const opened: Backend[] = []
  onTestFinished(async () => {
    await Promise.all(opened.map((backend) => backend.close()))
    rmSync(root, { recursive: true })
  })
  return {
    directory,
    clock,
    open: (options = {}) => {
      const backend = file({ directory, clock, ...options })
      opened.push(backend)
      return backend
    },
  }
}

/** Join, and expect to hold. */
export async function held(backend: Backend, wanted: Partial<Entry> = {}): Promise<Entry & { readonly fence: bigint }> {
  const asked = entry(wanted)
  const standing = await backend.join(asked)
  expect(standing.state).toBe('held')
  return { ...asked, fence: (standing as Held).fence }
}

/** Whether a try holds; if so, it is given back. */
export async function isFree(backend: Backend): Promise<boolean> {
  const asked = entry()
  const { state } = await backend.join(asked)
  if (state === 'held') await backend.leave(asked)
  return state === 'held'
}

export function newestSegment(directory: string): string {
  const numbers = readdirSync(directory).flatMap((name) => /^log\.(\d+)$/.exec(name)?.[1] ?? [])
  return join(directory, `log.${Math.max(...numbers.map(Number))}`)
}

/** Say that the newest segment is over. */
export function seal(directory: string): void {
  appendFileSync(
    newestSegment(directory),
    encodeLine({ instance: 'newer', now: { monotonicMs: 0, wallMs: 0 }, verbs: [['seal']] }),
  )
}

/** A crash of the machine: from here on nothing was written. */
export function nul(path: string, from: number): void {
  const bytes = readFileSync(path)
  writeFileSync(
    path,
    Buffer.concat([bytes.subarray(0, Math.max(0, from)), Buffer.alloc(bytes.length - Math.max(0, from))]),
  )
}
