/** W6: what a pair costs on a quorum of five, while all are well and while one is gone. */
import { connect } from 'holdfast'
import { redlock } from 'holdfast/redlock'
import { Redis } from 'ioredis'
import { RedisServer } from '../../test/kit/redis.ts'
import { peers } from './contestant.ts'
import { quantile } from './numbers.ts'
import type { Setup } from './setup.ts'
import type { Plan, Sample } from './sheet.ts'
import { Sheet } from './sheet.ts'

const NODES = 5
const TTL_MS = 30_000

type Pair = (name: string) => Promise<void>
type Open = (clients: Redis[]) => readonly [pair: Pair, close: () => Promise<unknown>]
type Fault = (victim: RedisServer) => unknown

const LIBRARIES: Readonly<Record<string, Open>> = { 'redlock:': holdfast, 'redlock 5': redlock5 }
const FAULTS: Readonly<Record<string, Fault>> = {
  'all well': () => {},
  'one killed': (victim) => victim.kill(),
  'one silent': (victim) => victim.freeze(),
}

const named = (library: string, fault: string): string => `${library} ${fault}`
const contestants = Object.keys(LIBRARIES).flatMap((library) =>
  Object.keys(FAULTS).map((fault) => named(library, fault)),
)

const p50 = (sheet: Sheet, fault: string): number[] => {
  const well = sheet.values(named('redlock:', 'all well'), 'p50')
  return sheet.values(named('redlock:', fault), 'p50').map((each, round) => each / well[round]!)
}

const W6: Plan = {
  id: 'W6',
  group: 'redis',
  title: 'redis W6: one pair at a time, a quorum of five servers',
  contestants,
  columns: [
    { key: 'p50', title: 'p50 ms' },
    { key: 'p99', title: 'p99 ms' },
    { key: 'failed', title: 'failed' },
  ],
  cost: ({ p50: middle }) => middle!,
  goals: [
    {
      text: 'p50 with one killed, at most 1.2 times that with all well',
      value: (sheet) => p50(sheet, 'one killed'),
      most: 1.2,
    },
    {
      text: 'p50 with one silent, at most 1.2 times that with all well',
      value: (sheet) => p50(sheet, 'one silent'),
      most: 1.2,
    },
    {
      text: 'pairs that failed',
      value: (sheet) => Object.keys(FAULTS).flatMap((fault) => sheet.values(named('redlock:', fault), 'failed')),
      most: 0,
    },
  ],
}

export const QUORUM: readonly (readonly [Plan, (setup: Setup) => Promise<Sheet>])[] = [[W6, quorum]]

async function quorum(setup: Setup): Promise<Sheet> {
  const sheet = new Sheet(W6)
  await sheet.rounds(setup.repetitions, setup.progress, (name) => one(name, setup.quick ? 200 : 1000))
  return sheet
}

async function one(name: string, pairs: number): Promise<Sample> {
  const library = Object.keys(LIBRARIES).find((each) => name.startsWith(each))!
  const servers = await Promise.all(Array.from({ length: NODES }, () => RedisServer.start()))
  const clients = servers.map(({ port }) => new Redis(port))
  for (const client of clients) client.on('error', () => {})
  const [pair, close] = LIBRARIES[library]!(clients)
  try {
    const warm = Math.ceil(pairs / 5)
    for (let n = 0; n < warm; n += 1) await pair(`warm ${n}`)
    await FAULTS[name.slice(library.length + 1)]!(servers[2]!)
    const took: number[] = []
    let failed = 0
    for (let n = 0; n < pairs; n += 1) {
      const startedAt = performance.now()
      await pair(`name ${n}`).catch(() => (failed += 1))
      took.push(performance.now() - startedAt)
    }
    return { p50: quantile(took, 0.5), p99: quantile(took, 0.99), failed }
  } finally {
    await close()
    for (const client of clients) client.disconnect()
    for (const server of servers) {
      server.thaw()
      await server.end()
    }
  }
}

function holdfast(clients: Redis[]): ReturnType<Open> {
  const locks = connect(redlock(clients, { durable: true }))
  const pair = async (name: string): Promise<void> => {
    const lease = await locks.acquire(name)
    await lease.release()
  }
  return [pair, () => locks.close()]
}

function redlock5(clients: Redis[]): ReturnType<Open> {
  interface Redlock {
    acquire(names: string[], ttl: number): Promise<{ release(): Promise<unknown> }>
    on(event: string, listener: () => void): void
  }
  const { default: Redlock } = peers('redlock') as { default: new (clients: Redis[], options: object) => Redlock }
  const locks = new Redlock(clients, { retryCount: 0 })
  locks.on('error', () => {})
  const pair = async (name: string): Promise<void> => {
    // It waits for all nodes, or until its clients give up.
    const late = new Promise<never>((_, reject) => setTimeout(reject, 2000, new Error('late')).unref())
    const lock = await Promise.race([locks.acquire([name], TTL_MS), late])
    await Promise.race([lock.release(), late])
  }
  return [pair, async () => {}]
}
