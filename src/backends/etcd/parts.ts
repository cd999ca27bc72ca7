/** What the rooms of one backend share. */
import type { ElapsedClock } from '../../elapsed.ts'
import type { Wakes } from '../../queue/wakes.ts'
import type { Runtime } from '../../runtime.ts'
import type { Copies } from './copies.ts'
import type { Keeping } from './keeping.ts'
import type { Naming } from './keys.ts'
import type { Leases } from './leases.ts'
import type { Seats } from './seats.ts'
import type { Store } from './store.ts'
import type { Tick } from './tick.ts'
import type { Writer } from './writer.ts'

export interface Parts {
  readonly naming: Naming
  readonly runtime: Runtime
  readonly clock: ElapsedClock
  readonly tick: Tick
  readonly store: Store
  readonly leases: Leases
  readonly keeping: Keeping
  readonly seats: Seats
  readonly copies: Copies
  readonly writer: Writer
  readonly wakes: Wakes
}
