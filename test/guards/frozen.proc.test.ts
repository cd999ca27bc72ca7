/** A holder that is really frozen: a process that is stopped until its lease has ended, and goes on. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { redisGuard } from '../../src/guards/index.ts'
import { connect } from '../../src/index.ts'
import { ownRedis } from '../kit/own-redis.ts'

const own = ownRedis()

/** Holds, reads and writes; then writes and reads again, as soon as it is told to. It never asks whether it still holds. */
const HOLDER = `
  import { once } from 'node:events'
  import { connect } from 'holdfast'
  import { redisGuard } from 'holdfast/guards'
  import { Redis } from 'ioredis'

  const client = new Redis(Number(process.argv[1]))
  const guard = redisGuard(client)
  const lease = await connect(client).acquire('a', { ttl: '1s' })
  await guard.set(lease, 'a', 'of the first holder')
  console.log(await guard.get(lease, 'a'))
  await once(process.stdin, 'data')
  const code = (error) => error.code
  console.log(await guard.set(lease, 'a', 'of the first holder, too late').catch(code))
  console.log(await guard.get(lease, 'a').catch(code))
  process.exit()`

test('a process that was stopped past its ttl can neither write nor read', async () => {
  const program = ['--input-type=module', '-e', HOLDER, String(own.server.port)]
  const first = spawn(process.execPath, program, { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void first.kill('SIGKILL'))
  const said: string[] = []
  createInterface({ input: first.stdout }).on('line', (line) => said.push(line))
  await expect.poll(() => said, { timeout: 30_000 }).toEqual(['of the first holder'])
  first.kill('SIGSTOP')

  const locks = connect(own.client)
  onTestFinished(() => locks.close())
  const guard = redisGuard(own.client)
  await locks.run('a', async (lease) => {
    expect(await guard.get(lease, 'a')).toBe('of the first holder')
    await guard.set(lease, 'a', 'of the second holder')
  })
  first.stdin.write('go on\n')
  first.kill('SIGCONT')
  await expect.poll(() => said, { timeout: 30_000 }).toEqual(['of the first holder', 'STALE_FENCE', 'STALE_FENCE'])
  expect(await own.client.get('a')).toBe('of the second holder')
})
