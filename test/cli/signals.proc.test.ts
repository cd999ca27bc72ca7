/** Signals when there is no command: it could not be started, or has ended. While it waits and runs: run.proc.test.ts. */
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Child } from '../../src/cli/hold/child.ts'
import { Proxy } from '../../src/verify/torture/wire.ts'
import { RedisServer } from '../kit/redis.ts'
import type { Command } from './kit/holdfast.ts'
import { Place, runs } from './kit/holdfast.ts'

const BREAK = resolve('test/cli/break-store.mjs')

/** A place at a server that does not answer when a lease is given back. */
async function hanging(): Promise<{ place: Place; leaving: Promise<void> }> {
  const server = await RedisServer.start()
  onTestFinished(() => server.end())
  const wire = await Proxy.start(server.port)
  onTestFinished(() => wire.end())
  return { place: new Place(`redis://127.0.0.1:${wire.port}`), leaving: wire.stall(/\["leave"|\r\nleave\r\n/, 'up') }
}

/** Sends a signal, and says how it ended and how long that took. */
async function hurried(command: Command, signal: NodeJS.Signals) {
  const from = performance.now()
  command.kill(signal)
  const { code } = await command.ended
  return { code, ms: performance.now() - from }
}

test('a signal for a command that could not be started goes to nobody, least of all to our own group', async () => {
  const place = new Place()
  const origin = { wrapper: { pid: process.pid, startedAt: 0 }, given: [] }
  const child = new Child({ path: place.path('missing'), words: ['missing'], environment: {} }, origin, () => {})
  let heard = 0
  const listener = (): void => void (heard += 1)
  process.on('SIGCONT', listener)
  onTestFinished(() => void process.off('SIGCONT', listener))
  child.forward('SIGCONT')
  await expect(child.ended).rejects.toMatchObject({ exitCode: 127 })
  await new Promise((done) => setTimeout(done, 200))
  expect(heard).toBe(0)
})

test('when the command has ended, a signal ends us though the coordinator does not answer, and the code is the command’s', async () => {
  const { place, leaving } = await hanging()
  const command = place.run('x', '-c', 'exit 7')
  await leaving
  const { code, ms } = await hurried(command, 'SIGINT')
  expect(code).toBe(7)
  // Without the signal it takes the 5 s that a request may take.
  expect(ms).toBeLessThan(2500)
})

test('and so when it could not be started', async () => {
  const { place, leaving } = await hanging()
  writeFileSync(place.path('bad'), '#!/no/such/interpreter\n', { mode: 0o755 })
  const command = place.run('x', '--', place.path('bad'))
  await leaving
  const { code, ms } = await hurried(command, 'SIGTERM')
  expect(code).toBe(127)
  expect(ms).toBeLessThan(2500)
})

test('and so when it was ended: what is left of it does not get its time to end by itself', async () => {
  const place = new Place()
  const script = `(trap "" TERM INT; touch $DIR/up; sleep 60) > /dev/null 2>&1 & trap "touch $DIR/asked; exit 0" TERM
    while :; do sleep 0.02; done`
  const words = ['run', '--url', place.url, 'x', '--ttl', '9', '--kill-after', '5', '-c', script]
  const command = place.start(words, { node: ['--import', BREAK] })
  await place.has('up')
  writeFileSync(place.path('broken'), '')
  await place.has('asked')
  await command.says(/asked to end/)
  await new Promise((done) => setTimeout(done, 300))
  const { code, ms } = await hurried(command, 'SIGINT')
  expect(code).toBe(79)
  expect(ms).toBeLessThan(2500)
})

test('what a command leaves running is left alone also when the release takes its time', async () => {
  const { place, leaving } = await hanging()
  const command = place.run('x', '-c', 'sleep 30 > /dev/null 2>&1 & echo $! > $DIR/pid')
  await leaving
  // Long enough for a timer of the deadline, which must not take the released lease for a lost one.
  await new Promise((done) => setTimeout(done, 1500))
  const pid = Number(place.read('pid'))
  expect(runs(pid)).toBe(true)
  expect((await hurried(command, 'SIGINT')).code).toBe(0)
  expect(runs(pid)).toBe(true)
  process.kill(pid, 'SIGKILL')
})
