import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'

const types = process.features.typescript ? [] : ['--experimental-strip-types']

test('the wall clocks of two processes of a machine differ by less than a millisecond', () => {
  const program = `
    import { machineClock } from ${JSON.stringify(resolve('src/backends/file/clock.ts'))}
    const clock = machineClock()
    const until = clock.now().monotonicMs + 50
    while (clock.now().monotonicMs < until);
    const { wallMs, monotonicMs } = clock.now()
    console.log(wallMs - monotonicMs)`
  const words = [...types, '--no-warnings', '--input-type=module', '-e', program]
  const [one, other] = [0, 1].map(() => Number(execFileSync(process.execPath, words, { encoding: 'utf8' })))
  expect(Math.abs(one! - other!)).toBeLessThan(0.2)
})
