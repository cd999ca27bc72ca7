/** When the entries of the lock that all hands want were deleted, as the coordinator says; and how soon their holders knew. */
import type { EtcdClient } from '../../src/backends/etcd/index.ts'
import { EVENT } from '../../src/backends/etcd/messages.ts'
import { Watches } from '../../src/backends/etcd/watches.ts'
import type { History } from '../../src/verify/history.ts'
import { KEYS } from './etcd-nemesis.ts'
import { machineNow } from '../../src/verify/torture/clock.ts'

export interface Deletions {
  /** When the entry with this ticket was deleted. */
  of(fence: number): number | undefined
  /** For each hold that was lost by a deletion: how long after it that was known. */
  toldAfter(history: History): number[]
  /** No more are heard of. */
  end(): void
}

/** From now on. */
export function deletionsIn(client: EtcdClient): Deletions {
  const fences = new Map<string, number>()
  const at = new Map<number, number>()
  const watches = new Watches(client)
  watches.watch(KEYS, 0, {
    heard: (events) => {
      for (const { type, kv } of events) {
        const key = kv!.key.toString()
        if (type === EVENT.put) fences.set(key, kv!.createRevision)
        else at.set(fences.get(key) ?? 0, machineNow())
      }
    },
    ended: () => {},
  })
  return {
    of: (fence) => at.get(fence),
    end: () => watches.close(),
    toldAfter: ({ holds }) =>
      [...holds.values()].flatMap(({ granted, lost }) => {
        const deletedAt = granted && at.get(granted.fence)
        return lost?.reason === 'gone' && deletedAt !== undefined ? [lost.at - deletedAt] : []
      }),
  }
}
