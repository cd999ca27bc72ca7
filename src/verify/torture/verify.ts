/** Trials, one after the other: which, for how long, and what was done before is not done again. */
import type { Trial } from '../report/report.ts'
import type { Fault } from './faults.ts'
import { FAULTS } from './faults.ts'
import { pick } from './random.ts'
import type { Arena, Place, TrialOptions } from './trial.ts'
import { trial } from './trial.ts'

export interface VerifyOptions extends Pick<
  TrialOptions,
  'seed' | 'program' | 'signal' | 'now' | 'keep' | 'checkers' | 'again' | 'eventsMax'
> {
  /** For all trials together, about; each fault strikes once at least. */
  readonly minutes: number
  /** Each fault by itself, in place of all of them mixed. */
  readonly each: boolean
  /** How often each fault strikes at least. */
  readonly strikes: number
  /** Only these faults, by their names; of all of them, where it is empty. */
  readonly faults: readonly string[]
  /** What is told while it goes on. */
  readonly tell: {
    begins(planned: Planned, number: number, count: number): void
    struck(planned: Planned, strikes: number): void
    ended(trial: Trial): void
  }
  /** What came of this one, in an earlier run. */
  readonly done?: ((planned: Planned) => Trial | undefined) | undefined
}

export interface Planned {
  readonly coordinator: string
  readonly fault: string
}

interface Plan extends Planned {
  run(seconds: number): Promise<Trial>
}

/** An arena, whatever its places are. */
export interface AnyArena {
  readonly name: string
  /** All that can strike there. */
  readonly faults: readonly Pick<Fault, 'name' | 'about' | 'breaks'>[]
  /** What cannot, for want of something. */
  readonly leftOut: readonly Pick<Fault, 'name' | 'needs'>[]
  plans(options: VerifyOptions): readonly Plan[]
}

export function any<P extends Place>(arena: Arena<P>): AnyArena {
  const all: readonly Fault<P>[] = [...FAULTS, ...arena.faults]
  const isThere = ({ needs }: Fault<P>): boolean => needs === undefined || arena.has.has(needs)
  const faults = withMixed(all.filter(isThere))
  const leftOut = all.filter((fault) => !isThere(fault))
  return { name: arena.name, faults, leftOut, plans: (options) => plansOf(arena, faults, options) }
}

/** All at random, one after the other: those that break nothing, and the others. */
const MIXED: readonly [string, string] = ['mixed', 'mixed-broken']
/** Of a trial, beside its faults: starting, warming up, resting, looking for what is left. */
const BESIDE_SECONDS = 8

/** @returns as many as there was time for; none is begun when `signal` has aborted */
export async function verify(arenas: readonly AnyArena[], options: VerifyOptions): Promise<Trial[]> {
  const plans = arenas.flatMap((arena) => arena.plans(options))
  const seconds = Math.max(1, (options.minutes * 60) / Math.max(1, plans.length) - BESIDE_SECONDS)
  const trials: Trial[] = []
  for (const [index, plan] of plans.entries()) {
    const before = options.done?.(plan)
    if (!before && options.signal?.aborted) break
    options.tell.begins(plan, index + 1, plans.length)
    const ended = before ?? (await plan.run(seconds))
    options.tell.ended(ended)
    trials.push(ended)
  }
  return trials
}

function withMixed<P extends Place>(all: readonly Fault<P>[]): readonly Fault<P>[] {
  const kept = all.filter(({ breaks }) => breaks === undefined)
  const broken = all.filter(({ breaks }) => breaks !== undefined)
  return [...all, ...mixed(MIXED[0], kept), ...mixed(MIXED[1], broken)]
}

function plansOf<P extends Place>(arena: Arena<P>, all: readonly Fault<P>[], options: VerifyOptions): Plan[] {
  const { each, faults, tell, minutes: _minutes, done: _done, ...rest } = options
  const isMixed = ({ name }: Fault<P>): boolean => MIXED.includes(name)
  const chosen = all.filter((fault) => (faults.length > 0 ? faults.includes(fault.name) : isMixed(fault) !== each))
  return chosen.map((fault) => {
    const planned = { coordinator: arena.name, fault: fault.name }
    const progress = (struck: number): void => tell.struck(planned, struck)
    return {
      ...planned,
      run: (seconds) => trial(arena, fault, { ...rest, seconds, progress }),
    }
  })
}

/** One of them at a time, at random. */
function mixed<P>(name: string, faults: readonly Fault<P>[]): Fault<P>[] {
  if (faults.length === 0) return []
  const breaks = [...new Set(faults.flatMap(({ breaks }) => breaks ?? []))]
  return [
    {
      name,
      about: 'one fault after the other, at random',
      ...(breaks.length === 0 ? {} : { breaks: breaks.join('; or ') }),
      // The others find what they need with each worker.
      needs: faults.find(({ needs }) => needs === 'small disk')?.needs,
      strike: (scene) => pick(scene.random, faults).strike(scene),
      felt: (history) => faults.some(({ felt }) => felt(history)),
    },
  ]
}
