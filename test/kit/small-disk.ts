/** A file system in memory that is soon full, for tests and trials of what happens then. */
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** For a test that must be skipped. */
export const NO_SMALL_DISK = 'a small disk of its own takes root, and the right to mount'

export class SmallDisk {
  readonly directory = mkdtempSync(join(tmpdir(), 'holdfast-disk-'))

  /** Whether this process may mount one. */
  static get possible(): boolean {
    const disk = SmallDisk.mount('64k')
    disk?.end()
    return disk !== undefined
  }

  /** @param size as `mount` has it, `256k`. @returns `undefined` where that is not allowed */
  static mount(size: string): SmallDisk | undefined {
    const disk = new SmallDisk()
    try {
      run('mount', '-t', 'tmpfs', '-o', `size=${size},mode=700`, 'tmpfs', disk.directory)
      return disk
    } catch {
      rmSync(disk.directory, { recursive: true })
      return undefined
    }
  }

  /** To the last byte. */
  fill(): void {
    writeFileSync(this.#filler, '')
    for (let size = 1 << 20; size >= 1;) {
      try {
        appendFileSync(this.#filler, Buffer.alloc(size, 1))
      } catch {
        size = Math.floor(size / 2)
      }
    }
  }

  free(): void {
    rmSync(this.#filler, { force: true })
  }

  end(): void {
    run('umount', '-l', this.directory)
    rmSync(this.directory, { recursive: true })
  }

  get #filler(): string {
    return join(this.directory, 'filler')
  }
}

function run(command: string, ...words: string[]): void {
  execFileSync(command, words, { stdio: 'ignore' })
}
