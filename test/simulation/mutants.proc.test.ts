/** The simulation as `npm run simulate` runs it: thousands of healthy schedules, and every planted mistake caught. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test, vi } from 'vitest'
import { LONG } from '../kit/effort.ts'

// A minute of computing, or three for every mistake, on a machine that may have other things to do.
vi.setConfig({ testTimeout: LONG ? 1_800_000 : 600_000 })

/** An older Node runs TypeScript only when told to. */
const types = process.features.typescript ? [] : ['--experimental-strip-types']

async function simulate(...args: string[]): Promise<string> {
  const running = promisify(execFile)(process.execPath, [...types, 'test/simulation/main.ts', ...args])
  // With an exit code of 1 it has said why. Progress is for people, and comes when it comes.
  const { stdout } = await running.catch((error: unknown) => {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    return { stdout: stdout + stderr }
  })
  return stdout
}

test('three thousand schedules break nothing, and the faults in them bite', async () => {
  expect(await simulate('--seeds', '1..3000')).toMatch(/3000 schedules, \d+ grants, no violation/)
})

test('however many processes share the schedules, what they say is the same', async () => {
  const told = (jobs: number) => simulate('--model', 'redis', '--seeds', '1..200', '--jobs', `${jobs}`)
  const [alone, together] = [await told(1), await told(3)]
  expect(alone).toMatch(
    /200 schedules, \d+ grants, no violation; beyond the promise, two believed at once [1-9]\d* times/,
  )
  expect(together).toBe(alone)
})

test('every planted mistake is caught within its number of seeds; in npm test, if that is not too large', async () => {
  const told = await simulate('--mutants', '--jobs', '2', ...(LONG ? [] : ['--within', '600']))
  expect(told).toMatch(/\d+ of \d+ mutants caught/)
  const [, caught, all] = /(\d+) of (\d+) mutants caught/.exec(told)!.map(Number)
  expect(caught).toBe(all)
  expect(caught).toBeGreaterThanOrEqual(LONG ? 60 : 25)
  expect(told).not.toContain('SURVIVED')
})
