/** Every coordinator that is attacked here. */
import type { AnyArena } from '../../src/verify/torture/verify.ts'
import { any } from '../../src/verify/torture/verify.ts'
import { etcd, observed } from './etcd.ts'
import { file } from './file.ts'
import { cluster, sentinel } from './redis-groups.ts'
import { redis } from './redis.ts'
import { redlock } from './redlock.ts'

export const ARENAS: readonly AnyArena[] = [
  any(file),
  any(redis),
  any(sentinel),
  any(cluster),
  any(redlock),
  any(etcd),
  any(observed),
]
