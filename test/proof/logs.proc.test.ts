/** What a coordinator says of itself, beside what the users of its locks see. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { EtcdClient } from '../../src/backends/etcd/index.ts'
import type { Lease, Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { backed } from '../../src/verify/checkers/backed.ts'
import { check } from '../../src/verify/checkers/index.ts'
import type { Event } from '../../src/verify/history.ts'
import { MemoryRecorder, historyOf } from '../../src/verify/history.ts'
import { machineNow } from '../../src/verify/torture/clock.ts'
import type { CoordinatorLog } from '../../src/verify/torture/trial.ts'
import { EXCLUSIVE, Witness } from '../../src/verify/torture/witness.ts'
import { FileLog } from '../../verify/logs/file.ts'
import { EtcdLog } from '../../verify/logs/etcd.ts'
import { QuorumLog } from '../../verify/logs/quorum.ts'
import { RedisLog } from '../../verify/logs/redis.ts'
import { Etcd } from '../kit/etcd.ts'
import { Nodes } from '../kit/quorum.ts'
import { ClusterGroup } from '../kit/redis-groups.ts'
import { RedisServer } from '../kit/redis.ts'
import { temporaryDirectory } from '../kit/workers.ts'

/** Wide: nothing here is about time. */
const BOUNDS = {
  turnMs: 10_000,
  afterSleepMs: 10_000,
  answerMs: 60_000,
  noticeMs: 30_000,
  leaveMs: 30_000,
  guarded: new Set<string>(),
}

interface Listened {
  readonly url: string
  readonly log: CoordinatorLog
  /** Nobody holds beside another. */
  readonly exclusive?: true
}

const [TURNS, TASKS, PROCESSES] = [6, 3, 3]

const coordinators: Record<string, () => Promise<Listened>> = {
  async redis() {
    const server = await RedisServer.start()
    const log = await RedisLog.open([server.port])
    onTestFinished(async () => {
      log.end()
      await server.end()
    })
    return { url: server.url, log }
  },
  async cluster() {
    const group = await ClusterGroup.start()
    const log = await RedisLog.open(await group.leading())
    onTestFinished(async () => {
      log.end()
      await group.end()
    })
    return { url: group.url, log }
  },
  async redlock() {
    const nodes = await Nodes.start(3)
    await nodes.enlist()
    const log = await QuorumLog.open(nodes.servers.map(({ port }) => port))
    onTestFinished(async () => {
      log.end()
      await nodes.end()
    })
    return { url: nodes.url('maxTtlMs=30000'), log, exclusive: true }
  },
  async file() {
    const directory = join(temporaryDirectory(), 'store')
    const log = FileLog.open(directory)
    onTestFinished(() => log.end())
    return { url: `file:${directory}`, log }
  },
  async etcd() {
    const etcd = await Etcd.start()
    const admin = new EtcdClient({ endpoints: etcd.endpoints })
    const log = await EtcdLog.open(admin)
    onTestFinished(async () => {
      log.end()
      admin.close()
      await etcd.end()
    })
    return { url: `etcd://127.0.0.1:${etcd.members[0]!.port}`, log }
  },
}

/** Many turns of three processes, of all kinds: what they saw. */
async function turnsAt(url: string, exclusive: boolean): Promise<Event[]> {
  const recorder = new MemoryRecorder(machineNow)
  const work = async (process: string): Promise<void> => {
    const locks = connect(url, { ttl: '10s' })
    const witness = new Witness(process, recorder)
    await Promise.all(Array.from({ length: TASKS }, () => turns(locks, witness, exclusive)))
    await locks.close()
  }
  await Promise.all(Array.from({ length: PROCESSES }, (_, place) => work(`p${place}`)))
  return recorder.events
}

async function turns(locks: Locks, witness: Witness, exclusive: boolean): Promise<void> {
  const both = ['a', 'b']
  const onlyFence = ({ fence }: Lease): [bigint] => [fence]
  for (let turn = 0; turn < TURNS; turn += 1) {
    const asked = { waits: true, fences: onlyFence }
    const alone = await witness.asks<Lease>({ ...asked, names: ['a'], take: (label) => locks.acquire('a', { label }) })
    const holds = exclusive
      ? [alone]
      : [
          alone,
          await witness.asks<Lease>({
            names: ['r'],
            shape: { ...EXCLUSIVE, mode: turn % 3 === 0 ? 'exclusive' : 'shared' },
            ...asked,
            take: (label) => (turn % 3 === 0 ? locks.rw('r').write() : locks.rw('r').read()).acquire({ label }),
          }),
          await witness.asks<Lease>({
            names: ['s'],
            shape: { mode: 'permits', weight: 1 + (turn % 2), capacity: 3 },
            ...asked,
            take: (label) => locks.semaphore('s', 3).acquire({ permits: 1 + (turn % 2), label }),
          }),
        ]
    await sleep(1)
    for (const hold of holds) await hold!.release()
    const pair = await witness.asks({
      names: both,
      waits: true,
      take: (label) => locks.acquire(both, { label }),
      fences: ({ fences }) => both.map((name) => fences.get(name)!),
    })
    await pair!.release()
  }
}

function judge(events: readonly Event[]): string[] {
  return check(historyOf([...events].sort((a, b) => a.at - b.at)), BOUNDS).map(({ checker }) => checker)
}

test.each(Object.keys(coordinators))(
  '%s: its own log has every entry of every user, by the same fences',
  async (name) => {
    const { url, log, exclusive = false } = await coordinators[name]!()
    const seen = await turnsAt(url, exclusive)
    const told = (await log.events(seen))!
    const count = (events: readonly Event[], kind: Event['kind']): number =>
      events.filter((event) => event.kind === kind).length
    const grants = PROCESSES * TASKS * TURNS * (exclusive ? 3 : 5)
    expect([count(seen, 'granted'), count(told, 'entered'), count(told, 'holds'), count(told, 'left')]).toEqual(
      Array.from({ length: 4 }, () => grants),
    )
    expect(judge([...seen, ...told])).toEqual([])

    // And what is not so is seen.
    const others = seen.map((event) => (event.kind === 'granted' ? { ...event, fence: event.fence + 1e9 } : event))
    expect(backed(historyOf([...others, ...told]))).toHaveLength(grants)
    const early = told.map((event) => (event.kind === 'left' ? { ...event, at: event.at - 3_600_000 } : event))
    expect(backed(historyOf([...seen, ...early]))).toHaveLength(grants)
    const backwards = told
      .filter(({ kind }) => kind !== 'entered')
      .concat(told.filter(({ kind }) => kind === 'entered').toReversed())
    expect(judge(backwards.map((event, at) => ({ ...event, at })))).toContain('fifo-order')
  },
)
