/**
 * The clock that all processes of a machine share, and what tells one such clock from another.
 *
 * CLOCK_MONOTONIC is the same number in every process, but starts anew with each boot, and is shifted in a Linux time
 * namespace. A store remembers under which clock its times were taken.
 */
import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
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
  /** A part of a millisecond, where the wall clock says nothing: any, in whole microseconds. */
  someMicros(): number
}

export function machineClock(): FileClock {
  let identity: ClockIdentity | undefined
  return {
    now() {
      // Not performance.now() and an offset: a process stopped while it reads the two would be behind all others for good,
      // and what it joins would end before it believes so.
      const [seconds, nanoseconds] = process.hrtime()
      return { monotonicMs: seconds * 1000 + nanoseconds / 1e6, wallMs: Date.now() }
    },
    get identity() {
      identity ??= { boot: bootId(), namespace: timeNamespace() }
      return identity
    },
    someMicros: () => randomInt(1000),
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
