/** The simulation as `npm run simulate` runs it: thousands of healthy schedules, and every planted mistake caught. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test, vi } from 'vitest'

// Half a minute of computing, on a machine that may have other things to do.
vi.setConfig({ testTimeout: 600_000 })

/** An older Node runs TypeScript only when told to. */
const types = process.features.typescript ? [] : ['--experimental-strip-types']

async function simulate(...args: string[]): Promise<string> {
  const running = promisify(execFile)(process.execPath, [...types, 'test/simulation/main.ts', ...args])
  // With an exit code of 1 it has said why.
  const { stdout, stderr } = await running.catch((error: unknown) => error as { stdout: string; stderr: string })
  return stdout + stderr
}

test('three thousand schedules break nothing, and the faults in them bite', async () => {
  expect(await simulate('--seeds', '1..3000')).toMatch(/3000 schedules, \d+ grants, no violation/)
})

test('every planted mistake is caught within its number of seeds', async () => {
  const told = await simulate('--mutants')
  expect(told).toMatch(/\d+ of \d+ mutants caught/)
  const [, caught, all] = /(\d+) of (\d+) mutants caught/.exec(told)!.map(Number)
  expect(caught).toBe(all)
  expect(caught).toBeGreaterThanOrEqual(12)
  expect(told).not.toContain('SURVIVED')
})
