/** `holdfast run` on a quorum, of which one node stands still. */
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { Place, until } from '../cli/kit/holdfast.ts'
import { Nodes } from '../kit/quorum.ts'

const UNTIL_GO = 'touch $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done'

let nodes: Nodes
beforeAll(async () => {
  nodes = await Nodes.start(3)
  await nodes.enlist()
  nodes.freeze(1)
})
afterAll(() => nodes.end())

function place(): Place {
  return new Place(nodes.url('nodeTimeoutMs=1000'), onTestFinished)
}

test('it runs, refuses, waits, and hands the fence and the exit code on', async () => {
  const here = place()
  const holder = here.run('x', '--', 'sh', '-c', UNTIL_GO)
  await here.has('up')
  const busy = await here.run('x', '-n', '--', 'true').ended
  expect(busy).toMatchObject({ code: 75 })
  expect(busy.stderr).toContain(`pid ${holder.pid}`)
  const next = here.run('x', '--', 'sh', '-c', 'echo $HOLDFAST_FENCE; exit 3')
  writeFileSync(here.path('go'), '')
  expect(await holder.ended).toMatchObject({ code: 0 })
  const { code, stdout } = await next.ended
  expect(code).toBe(3)
  expect(stdout).toMatch(/^\d{16}\n$/)
})

test('Ctrl-C while it waits: it ends, and whoever holds is not disturbed', async () => {
  const here = place()
  const holder = here.run('y', '--', 'sh', '-c', UNTIL_GO)
  await here.has('up')
  const next = here.run('y', '--', 'true')
  await until(() => next.stderr.includes('y'), 'that it says for what it waits')
  next.kill('SIGINT')
  expect(await next.ended).toMatchObject({ signal: 'SIGINT' })
  writeFileSync(here.path('go'), '')
  expect(await holder.ended).toMatchObject({ code: 0 })
})

test('69: too few nodes answer, and it says which; 78: an address that is none', async () => {
  const here = place()
  nodes.freeze(2)
  onTestFinished(() => nodes.thaw(2))
  const { code, stderr } = await here.run('z', '--', 'touch', here.path('up')).ended
  expect(code).toBe(69)
  expect(stderr).toMatch(/holdfast: /)
  expect(await new Place('redlock://a,a').run('z', '--', 'true').ended).toMatchObject({ code: 78 })
})
