/**
 * Fence order: fences of one name are unique; whoever asks after another was granted gets a larger one; and exclusive
 * grants come in the order of their fences.
 *
 * What it proves: that a resource can tell an old holder from a new one by comparing two numbers. The first two hold for
 * every mode and whatever clocks do. The third needs exclusion, and goes beyond the second: two that asked at the same
 * time have no order by asking, but the one that held later must have the larger fence.
 */
import type { Granted, History, Hold, Violation } from '../history.ts'
import { byName, entryKey, evidence } from '../history.ts'

interface Known extends Hold {
  readonly granted: Granted
}

export function fenceOrder(history: History): Violation[] {
  const violations: Violation[] = []
  for (const [name, byGrant] of byName(grantsOf(history), (hold) => hold.granted.name)) {
    const object = (text: string, one: Known, other: Known): void =>
      void violations.push({ checker: 'fence-order', text: `"${name}": ${text}`, events: evidence(one, other) })
    unique(byGrant, object)
    afterGrant(byGrant, object)
    inGrantOrder(
      byGrant.filter(
        (hold) => heldAtAll(hold) && !grantedAfterEviction(history, hold) && !grantedAcrossForgetting(history, hold),
      ),
      object,
    )
  }
  return violations
}

/** In the order of the history: of two grants at one instant, the holder of the first may have released before the second. */
function grantsOf({ events, holds }: History): Known[] {
  return events.flatMap((event) => {
    const hold = event.kind === 'granted' ? holds.get(event.hold) : undefined
    return hold?.granted === event ? (hold as Known) : []
  })
}

type Object = (text: string, one: Known, other: Known) => void

function unique(holds: readonly Known[], object: Object): void {
  const seen = new Map<number, Known>()
  for (const hold of holds) {
    const { fence } = hold.granted
    const other = seen.get(fence)
    if (other) object(`${other.id} and ${hold.id} both have fence ${fence}`, other, hold)
    else seen.set(fence, hold)
  }
}

/** The floor under an ask is the largest fence that was granted before it. */
function afterGrant(byGrant: readonly Known[], object: Object): void {
  const byAsk = byGrant.filter(({ ask }) => ask).sort((a, b) => a.ask!.at - b.ask!.at)
  let next = 0
  let floor: Known | undefined
  for (const hold of byAsk) {
    for (; next < byGrant.length && byGrant[next]!.granted.at < hold.ask!.at; next += 1) {
      if (!floor || byGrant[next]!.granted.fence > floor.granted.fence) floor = byGrant[next]!
    }
    if (floor && hold.granted.fence < floor.granted.fence)
      object(`${hold.id} asked after the grant of ${floor.id}, and got a smaller fence`, floor, hold)
  }
}

/** A process that stood still while its grant was on its way gets a lease that is over, and its user is told so. */
function heldAtAll({ granted }: Known): boolean {
  return granted.until > granted.at
}

/** Its grant was on its way when an operator evicted it. That holder is told at its next renewal, and may come late. */
function grantedAfterEviction(history: History, { granted }: Known): boolean {
  const evicted = history.evictions.size === 0 ? undefined : history.evictions.get(entryKey(granted))
  return evicted !== undefined && evicted.at < granted.at
}

/** So may one that had asked before the coordinator forgot: it may have been granted before, and another one since. */
function grantedAcrossForgetting(history: History, { ask, granted }: Known): boolean {
  return history.forgettings.some(
    ({ name, at, until }) => name === granted.name && at <= granted.at && (ask?.at ?? -Infinity) <= until,
  )
}

function inGrantOrder(byGrant: readonly Known[], object: Object): void {
  let last: Known | undefined
  for (const hold of byGrant) {
    if (hold.granted.mode !== 'exclusive') continue
    if (last && hold.granted.fence < last.granted.fence)
      object(`${hold.id} was granted after ${last.id}, with a smaller fence`, last, hold)
    if (!last || hold.granted.fence > last.granted.fence) last = hold
  }
}
