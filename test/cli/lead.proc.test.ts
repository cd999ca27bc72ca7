/** `holdfast lead`: one runs its command, the others stand by. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect } from '../../src/index.ts'
import { MATRIX } from '../kit/effort.ts'
import type { Command } from './kit/holdfast.ts'
import { Place, until } from './kit/holdfast.ts'
import type { Server } from './kit/servers.ts'
import { SERVERS } from './kit/servers.ts'

type Finished = (end: () => Promise<void>) => void

/** Says that it leads, by a file of its own, until TERM ends it; then it takes its time. */
const LEADS = `trap 'echo "$WHO ends" >> $DIR/log; exit 3' TERM
  echo "$WHO leads" >> $DIR/log; while :; do sleep 0.02; done`

function candidate(place: Place, who: string, ...words: string[]): Command {
  return place.start(['lead', '--url', place.url, 'job', ...words, '--', 'sh', '-c', LEADS], { env: { WHO: who } })
}

function log(place: Place): string {
  try {
    return place.read('log')
  } catch {
    return ''
  }
}

async function waiters(url: string, count: number): Promise<void> {
  const locks = connect(url)
  await until(async () => (await locks.inspect('job', { kind: 'election' }))?.waiters.length === count, 'candidates')
  await locks.close()
}

function behaves(urlOf: () => string | undefined): void {
  const at = (finished: Finished): Place => new Place(urlOf(), finished)

  test('TERM hands over: the command ends, the next one leads, and the code is that of the command', async ({
    onTestFinished,
  }) => {
    const place = at(onTestFinished)
    const first = candidate(place, 'first', '--value', '10.0.0.1')
    await until(() => log(place) === 'first leads\n', 'the first leader')
    const second = candidate(place, 'second')
    await waiters(place.url, 1)
    const locks = connect(place.url)
    expect(await locks.election('job').leader()).toMatchObject({ value: '10.0.0.1', who: { pid: first.pid } })
    await locks.close()
    first.kill('SIGTERM')
    expect(await first.ended).toMatchObject({ code: 3 })
    await until(() => log(place).includes('second leads'), 'the second leader')
    expect(log(place)).toBe('first leads\nfirst ends\nsecond leads\n')
    second.kill('SIGTERM')
    expect(await second.ended).toMatchObject({ code: 3 })
  })

  test('it campaigns again when its command has ended, and others may lead meanwhile', async ({ onTestFinished }) => {
    const place = at(onTestFinished)
    const short = 'echo "$WHO $HOLDFAST_MODE" >> $DIR/log; sleep 0.2'
    const start = (who: string): Command =>
      place.start(['lead', '-v', '--url', place.url, 'job', '--', 'sh', '-c', short], { env: { WHO: who } })
    const all = [start('a'), start('b')]
    await until(() => (log(place).match(/a leader/g) ?? []).length >= 2 && log(place).includes('b leader'), 'terms')
    for (const each of all) {
      each.kill('SIGTERM')
      const ended = await each.ended
      expect(ended.signal ?? ended.code).toSatisfy((how) => how === 'SIGTERM' || how === 0)
      expect(ended.stderr).toMatch(/"job": the term ended \(with 0\); campaigns again in \d/)
    }
  })
}

describe('at file', () => {
  behaves(() => undefined)

  test('--once ends with its command', async () => {
    const place = new Place()
    const words = ['lead', '--url', place.url, 'job', '--once']
    expect(await place.start([...words, '--', 'sh', '-c', 'exit 7']).ended).toMatchObject({ code: 7, stderr: '' })
    expect(await place.start([...words, '-c', 'kill -KILL $$']).ended).toMatchObject({ code: 137 })
  })

  // Ten seconds of waiting, which must not count as leading.
  test.runIf(MATRIX)(
    'a term that was short is followed by a pause, however long it stood by (in the matrix)',
    async () => {
      const place = new Place()
      const first = candidate(place, 'first')
      await until(() => log(place) !== '', 'a leader')
      const second = place.start(['lead', '-v', '--url', place.url, 'job', '-c', 'true'])
      await waiters(place.url, 1)
      await new Promise((done) => setTimeout(done, 10_500))
      first.kill('SIGTERM')
      await second.says(/the term ended .*\n/)
      // Of the first one, for the next one would be short in any case.
      expect(/the term ended .*/.exec(second.stderr)![0]).toBe('the term ended (with 0); campaigns again in 1.0 s')
    },
  )

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const)('%s while it stands by ends it', async (signal) => {
    const place = new Place()
    candidate(place, 'first')
    await until(() => log(place) !== '', 'a leader')
    const second = candidate(place, 'second')
    await waiters(place.url, 1)
    second.kill(signal)
    const { signal: by, code } = await second.ended
    expect(by ?? code).toSatisfy((how) => how === signal || how === 131)
    await waiters(place.url, 0)
  })

  test('a loss ends the term and not the campaign; with --once it is 79', async () => {
    const place = new Place()
    const first = candidate(place, 'first', '--ttl', '3')
    await until(() => log(place) === 'first leads\n', 'a leader')
    const evict = async (): Promise<void> => {
      const locks = connect(place.url)
      const { fence } = (await locks.election('job').leader())!
      expect(await locks.evict('job', fence, { kind: 'election' })).toBe(true)
      await locks.close()
    }
    await evict()
    // What is gone leaves no time to end by itself.
    await until(() => log(place) === 'first leads\nfirst leads\n', 'the next term')
    expect(first.stderr).toContain('the lease on "job" is gone')
    first.kill('SIGTERM')
    await first.ended
    const once = candidate(place, 'once', '--once', '--ttl', '3')
    await until(() => log(place).includes('once leads'), 'a leader')
    await evict()
    expect(await once.ended).toMatchObject({ code: 79 })
  })
})

describe.each(SERVERS)('at %s', (scheme, start) => {
  let server: Server
  beforeAll(async () => {
    server = await start()
  })
  afterAll(() => server.end())
  behaves(() => `${scheme}://127.0.0.1:${server.port}`)
})
