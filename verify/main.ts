/**
 * Attack what is promised, at servers of our own that are killed, frozen, flushed and failed over, and say whether it held.
 *
 *   npm run verify                                     all coordinators, all faults mixed, in about five minutes
 *   npm run verify -- --backend redis,etcd             some of them
 *   npm run verify -- --backend etcd --fault leader-frozen --strikes 20
 *   npm run verify -- --long --out proof               each fault by itself, 20 strikes; hours. What is in proof/ already is not
 *                                                      done again, so it can be ended and begun again
 *   npm run verify -- --list                           the faults of each
 *   npm run verify -- --library redlock --fault cut-off,holder-frozen
 *                                                      the same at another library, at one Redis server: whether two ever believe
 *                                                      at once, and whether they are told
 *
 * Exit code 0: held. 1: violated. 2: proved nothing: a server did not start, or a fault was not felt.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Report, Trial } from '../src/verify/report/report.ts'
import { verdictOf } from '../src/verify/report/report.ts'
import type { Ear } from '../src/verify/torture/telling.ts'
import { EXIT_CODES, conclusionOf, environmentOf, tellTo, writeReport } from '../src/verify/torture/telling.ts'
import type { Planned } from '../src/verify/torture/verify.ts'
import type { AnyArena } from '../src/verify/torture/verify.ts'
import { any, verify } from '../src/verify/torture/verify.ts'
import { ensurePeers } from '../bench/lib/peers.ts'
import { textOf } from './arenas/here.ts'
import { ARENAS } from './arenas/index.ts'
import { redis } from './arenas/redis.ts'
import { LIBRARIES } from './rivals/libraries.ts'
import { wordsOf } from '../test/kit/words.ts'

const WORKER = resolve('dist/verify/torture/worker.js')
/** Of source, like this one. */
const RIVAL = resolve('verify/rivals/worker.ts')
/** What can be said of a library without fences and without an order. */
const CHECKED_IN_RIVALS = new Set(['exclusion', 'told-in-time'])

const { values } = wordsOf(import.meta.url, {
  options: {
    backend: { type: 'string' },
    fault: { type: 'string' },
    minutes: { type: 'string', default: '5' },
    strikes: { type: 'string' },
    seed: { type: 'string' },
    long: { type: 'boolean', default: false },
    out: { type: 'string', default: 'verify-report' },
    list: { type: 'boolean', default: false },
    library: { type: 'string' },
  },
})

class UsageError extends Error {}

async function main(): Promise<number> {
  const { library } = values
  if (library !== undefined && !Object.hasOwn(LIBRARIES, library))
    throw new UsageError(`there is no library ${library}; there are ${Object.keys(LIBRARIES).join(', ')}`)
  const arenas = library === undefined ? chosen('backend', values.backend, ARENAS) : [rivalled(library)]
  sayWhatIsLeftOut(arenas)
  if (values.list) return list(arenas)
  const faults = values.fault?.split(',') ?? []
  const known = new Set(arenas.flatMap((arena) => arena.faults.map(({ name }) => name)))
  for (const fault of faults)
    if (!known.has(fault)) throw new UsageError(`there is no fault ${fault}; there are ${[...known].join(', ')}`)
  const ending = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      console.error('\nending after this strike; once more to end at once')
      ending.abort()
    })
  mkdirSync(values.out, { recursive: true })
  const strikes = values.strikes === undefined ? (values.long ? 20 : 1) : numberOf('strikes', values.strikes)
  const kept = new Kept(values.out, strikes)
  const now = (): Date => new Date()
  const startedAt = now().toISOString()
  const tell = tellTo(ear)
  const trials = await verify(arenas, {
    seed: values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : numberOf('seed', values.seed),
    minutes: values.long ? 0 : numberOf('minutes', values.minutes),
    each: values.long,
    strikes,
    faults,
    ...(library === undefined
      ? { program: [process.execPath, WORKER] }
      : { program: [process.execPath, RIVAL, library], checkers: CHECKED_IN_RIVALS }),
    signal: ending.signal,
    now,
    again: ({ coordinator, fault, seed }) =>
      `npm run verify -- ${library === undefined ? `--backend ${coordinator}` : `--library ${library}`} --fault ${fault} --seed ${seed}`,
    keep: ({ coordinator, fault }, events) =>
      writeFileSync(
        join(values.out, `${coordinator}.${fault}.ndjson`),
        events.map((event) => `${JSON.stringify(event)}\n`).join(''),
      ),
    tell: {
      ...tell,
      ended: (trial) => {
        if (values.long) kept.put(trial)
        tell.ended(trial)
      },
    },
    // A hundred trials on one page.
    ...(values.long ? { eventsMax: 300, done: (planned) => kept.find(planned) } : {}),
  })
  ear.now('')
  const command =
    `npm run verify ${process.argv.slice(2).length > 0 ? '-- ' : ''}${process.argv.slice(2).join(' ')}`.trim()
  const servers = { 'redis-server': versionOf('redis-server', /v=(\S+)/), etcd: versionOf('etcd', /Version: (\S+)/) }
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  const report: Report = { command, startedAt, environment: environmentOf(version, servers), trials }
  const page = join(values.out, 'report.html')
  writeReport(page, report)
  console.log(`${conclusionOf(trials)}\nthe report is in ${page}`)
  return ending.signal.aborted ? 130 : EXIT_CODES[verdictOf(trials)]
}

/** The arena of one Redis server, for another library. */
function rivalled(library: string): AnyArena {
  ensurePeers((text) => console.error(text))
  return any({ ...redis, name: library, workloads: ['exclusive'] })
}

/** What was done before, a file for each coordinator and fault. What did not hold, or was ended early, is done again. */
class Kept {
  readonly #directory: string
  readonly #strikes: number

  constructor(directory: string, strikes: number) {
    this.#directory = directory
    this.#strikes = strikes
  }

  find(planned: Planned): Trial | undefined {
    const path = this.#path(planned)
    if (!existsSync(path)) return undefined
    const trial = JSON.parse(readFileSync(path, 'utf8')) as Trial
    return trial.verdict === 'held' && trial.figures.strikes >= this.#strikes ? trial : undefined
  }

  put(trial: Trial): void {
    writeFileSync(this.#path(trial), JSON.stringify(trial))
  }

  #path({ coordinator, fault }: Planned): string {
    return join(this.#directory, `${coordinator}.${fault}.json`)
  }
}

const ear: Ear = {
  now: (text) => void (process.stderr.isTTY && process.stderr.write(`\r\u001B[K${text}`)),
  line: (text) => {
    ear.now('')
    console.log(text)
  },
}

/** A machine that cannot do something must not hide that. */
function sayWhatIsLeftOut(arenas: readonly AnyArena[]): void {
  const wants = new Map<string, Set<string>>()
  for (const { name, needs } of arenas.flatMap(({ leftOut }) => leftOut)) {
    if (needs === undefined || needs === 'wire') continue
    wants.set(textOf(needs), (wants.get(textOf(needs)) ?? new Set()).add(name))
  }
  for (const [want, names] of wants) console.error(`left out: ${[...names].join(', ')} (takes ${want})`)
}

function list(arenas: typeof ARENAS): number {
  for (const arena of arenas) {
    console.log(arena.name)
    for (const { name, about, breaks } of arena.faults)
      console.log(`  ${name.padEnd(22)}  ${about}${breaks === undefined ? '' : `; breaks: ${breaks}`}`)
  }
  return 0
}

function chosen<T extends { readonly name: string }>(what: string, given: string | undefined, all: readonly T[]): T[] {
  if (given === undefined) return [...all]
  return given.split(',').map((word) => {
    const found = all.find(({ name }) => name === word)
    if (!found) throw new UsageError(`there is no ${what} ${word}; there are ${all.map(({ name }) => name).join(', ')}`)
    return found
  })
}

function numberOf(option: string, text: string): number {
  const number = Number(text)
  if (!(number >= 0 && text.trim() !== '')) throw new UsageError(`--${option} is '${text}'; give a number`)
  return number
}

function versionOf(program: string, sign: RegExp): string {
  return sign.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[1] ?? 'unknown'
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  console.error(error.message)
  process.exitCode = 64
}
