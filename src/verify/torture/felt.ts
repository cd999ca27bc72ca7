/** Whether anybody felt a fault, as the history tells: what nobody felt proves nothing. */
import type { History, Hold } from '../history.ts'

export function wasLost(history: History): boolean {
  return someHold(history, ({ lost }) => lost !== undefined)
}

export function wasPaused({ pauses }: History): boolean {
  return pauses.size > 0
}

/** A register with a guard refused somebody who came too late, though it had not come back on purpose. */
export function wasRefused({ events, holds }: History): boolean {
  return events.some(
    (event) =>
      event.kind === 'access' &&
      !event.accepted &&
      event.does === 'write' &&
      !(event.at > (holds.get(event.hold)?.released?.at ?? Infinity)),
  )
}

/** Somebody asked, and got one of these codes. */
export function askedInVain(...codes: readonly string[]): (history: History) => boolean {
  return (history) => someHold(history, ({ gaveUp }) => gaveUp !== undefined && codes.includes(gaveUp.code))
}

export function diedInside(history: History): boolean {
  const { crashes } = history
  return someHold(history, ({ granted, released, lost, process }) =>
    Boolean(granted && !released && !lost && crashes.has(process)),
  )
}

export function diedWaiting(history: History): boolean {
  return someHold(history, ({ granted, gaveUp, process }) => !granted && !gaveUp && history.crashes.has(process))
}

/** Somebody held, or waited, when a fault whose words begin so struck. */
export function struckAmidst(word: string): (history: History) => boolean {
  return ({ events, holds }) => {
    const strikes = events.flatMap((event) => (event.kind === 'fault' && event.what.startsWith(word) ? [event.at] : []))
    return [...holds.values()].some(({ ask, released, lost, gaveUp }) => {
      const end = Math.min(released?.at ?? Infinity, lost?.at ?? Infinity, gaveUp?.at ?? Infinity)
      return strikes.some((at) => ask !== undefined && ask.at < at && at < end)
    })
  }
}

function someHold({ holds }: History, is: (hold: Hold) => boolean): boolean {
  return [...holds.values()].some(is)
}
