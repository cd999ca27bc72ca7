/**
 * Writes down what user code sees of its leases: the ask, the grant, each deadline, the loss, the release.
 *
 * Each note is taken so that it never accuses the innocent: the clock is read before what is left of a lease, and a release is
 * written down before it is called.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { HoldfastEvents } from '../../core/events.ts'
import type { LeaseLostError } from '../../core/errors.ts'
import { WHOLE } from '../../backend.ts'
import type { Mode, Note, Recorder } from '../history.ts'
import { machineNow } from './clock.ts'

/** A lease on one name or on several, as far as it is looked at here. */
export interface Watched {
  readonly signal: AbortSignal
  readonly remainingMs: number
  assertHeld(): void
  release(): Promise<'released' | 'gone'>
}

/** A lease whose fate is written down. */
export interface Hold<L extends Watched = Watched> {
  /** Names it in the history. Of several names: that of the first. */
  readonly id: string
  readonly lease: L
  /** `assertHeld()`, written down. */
  check(): void
  release(): Promise<'released' | 'gone'>
}

export interface Shape {
  readonly mode: Mode
  readonly weight: number
  readonly capacity: number
}

export const EXCLUSIVE: Shape = { mode: 'exclusive', weight: WHOLE, capacity: WHOLE }

export interface Ask<L> {
  readonly names: readonly string[]
  readonly waits: boolean
  readonly shape?: Shape
  /** @param id what the lease is called in the history; a label, for whoever looks at the queue */
  readonly take: (id: string) => Promise<L | undefined>
  /** By which the resource knows it, for each name. */
  readonly fences: (lease: L) => readonly bigint[]
}

export class Witness {
  readonly process: string
  readonly #recorder: Recorder
  /** The grants whose renewals are to be written down, by name and fence. */
  readonly #granted = new Map<string, string>()
  #count = 0

  constructor(process: string, recorder: Recorder) {
    this.process = process
    this.#recorder = recorder
    subscribe('holdfast:renew', (message) => {
      const { name, fence, remainingMs } = message as HoldfastEvents['holdfast:renew']
      const hold = this.#granted.get(keyOf(name, fence))
      if (hold !== undefined) this.note({ kind: 'deadline', hold, until: machineNow() + remainingMs })
    })
  }

  /** @param at if it did not happen right now */
  note(note: Note, at?: number): void {
    this.#recorder.note(this.process, note, at)
  }

  /** Ask by `take`, and write down what comes of it. `undefined`: a try that was refused. */
  async asks<L extends Watched>(ask: Ask<L>): Promise<Hold<L> | undefined> {
    const { names, waits, shape = EXCLUSIVE, take, fences } = ask
    this.#count += 1
    const id = `${this.process}/${this.#count}`
    const parts = names.map((name, index) => ({ name, hold: index === 0 ? id : `${id}.${index + 1}` }))
    for (const part of parts) this.note({ kind: 'ask', waits, ...part })
    const gaveUp = (code: string): void => {
      for (const { hold } of parts) this.note({ kind: 'gave-up', hold, code })
    }
    let lease: L | undefined
    try {
      lease = await take(id)
    } catch (error) {
      gaveUp(String((error as { readonly code?: unknown }).code))
      throw error
    }
    if (!lease) {
      gaveUp('HELD')
      return undefined
    }
    return this.#watch(lease, id, parts, fences(lease), shape)
  }

  #watch<L extends Watched>(
    lease: L,
    id: string,
    parts: readonly { readonly name: string; readonly hold: string }[],
    fences: readonly bigint[],
    shape: Shape,
  ): Hold<L> {
    // The clock first: a deadline may be noted too early, never too late.
    const until = machineNow() + lease.remainingMs
    for (const [index, part] of parts.entries()) {
      this.note({ kind: 'granted', fence: Number(fences[index]), until, ...part, ...shape })
      this.#granted.set(keyOf(part.name, fences[index]!), part.hold)
    }
    const isOver = (): void => {
      for (const [index, { name }] of parts.entries()) this.#granted.delete(keyOf(name, fences[index]!))
    }
    const lost = (by: 'signal' | 'check', { reason }: LeaseLostError): void => {
      for (const { hold } of parts) this.note({ kind: 'lost', hold, by, reason })
    }
    const heard = (): void => {
      isOver()
      lost('signal', lease.signal.reason as LeaseLostError)
    }
    lease.signal.addEventListener('abort', heard, { once: true })
    return {
      id,
      lease,
      check: () => {
        try {
          lease.assertHeld()
        } catch (error) {
          lost('check', error as LeaseLostError)
          throw error
        }
        for (const { hold } of parts) this.note({ kind: 'checked', hold })
      },
      release: () => {
        isOver()
        lease.signal.removeEventListener('abort', heard)
        for (const { hold } of parts) this.note({ kind: 'released', hold })
        return lease.release()
      },
    }
  }
}

function keyOf(name: string, fence: bigint): string {
  return `${fence} ${name}`
}
