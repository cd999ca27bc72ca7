/**
 * Changes the pure cores and the checkers in every small way that Stryker knows, one change at a time, and counts which of them
 * the tests notice. Prints the score of each file and what survived; docs/evidence/mutation.md explains the survivors. Exits
 * with 1 below 90 %. Words on the command line choose files: those whose path has one of them in it.
 *
 * The tool is in tools/mutation, and is installed there when it is first needed. Results are kept in .mutation, file by file, so
 * it may be interrupted: what is tried again is what changed in a file, and what survived where a test is new. A change anywhere
 * else is not seen. Delete that folder to start anew.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const WANTED = 90

const root = fileURLToPath(new URL('..', import.meta.url))
const tool = join(root, 'tools/mutation')
const stryker = join(tool, 'node_modules/@stryker-mutator/core')
const results = '.mutation'

const verify = (...names) => names.map((name) => `test/verify/${name}.test.ts`)

/** Each file, and the quick tests that are about it. */
const tests = {
  'src/verify/checkers/backed.ts': verify('backed', 'promises'),
  'src/verify/checkers/exclusion.ts': verify('exclusion', 'promises', 'search'),
  'src/verify/checkers/fence-order.ts': verify('order', 'promises', 'definitions'),
  'src/verify/checkers/fifo-order.ts': verify('order', 'promises', 'definitions'),
  'src/verify/checkers/guarded-register.ts': verify('promises', 'definitions'),
  'src/verify/checkers/index.ts': verify('promises'),
  'src/verify/checkers/liveness.ts': verify('promises'),
  'src/verify/checkers/permits.ts': verify('exclusion', 'promises', 'search'),
  'src/verify/checkers/readers-writers.ts': verify('exclusion', 'promises', 'search'),
  'src/verify/checkers/residue.ts': verify('promises'),
  'src/verify/checkers/told-in-time.ts': verify('promises'),
  'src/verify/history.ts': verify('history', 'exclusion', 'promises', 'backed'),
  'src/verify/register.ts': verify('promises', 'definitions'),
  'src/queue/table.ts': ['test/queue/verbs.test.ts', 'test/queue/table.test.ts'],
  'src/queue/wakes.ts': ['test/queue/wakes.test.ts'],
  'src/quorum/diagnose.ts': ['test/quorum/members.test.ts'],
  'src/quorum/heal.ts': ['test/quorum/members.test.ts'],
  'src/quorum/poll.ts': ['test/quorum/poll.test.ts', 'test/quorum/quorum.test.ts'],
  'src/quorum/views.ts': ['test/quorum/views.test.ts'],
  'src/elapsed.ts': ['test/core/clock.test.ts'],
  'src/core/agenda.ts': ['test/core/agenda.test.ts', 'test/core/clock.test.ts'],
  'src/core/keeper.ts': ['test/core/renewing.test.ts', 'test/core/keeper.test.ts'],
  'src/core/duration.ts': ['test/core/duration.test.ts'],
  'src/core/heap.ts': ['test/core/heap.test.ts'],
  'src/backends/file/crc32.ts': ['test/file/crc32.test.ts'],
  'src/backends/file/line.ts': ['test/file/line.test.ts'],
}

const chosen = process.argv.slice(2)
const paths = Object.keys(tests).filter((path) => chosen.length === 0 || chosen.some((word) => path.includes(word)))
if (paths.length === 0) {
  console.error(`no file has ${chosen.join(' or ')} in its path; there are ${Object.keys(tests).join(', ')}`)
  process.exit(64)
}

const { dependencies } = JSON.parse(readFileSync(join(tool, 'package.json'), 'utf8'))
if (!isInstalled())
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: tool, stdio: 'inherit' })

mkdirSync(join(root, results), { recursive: true })
const files = paths.map((path) => ({ path, mutants: mutantsOf(path) }))
for (const { path, mutants } of files) for (const mutant of mutants.filter(survived)) show(path, mutant)
console.table(Object.fromEntries(files.map(({ path, mutants }) => [path, scoreOf(mutants)])))
const { score } = scoreOf(files.flatMap(({ mutants }) => mutants))
console.log(`${score} % killed, ${WANTED} % wanted`)
process.exitCode = score < WANTED ? 1 : 0

function isInstalled() {
  const manifest = join(stryker, 'package.json')
  return (
    existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version === dependencies['@stryker-mutator/core']
  )
}

/** Try all mutants of a file, but for those whose fate is known. */
function mutantsOf(path) {
  console.log(`\n== ${path}`)
  const memory = join(results, `${path.replaceAll('/', '.')}.json`)
  const config = join(results, 'stryker.config.json')
  const options = {
    mutate: [path],
    testRunner: 'vitest',
    plugins: ['@stryker-mutator/vitest-runner'],
    vitest: { configFile: 'tools/mutation/vitest.config.mjs', related: false },
    incremental: true,
    incrementalFile: memory,
    // Times of tests decide what counts as endless.
    concurrency: 1,
    reporters: ['progress-append-only'],
    tempDirName: join(results, 'sandbox'),
    ignorePatterns: ['bench', 'dist', 'docs', 'examples', 'man', results],
    // There is none for it to rewrite: the copy it works in is never compiled.
    tsconfigFile: 'none',
    allowConsoleColors: false,
  }
  writeFileSync(join(root, config), JSON.stringify(options))
  const env = { ...process.env, HOLDFAST_MUTATION_TESTS: tests[path].join(' ') }
  const { status } = spawnSync(process.execPath, [join(stryker, 'bin/stryker.js'), 'run', config], {
    cwd: root,
    stdio: 'inherit',
    env,
  })
  if (status !== 0) process.exit(status ?? 1)
  return JSON.parse(readFileSync(join(root, memory), 'utf8')).files[path].mutants
}

function survived({ status }) {
  return status === 'Survived' || status === 'NoCoverage'
}

function scoreOf(mutants) {
  const tried = mutants.filter(({ status }) => ['Killed', 'Timeout', 'Survived', 'NoCoverage'].includes(status))
  const left = tried.filter(survived).length
  return {
    mutants: tried.length,
    survived: left,
    score: Math.floor((1000 * (tried.length - left)) / tried.length) / 10,
  }
}

function show(path, { location: { start, end }, mutatorName, replacement, status }) {
  const lines = readFileSync(join(root, path), 'utf8')
    .split('\n')
    .slice(start.line - 1, end.line)
  lines[lines.length - 1] = lines.at(-1).slice(0, end.column - 1)
  lines[0] = lines[0].slice(start.column - 1)
  const flat = (text) => text.replaceAll(/\s+/g, ' ').slice(0, 110)
  console.log(`${path}:${start.line}:${start.column} ${mutatorName}${status === 'NoCoverage' ? ', never run' : ''}`)
  console.log(`  - ${flat(lines.join('\n'))}\n  + ${flat(replacement)}`)
}
