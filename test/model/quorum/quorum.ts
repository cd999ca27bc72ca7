/**
 * The fence of a quorum, as a model: nodes that mint, and attempts that all want to hold one name.
 *
 * 1. *Set*, to all nodes: a node where nobody owns the name makes the attempt its owner and answers `top += 1`.
 * 2. With the answers of a majority counted, the fence is their maximum, T.
 * 3. *Raise*, to the nodes whose answer was counted: where the attempt still owns the name, `top = max(top, T)`.
 * 4. It holds when a majority has answered the raise. With `drawn`, whoever answered T to the set need not be asked.
 *
 * There is no clock. A request is carried out at any later time or never, also after its attempt went on or gave up; an
 * answer is read at any later time or never. An entry may end at any moment, and may just as well have been released.
 *
 * Left out, because the state after it can do nothing that the state before could not: a request that is refused (it
 * might never have arrived), an answer that is read and not counted, a beginning before the first request is carried out
 * (a later one must exceed more fences), and, unless a rule looks at it, giving up (standing still does as well).
 */
import type { Field } from '../fields.ts'
import type { Model } from '../search.ts'
import {
  BOTH_SENT,
  FORMER_BLANK,
  FORMER_LIFE,
  GAVE_UP,
  GRANTED,
  HAS_HELD,
  HOLDING,
  IDLE,
  layoutOf,
  NOTHING,
  RAISE_SENT,
  RAISED,
  RAISING,
  READ,
  READ_BLANK,
  SET_SENT,
  SETTING,
  TO_ADMIT,
  UNREAD,
} from './layout.ts'
import { canonicalFor } from './names.ts'
import type { Rules } from './rules.ts'
import {
  ADMIT,
  DECIDE,
  DROP,
  END,
  GIVE_UP,
  HOLD,
  HOLD_ENDS,
  RAISE,
  READ_ALL,
  READ_TOP,
  RENEW,
  RESEED,
  SET,
  WIPE,
  describeFor,
  stepOf,
} from './telling.ts'

export function quorum(rules: Rules): Model {
  const { quarantine, clocked = false } = rules
  const layout = layoutOf(rules)
  const { words, nodes, attempts, admissions } = layout
  const { owner, top, blank, relation, awaited, supports, repeated, stale, role } = layout.node
  const { phase, value, late } = layout.attempt
  const { wipesLeft, maximum } = layout.rest
  const rest = words - 1
  const majority = (nodes >> 1) + 1
  const givesUp = rules.givesUp ?? (clocked || (quarantine !== undefined && quarantine.waits !== 'no'))

  const initial = new Int32Array(words)
  initial[rest] = wipesLeft.put(0, rules.wipes ?? 0)
  if (rules.fresh) for (let node = 0; node < nodes; node += 1) initial[node] = blank.put(0, 1)
  const next = new Int32Array(words)
  // What `steps` was called with.
  let state: Int32Array = initial
  let visit: (step: number, broken: string | undefined) => void

  return { words, initial, next, steps, canonical: canonicalFor(layout), describe: describeFor(layout) }

  function steps(of: Int32Array, tell: typeof visit): void {
    state = of
    visit = tell
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      for (let node = 0; node < nodes; node += 1) {
        set(attempt, node)
        raise(attempt, node)
        if (rules.reseed) reseed(attempt, node)
      }
      decide(attempt)
      hold(attempt)
      if (givesUp) giveUp(attempt)
      if (clocked) holdEnds(attempt)
      if (clocked) renew(attempt)
    }
    for (let node = 0; node < nodes; node += 1) {
      end(node)
      wipe(node)
    }
    for (let admission = 0; admission < admissions; admission += 1) {
      readTops(admission)
      readAllTwice(admission)
      admit(admission)
      drop(admission)
    }
  }

  // Attempts.

  function set(attempt: number, node: number): void {
    const word = state[node]!
    if (owner.of(word) !== 0 || blank.of(word) !== 0) return
    const between = relation[attempt]!.of(word)
    const first = between === SET_SENT || between === BOTH_SENT
    if (!first && (!rules.repeats || repeated[attempt]!.of(word) !== 0)) return
    for (let more = 1; more <= (rules.jumps ? 2 : 1); more += 1) {
      const granted = owner.put(top.put(word, top.of(word) + more), attempt + 1)
      if (first) setFirst(attempt, node, granted)
      else setAgain(attempt, node, repeated[attempt]!.put(granted, 1))
    }
  }

  function setFirst(attempt: number, node: number, granted: number): void {
    const self = state[nodes + attempt]!
    const asks = phase.of(self) === IDLE || phase.of(self) === SETTING
    const unasked = relation[attempt]!.of(granted) === BOTH_SENT ? RAISE_SENT : NOTHING
    next.set(state)
    next[node] = relation[attempt]!.put(granted, asks ? GRANTED + top.of(granted) : unasked)
    if (phase.of(self) === IDLE) next[nodes + attempt] = value.put(phase.put(0, SETTING), largestFence())
    visit(stepOf(SET, attempt, node), undefined)
  }

  /** The first entry has ended, and this one is another. Its answer may be read in place of the first one's, or not. */
  function setAgain(attempt: number, node: number, granted: number): void {
    const between = relation[attempt]!.of(granted)
    next.set(state)
    next[node] = rules.repeats === 'told-apart' ? stale[attempt]!.put(granted, 1) : granted
    visit(stepOf(SET, attempt, node), undefined)
    if (phase.of(state[nodes + attempt]!) !== SETTING || between <= GRANTED) return
    next.set(state)
    next[node] = relation[attempt]!.put(granted, GRANTED + top.of(granted))
    visit(stepOf(SET, attempt, node), undefined)
  }

  function decide(attempt: number): void {
    const self = state[nodes + attempt]!
    if (phase.of(self) !== SETTING) return
    const answered = nodesWith((word) => relation[attempt]!.of(word) > GRANTED)
    for (let counted = answered; counted !== 0; counted = (counted - 1) & answered) {
      if (bitsOf(counted) < majority) continue
      let fence = 0
      for (let node = 0; node < nodes; node += 1) {
        if (counted & (1 << node)) fence = Math.max(fence, relation[attempt]!.of(state[node]!) - GRANTED)
      }
      next.set(state)
      next[nodes + attempt] = late.put(value.put(phase.put(self, RAISING), fence), fence <= value.of(self) ? 1 : 0)
      if (rules.raise === 'never') {
        toHold(attempt, counted)
        continue
      }
      for (let node = 0; node < nodes; node += 1)
        next[node] = afterDecision(attempt, node, (counted & (1 << node)) !== 0, fence)
      visit(stepOf(DECIDE, attempt, 0, counted), undefined)
    }
  }

  function afterDecision(attempt: number, node: number, counted: boolean, fence: number): number {
    const word = state[node]!
    const sent = relation[attempt]!.of(word) === SET_SENT
    if (counted && rules.drawn && relation[attempt]!.of(word) === GRANTED + fence)
      return relation[attempt]!.put(word, RAISED)
    if (counted) return relation[attempt]!.put(word, RAISE_SENT)
    if (rules.raise === 'unanswered') return relation[attempt]!.put(word, sent ? BOTH_SENT : RAISE_SENT)
    return sent ? word : relation[attempt]!.put(word, NOTHING)
  }

  function raise(attempt: number, node: number): void {
    const word = state[node]!
    const between = relation[attempt]!.of(word)
    if (between !== RAISE_SENT && between !== BOTH_SENT) return
    if (!raisable(attempt, word)) return
    const self = state[nodes + attempt]!
    const after = phase.of(self) === RAISING ? RAISED : NOTHING
    const raised = relation[attempt]!.put(top.put(word, Math.max(top.of(word), value.of(self))), after)
    next.set(state)
    next[node] = rules.raise === 'join' ? owner.put(raised, attempt + 1) : raised
    visit(stepOf(RAISE, attempt, node), undefined)
  }

  function raisable(attempt: number, word: number): boolean {
    if (owner.of(word) === attempt + 1) return stale[attempt]!.of(word) === 0
    if (blank.of(word) !== 0) return false
    return rules.raise === 'unconditional' || (rules.raise === 'join' && owner.of(word) === 0)
  }

  function hold(attempt: number): void {
    if (phase.of(state[nodes + attempt]!) !== RAISING) return
    const raised = nodesWith((word) => relation[attempt]!.of(word) === RAISED)
    if (bitsOf(raised) < majority) return
    if (!clocked) {
      next.set(state)
      toHold(attempt, raised)
      return
    }
    for (const by of majoritiesOf(raised)) {
      next.set(state)
      toHold(attempt, by)
    }
  }

  /** From `next`, in which it has its fence; by the answers of these nodes. */
  function toHold(attempt: number, by: number): void {
    const self = next[nodes + attempt]!
    const broken = brokenBy(attempt, self)
    next[nodes + attempt] = late.put(phase.put(self, HOLDING), 0)
    forgetAnswers(attempt)
    if (clocked) supportBy(attempt, by)
    // With clocks, a node may await the end of the hold, too.
    else nobodyAwaits(attempt)
    visit(stepOf(HOLD, attempt, 0, by), broken)
  }

  /** Smaller majorities bind fewer nodes, so the smallest will do. */
  function majoritiesOf(set: number): number[] {
    const found: number[] = []
    for (let part = set; part !== 0; part = (part - 1) & set) if (bitsOf(part) === majority) found.push(part)
    return found
  }

  function supportBy(attempt: number, by: number): void {
    for (let node = 0; node < nodes; node += 1) {
      next[node] = supports[attempt]!.put(next[node]!, (by >> node) & 1)
    }
  }

  function brokenBy(attempt: number, self: number): string | undefined {
    for (let other = 0; other < attempts; other += 1) {
      const word = state[nodes + other]!
      if (other === attempt) continue
      if (clocked && phase.of(word) === HOLDING) return 'two believe that they hold'
      if (rules.judged === 'order') continue
      if (hasFence(word) && value.of(word) === value.of(self)) return `two have the fence ${value.of(self)}`
    }
    const larger = late.of(self) === 0 && (rules.judged !== 'order-of-holding' || value.of(self) > largestFence())
    return larger ? undefined : `the fence ${value.of(self)} is not larger than an earlier one`
  }

  function giveUp(attempt: number): void {
    const self = state[nodes + attempt]!
    if (phase.of(self) !== SETTING && phase.of(self) !== RAISING) return
    const raises = nodesWith((word) => [RAISE_SENT, BOTH_SENT].includes(relation[attempt]!.of(word))) !== 0
    next.set(state)
    next[nodes + attempt] = value.put(phase.put(0, GAVE_UP), raises ? value.of(self) : 0)
    forgetAnswers(attempt)
    nobodyAwaits(attempt)
    visit(stepOf(GIVE_UP, attempt), undefined)
  }

  function holdEnds(attempt: number): void {
    const self = state[nodes + attempt]!
    if (phase.of(self) !== HOLDING) return
    next.set(state)
    next[nodes + attempt] = phase.put(self, HAS_HELD)
    supportBy(attempt, 0)
    nobodyAwaits(attempt)
    visit(stepOf(HOLD_ENDS, attempt), undefined)
  }

  /** From now on, its validity comes from this majority, and outlasts whatever a node awaited of it. */
  function renew(attempt: number): void {
    if (phase.of(state[nodes + attempt]!) !== HOLDING) return
    for (const by of majoritiesOf(nodesWith((word) => owner.of(word) === attempt + 1))) {
      next.set(state)
      supportBy(attempt, by)
      nobodyAwaits(attempt)
      visit(stepOf(RENEW, attempt, 0, by), undefined)
    }
  }

  /** Also by one that has held: the request may be late. */
  function reseed(attempt: number, node: number): void {
    const self = state[nodes + attempt]!
    const word = state[node]!
    if (!hasFence(self) || owner.of(word) !== 0) return
    if (blank.of(word) !== 0 && rules.reseed !== 'blank-nodes-too') return
    next.set(state)
    next[node] = owner.put(top.put(word, Math.max(top.of(word), value.of(self))), attempt + 1)
    visit(stepOf(RESEED, attempt, node), undefined)
  }

  // Nodes.

  function end(node: number): void {
    const word = state[node]!
    const by = owner.of(word)
    if (by === 0) return
    if (clocked && lasts(word, by - 1)) return
    next.set(state)
    next[node] = owner.put(word, 0)
    visit(stepOf(END, by - 1, node), undefined)
  }

  /** Of an entry, with clocks. */
  function lasts(word: number, attempt: number): boolean {
    const self = state[nodes + attempt]!
    return phase.of(self) === SETTING || phase.of(self) === RAISING || supports[attempt]!.of(word) !== 0
  }

  function wipe(node: number): void {
    if (wipesLeft.of(state[rest]!) === 0) return
    next.set(state)
    next[rest] = wipesLeft.put(state[rest]!, wipesLeft.of(state[rest]!) - 1)
    let word = blank.put(top.put(owner.put(state[node]!, 0), 0), quarantine ? 1 : 0)
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      word = supports[attempt]!.put(word, 0)
      word = awaited[attempt]!.put(word, awaits(state[nodes + attempt]!) ? 1 : 0)
    }
    for (let admission = 0; admission < admissions; admission += 1) {
      if (role[admission]!.of(word) === TO_ADMIT) word = role[admission]!.put(word, FORMER_LIFE)
      if (role[admission]!.of(word) === READ_BLANK) word = role[admission]!.put(word, FORMER_BLANK)
    }
    next[node] = word
    visit(stepOf(WIPE, 0, node), undefined)
  }

  // Admissions.

  /** An admission begins with its first read: at that moment the client has heard which life of which node it is for. */
  function readTops(admission: number): void {
    const roles = role[admission]!
    const begun = nodesWith((word) => roles.of(word) !== UNREAD) !== 0
    if (begun && hasRead(admission)) return
    for (let node = 0; node < nodes; node += 1) {
      const target = begun ? isTarget(roles.of(state[node]!)) : mayBeRead(state[node]!)
      if (!target) continue
      for (let other = 0; other < nodes; other += 1) {
        if (other !== node && roles.of(state[other]!) === UNREAD) readTop(admission, node, other)
      }
    }
  }

  /** Reading on for a former life is worth while only if others will be admitted with it. */
  function isTarget(is: number): boolean {
    return is === TO_ADMIT || (is === FORMER_LIFE && quarantine!.without === 'all-blank')
  }

  function readTop(admission: number, node: number, other: number): void {
    const roles = role[admission]!
    const word = state[other]!
    const empty = blank.of(word) !== 0
    const oneByOne = quarantine!.without === 'all-blank' || quarantine!.without === 'whatever-is-left'
    if (empty && !(oneByOne && waitIsOver(word))) return
    const known = Math.max(maximum[admission]!.of(state[rest]!), empty ? 0 : top.of(word))
    next.set(state)
    if (roles.of(state[node]!) === UNREAD) next[node] = roles.put(state[node]!, TO_ADMIT)
    next[other] = roles.put(word, empty ? READ_BLANK : READ)
    next[rest] = maximum[admission]!.put(state[rest]!, known)
    if (quarantine!.without === 'all-blank') admitAllIfBlank(roles)
    visit(stepOf(READ_TOP, admission, other, node), undefined)
  }

  /** The reads are left out: what they have found is that there was this moment. */
  function readAllTwice(admission: number): void {
    if (quarantine!.without !== 'all-blank-twice') return
    const roles = role[admission]!
    if (nodesWith((word) => mayBeRead(word) && roles.of(word) === UNREAD) !== (1 << nodes) - 1) return
    next.set(state)
    for (let node = 0; node < nodes; node += 1) next[node] = roles.put(next[node]!, TO_ADMIT)
    visit(stepOf(READ_ALL, admission), undefined)
  }

  function admitAllIfBlank(roles: Field): void {
    for (let node = 0; node < nodes; node += 1) if ([UNREAD, READ].includes(roles.of(next[node]!))) return
    for (let node = 0; node < nodes; node += 1) {
      const word = next[node]!
      if (roles.of(word) === READ_BLANK) next[node] = roles.put(word, TO_ADMIT)
      if (roles.of(word) === FORMER_BLANK) next[node] = roles.put(word, FORMER_LIFE)
    }
  }

  function mayBeRead(word: number): boolean {
    return blank.of(word) !== 0 && (quarantine!.readsFrom === 'at-once' || waitIsOver(word))
  }

  /** It needs no more reading: its request, or its requests when all nodes were blank, are under way. */
  function hasRead(admission: number): boolean {
    const read = bitsOf(nodesWith((word) => role[admission]!.of(word) === READ))
    const empty = bitsOf(nodesWith((word) => role[admission]!.of(word) >= READ_BLANK))
    if (read >= quarantine!.reads || read + empty === 0) return true
    return read + empty === nodes - 1 && quarantine!.without === 'whatever-is-left'
  }

  function admit(admission: number): void {
    const roles = role[admission]!
    if (!hasRead(admission)) return
    const all = nodesWith((word) => roles.of(word) >= READ) === 0
    for (let node = 0; node < nodes; node += 1) {
      const word = state[node]!
      const meant = roles.of(word) === TO_ADMIT || (roles.of(word) === FORMER_LIFE && !quarantine!.sameLife)
      if (!meant || blank.of(word) === 0 || !waitIsOver(word)) continue
      next.set(state)
      next[node] = blank.put(top.put(word, Math.max(top.of(word), maximum[admission]!.of(state[rest]!))), 0)
      if (all) next[node] = roles.put(next[node]!, UNREAD)
      else forgetAdmission(admission)
      visit(stepOf(ADMIT, admission, node), undefined)
    }
  }

  /** It is lost or refused, or its client ends. */
  function drop(admission: number): void {
    if (nodesWith((word) => role[admission]!.of(word) !== UNREAD) === 0) return
    next.set(state)
    forgetAdmission(admission)
    visit(stepOf(DROP, admission), undefined)
  }

  // Helpers.

  /** The nodes of `state` for which this is true, as bits. */
  function nodesWith(is: (word: number) => boolean): number {
    let found = 0
    for (let node = 0; node < nodes; node += 1) if (is(state[node]!)) found |= 1 << node
    return found
  }

  function hasFence(self: number): boolean {
    return phase.of(self) === HOLDING || phase.of(self) === HAS_HELD
  }

  /** Whether a node that is wiped now awaits the end of this attempt. */
  function awaits(self: number): boolean {
    if (!quarantine || quarantine.waits === 'no') return false
    if (phase.of(self) === SETTING || phase.of(self) === RAISING) return true
    return quarantine.waits === 'leases' && clocked && phase.of(self) === HOLDING
  }

  function largestFence(): number {
    let largest = 0
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const self = state[nodes + attempt]!
      if (hasFence(self)) largest = Math.max(largest, value.of(self))
    }
    return largest
  }

  function waitIsOver(word: number): boolean {
    return awaited.every((field) => field.of(word) === 0)
  }

  function forgetAnswers(attempt: number): void {
    for (let node = 0; node < nodes; node += 1) {
      const between = relation[attempt]!.of(next[node]!)
      if (between === RAISED || between > GRANTED) next[node] = relation[attempt]!.put(next[node]!, NOTHING)
    }
  }

  function nobodyAwaits(attempt: number): void {
    for (let node = 0; node < nodes; node += 1) next[node] = awaited[attempt]!.put(next[node]!, 0)
  }

  function forgetAdmission(admission: number): void {
    for (let node = 0; node < nodes; node += 1) next[node] = role[admission]!.put(next[node]!, UNREAD)
    next[rest] = maximum[admission]!.put(next[rest]!, 0)
  }
}

function bitsOf(set: number): number {
  let bits = 0
  for (let left = set; left !== 0; left &= left - 1) bits += 1
  return bits
}
