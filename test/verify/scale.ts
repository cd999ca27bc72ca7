/**
 * How long each checker takes for many holds: `node test/verify/scale.ts [holds]`, a million if not said.
 *
 * The history is a good one that makes work wherever there could be some. Of each name there is a crowd behind one long
 * hold, which is renewed and checked all the while; then they are served, one after the other. The processes stand still
 * again and again.
 */
import { pathToFileURL } from 'node:url'
import { backed } from '../../src/verify/checkers/backed.ts'
import { exclusion } from '../../src/verify/checkers/exclusion.ts'
import { fenceOrder } from '../../src/verify/checkers/fence-order.ts'
import { fifoOrder } from '../../src/verify/checkers/fifo-order.ts'
import { guardedRegister } from '../../src/verify/checkers/guarded-register.ts'
import { liveness } from '../../src/verify/checkers/liveness.ts'
import { permits } from '../../src/verify/checkers/permits.ts'
import { readersWriters } from '../../src/verify/checkers/readers-writers.ts'
import { residue } from '../../src/verify/checkers/residue.ts'
import { toldInTime } from '../../src/verify/checkers/told-in-time.ts'
import type { Event, History, Mode, Note, Violation } from '../../src/verify/history.ts'
import { historyOf } from '../../src/verify/history.ts'

const PROCESSES = 8
const MODES: readonly Mode[] = ['exclusive', 'shared', 'permits']

const NAMES = 20
const registers = new Set(Array.from({ length: NAMES }, (_, index) => `n${index}`))
const bounds = { turnMs: 1, afterSleepMs: 1000, answerMs: Infinity, noticeMs: 1, leaveMs: 1 }

const checkers: Record<string, (history: History) => readonly Violation[]> = {
  exclusion,
  readersWriters,
  permits,
  backed,
  fenceOrder,
  fifoOrder,
  toldInTime: (history) => toldInTime(history, bounds),
  guardedRegister: (history) => guardedRegister(history, registers),
  liveness: (history) => liveness(history, bounds),
  residue,
}

/** What each checker, and what puts the history together, costs by some measure. All of them must be content. */
export function costs(events: readonly Event[], costOf: (work: () => void) => number): Record<string, number> {
  let history = historyOf([])
  const result = { historyOf: costOf(() => (history = historyOf(events))) }
  const each = Object.entries(checkers).map(([name, check]) => {
    let violation: Violation | undefined
    const cost = costOf(() => ([violation] = check(history)))
    if (violation) throw new Error(`${name} objects to a good history: ${violation.text}`)
    return [name, cost] as const
  })
  return { ...result, ...Object.fromEntries(each) }
}

/** So many holds of so many names, `NAMES` at most. */
export function eventsOf(holds: number, namesCount: number): Event[] {
  const names = Array.from({ length: namesCount }, (_, index) => ({
    name: `n${index}`,
    mode: MODES[index % MODES.length]!,
  }))
  const events: Event[] = []
  let at = 0
  const note = (index: number, what: Note): void => void events.push({ at, process: `p${index % PROCESSES}`, ...what })
  const crowd = Math.ceil(holds / namesCount)
  for (const { name, mode } of names) serve(name, mode, 0, crowd + 1)
  for (let index = 1; index < crowd; index += 1) {
    at = index
    for (const { name } of names) {
      ask(name, index)
      note(0, { kind: 'deadline', hold: `${name} 0`, until: index + crowd })
      note(0, { kind: 'checked', hold: `${name} 0` })
    }
    if (index % 8 === 0) note(index / 8, { kind: 'pause', until: at + 0.5, asleep: false })
  }
  for (let index = 0; index < crowd; index += 1) {
    at = crowd + index
    for (const { name, mode } of names) {
      leave(name, index)
      if (index + 1 < crowd) serve(name, mode, index + 1, 10)
    }
  }
  note(0, { kind: 'end' })
  return events

  function ask(name: string, index: number): void {
    const hold = `${name} ${index}`
    note(index, { kind: 'ask', hold, name, waits: true })
    note(index, { kind: 'entered', hold, name, fence: index, weight: 1, capacity: 1 })
  }

  function serve(name: string, mode: Mode, index: number, ttlMs: number): void {
    const hold = `${name} ${index}`
    if (index === 0) ask(name, index)
    note(index, { kind: 'holds', hold, name, fence: index })
    note(index, { kind: 'granted', hold, name, fence: index, mode, weight: 1, capacity: 1, ttlMs, until: at + ttlMs })
    const access = { register: name, hold, fence: index, mode: 'exclusive', accepted: true, version: index } as const
    note(index, { kind: 'access', does: 'write', ...access, puts: index + 1, base: index })
  }

  function leave(name: string, index: number): void {
    note(index, { kind: 'released', hold: `${name} ${index}` })
    note(index, { kind: 'left', hold: `${name} ${index}`, name, fence: index })
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const holds = Number(process.argv[2] ?? 1_000_000)
  const times = costs(eventsOf(holds, NAMES), (work) => {
    const startedAt = performance.now()
    work()
    return (performance.now() - startedAt) / 1000
  })
  for (const [name, seconds] of Object.entries(times)) console.log(`${name.padEnd(16)} ${seconds.toFixed(2)} s`)
  const sum = Object.values(times).reduce((total, seconds) => total + seconds, 0)
  console.log(`${holds} holds in ${sum.toFixed(1)} s`)
}
