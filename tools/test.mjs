/**
 * Runs all tests: those that need servers, and beside them, on the other core, all others. Ends on `N passed, N failed` of both.
 * Expects a built dist/.
 *
 * Words on the command line go to both: `npm test -- -t 'a holder'`.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
const LANES = [['unit', 'processes'], ['servers']]
const CLOSING = /^(\d+) passed, (\d+) failed$/

const ended = await Promise.all(LANES.map(run))
const sum = (of) => ended.reduce((total, each) => total + of(each), 0)
const failed = sum((each) => each.failed)
console.log(`${sum((each) => each.passed)} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

/** What a lane says comes line by line, so that two of them can be read. */
function run(projects) {
  const words = [
    'run',
    ...projects.flatMap((name) => ['--project', name]),
    '--passWithNoTests',
    ...process.argv.slice(2),
  ]
  const lane = spawn(process.execPath, [vitest, ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [passed, failed] = [0, 1]
  createInterface({ input: lane.stdout }).on('line', (line) => {
    const closing = CLOSING.exec(line)
    if (closing) [passed, failed] = closing.slice(1).map(Number)
    else console.log(line)
  })
  createInterface({ input: lane.stderr }).on('line', (line) => console.error(line))
  return new Promise((resolve) =>
    lane.on('close', (code) => resolve({ passed, failed: code === 0 ? failed : Math.max(failed, 1) })),
  )
}
