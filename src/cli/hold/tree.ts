/**
 * Everything that a command started, and its end.
 *
 * A process belongs to the tree when
 * - it is the command, or was started by a process of the tree (and, once seen, it stays in the tree), or
 * - it is in a session or process group that a process of the tree leads: also after its parent has ended, or
 * - it was started with the command's own HOLDFAST_ variables, whose fence no other command ever had: also after it has
 *   put itself into a session of its own, as daemons do, and also when nobody was told the command's pid.
 *
 * Not found is what does all three: loses its parent, leaves the session and drops its environment, before anybody
 * looked. What belongs to another user (`sudo`) is found but cannot be ended by us; we wait until it is gone.
 *
 * The guardians of nested runs are waited for but never signalled: each ends its own tree first, and then itself.
 */
import { machineClocks } from './countdown.ts'
import type { Process } from './processes.ts'
import { isGuardian, processOf, processes, wasGiven } from './processes.ts'

/** A process that cannot be mistaken for a later one of the same pid. */
export interface Started {
  readonly pid: number
  readonly startedAt: number
}

/** What is known of a command before it is started. */
export interface Origin {
  readonly wrapper: Started
  /** `NAME=value`: what its environment has, and no other's. */
  readonly given: readonly string[]
}

interface Found {
  readonly members: readonly Process[]
  /** The guardians of nested runs. */
  readonly nested: readonly Process[]
  /** There is a process that is just being started, and may belong. */
  readonly starting: boolean
}

/** How long a process may be in the middle of starting before it is taken for one without an environment. */
const STARTING_MS = 1000

export class Tree {
  readonly #origin: Origin
  /** Once in the tree, always in the tree: the pid, and when it was started. */
  readonly #known = new Map<number, number>()

  constructor(origin: Origin) {
    this.#origin = origin
  }

  /** The command was started. */
  plant(child: Started): void {
    this.#known.set(child.pid, child.startedAt)
  }

  /** Whether anything of it runs. */
  get alive(): boolean {
    const { members, nested } = this.#find()
    return members.length + nested.length > 0
  }

  /**
   * Send a signal to each process that is there now. One that is being forked at this instant may be missed; stopping all
   * of them first, as `kill` does, would show in shells that watch their jobs.
   */
  signal(signal: NodeJS.Signals): void {
    for (const { pid } of this.#find().members) send(pid, signal)
  }

  /** Resolves when every process is gone: not signalled, gone. */
  async kill(): Promise<void> {
    const until = machineClocks.monotonicMs() + STARTING_MS
    for (;;) {
      const { members, nested, starting } = this.#freeze()
      for (const { pid } of members) send(pid, 'SIGKILL')
      if (members.length + nested.length > 0) await gone([...members, ...nested])
      else if (starting && machineClocks.monotonicMs() < until) await pause(1)
      else return
    }
  }

  /** Stop it before it is killed: a tree that is cut leaf by leaf grows on, and orphans lose the way back to it. */
  #freeze(): Found {
    const frozen = new Set<number>()
    for (;;) {
      const found = this.#find()
      const fresh = found.members.filter(({ pid }) => !frozen.has(pid))
      if (fresh.length === 0) return found
      for (const { pid } of fresh) {
        frozen.add(pid)
        send(pid, 'SIGSTOP')
      }
    }
  }

  #find(): Found {
    const { wrapper, given } = this.#origin
    const all = processes().filter(({ pid, startedAt }) => pid !== process.pid && startedAt >= wrapper.startedAt)
    this.#forgetReused(all)
    // The wrapper lives, and may not have had the time to tell whom it started.
    const wrapperLives = all.some((each) => same(each, wrapper))
    let starting = false
    let rest: Process[] = []
    for (const each of all) {
      if (same(each, wrapper)) continue
      const marked =
        this.#known.has(each.pid) || (wrapperLives && each.parent === wrapper.pid) || wasGiven(each.pid, given)
      if (marked === 'unclear') starting = true
      if (marked === true) this.#known.set(each.pid, each.startedAt)
      else rest.push(each)
    }
    for (let before = -1; before !== rest.length;) {
      before = rest.length
      rest = rest.filter((each) => {
        const belongs = this.#known.has(each.parent) || this.#known.has(each.session) || this.#known.has(each.group)
        if (belongs) this.#known.set(each.pid, each.startedAt)
        return !belongs
      })
    }
    const found = all.filter(({ pid }) => this.#known.has(pid) && pid !== wrapper.pid)
    const nested = found.filter(({ pid }) => isGuardian(pid))
    return { members: found.filter((each) => !nested.includes(each)), nested, starting }
  }

  /** A pid is given out again only when nobody leads, or is in, a session or group of that number. */
  #forgetReused(all: readonly Process[]): void {
    for (const { pid, startedAt } of all) {
      const known = this.#known.get(pid)
      if (known !== undefined && known !== startedAt) this.#known.delete(pid)
    }
  }
}

function same(a: Started, b: Started): boolean {
  return a.pid === b.pid && a.startedAt === b.startedAt
}

/** @returns false when it is gone, or is not ours to signal */
export function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

async function gone(these: readonly Process[]): Promise<void> {
  for (let pauseMs = 1, left = these; left.length > 0; pauseMs = Math.min(pauseMs * 1.5, 50)) {
    await pause(pauseMs)
    left = left.filter((each) => processOf(each.pid)?.startedAt === each.startedAt)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
