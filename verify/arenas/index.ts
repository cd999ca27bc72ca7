/** Every coordinator that is attacked here. */
import type { AnyArena } from '../../src/verify/torture/verify.ts'
import type { Arena, Place } from '../../src/verify/torture/trial.ts'
import { any } from '../../src/verify/torture/verify.ts'
import { Dial } from '../../test/kit/clocks.ts'
import { HERE } from './here.ts'
import { etcd, observed } from './etcd.ts'
import { file } from './file.ts'
import { cluster, sentinel } from './redis-groups.ts'
import { redis } from './redis.ts'
import { redlock } from './redlock.ts'

/** With what this machine has. */
function here<P extends Place>(arena: Arena<P>): AnyArena {
  const has = new Set([...arena.has, ...HERE])
  return any({ ...arena, has, clock: HERE.has('clock') ? (rate) => Dial.make(rate)! : undefined })
}

export const ARENAS: readonly AnyArena[] = [
  here(file),
  here(redis),
  here(sentinel),
  here(cluster),
  here(redlock),
  here(etcd),
  here(observed),
]
