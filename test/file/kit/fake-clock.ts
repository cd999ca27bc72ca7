import type { ClockIdentity, FileClock } from '../../../src/backends/file/clock.ts'

/** A machine's clock in the hands of a test. All backends that are given the same one live on the same machine. */
export interface FakeClock extends FileClock {
  advance(ms: number): void
  /** Set the wall clock: forward, or back if negative. */
  jumpWall(ms: number): void
  /** The machine starts anew after `offMs` by the wall clock. */
  reboot(offMs?: number): void
  /** The same machine, seen from another time namespace. */
  elsewhere(namespace: string): FileClock
}

/** 1 January 2026. */
const START_WALL_MS = 1_767_225_600_000

export function fakeClock(): FakeClock {
  let monotonicMs = 5_000_000
  let wallMs = START_WALL_MS
  let boots = 1
  const identity = (namespace: string): ClockIdentity => ({ boot: `boot-${boots}`, namespace })
  const now = (): { monotonicMs: number; wallMs: number } => ({ monotonicMs, wallMs })
  return {
    now,
    get identity() {
      return identity('one')
    },
    advance(ms) {
      monotonicMs += ms
      wallMs += ms
    },
    jumpWall(ms) {
      wallMs += ms
    },
    reboot(offMs = 0) {
      boots += 1
      monotonicMs = 1000
      wallMs += offMs
    },
    elsewhere(namespace) {
      return {
        now,
        get identity() {
          return identity(namespace)
        },
      }
    },
  }
}
