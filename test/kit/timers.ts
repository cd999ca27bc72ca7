/** Time that stands still until it is told to pass, and timers that fire when they are told to. */
import { expect } from 'vitest'
import type { Runtime } from '../../src/runtime.ts'
import { realRuntime } from '../../src/runtime.ts'

interface SetTimer {
  readonly ms: number
  readonly fire: () => void
  state: 'set' | 'cancelled' | 'fired'
  alive: boolean
}

export interface HandTimers {
  readonly runtime: Runtime
  /** The timers that stand, as how long they were set for. */
  standing(): number[]
  /** Which of them keep the process alive. */
  alive(): boolean[]
  /** How many timers were ever set. */
  count(): number
  pass(ms: number): void
  /** Fire the one timer that stands. */
  ring(): void
}

export function handTimers(): HandTimers {
  let nowMs = 0
  const timers: SetTimer[] = []
  const standing = (): SetTimer[] => timers.filter(({ state }) => state === 'set')
  return {
    runtime: {
      ...realRuntime,
      monotonicMs: () => nowMs,
      wallMs: () => 1000 + nowMs,
      after(ms, fire) {
        const timer: SetTimer = { ms, fire, state: 'set', alive: false }
        timers.push(timer)
        return { cancel: () => void (timer.state = 'cancelled'), keepAlive: (yes) => void (timer.alive = yes) }
      },
    },
    standing: () => standing().map(({ ms }) => ms),
    alive: () => standing().map(({ alive }) => alive),
    count: () => timers.length,
    pass: (ms) => void (nowMs += ms),
    ring() {
      const [timer, ...more] = standing()
      expect(more).toEqual([])
      timer!.state = 'fired'
      timer!.fire()
    },
  }
}
