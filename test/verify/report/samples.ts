/** Reports to be looked at: histories as worker processes leave them behind, made up to the millisecond. */
import type { Event, Violation } from '../../../src/verify/history.ts'
import { historyOf } from '../../../src/verify/history.ts'
import { check } from '../../../src/verify/checkers/index.ts'
import { excerptOf, momentOf } from '../../../src/verify/report/excerpt.ts'
import type { Excerpt, Report, Trial } from '../../../src/verify/report/report.ts'
import { Story, story } from '../story.ts'

const TTL_MS = 1000
const EXCLUSIVE = { mode: 'exclusive', weight: 1, capacity: 1 } as const

interface Turns {
  readonly rounds: number
  /** Default true. Otherwise the one that stands still has a deadline far away, and believes until it is told. */
  readonly honest?: boolean
}

/**
 * Four processes take turns at one name, each turn 100 ms. In the middle comes a fifth one, which stands still for longer than
 * its lease lasts, and its late write is refused.
 */
export function turns({ rounds, honest = true }: Turns): Event[] {
  const name = 'turns'
  const tale = new Story()
  let now = 1000
  let version = 0
  for (let fence = 1; fence <= rounds; fence += 1) {
    const stands = fence === Math.ceil(rounds / 2)
    const process = stands ? 'p5' : `p${(fence % 4) + 1}`
    const hold = `${process}/${fence}`
    const until = now + (stands && !honest ? 5 : 1) * TTL_MS
    const visitor = { kind: 'access', hold, fence, mode: 'exclusive', register: 'guarded', version } as const
    const read = { ...visitor, does: 'read', accepted: true } as const
    const write = { ...visitor, does: 'write', accepted: !stands, puts: version + 1, base: version } as const
    const [ended, wrote] = stands ? [1430, 1424] : [100, 95]
    tale.at(now - 280, process, { kind: 'ask', hold, name, waits: true })
    tale.at(now, process, { kind: 'granted', hold, name, fence, until, ttlMs: TTL_MS, ...EXCLUSIVE })
    tale.at(now + 5, process, read).at(now + wrote, process, write)
    if (stands) {
      tale.at(now + 20, 'nemesis', { kind: 'fault', what: `${process} stands still for 1,400 ms` })
      tale.at(now + 21, process, { kind: 'pause', until: now + 1421, asleep: false })
    } else version += 1
    if (stands && honest) tale.at(now + 1422, process, { kind: 'lost', hold, by: 'signal', reason: 'deadline' })
    else tale.at(now + ended, process, { kind: 'released', hold })
    now += stands ? TTL_MS + 100 : 104
  }
  tale.at(now + 2000, 'nemesis', { kind: 'healed' }).at(now + 4000, 'test', { kind: 'end' })
  return [...tale.history().events]
}

const BOUNDS = { turnMs: 5, afterSleepMs: 1000, answerMs: 1e6, noticeMs: 1e6, leaveMs: 1e6 }

export function trialOf(events: readonly Event[], more: Partial<Trial> = {}): Trial {
  const violations = check(historyOf(events), { ...BOUNDS, guarded: new Set(['guarded']) })
  return { ...trial(events, violations), ...more }
}

function trial(events: readonly Event[], violations: readonly Violation[]): Trial {
  const of = (kind: Event['kind']): number => events.filter((event) => event.kind === kind).length
  const moment = momentOf(historyOf(events), violations)
  return {
    coordinator: 'redis',
    fault: 'a holder stands still',
    seed: 7,
    startedAt: '2025-01-31T23:59:58.123Z',
    seconds: 12,
    verdict: violations.length > 0 ? 'violated' : 'held',
    why: violations.length > 0 ? 'Two believed at once.' : 'Nothing that is promised was broken.',
    figures: {
      operations: events.length,
      grants: of('granted'),
      strikes: of('fault'),
      overlaps: violations.filter(({ checker }) => checker === 'exclusion').length,
      logged: 0,
      lostUpdates: 0,
      refused: events.filter((event) => event.kind === 'access' && !event.accepted).length,
    },
    violations: violations.map(({ checker, text }) => ({ checker, text })),
    excerpt: moment && excerptOf(events, moment),
  }
}

export function reportOf(trials: readonly Trial[]): Report {
  return {
    command: 'holdfast verify --coordinator redis,etcd',
    startedAt: '2025-01-31T23:59:50.000Z',
    environment: {
      holdfast: '0.1.0',
      node: 'v24.0.0',
      system: 'Linux 6.1.0 x64',
      cores: 2,
      servers: { 'redis-server': '7.0.15', etcd: '3.4.23' },
    },
    trials,
  }
}

/** Where everything that can be chosen by others is a piece of HTML. */
export function hostile(text: string): Excerpt {
  const events = story()
    .at(0, text, { kind: 'ask', hold: text, name: text, waits: true })
    .at(1, text, { kind: 'granted', hold: text, name: text, fence: 1, until: 9, ...EXCLUSIVE })
    .at(2, text, { kind: 'fault', what: text })
    .at(3, text, { kind: 'lost', hold: text, by: 'signal', reason: text })
    .at(4, text, { kind: 'pause', until: 5, asleep: false })
    .at(5, 'nobody', { kind: 'crash' })
    .history().events
  return excerptOf(events, { at: 2, about: text })
}
