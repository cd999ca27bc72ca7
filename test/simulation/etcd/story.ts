/** A cluster of etcd and the processes that use it, for a story: nothing goes wrong but what the story says. */
import { EtcdBackend, EtcdClient } from '../../../src/backends/etcd/index.ts'
import { EtcdError } from '../../../src/backends/etcd/errors.ts'
import { memory } from '../../../src/backends/memory/index.ts'
import { RedisBackend } from '../../../src/backends/redis/index.ts'
import type { ConnectOptions } from '../../../src/connect.ts'
import { connect } from '../../../src/connect.ts'
import type { Locks } from '../../../src/locks.ts'
import { QuorumBackend } from '../../../src/quorum/index.ts'
import { Table } from '../../../src/queue/table.ts'
import type { SimulatedRuntime, SimulatedTime } from '../../../src/testing/simulated.ts'
import { simulatedTime } from '../../../src/testing/simulated.ts'
import { MemoryRecorder } from '../../../src/verify/history.ts'
import { Register } from '../../../src/verify/register.ts'
import type { MessageFault } from '../plan.ts'
import { Random } from '../random.ts'
import type { World } from '../wire.ts'
import { Inbox } from '../wire.ts'
import { Cluster } from './cluster.ts'
import type { EtcdPlan } from './plan.ts'

const LIBRARY = { connect, memory, QuorumBackend, RedisBackend, EtcdBackend, EtcdClient, Table, EtcdError, Register }

const NETWORK = {
  delayMs: 1,
  jitterMs: 0,
  tailRate: 0,
  tailMs: 0,
  lossRate: 0,
  doubleRate: 0,
  silentRate: 0,
  wakeLossRate: 0,
  wakeLateRate: 0,
  wakeAstrayRate: 0,
}

export interface Person {
  readonly locks: Locks
  readonly runtime: SimulatedRuntime
  /** For so long, though what it sends arrives. */
  hearsNothing(ms: number): void
  /** Neither does that arrive. */
  away(ms: number): void
}

export class Story {
  readonly time: SimulatedTime
  readonly cluster: Cluster
  readonly #world: World
  #people = 0

  /** @param members one, unless a leader is to stand still */
  constructor(lease: EtcdPlan['lease'], members = 1) {
    this.time = simulatedTime({ settle: () => new Promise(setImmediate) })
    const { time } = this
    const now = (): number => time.now
    this.#world = {
      wires: time.runtime({ host: 'wires' }),
      network: NETWORK,
      now,
      faultsUntilMs: Infinity,
      healed: () => false,
      subscribers: new Set(),
      trace: undefined,
    }
    const plan: EtcdPlan = {
      kind: 'etcd',
      members: Array.from({ length: members }, () => ({ drift: 0 })),
      electionMs: 100,
      checkEveryMs: 1,
      lease,
      callMs: 500,
      silenceMs: 1000,
      behind: [],
    }
    const clocks = plan.members.map(() => time.runtime())
    this.cluster = new Cluster(plan, LIBRARY, clocks, new Random(1), this.#world, new MemoryRecorder(now), 0)
  }

  /** @param faults what happens to the messages of this one: `join` is every transaction that writes, `leave` every other one */
  person(faults: readonly Omit<MessageFault, 'kind' | 'process'>[] = [], options: ConnectOptions = {}): Person {
    const name = `p${(this.#people += 1)}`
    const runtime = this.time.runtime({ host: name })
    const { backend, wires } = this.cluster.connect({
      inbox: new Inbox(name, runtime, () => this.time.now),
      runtime,
      random: (...use) => new Random(this.#people, ...use),
      faults: faults.map((fault) => ({ ...fault, kind: 'message', process: name })),
      renewsInBulk: true,
    })
    const cut = (ways: readonly ('requests' | 'replies')[], ms: number): void => {
      for (const { cutUntil } of wires) for (const way of ways) cutUntil[way] = this.time.now + ms
    }
    return {
      locks: connect(backend, { runtime, ttl: '30s', ...options }),
      runtime,
      hearsNothing: (ms) => cut(['replies'], ms),
      away: (ms) => cut(['requests', 'replies'], ms),
    }
  }
}
