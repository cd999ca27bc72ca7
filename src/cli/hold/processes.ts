/**
 * Which processes there are, as the kernel tells it.
 *
 * On Linux from /proc, without starting anything. Elsewhere from `ps`, which knows neither start times nor
 * environments, so that a process is known by its pid alone there. Imports next to nothing: the guardian starts with it.
 */
import { closeSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs'

export interface Process {
  readonly pid: number
  readonly parent: number
  readonly group: number
  readonly session: number
  /** Tells a process from a later one with the same pid. Clock ticks since the machine started; 0 where unknown. */
  readonly startedAt: number
}

/** The first word of a guardian's command line: by it the guardians of nested runs know each other. */
export const GUARDIAN = 'holdfast-guardian'

/** In the flags of /proc/PID/stat: belongs to the kernel. */
const KERNEL_THREAD = 0x20_00_00
const buffer = Buffer.allocUnsafe(4096)

/** All processes that run. The dead that nobody has collected yet do not. */
export function processes(): Process[] {
  return process.platform === 'linux' ? fromProc() : fromPs()
}

/** One process, if it runs. */
export function processOf(pid: number): Process | undefined {
  if (process.platform !== 'linux') return fromPs().find((each) => each.pid === pid)
  const found = readStat(pid)
  return found && !found.dead ? found : undefined
}

/** When a process was started, also of one that is dead and not yet collected. */
export function startOf(pid: number): number {
  return (process.platform === 'linux' && readStat(pid)?.startedAt) || 0
}

/** Whether `pid` was started with all of these `NAME=value` strings. `unclear`: it is being started; ask again. */
export function wasGiven(pid: number, strings: readonly string[]): boolean | 'unclear' {
  if (process.platform !== 'linux') return false
  try {
    const environment = readFileSync(`/proc/${pid}/environ`)
    // Between dropping its old memory and laying out the new, a process has neither environment nor arguments.
    if (environment.length === 0) return readFileSync(`/proc/${pid}/cmdline`).length === 0 ? 'unclear' : false
    return strings.every((each) => {
      const found = environment.indexOf(`${each}\0`)
      return found === 0 || (found > 0 && environment[found - 1] === 0)
    })
  } catch {
    // It has ended, or belongs to another user: then it was not started by us, or we could not end it anyway.
    return false
  }
}

export function isGuardian(pid: number): boolean {
  if (process.platform !== 'linux') return false
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith(`${GUARDIAN}\0`)
  } catch {
    return false
  }
}

function fromProc(): Process[] {
  return readdirSync('/proc').flatMap((entry) => (/^\d/.test(entry) ? (processOf(Number(entry)) ?? []) : []))
}

/** `pid (name) state parent group session …`, and the name may hold anything. */
function readStat(pid: number): (Process & { readonly dead: boolean }) | undefined {
  const text = readSmall(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const number = (index: number): number => Number(fields[index])
  // The first thread of a process can be dead while others go on.
  const dead = (fields[0] === 'Z' || fields[0] === 'X') && number(17) <= 1
  if ((number(6) & KERNEL_THREAD) !== 0) return undefined
  return { pid, parent: number(1), group: number(2), session: number(3), startedAt: number(19), dead }
}

function readSmall(path: string): string | undefined {
  let file: number | undefined
  try {
    file = openSync(path, 'r')
    return buffer.toString('latin1', 0, readSync(file, buffer, 0, buffer.length, 0))
  } catch {
    // The process has ended since its folder was listed.
    return undefined
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** Exported for a test: it is what other systems than Linux get. */
export function fromPs(): Process[] {
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid=,pgid=,stat='], { encoding: 'utf8' })
  return stdout.split('\n').flatMap((line) => {
    const [pid, parent, group, state] = line.trim().split(/\s+/)
    if (!pid || state === undefined || state.startsWith('Z')) return []
    return { pid: Number(pid), parent: Number(parent), group: Number(group), session: Number(group), startedAt: 0 }
  })
}
