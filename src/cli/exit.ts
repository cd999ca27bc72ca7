/** How the program ends: which code says what, and how to die by a signal. */
import { constants } from 'node:os'

export const EXIT = {
  usage: 64,
  unavailable: 69,
  ourBug: 70,
  held: 75,
  denied: 77,
  config: 78,
  lost: 79,
  maxTime: 124,
  notExecutable: 126,
  notFound: 127,
} as const

/** Like a command that we ran: by a code, or by a signal. */
export type Ending = { readonly code: number } | { readonly signal: NodeJS.Signals }

/** Ends the program with a line for people and a code for scripts. */
export class ExitError extends Error {
  readonly exitCode: number
  /** Lines that help, below the first. */
  readonly more: string

  constructor(exitCode: number, message: string, more = '') {
    super(message)
    this.exitCode = exitCode
    this.more = more
  }
}

export function usageError(message: string): ExitError {
  return new ExitError(EXIT.usage, message)
}

/** Codes of errors, ours and those of coordinators. What is not in here is a bug of ours. */
const CODES: Record<string, number> = {
  BAD_ARGUMENT: EXIT.usage,
  CAPACITY_MISMATCH: EXIT.usage,
  NOT_SUPPORTED: EXIT.usage,
  SELF_DEADLOCK: EXIT.usage,
  UNREACHABLE: EXIT.unavailable,
  UNAVAILABLE: EXIT.unavailable,
  NOT_REPLICATED: EXIT.unavailable,
  STORE_GONE: EXIT.unavailable,
  STORE_FULL: EXIT.unavailable,
  STORE_DAMAGED: EXIT.unavailable,
  DENIED: EXIT.denied,
  BAD_URL: EXIT.config,
  MISCONFIGURED: EXIT.config,
  STORE_VERSION: EXIT.config,
  STORE_MISMATCH: EXIT.config,
  LEASE_LOST: EXIT.lost,
}

/** The exit code for an error; 70, our bug, for one that we do not know. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ExitError) return error.exitCode
  return CODES[codeOf(error) ?? ''] ?? EXIT.ourBug
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/**
 * Signals that leave a core file. Dying of one ourselves would put our core over the command's; the code says the same to
 * a shell.
 */
const LEAVES_CORE = new Set([
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGSEGV',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGSYS',
])

/** End this process as the command ended, so that whoever started us sees the same. */
export async function end(ending: Ending): Promise<never> {
  if ('code' in ending) process.exit(ending.code)
  const { signal } = ending
  if (signal !== 'SIGKILL' && !LEAVES_CORE.has(signal)) {
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
    // Reached when the signal does nothing: as the first process of a container, which the kernel spares.
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  process.exit(128 + constants.signals[signal])
}
