/** The queues as people see them. */
import type { EntryView, QueueView } from '../../backend.ts'
import type { EtcdClient } from './client.ts'
import type { Place } from './copy.ts'
import { holdersOf, placeOf } from './copy.ts'
import type { KeyRange, Naming } from './keys.ts'
import type { KeyValue } from './messages.ts'
import { LEASE_TIME_TO_LIVE, RANGE } from './messages.ts'
import { checkVersions } from './record.ts'

/** So many keys are read at a time. */
const PAGE = 1000

/**
 * @param keptMs how long an entry of this process is kept; of others, their leases tell, in whole seconds
 * @throws EtcdError, and BackendError `STORE_VERSION`
 */
export async function* viewsOf(
  client: EtcdClient,
  naming: Naming,
  prefix: string,
  keptMs: (id: string) => number | undefined,
): AsyncGenerator<QueueView> {
  const queues = await queuesOf(client, naming, prefix)
  const leases = new Map<bigint, Promise<number>>()
  const leftOf = (lease: bigint): Promise<number> => {
    let left = leases.get(lease)
    if (!left) {
      left = client.call(LEASE_TIME_TO_LIVE, { id: lease }).then(({ ttl }) => Math.max(0, ttl) * 1000)
      leases.set(lease, left)
    }
    return left
  }
  for (const name of [...queues.keys()].sort()) {
    const places = [...queues.get(name)!.values()].sort((a, b) => a.fence - b.fence)
    checkVersions(places.map(({ record }) => record))
    const holders = holdersOf(places)
    const views = await Promise.all(
      places.map(async (place, index) => {
        const { lease, record, id } = place
        const ttlMs = keptMs(id) ?? (lease === 0n ? record.keptMs : await leftOf(lease))
        return viewOf(place, index < holders.length, ttlMs, client.runtime.wallMs())
      }),
    )
    const { capacity } = places[0]!.record
    yield { name, capacity, holders: views.slice(0, holders.length), waiters: views.slice(holders.length) }
  }
}

/** By name and key: one range may lie in another. */
async function queuesOf(
  client: EtcdClient,
  naming: Naming,
  prefix: string,
): Promise<ReadonlyMap<string, ReadonlyMap<string, Place>>> {
  const queues = new Map<string, Map<string, Place>>()
  for (const range of naming.starting(prefix)) {
    for await (const kv of keysOf(client, range)) {
      const name = naming.parse(kv.key)?.name
      if (!name?.startsWith(prefix)) continue
      const queue = queues.get(name) ?? new Map<string, Place>()
      queues.set(name, queue.set(kv.key.toString(), placeOf(kv, naming, 0)))
    }
  }
  return queues
}

async function* keysOf(client: EtcdClient, { key, rangeEnd }: KeyRange): AsyncGenerator<KeyValue> {
  for (let from = key; ;) {
    const { kvs, more } = await client.call(RANGE, { key: from, rangeEnd, limit: PAGE })
    yield* kvs
    if (!more) return
    from = Buffer.concat([kvs.at(-1)!.key, Buffer.of(0)])
  }
}

function viewOf({ fence, record }: Place, holds: boolean, ttlMs: number, now: number): EntryView {
  const { weight, joinedAt, heldAt, lingering, info } = record
  return {
    fence: BigInt(fence),
    weight,
    ageMs: Math.max(0, now - joinedAt),
    ttlMs,
    lingering: lingering ?? false,
    // Until its first renewal it has not said since when; that is a moment at most.
    ...(holds ? { heldMs: heldAt === undefined ? 0 : Math.max(0, now - heldAt) } : {}),
    ...(info === undefined ? {} : { info }),
  }
}
