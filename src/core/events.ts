/**
 * What happens to leases, told on `node:diagnostics_channel`. Everything that observes subscribes to it; without a
 * subscriber it costs one look at a flag.
 *
 * @example
 * ```ts
 * import { subscribe } from 'node:diagnostics_channel'
 *
 * subscribe('holdfast:lost', (event) => console.error(event))
 * ```
 */
import { channel } from 'node:diagnostics_channel'
import type { LossReason } from './errors.ts'

interface About {
  readonly name: string
  /** Which queue of that name: a lock, permits, an election. */
  readonly kind: string
}

export interface HoldfastEvents {
  /** Stands in the queue. */
  'holdfast:wait': About & { readonly fence: bigint; readonly ahead: number }
  /** Holds. */
  'holdfast:acquire': About & { readonly fence: bigint; readonly waitedMs: number }
  /** Did not get to hold: the `code` of the error, or the name of the caller's own abort. */
  'holdfast:give-up': About & { readonly waitedMs: number; readonly code: string }
  /** A renewal was answered. */
  'holdfast:renew': About & { readonly fence: bigint; readonly remainingMs: number }
  /** A renewal was not answered: it may still hold, or not. */
  'holdfast:doubt': About & { readonly fence: bigint; readonly remainingMs: number; readonly error: unknown }
  'holdfast:lost': About & { readonly fence: bigint; readonly heldMs: number; readonly reason: LossReason }
  'holdfast:release': About & { readonly fence: bigint; readonly heldMs: number; readonly outcome: 'released' | 'gone' }
}

const channels = {
  'holdfast:wait': channel('holdfast:wait'),
  'holdfast:acquire': channel('holdfast:acquire'),
  'holdfast:give-up': channel('holdfast:give-up'),
  'holdfast:renew': channel('holdfast:renew'),
  'holdfast:doubt': channel('holdfast:doubt'),
  'holdfast:lost': channel('holdfast:lost'),
  'holdfast:release': channel('holdfast:release'),
} as const

/** The names of all channels. */
export const EVENTS: readonly (keyof HoldfastEvents)[] = Object.keys(channels) as (keyof HoldfastEvents)[]

/** Publish, if anybody listens; `make` runs only then. */
export function emit<K extends keyof HoldfastEvents>(event: K, make: () => HoldfastEvents[K]): void {
  const target = channels[event]
  if (target.hasSubscribers) target.publish(make())
}
