/**
 * The clocks of one process of a test, turned while it runs: a wall clock that jumps, or both clocks that run slow. (A slow
 * monotonic clock alone is made good by the wall clock.)
 *
 * A small library stands before the system's clocks, and reads a dial that the test turns. It needs Linux and a C compiler.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { machineNow } from '../../src/verify/torture/clock.ts'

/** For a test that must be skipped. */
export const NO_DIAL =
  'clocks are turned by a small C library, and there is no C compiler (apt-get install gcc libc6-dev)'

export class Dial {
  /** Of the process whose clocks it turns. */
  readonly env: NodeJS.ProcessEnv
  readonly #path: string
  readonly #sinceMs = machineNow()
  readonly #rate: number
  #aheadMs = 0

  /** Whether there is a compiler. */
  static get possible(): boolean {
    return compiled() !== undefined
  }

  /** `undefined`: there is no compiler. @param rate of its clocks: 0.9 is slow */
  static make(rate = 1): Dial | undefined {
    const library = compiled()
    return library === undefined ? undefined : new Dial(library, rate)
  }

  private constructor(library: string, rate: number) {
    this.#rate = rate
    this.#path = join(mkdtempSync(join(tmpdir(), 'holdfast-dial-')), 'dial')
    this.env = { LD_PRELOAD: library, HOLDFAST_DIAL: this.#path }
    this.#write()
  }

  /** The wall clock jumps so far ahead, or back. */
  leap(ms: number): void {
    this.#aheadMs += ms
    this.#write()
  }

  /** What the machine's monotonic clock shows when that of the process shows `at`. */
  machineTime(at: number): number {
    return this.#sinceMs + (at - this.#sinceMs) / this.#rate
  }

  end(): void {
    rmSync(join(this.#path, '..'), { recursive: true })
  }

  #write(): void {
    const bytes = Buffer.alloc(24)
    bytes.writeBigInt64LE(BigInt(Math.round(this.#aheadMs * 1e6)), 0)
    bytes.writeBigInt64LE(BigInt(Math.round(this.#sinceMs * 1e6)), 8)
    bytes.writeDoubleLE(this.#rate, 16)
    // In place: the process has the file in its memory.
    writeFileSync(this.#path, bytes, { flag: existsSync(this.#path) ? 'r+' : 'w' })
  }
}

let library: string | undefined

function compiled(): string | undefined {
  if (library !== undefined) return library
  if (process.platform !== 'linux' || spawnSync('cc', ['--version']).status !== 0) return undefined
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-clock-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'clock.so')
  const source = fileURLToPath(new URL('clock.c', import.meta.url))
  const { status, stderr } = spawnSync('cc', ['-O2', '-shared', '-fPIC', '-o', path, source], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`clock.c was not compiled: ${stderr}`)
  return (library = path)
}
