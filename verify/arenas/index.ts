/** Every coordinator that is attacked here. */
import type { AnyArena } from '../../src/verify/torture/verify.ts'
import type { Arena, Place } from '../../src/verify/torture/trial.ts'
import { any } from '../../src/verify/torture/verify.ts'
import { Dial } from '../../test/kit/clocks.ts'
import { etcd, observed } from './etcd.ts'
import { file } from './file.ts'
import { cluster, sentinel } from './redis-groups.ts'
import { redis } from './redis.ts'
import { redlock } from './redlock.ts'

/** With clocks that can be turned, where there is a C compiler. */
function clocked<P extends Place>(arena: Arena<P>): AnyArena {
  return any({ ...arena, clock: Dial.possible ? () => Dial.make()! : undefined })
}

export const ARENAS: readonly AnyArena[] = [
  clocked(file),
  clocked(redis),
  clocked(sentinel),
  clocked(cluster),
  clocked(redlock),
  clocked(etcd),
  clocked(observed),
]
