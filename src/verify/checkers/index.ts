/** Every checker, and all of them at once. */
import type { History, Violation } from '../history.ts'
import { backed } from './backed.ts'
import { exclusion } from './exclusion.ts'
import { fenceOrder } from './fence-order.ts'
import { fifoOrder } from './fifo-order.ts'
import { guardedRegister } from './guarded-register.ts'
import type { LivenessOptions } from './liveness.ts'
import { liveness } from './liveness.ts'
import { permits } from './permits.ts'
import { readersWriters } from './readers-writers.ts'
import { residue } from './residue.ts'
import type { ToldOptions } from './told-in-time.ts'
import { toldInTime } from './told-in-time.ts'

export interface CheckOptions extends LivenessOptions, ToldOptions {
  /** The registers that guard themselves; others are expected to lose updates. */
  readonly guarded: ReadonlySet<string>
}

export function check(history: History, options: CheckOptions): Violation[] {
  return [
    ...exclusion(history),
    ...readersWriters(history),
    ...permits(history),
    ...backed(history),
    ...fenceOrder(history),
    ...fifoOrder(history),
    ...toldInTime(history, options),
    ...guardedRegister(history, options.guarded),
    ...liveness(history, options),
    ...residue(history),
  ]
}
