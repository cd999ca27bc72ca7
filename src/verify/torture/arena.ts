/** A coordinator that is there already, and that others may use: nothing is done to it, only to our own processes and wires. */
import { backendFor } from '../../connect.ts'
import { ArgumentTypeError } from '../../core/errors.ts'
import { layerOf } from './lines.ts'
import type { AnyArena } from './verify.ts'
import { any } from './verify.ts'
import type { Workload } from './workloads.ts'
import { WORKLOADS } from './workloads.ts'

/** A quorum has no queue and no shared holders. */
const OF_A_QUORUM: readonly Workload[] = ['exclusive', 'several', 'once']
/** etcd counts leases in whole seconds, and has a floor that follows from its election timeout: 2 s where nothing is set. */
const TTL_MS: Readonly<Record<string, number>> = { etcd: 3000 }

/** @throws ArgumentTypeError for `memory:`, which no two processes share */
export function arenaAt(url: string, ttlMs?: number): AnyArena {
  const backend = backendFor(url)
  const { kind, supports } = backend
  if (kind === 'memory')
    throw new ArgumentTypeError(
      'memory: is one process, and a trial needs several; give file:, redis:, redlock: or etcd:',
    )
  const lay = layerOf(url)
  return any({
    name: kind,
    ttlMs: ttlMs ?? TTL_MS[kind] ?? 1000,
    workloads: supports.sharing === 'none' ? OF_A_QUORUM : WORKLOADS,
    has: new Set(lay === undefined ? [] : (['wire'] as const)),
    faults: [],
    open: async () => ({
      url,
      lay: lay ?? (async () => ({ url })),
      recovers: async () => {},
      end: async () => {},
    }),
  })
}
