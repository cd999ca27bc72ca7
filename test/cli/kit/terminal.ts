/** A real terminal, by tmux: what is typed into it, and what it shows. */
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Place } from './holdfast.ts'
import { BIN, until } from './holdfast.ts'

export const hasTmux: boolean = spawnSync('tmux', ['-V']).status === 0

export class Terminal {
  readonly #socket: string

  /** A shell of its own in a window of so many columns, with `hf` for `holdfast run` in the store of the place. */
  constructor(place: Place, columns: number) {
    this.#socket = join(place.dir, 'tmux')
    const shell = `PS1='. ' ENV= DIR=${place.dir} sh -i`
    this.#tmux('-f', '/dev/null', 'new-session', '-d', '-x', String(columns), '-y', '24', shell)
    onTestFinished(() => void spawnSync('tmux', ['-S', this.#socket, 'kill-server']))
    // What is typed before the shell has taken the terminal may be thrown away.
    while (!this.screen.startsWith('.')) pause()
    this.type(`hf() { ${process.execPath} ${BIN} run --url ${place.url} "$@"; }; PS1='$ '; clear`)
    // And what is typed before the screen is cleared is off it, with the end of its line.
    while (!this.screen.startsWith('$')) pause()
  }

  /** Types a line. */
  type(line: string): void {
    this.write(line)
    this.press('Enter')
  }

  /** Types the beginning of one. */
  write(text: string): void {
    this.#tmux('send-keys', '-l', text)
  }

  /** `C-c`, `C-z`, `Enter` */
  press(key: string): void {
    this.#tmux('send-keys', key)
  }

  get screen(): string {
    return this.#tmux('capture-pane', '-p')
  }

  async shows(what: RegExp): Promise<string> {
    await until(() => what.test(this.screen), `${String(what)} on the screen, which shows: ${this.screen}`)
    return this.screen
  }

  #tmux(...args: string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...args], { encoding: 'utf8' })
  }
}

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
}
