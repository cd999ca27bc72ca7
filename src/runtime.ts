/**
 * The seam for time and chance: the only place that reads a clock, sets a timer or draws a random number for the core
 * and the embedded coordinators. The simulation puts its own in its place, and the same code runs in virtual time.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'

export interface Clocks {
  /** Milliseconds that never go back, with a fraction. Stops while the machine sleeps. */
  monotonicMs(): number
  /** Milliseconds since 1970. May jump. */
  wallMs(): number
}

export interface Timer {
  cancel(): void
  /** Whether the process stays alive for this timer. A timer starts without. */
  keepAlive(yes: boolean): void
}

export interface Runtime extends Clocks {
  /** Call `fire` once, not before `ms` milliseconds from now. */
  after(ms: number, fire: () => void): Timer
  /** 128 random bits as text. */
  token(): string
  /** A number from 0 to below 1, for jitter. */
  random(): number
  /** Who we are, for people who look at a queue. */
  readonly identity: Identity
}

export interface Identity {
  readonly host: string
  readonly pid: number
  readonly user: string
}

/** setTimeout counts in an int32 and fires at once beyond it. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

const TOKEN_BYTES = 16
const pool = Buffer.allocUnsafe(TOKEN_BYTES * 1024)
let used = pool.length

export const realRuntime: Runtime = {
  // Not performance.now(), which a command that is started under a lock would wait a millisecond for: it loads ten modules.
  monotonicMs() {
    const [seconds, nanoseconds] = process.hrtime()
    return seconds * 1e3 + nanoseconds / 1e6
  },
  wallMs: () => Date.now(),
  after(ms, fire) {
    const timer = setTimeout(fire, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS))
    timer.unref()
    return {
      cancel: () => clearTimeout(timer),
      keepAlive: (yes) => void (yes ? timer.ref() : timer.unref()),
    }
  },
  token() {
    // A call into the random source costs more than the rest of an acquisition, so bits are drawn for many tokens at once.
    if (used === pool.length) {
      fillByChance(pool)
      used = 0
    }
    used += TOKEN_BYTES
    return pool.toString('base64url', used - TOKEN_BYTES, used)
  },
  random: () => Math.random(),
  get identity() {
    identity ??= { host: hostname(), pid: process.pid, user: userName() }
    return identity
  },
}

/** Call `fn` after timers and sockets of this turn of the event loop have had theirs. */
export function nextTurn(fn: () => void): void {
  setImmediate(fn)
}

/**
 * From the kernel's own generator, where that is a file: node:crypto takes six milliseconds to load, a tenth of all that a
 * command waits for until it is started.
 */
function fillByChance(buffer: Buffer): void {
  try {
    const file = openSync('/dev/urandom', 'r')
    try {
      if (readSync(file, buffer) === buffer.length) return
    } finally {
      closeSync(file)
    }
  } catch {
    // There is none, as on Windows.
  }
  process.getBuiltinModule('node:crypto').randomFillSync(buffer)
}

let identity: Identity | undefined

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run under a number that has no account; the number is all there is to show.
    return String(process.getuid?.() ?? 'unknown')
  }
}
