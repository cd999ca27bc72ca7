/** `holdfast verify`: does its worst to processes that take turns at a coordinator, and says whether what is promised held. */
import { isatty } from 'node:tty'
import { fileURLToPath } from 'node:url'
import { clean, didYouMean } from '../../core/text.ts'
import type { Report, Trial } from '../../verify/report/report.ts'
import { verdictOf } from '../../verify/report/report.ts'
import { arenaAt } from '../../verify/torture/arena.ts'
import type { Ear } from '../../verify/torture/telling.ts'
import { EXIT_CODES, conclusionOf, environmentOf, tellTo, writeReport } from '../../verify/torture/telling.ts'
import { answers } from '../../verify/torture/trial.ts'
import type { AnyArena } from '../../verify/torture/verify.ts'
import { verify as runTrials } from '../../verify/torture/verify.ts'
import type { Ending } from '../exit.ts'
import { usageError } from '../exit.ts'
import { Signals } from '../hold/signals.ts'
import type { Given, VerifyValues } from '../table.ts'
import { print } from '../text.ts'
import { version } from '../version.ts'
import { say } from '../voice.ts'

/** From the bundle: each worker is a process of its own. */
const WORKER = '../verify/torture/worker.js'
const MINUTES = 1
const SEEDS = 2 ** 31

export async function verify({ values, words }: Given<VerifyValues>): Promise<Ending> {
  if (words.length > 0)
    throw usageError('verify takes no name; say which coordinator with --url or HOLDFAST_URL, and which --fault')
  const url = values.url ?? process.env['HOLDFAST_URL'] ?? 'file:'
  const arena = arenaAt(url, values.ttl)
  const faults = faultNames(arena, values.fault)
  await answers(url)
  const seed = values.seed ?? Math.floor(Math.random() * SEEDS)
  const signals = new Signals()
  const startedAt = new Date().toISOString()
  const minutes = values.minutes ?? MINUTES
  const options = { seed, minutes, faults, each: values.each, strikes: values.strikes ?? 1 }
  const ear = values.json ? silence : voice()
  const program = [process.execPath, fileURLToPath(new URL(WORKER, import.meta.url))]
  const now = (): Date => new Date()
  ear.now('starting')
  const again = ({ fault, seed }: Pick<Trial, 'fault' | 'seed'>): string =>
    `holdfast verify --fault ${fault} --seed ${seed}`
  const trials = await runTrials([arena], {
    ...options,
    program,
    signal: signals.interruption,
    now,
    again,
    tell: tellTo(ear),
  })
  ear.now('')
  const command = `holdfast verify --seed ${seed}`
  const report: Report = { command, startedAt, environment: environmentOf(version()), trials }
  if (values.json) print(1, `${JSON.stringify({ verdict: verdictOf(trials), ...report }, undefined, 2)}\n`)
  else print(1, `${conclusionOf(trials)}\n`)
  if (values.report !== undefined) {
    writeReport(values.report, report)
    say(`the report is in ${values.report}`)
  }
  if (signals.endedBy) return { signal: signals.endedBy }
  return { code: EXIT_CODES[verdictOf(trials)] }
}

/** @throws ExitError 64 for one that cannot strike there */
function faultNames(arena: AnyArena, given: string | undefined): readonly string[] {
  const known = arena.faults.map(({ name }) => name)
  const names = given?.split(',') ?? []
  for (const name of names)
    if (!known.includes(name))
      throw usageError(
        `--fault is '${clean(name)}'${didYouMean(name, known)}; at ${arena.name}: there are ${known.join(', ')}`,
      )
  return names
}

const silence: Ear = { line: () => {}, now: () => {} }

/** A terminal shows what is going on in its last line. */
function voice(): Ear {
  const shows = isatty(2)
  let shown = false
  const now = (text: string): void => {
    if (!shows || (!shown && text === '')) return
    shown = text !== ''
    print(2, `\r\u001B[K${text}`)
  }
  return {
    now,
    line: (text) => {
      now('')
      print(1, `${text}\n`)
    },
  }
}
