/**
 * What goes wrong, one word each: with processes, and on wires; what goes wrong with servers stands beside it, for each kind of
 * them. All of it is written into the history.
 */
import type { Event } from '../../src/verify/history.ts'
import type { Hand } from './hand.ts'
import { NAME } from './hand.ts'
import type { Way } from '../../src/verify/torture/wire.ts'
import { machineNow } from '../../src/verify/torture/clock.ts'

export abstract class Nemesis {
  readonly events: Event[] = []
  readonly #hands: readonly Hand[]
  readonly #stopped = new Set<Hand>()

  /** @param hands all of them, also those that come later */
  constructor(hands: readonly Hand[]) {
    this.#hands = hands
  }

  // Processes

  async pause(hand: Hand): Promise<void> {
    this.note(`pause ${hand.worker.name}`)
    this.#stopped.add(hand)
    await hand.worker.stop()
  }

  resume(hand: Hand): void {
    this.note(`resume ${hand.worker.name}`)
    this.#stopped.delete(hand)
    hand.worker.continue()
  }

  /** It computes for so long, and neither timers nor sockets get their turn. */
  async block(hand: Hand, ms: number): Promise<void> {
    this.note(`block ${hand.worker.name}`)
    const at = machineNow()
    await hand.worker.do((stage, ms) => stage.block(ms), ms)
    this.events.push({ kind: 'pause', process: hand.worker.name, at, until: machineNow(), asleep: false })
  }

  async kill(hand: Hand): Promise<void> {
    this.note(`kill ${hand.worker.name}`)
    this.#stopped.delete(hand)
    await hand.worker.kill()
  }

  // Wires

  silence(hand: Hand, way: Way = 'both'): void {
    this.note(`silence ${hand.worker.name} ${way}`)
    hand.wire.silence(way)
  }

  /** Both ways, with jitter. */
  slow(hand: Hand, ms: number): void {
    this.note(`slow ${hand.worker.name} by ${ms} ms`)
    hand.wire.slow(ms, 'both', 0.5)
  }

  reset(hand: Hand): void {
    this.note(`reset ${hand.worker.name}`)
    hand.wire.reset()
  }

  /** It connects anew; what is stalled is still on its way. */
  hangUp(hand: Hand): void {
    this.note(`hang up ${hand.worker.name}`)
    hand.wire.hangUp()
  }

  /** Something else, in its own words. */
  does<T>(what: string, act: () => T): T {
    this.note(what)
    return act()
  }

  /** All is well again; what was kept back arrives. */
  heal(): void | Promise<void> {
    this.note('heal')
    for (const hand of this.#stopped) hand.worker.continue()
    this.#stopped.clear()
    for (const { wire } of this.#hands) wire.heal()
  }

  /** What was delayed has arrived, and all have been at work since. */
  healed(): void {
    this.events.push({ kind: 'healed', process: 'nemesis', at: machineNow() })
  }

  /** A fault that ends entries which are alive; with `lateMs`, so much later at the latest. */
  protected async forgets<T>(fault: () => Promise<T>, lateMs = 0): Promise<T> {
    const at = machineNow()
    try {
      return await fault()
    } finally {
      this.events.push({ kind: 'forgotten', process: 'nemesis', name: NAME, at, until: machineNow() + lateMs })
    }
  }

  protected note(what: string): void {
    this.events.push({ kind: 'fault', process: 'nemesis', at: machineNow(), what })
  }
}
