/** Redis servers that take over from each other: under sentinels, and in a cluster. */
import type { Fault } from '../../src/verify/torture/faults.ts'
import { inside } from '../../src/verify/torture/faults.ts'
import { struckAmidst } from '../../src/verify/torture/felt.ts'
import { pick } from '../../src/verify/torture/random.ts'
import type { Arena, Place } from '../../src/verify/torture/trial.ts'
import { WORKLOADS, allNames, exclusiveNames } from '../../src/verify/torture/workloads.ts'
import { ClusterGroup, SentinelGroup } from '../../test/kit/redis-groups.ts'
import { RedisLog } from '../logs/redis.ts'
import { SLOW_CLOCKS } from './slow-clocks.ts'

/** Long enough that nobody takes over but when it is planned, and what is forgotten then is written down. */
const DOWN_MS = 3000

const REPLICATED = 'what was acknowledged has reached the replica that takes over'

/** They tell their clients where to go, so no wire of ours is on the way. */
class GroupPlace<G extends SentinelGroup | ClusterGroup> implements Place {
  readonly group: G
  readonly url: string

  constructor(group: G) {
    this.group = group
    this.url = group.url
  }

  async lay(): Promise<{ url: string }> {
    return { url: this.url }
  }

  async listen(): Promise<RedisLog> {
    return RedisLog.open(await this.group.leading())
  }

  recovers(): Promise<void> {
    return this.group.heal()
  }

  end(): Promise<void> {
    return this.group.end()
  }
}

const keyOf = (name: string): string => `holdfast:{lock:${name}}`

const ofSentinels: readonly Fault<GroupPlace<SentinelGroup>>[] = [
  {
    name: 'failover',
    about: 'the primary is killed while somebody holds, and a replica takes over',
    breaks: REPLICATED,
    strike: async (scene) => {
      const { crew, place } = scene
      await inside(scene, async () => {
        crew.note('failover')
        await crew.forgets(allNames(crew.prefix), () => place.group.failOver())
      })
    },
    felt: struckAmidst('failover'),
  },
]

const ofCluster: readonly Fault<GroupPlace<ClusterGroup>>[] = [
  {
    name: 'failover',
    about: 'a primary is killed while somebody holds, and its replica takes over',
    breaks: REPLICATED,
    strike: async (scene) => {
      const { crew, place, random } = scene
      const name = pick(random, exclusiveNames(crew.prefix))
      await inside(scene, async () => {
        crew.note('failover')
        await crew.forgets(allNames(crew.prefix), () => place.group.failOver(keyOf(name)))
      })
    },
    felt: struckAmidst('failover'),
  },
  {
    name: 'slot-migrated',
    about: 'the slot of a lock moves to another primary while it is in use',
    strike: async ({ crew, place, random }) => {
      crew.note('migrate a slot')
      await place.group.migrate(keyOf(pick(random, exclusiveNames(crew.prefix))))
    },
    felt: struckAmidst('migrate'),
  },
]

export const sentinel: Arena<GroupPlace<SentinelGroup>> = {
  name: 'sentinel',
  ttlMs: 2000,
  workloads: WORKLOADS,
  has: new Set(),
  faults: [...SLOW_CLOCKS, ...ofSentinels],
  open: async () => new GroupPlace(await SentinelGroup.start({ downMs: DOWN_MS })),
}

export const cluster: Arena<GroupPlace<ClusterGroup>> = {
  name: 'cluster',
  ttlMs: 2000,
  workloads: WORKLOADS,
  has: new Set(),
  faults: [...SLOW_CLOCKS, ...ofCluster],
  open: async () => new GroupPlace(await ClusterGroup.start({ downMs: DOWN_MS })),
}
