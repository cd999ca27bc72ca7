/**
 * A register that a lock protects, as a resource should behave: it refuses whoever comes too late.
 *
 * It keeps x, the largest exclusive fence that it has seen, and s, the largest of any. An exclusive access is accepted iff
 * its fence is not below s (then both become it), a shared one iff its fence is not below x (then s rises to it, if it is
 * larger). So an old reader may read beside a newer one, and nobody gets in behind a newer writer.
 *
 * Reads are judged as writes are. With writes alone an update was lost:
 * 1. the new holder reads;  2. the write of the old one arrives, with the largest fence seen so far;  3. the new holder
 * writes what it made of the value it had read.
 *
 * Beside it stands a register that takes everything. It shows what would have been lost without a guard; a run in which
 * it never loses an update has proved nothing.
 */
import type { Access, Recorder } from './history.ts'

/** Who accesses: the hold, and its fence at the time. */
export interface Visitor {
  readonly process: string
  readonly hold: string
  readonly fence: number
  readonly mode: 'exclusive' | 'shared'
}

export interface ReadAnswer {
  readonly accepted: boolean
  readonly version: number
}

export class Register {
  readonly name: string
  readonly guarded: boolean
  /** How many writes were made from a version that somebody had replaced since. */
  lostUpdates = 0

  readonly #recorder: Recorder
  #version = 0
  #lastVersion = 0
  #exclusiveFence = 0
  #anyFence = 0

  constructor(name: string, guarded: boolean, recorder: Recorder) {
    this.name = name
    this.guarded = guarded
    this.#recorder = recorder
  }

  read(visitor: Visitor): ReadAnswer {
    const accepted = this.#admit(visitor)
    this.#record(visitor, { does: 'read', accepted })
    return { accepted, version: this.#version }
  }

  /** Replace what is there by something made from version `base`. */
  write(visitor: Visitor, base: number): boolean {
    const accepted = this.#admit(visitor)
    const puts = this.#lastVersion + 1
    this.#record(visitor, { does: 'write', accepted, puts, base })
    if (!accepted) return false
    if (base !== this.#version) this.lostUpdates += 1
    this.#lastVersion = puts
    this.#version = puts
    return true
  }

  #admit(visitor: Visitor): boolean {
    if (!this.guarded) return true
    const { fence, mode } = visitor
    if (fence < (mode === 'exclusive' ? this.#anyFence : this.#exclusiveFence)) return false
    this.#anyFence = Math.max(this.#anyFence, fence)
    if (mode === 'exclusive') this.#exclusiveFence = fence
    return true
  }

  #record(visitor: Visitor, access: Pick<Access, 'does' | 'accepted' | 'puts' | 'base'>): void {
    const { process, hold, fence, mode } = visitor
    this.#recorder.note(process, {
      kind: 'access',
      register: this.name,
      hold,
      fence,
      mode,
      version: this.#version,
      ...access,
    })
  }
}
