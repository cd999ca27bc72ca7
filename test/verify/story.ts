/** Small histories for tests of the checkers: each line is one event at one time. */
import type { Event, History, Mode, Note, Violation } from '../../src/verify/history.ts'
import { historyOf } from '../../src/verify/history.ts'

export interface Shape {
  readonly name?: string
  readonly mode?: Mode
  readonly weight?: number
  readonly capacity?: number
  readonly until?: number
  readonly ttlMs?: number
}

export class Story {
  readonly events: Event[] = []

  /** Something happens in `process`, at this time. */
  at(at: number, process: string, note: Note): this {
    this.events.push({ at, process, ...note })
    return this
  }

  /** `hold` of the process of the same first letter is asked for, granted with `fence`, and released. */
  hold(hold: string, fence: number, [ask, granted, released]: [number, number, number?], shape: Shape = {}): this {
    const { name = 'n', mode = 'exclusive', weight = 1, capacity = 1, ttlMs = 1000, until = granted + 1000 } = shape
    const process = hold[0]!
    this.at(ask, process, { kind: 'ask', hold, name, waits: true })
    this.at(granted, process, { kind: 'granted', hold, name, fence, mode, weight, capacity, ttlMs, until })
    if (released !== undefined) this.at(released, process, { kind: 'released', hold })
    return this
  }

  history(): History {
    return historyOf([...this.events].sort((a, b) => a.at - b.at))
  }
}

export function story(): Story {
  return new Story()
}

export function texts(violations: readonly Violation[]): string[] {
  return violations.map(({ text }) => text)
}
