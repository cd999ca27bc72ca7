/**
 * The command as a process: how it is started, signalled, and seen to end.
 *
 * With a terminal as its stdin it stays in our process group: in one of its own it would lose the terminal, and Ctrl-C.
 * What the terminal sends, it then gets from the terminal. Otherwise it leads a group, which gets what we get.
 */
import { spawn } from 'node:child_process'
import { isatty } from 'node:tty'
import { EXIT, ExitError } from '../exit.ts'
import type { Ending } from '../exit.ts'
import { startOf } from './processes.ts'
import type { Origin, Started } from './tree.ts'
import { Tree, send } from './tree.ts'

export interface Order {
  /** The file to execute. */
  readonly path: string
  /** As it was typed: the command, then its arguments. */
  readonly words: readonly string[]
  readonly environment: Readonly<Record<string, string>>
}

export class Child {
  readonly tree: Tree
  readonly self: Started
  /** How it ended. */
  readonly ended: Promise<Ending>
  readonly #foreground = isatty(0)

  /** Starts it. `told` is called with what it is, before anything else can happen in this process. */
  constructor(order: Order, origin: Origin, told: (self: Started) => void) {
    const [argv0 = order.path, ...args] = order.words
    const child = spawn(order.path, args, {
      argv0,
      env: { ...process.env, ...order.environment },
      stdio: 'inherit',
      detached: !this.#foreground,
    })
    // Until we collect it, a dead one keeps its pid and its start time.
    this.self = { pid: child.pid ?? 0, startedAt: child.pid === undefined ? 0 : startOf(child.pid) }
    this.tree = new Tree(origin)
    if (child.pid !== undefined) {
      told(this.self)
      this.tree.plant(this.self)
    }
    this.ended = new Promise((resolve, reject) => {
      child.once('error', (error) => reject(notStarted(order.path, error)))
      child.once('exit', (code, signal) => resolve(signal === null ? { code: code ?? 0 } : { signal }))
    })
  }

  /** Hand on what was sent to us. */
  forward(signal: NodeJS.Signals): void {
    // It could not be started, and the group 0 would be our own.
    if (this.self.pid === 0) return
    if (!this.#foreground) {
      // A group whose leader's parent is elsewhere ignores TSTP.
      send(-this.self.pid, signal === 'SIGTSTP' ? 'SIGSTOP' : signal)
      return
    }
    switch (signal) {
      case 'SIGINT':
      case 'SIGQUIT':
      case 'SIGTSTP':
        // From the terminal, which sent it to the command as well.
        return
      case 'SIGUSR1':
      case 'SIGUSR2':
        send(this.self.pid, signal)
        return
      default:
        // To the group would be to ourselves, and to the other commands of a pipeline.
        this.tree.signal(signal)
    }
  }
}

/** It was found and could be executed, and yet: a script without its interpreter, a file for another machine. */
function notStarted(path: string, error: NodeJS.ErrnoException): unknown {
  if (!error.syscall?.startsWith('spawn')) return error
  const detail = error.code === 'ENOENT' ? 'its interpreter is missing' : `cannot be executed: ${error.code}`
  return new ExitError(error.code === 'ENOENT' ? EXIT.notFound : EXIT.notExecutable, `${path}: ${detail}`)
}
