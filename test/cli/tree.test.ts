import { spawn } from 'node:child_process'
import { expect, test } from 'vitest'
import { fromPs, processOf, startOf, wasGiven } from '../../src/cli/hold/processes.ts'
import { Tree } from '../../src/cli/hold/tree.ts'
import { runs, until } from './kit/holdfast.ts'

const wrapper = { pid: process.pid, startedAt: startOf(process.pid) }

test('ps tells the same as /proc', () => {
  const { pid, parent, group } = processOf(process.pid)!
  expect(fromPs().find((each) => each.pid === process.pid)).toMatchObject({ pid, parent, group })
})

test.runIf(process.platform === 'linux')(
  'a process is known by the variables that it was given, all of them',
  async () => {
    const child = spawn('sleep', ['100'], { env: { HOLDFAST_FENCE: '123', HOLDFAST_NAME: 'a b' } })
    await until(() => wasGiven(child.pid!, ['HOLDFAST_FENCE=123']) === true, 'the environment')
    expect(wasGiven(child.pid!, ['HOLDFAST_NAME=a b', 'HOLDFAST_FENCE=123'])).toBe(true)
    expect(wasGiven(child.pid!, ['HOLDFAST_NAME=a b', 'HOLDFAST_FENCE=12'])).toBe(false)
    expect(wasGiven(child.pid!, ['OLDFAST_FENCE=123'])).toBe(false)
    child.kill('SIGKILL')
  },
)

test.runIf(process.platform === 'linux')('kill ends what belongs to the tree, and nothing else', async () => {
  const given = [`HOLDFAST_FENCE=${process.pid}-${wrapper.startedAt}`]
  const env = { PATH: process.env['PATH'], HOLDFAST_FENCE: `${process.pid}-${wrapper.startedAt}` }
  const bystander = spawn('sleep', ['100'])
  const child = spawn('sh', ['-c', 'setsid sleep 100 & env -i sleep 100 & (setsid sleep 100 &); echo up; wait'], {
    env,
    detached: true,
  })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  const tree = new Tree({ wrapper, given })
  tree.plant({ pid: child.pid!, startedAt: startOf(child.pid!) })
  expect(tree.alive).toBe(true)
  await tree.kill()
  expect(tree.alive).toBe(false)
  expect(runs(bystander.pid!)).toBe(true)
  bystander.kill('SIGKILL')
})

test.runIf(process.platform === 'linux')('a pid that another process has by now is left alone', async () => {
  const bystander = spawn('sleep', ['100'], { detached: true })
  const tree = new Tree({ wrapper, given: ['HOLDFAST_FENCE=nobody has this'] })
  tree.plant({ pid: bystander.pid!, startedAt: startOf(bystander.pid!) - 1 })
  await tree.kill()
  expect(runs(bystander.pid!)).toBe(true)
  bystander.kill('SIGKILL')
})
