/** What the program says on stderr: lines for people, or, with --json, an object a line for programs. */
import { print } from './text.ts'

/** Somebody in a queue, for a program. Times in milliseconds; a fence is text, as it may not fit into a number elsewhere. */
export interface Someone {
  readonly host?: string | undefined
  readonly pid?: number | undefined
  readonly user?: string | undefined
  readonly label?: string | undefined
  readonly value?: string | undefined
  readonly fence: string
  readonly weight: number
  /** Since it asked, and, for a holder, since it holds. */
  readonly ageMs: number
  readonly heldMs?: number | undefined
  /** How long the coordinator keeps it without renewal. */
  readonly ttlMs: number
  readonly lingering?: boolean | undefined
}

/** A line of --json. */
export type Said =
  | {
      readonly type: 'lock.waiting'
      readonly name: string
      readonly position?: number | undefined
      readonly waiters: number
      readonly holder?: Someone | undefined
      readonly elapsedMs: number
    }
  | {
      readonly type: 'lock.acquired'
      readonly name: string
      readonly fence: string
      readonly mode: string
      readonly waitedMs: number
      readonly ttlMs: number
    }
  | { readonly type: 'lock.renewed'; readonly name: string; readonly fence: string; readonly ttlMs: number }
  /** It was not renewed in time: the command is asked to end, and killed in so long. */
  | { readonly type: 'lock.at_risk'; readonly name: string; readonly fence: string; readonly killInMs: number }
  | { readonly type: 'lock.lost'; readonly name: string; readonly fence: string; readonly text: string }
  | {
      readonly type: 'lock.released'
      readonly name: string
      readonly fence: string
      readonly outcome: 'released' | 'gone'
    }
  | {
      readonly type: 'lock.not_acquired'
      readonly name: string
      readonly elapsedMs: number
      readonly position?: number | undefined
      readonly holders: readonly Someone[]
      readonly waiters: number
    }
  /** Anything else that people would be told. */
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'error'; readonly code: number; readonly text: string }

let asJson = false
let verbose = false

/** How to speak from now on. */
export function speak(how: { readonly json?: boolean; readonly verbose?: boolean }): void {
  asJson = how.json ?? false
  verbose = how.verbose ?? false
}

export function speaksJson(): boolean {
  return asJson
}

/** What everybody must hear. */
export function say(text: string, said: Said = { type: 'note', text }): void {
  if (asJson) tell(said)
  // To descriptor 2 and not to `process.stderr`, which would make the command's stderr non-blocking.
  else print(2, `holdfast: ${text}\n`)
}

/** What those hear who asked for more, and programs. */
export function mention(text: string, said?: Said): void {
  if (asJson ? said !== undefined : verbose) say(text, said)
}

/** What only programs hear. */
export function tell(said: Said): void {
  if (asJson) print(2, `${JSON.stringify({ ...said, at: new Date().toISOString() })}\n`)
}
