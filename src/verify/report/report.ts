/**
 * What a verification found: trials, each of one coordinator and one fault, and what came of all of them together.
 *
 * It is data: it is stored as JSON, several of them are put together into one, and `page.ts` draws it.
 */
import type { Event, Violation } from '../history.ts'

/**
 * `held`: nothing that is promised was broken, and the fault was felt. `violated`: something was. `proved nothing`: a server
 * did not start, or the fault did not bite.
 */
export type Verdict = 'held' | 'violated' | 'proved nothing'

/** Where it was found. */
export interface Environment {
  /** The version of holdfast. */
  readonly holdfast: string
  readonly node: string
  /** `Linux 6.1.0 x64` */
  readonly system: string
  readonly cores: number
  /** Versions of servers, by what they are called: `redis-server`, `etcd`. */
  readonly servers: Readonly<Record<string, string>>
}

export interface Figures {
  /** Acquisitions, accesses of registers, renewals and releases. */
  readonly operations: number
  readonly grants: number
  /** Grants that the coordinator's own log tells of; 0 where there is none. */
  readonly logged: number
  /** How often the fault struck. */
  readonly strikes: number
  /** How often two believed at once. */
  readonly overlaps: number
  /** In the registers that look at no fences. */
  readonly lostUpdates: number
  /** Stale accesses that the registers with a guard refused. */
  readonly refused: number
}

/** The part of a history that is worth looking at. */
export interface Excerpt {
  /** What there is to be seen, in a sentence. */
  readonly about: string
  /** On the scale of the events: its middle. */
  readonly at: number
  /** In the order of time. */
  readonly events: readonly Event[]
}

/** One coordinator, and one fault that struck again and again while processes took turns. */
export interface Trial {
  readonly coordinator: string
  readonly fault: string
  /** What the fault takes away that the promise rests on, in words; `undefined`: nothing, so all must hold. */
  readonly breaks?: string | undefined
  readonly seed: number
  /** What to type to carry it out again. */
  readonly again?: string | undefined
  readonly startedAt: string
  readonly seconds: number
  readonly verdict: Verdict
  /** In a sentence. */
  readonly why: string
  readonly figures: Figures
  /** Of what is promised. */
  readonly violations: readonly Pick<Violation, 'checker' | 'text'>[]
  readonly excerpt?: Excerpt | undefined
}

export interface Report {
  /** What was typed. */
  readonly command: string
  readonly startedAt: string
  readonly environment: Environment
  readonly trials: readonly Trial[]
}

/** Of all trials together: one that is violated is enough, and so is one that proves nothing. */
export function verdictOf(trials: readonly Pick<Trial, 'verdict'>[]): Verdict {
  if (trials.some(({ verdict }) => verdict === 'violated')) return 'violated'
  if (trials.length === 0 || trials.some(({ verdict }) => verdict === 'proved nothing')) return 'proved nothing'
  return 'held'
}
