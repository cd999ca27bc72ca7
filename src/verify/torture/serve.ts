/** The inside of a worker process: it does what it is told, line by line, until whoever tells it is gone. */
import { createInterface } from 'node:readline'
import { realRuntime } from '../../runtime.ts'

/** What it says: first its pid, then an answer to each call. */
export interface Answer {
  readonly pid?: number
  readonly id?: number
  readonly value?: unknown
  readonly error?: {
    readonly name: string
    readonly code?: string | undefined
    readonly message: string
    readonly stack?: string | undefined
  }
}

interface Call {
  readonly id: number
  readonly act: string
  readonly word: unknown
}

/** How long a worker that has let go of everything may live on. */
const LINGERS_MS = 10_000

/**
 * @param perform does what a call asks for
 * @param left whether it has let go of everything, so that it ends by itself
 */
export function serve(perform: (act: string, word: unknown) => unknown, left: () => boolean): void {
  const say = (message: Answer): void =>
    // A fence is below 2^53, so it is a number where JSON knows no other.
    void process.stdout.write(
      `${JSON.stringify(message, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value))}\n`,
    )
  const lines = createInterface({ input: process.stdin })
  lines.on('line', (line) => {
    const { id, act, word } = JSON.parse(line) as Call
    Promise.resolve()
      .then(() => perform(act, word))
      .then(
        (value) => say({ id, value }),
        (error: unknown) => {
          const { name, code, message, stack } = error as Error & { code?: string }
          say({ id, error: { name, code, message, stack } })
        },
      )
  })
  // Whoever told it is gone. One that was told to leave must end by itself, if nothing of it is left.
  lines.on('close', () => {
    if (!left()) process.exit()
    realRuntime.after(LINGERS_MS, () => {
      process.stderr.write(`it does not end: ${process.getActiveResourcesInfo().join(', ')}\n`)
      process.exit(1)
    })
  })
  say({ pid: process.pid })
}
