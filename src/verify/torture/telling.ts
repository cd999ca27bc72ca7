/** What a verification tells: a line for each trial as it ends, what is going on meanwhile, a verdict, and a report. */
import { writeFileSync } from 'node:fs'
import { availableParallelism, arch, release, type } from 'node:os'
import { pageOf } from '../report/page.ts'
import type { Environment, Report, Trial, Verdict } from '../report/report.ts'
import { verdictOf } from '../report/report.ts'
import { counted } from '../report/words.ts'
import type { Planned, VerifyOptions } from './verify.ts'

/** Where it is told. */
export interface Ear {
  /** A line that stays. */
  line(text: string): void
  /** What is going on: it is replaced by the next text. */
  now(text: string): void
}

/** The exit code of each verdict: what proves nothing is not green. */
export const EXIT_CODES: Readonly<Record<Verdict, number>> = { held: 0, violated: 1, 'proved nothing': 2 }

const MOST_SHOWN = 5

export function tellTo(ear: Ear): VerifyOptions['tell'] {
  let place = ''
  return {
    begins: ({ coordinator, fault }, number, count) => {
      place = `${number} of ${count}: ${coordinator}, ${fault}`
      ear.now(place)
    },
    struck: (_: Planned, strikes) => ear.now(`${place}: ${counted(strikes, 'strike')}`),
    ended: (trial) => {
      for (const line of linesOf(trial)) ear.line(line)
    },
  }
}

function linesOf({ coordinator, fault, verdict, why, figures, violations, again }: Trial): string[] {
  const { strikes, operations, logged, overlaps, refused } = figures
  const about = [
    counted(strikes, 'strike'),
    counted(operations, 'operation'),
    ...(logged === 0 ? [] : [`${counted(logged, 'grant')} in its own log`]),
    counted(refused, 'stale access', 'stale accesses') + ' refused',
    ...(overlaps === 0 ? [] : [`${overlaps} overlaps`]),
  ]
  const first = `${verdict.padEnd(14)}  ${coordinator}, ${fault}: ${about.join(', ')}`
  if (verdict === 'held') return [first]
  if (verdict === 'proved nothing') return [first, `    ${why}`]
  const shown = violations.slice(0, MOST_SHOWN).map(({ checker, text }) => `    ${checker}: ${text}`)
  const more = violations.length - shown.length
  return [
    first,
    ...shown,
    ...(more > 0 ? [`    and ${more} more`] : []),
    ...(again === undefined ? [] : [`    again: ${again}`]),
  ]
}

/** In a sentence. */
export function conclusionOf(trials: readonly Trial[]): string {
  const sum = (of: (figures: Trial['figures']) => number): number =>
    trials.reduce((total, { figures }) => total + of(figures), 0)
  const amount = `${counted(trials.length, 'trial')}, ${counted(
    sum(({ strikes }) => strikes),
    'strike',
  )}, ${counted(
    sum(({ operations }) => operations),
    'operation',
  )}`
  switch (verdictOf(trials)) {
    case 'held':
      return `held: nothing that is promised was broken (${amount})`
    case 'violated':
      return `violated: something that is promised was broken (${amount})`
    case 'proved nothing':
      return `proved nothing: a server did not start, or a fault was not felt (${amount})`
  }
}

export function environmentOf(holdfast: string, servers: Environment['servers'] = {}): Environment {
  const system = `${type()} ${release()} ${arch()}`
  return { holdfast, node: process.version.slice(1), system, cores: availableParallelism(), servers }
}

/** The page of a report, into a file. @throws what the file system says */
export function writeReport(path: string, report: Report): void {
  writeFileSync(path, pageOf(report))
}
