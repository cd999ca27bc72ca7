/**
 * The clock that all processes of a machine share, and what tells one such clock from another.
 *
 * CLOCK_MONOTONIC is the same number in every process, but starts anew with each boot, and is shifted in a Linux time
 * namespace. A store remembers under which clock its times were taken.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import type { Moment } from '../../queue/table.ts'

/** What a store's times mean: comparable only where both are equal. */
export interface ClockIdentity {
  /** Another one after every boot. */
  readonly boot: string
  /** The time namespace; text without meaning but to be compared. */
  readonly namespace: string
}

export interface FileClock {
  now(): Moment
  readonly identity: ClockIdentity
}

export function machineClock(): FileClock {
  let identity: ClockIdentity | undefined
  const wall = new FineWall(performance.timeOrigin + performance.now() - machineMs())
  return {
    now() {
      // Not performance.now() and an offset: a process stopped while it reads the two would be behind all others for good,
      // and what it joins would end before it believes so.
      const monotonicMs = machineMs()
      return { monotonicMs, wallMs: wall.at(monotonicMs, Date.now()) }
    },
    get identity() {
      identity ??= { boot: bootId(), namespace: timeNamespace() }
      return identity
    },
  }
}

function machineMs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}

/**
 * The wall clock to a microsecond, where the machine tells whole milliseconds: how far it is ahead of the monotonic clock only
 * changes when somebody sets it, and each reading says within which millisecond that lies.
 *
 * Fences are drawn by it. Otherwise: 1. a store is removed while somebody draws from it, and another one is made;  2. both grant
 * within one millisecond, with the same fence, and no resource can tell the two holders apart.
 */
export class FineWall {
  #aheadMs: number

  /** @param aheadMs about how far it is ahead */
  constructor(aheadMs: number) {
    this.#aheadMs = aheadMs
  }

  /** Both as they were read, one after the other. */
  at(monotonicMs: number, wallMs: number): number {
    const fineMs = Math.min(Math.max(monotonicMs + this.#aheadMs, wallMs), wallMs + 0.999)
    this.#aheadMs = fineMs - monotonicMs
    return Math.floor(fineMs * 1000) / 1000
  }
}

function bootId(): string {
  if (process.platform === 'darwin')
    return execFileSync('/usr/sbin/sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8' }).trim()
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}

function timeNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/time')
  } catch {
    // No such namespaces before Linux 5.6 and elsewhere: then there is one clock for all.
    return 'one'
  }
}
