/** Three members of etcd. */
import { EtcdClient } from '../../src/backends/etcd/index.ts'
import { COMPACT, LEASE_REVOKE, RANGE } from '../../src/backends/etcd/messages.ts'
import { machineNow, sleep } from '../../src/verify/torture/clock.ts'
import type { Line } from '../../src/verify/torture/crew.ts'
import type { Fault, Need } from '../../src/verify/torture/faults.ts'
import { inside } from '../../src/verify/torture/faults.ts'
import { askedInVain, struckAmidst, wasLost } from '../../src/verify/torture/felt.ts'
import { layerOf } from '../../src/verify/torture/lines.ts'
import { pick } from '../../src/verify/torture/random.ts'
import type { Arena, Place } from '../../src/verify/torture/trial.ts'
import { WORKLOADS, allNames, exclusiveNames } from '../../src/verify/torture/workloads.ts'
import { Etcd } from '../../test/kit/etcd.ts'
import { leaderOf } from '../../test/kit/etcd-leader.ts'
import { EtcdLog } from '../logs/etcd.ts'
import { SLOW_CLOCKS } from './slow-clocks.ts'

const COUNT = 3
/** Shorter than what makes the others elect another leader. */
const STILL_MS = 100

class EtcdPlace implements Place {
  readonly etcd: Etcd
  readonly admin: EtcdClient
  readonly url: string
  readonly lease: string

  private constructor(etcd: Etcd, lease: string) {
    this.etcd = etcd
    this.lease = lease
    this.admin = new EtcdClient({ endpoints: etcd.endpoints })
    this.url = `etcd://${etcd.members.map(({ port }) => `127.0.0.1:${port}`).join(',')}?lease=${lease}`
  }

  static async open(lease: string): Promise<EtcdPlace> {
    return new EtcdPlace(await Etcd.start(COUNT), lease)
  }

  lay(): Promise<Line> {
    return layerOf(this.url)!()
  }

  leader(): Promise<number> {
    return leaderOf(this.etcd, this.admin)
  }

  async follower(random: () => number): Promise<number> {
    const leader = await this.leader()
    return pick(
      random,
      [0, 1, 2].filter((place) => place !== leader),
    )
  }

  /** Of a name's lock, as they stand in its queue. */
  async entries(name: string) {
    const key = Buffer.from(`holdfast/lock/lock:${name}/`)
    const rangeEnd = Buffer.from(`holdfast/lock/lock:${name}0`)
    return (await this.admin.call(RANGE, { key, rangeEnd })).kvs
  }

  listen(): Promise<EtcdLog> {
    return EtcdLog.open(this.admin)
  }

  async recovers(): Promise<void> {
    for (const member of this.etcd.members) {
      member.thaw()
      if (member.ended) member.launch()
    }
    await this.etcd.stands()
  }

  async end(): Promise<void> {
    this.admin.close()
    await this.etcd.end()
  }
}

const faults: readonly Fault<EtcdPlace>[] = [
  {
    name: 'leader-killed',
    about: 'the leader is killed, and comes back',
    strike: async ({ crew, place, random }) => {
      const leader = await place.leader()
      crew.note(`kill the leader, ${leader}`)
      await place.etcd.members[leader]!.kill()
      await sleep(crew.ttlMs * (0.3 + 0.5 * random()))
    },
    felt: struckAmidst('kill the leader'),
  },
  {
    name: 'follower-frozen',
    about: 'a member that does not lead stands still',
    strike: async ({ crew, place, random }) => {
      const follower = await place.follower(random)
      crew.note(`freeze a follower, ${follower}`)
      place.etcd.members[follower]!.freeze()
      await sleep(crew.ttlMs * (0.5 + random()))
    },
    felt: struckAmidst('freeze a follower'),
  },
  {
    name: 'member-slow',
    about: 'a member stands still half of the time, as one whose disk is slow',
    strike: async ({ crew, place, random }) => {
      const slow = pick(random, [0, 1, 2])
      crew.note(`slow down a member, ${slow}`)
      for (const end = machineNow() + crew.ttlMs; machineNow() < end; await sleep(STILL_MS)) {
        place.etcd.members[slow]!.freeze()
        await sleep(STILL_MS)
        place.etcd.members[slow]!.thaw()
      }
    },
    felt: struckAmidst('slow down a member'),
  },
  {
    name: 'majority-frozen',
    about: 'two of three stand still for longer than a lease',
    strike: async ({ crew, place, random }) => {
      const places = [await place.leader(), await place.follower(random)]
      crew.note(`freeze members ${places.join(', ')}`)
      // The leader goes on first, or it might end leases that the next one keeps.
      for (const member of places.toReversed()) place.etcd.members[member]!.freeze()
      await sleep(crew.ttlMs * (1.1 + random()))
    },
    felt: (history) => wasLost(history) || askedInVain('UNREACHABLE', 'UNAVAILABLE')(history),
  },
  {
    name: 'all-restarted',
    about: 'all three are killed, and start again from their disks',
    strike: async ({ crew, place }) => {
      crew.note('restart all')
      await Promise.all(place.etcd.members.map((member) => member.kill()))
    },
    felt: struckAmidst('restart all'),
  },
  {
    name: 'compacted',
    about: 'all that happened until now is forgotten, and a watch that comes back has missed it',
    strike: async ({ crew, place }) => {
      crew.note('compact')
      for (const hand of crew.hands) crew.reset(hand)
      const { header } = await place.admin.call(RANGE, { key: Buffer.from('x') })
      await place.admin.call(COMPACT, { revision: header!.revision, physical: true })
    },
    felt: struckAmidst('compact'),
  },
  {
    name: 'leases-revoked',
    about: 'the lease of whoever holds is revoked by an operator',
    breaks: 'nobody but its holder ends a lease',
    strike: async (scene) => {
      const { crew, place } = scene
      await inside(scene, async () => {
        crew.note('revoke leases')
        await crew.forgets(allNames(crew.prefix), async () => {
          const entries = await Promise.all(exclusiveNames(crew.prefix).map((name) => place.entries(name)))
          const ids = new Set(entries.flat().map(({ lease }) => lease))
          for (const id of ids) if (id !== 0n) await place.admin.call(LEASE_REVOKE, { id })
        })
        await sleep(crew.ttlMs / 4)
      })
    },
    felt: struckAmidst('revoke leases'),
  },
  {
    name: 'leader-frozen',
    about: 'the leader stands still for longer than a lease, and goes on',
    breaks: 'a leader that was deposed ends no lease',
    strike: async (scene) => {
      const { crew, place, random } = scene
      const leader = await place.leader()
      crew.note(`freeze the leader, ${leader}`)
      place.etcd.members[leader]!.freeze()
      await sleep(crew.ttlMs * (1.2 + random()))
      crew.note('thaw the leader')
      const thaw = async (): Promise<void> => place.etcd.members[leader]!.thaw()
      // Where entries have no lease, it ends none.
      if (place.lease === 'observed') await thaw()
      else await crew.forgets(allNames(crew.prefix), thaw, 1000)
      await sleep(1000)
    },
    felt: struckAmidst('freeze the leader'),
  },
]

const WIRED: ReadonlySet<Need> = new Set(['wire'])

function arenaOf(name: string, lease: string, ofMembers: readonly Fault<EtcdPlace>[]): Arena<EtcdPlace> {
  const open = (): Promise<EtcdPlace> => EtcdPlace.open(lease)
  const arena = { name, ttlMs: 2000, workloads: WORKLOADS, has: WIRED, faults: [...SLOW_CLOCKS, ...ofMembers], open }
  return lease === 'observed' ? { ...arena, keepsUntilWaited: true } : arena
}

export const etcd: Arena<EtcdPlace> = arenaOf('etcd', 'process', faults)

/** Where nobody relies on a lease of etcd, a leader that comes back ends none: there is nothing that this fault breaks. */
export const observed: Arena<EtcdPlace> = arenaOf(
  'etcd-observed',
  'observed',
  faults
    .filter(({ name }) => name !== 'leases-revoked')
    .map(({ name, about, strike, felt }) => ({ name, about, strike, felt })),
)
