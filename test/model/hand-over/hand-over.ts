/**
 * The hand-over of a name, as a model: a coordinator with the queue of one exclusive name, and tries to hold it.
 *
 * 1. A try subscribes to wakes, then *joins*: it is put in at the end of the queue with a new ticket. Whose entry is first
 *    holds, and is sent a wake with its ticket when that comes to be so.
 * 2. It hears that it holds from the answer to the join, from that to a *renewal*, or from a wake for its own ticket.
 * 3. It releases by a *leave*; so does one that gave up, once more if its join is answered after that.
 *
 * A request is carried out at any later time; a join, perhaps twice. An answer is read at any later time, in any order, or
 * is lost, and whoever joined may be told that nobody knows. A wake comes late, again and again, or never. A process may die
 * at any moment.
 *
 * There is no clock, but what clocks promise that keep their bounds: the coordinator keeps an entry for at least as long as
 * an answer about it says, counted from before its request left. So an answer about an entry *lasts* at first, and ceases
 * to at any moment; while it does, and somebody may believe or come to believe by it, the entry does not end.
 *
 * Left out, because the state after it can do nothing that the state before could not: a wake without a ticket (a try may
 * ask again at any moment), a request that is lost (it may be carried out later; but for a renewal, which takes up room),
 * and what is under way to a try that is over. Nor are there weights, minimum holds and lock delays.
 */
import type { Field } from '../fields.ts'
import { fieldsOfWord } from '../fields.ts'
import type { Model } from '../search.ts'

export interface Rules {
  readonly tries: 2 | 3
  /** How many renewals of one try may be under way: the next one may leave before the last is answered. */
  readonly renewals: 1 | 2
  /** One part is missing, or otherwise. */
  readonly mistake?: Mistake
  /** Only exclusion and fences are looked at, and not what is left behind. */
  readonly judged?: 'holders'
  /** An operator evicts entries. Who was evicted may believe until it hears an answer that was given after that. */
  readonly evicts?: boolean
  /**
   * A network and a coordinator almost without fault: no message is doubled, no answer lost, the places of those who live do
   * not end, and what has ended is removed by itself. Then a try does not ask again unless it is woken. `no-wake-lost`: and
   * each wake arrives, once.
   */
  readonly faultless?: 'no-wake-lost' | 'but-wakes'
}

export type Mistake =
  /** Validity is counted from when the answer came. */
  | 'from-reply'
  /** A lease does not end by the local clock. */
  | 'no-deadline'
  /** A wake grants, whatever ticket it is for. */
  | 'any-ticket'
  /** A wake for the own ticket grants, however old the last answer is. */
  | 'old-word'
  /** A renewal that says that it holds keeps a lease going, whatever ticket it names. */
  | 'another-ticket'
  /** A leave removes whoever holds. */
  | 'any-owner'
  /** The next try has the owner token of the one before. */
  | 'same-token'
  /** Who gives up does not leave. */
  | 'stays'
  /** Who gives up leaves, and not once more when its join is answered after that. */
  | 'left-once'
  /** A renewal puts in an entry that is gone. */
  | 'renewal-joins'
  /** An answer that says that it holds revives a lease that is over. */
  | 'revives'
  /** An answer to what was asked before the grant is taken for one to a try that gave up: the entry is left. */
  | 'old-answer-leaves'
  /** A try subscribes when its join was answered. */
  | 'subscribes-late'
  /** A wake that overtakes the answer of the join is forgotten. */
  | 'forgets-early'
  /** A leave wakes nobody. */
  | 'silent-leave'
  /** Entries whose time is over are never removed. */
  | 'never-prunes'

// The phases of a try.
const IDLE = 0
const ASKING = 1
const STANDING = 2
const HOLDING = 3
const GAVE_UP = 4
const OVER = 5

// Answers.
const NONE = 0
const HELD = 1
const WAITING = 2
/** To a join: what became of it is not known. To a renewal: there is no such entry. */
const NOT = 3
/** A renewal that was not carried out yet. */
const UNDER_WAY = 4

// Steps.
const BEGIN = 0
const JOIN = 1
const JOIN_TWICE = 2
const UNKNOWN = 3
const READ_JOIN = 4
const ASK = 5
const RENEW = 6
const READ_RENEWAL = 7
const LOSE_RENEWAL = 8
const WAKE = 9
const RELEASE = 10
const GIVE_UP = 11
const LEAVE = 12
const LOSE_LEAVE = 13
const DIE = 14
const PASS = 15
const PASS_JOIN = 16
const PASS_RENEWAL = 17
const END = 18
const END_OF_NOBODY = 19
const PRUNE = 20
const SUBSCRIBE = 21
const STOP_BELIEVING = 22
const BEGIN_AGAIN = 23
const LOSE_WAKE = 24
const EVICT = 25

/** Of a try. One word more is the largest fence that anybody has had. */
const WORDS = 4

/** Some bits of the words of a try. */
interface Spot {
  readonly word: number
  readonly field: Field
}

const client = fieldsOf(0)
const request = fieldsOf(1)
const renewals = fieldsOf(2)
const sent = fieldsOf(3)

const phase = client(3)
/** The ticket that it knows, and of which it believes that it holds. */
const ticket = client(4)
/** The last answer that said so lasts. */
const lasts = client(1)
/** The ticket of its entry; 0 for none. */
const entry = client(4)
/** The time of its entry is over; it is removed when anybody asks. */
const ended = client(1)
const subscribed = client(1)
/** It is not on its account if its entry is in the way until its time is over: it died, or a message was doubled or lost. */
const excused = client(1)
const hadTwoLives = client(1)
/** An operator has evicted its entry, and it has heard of nothing since. */
const evicted = client(1)

const joining = request(1)
/** The join was carried out once, and is under way once more. */
const doubled = request(1)
/** The join was not answered yet. */
const unanswered = request(1)
const joinAnswer = request(2)
const joinTicket = request(4)
const joinLasts = request(1)
/** The join was answered before the entry was evicted. */
const joinStale = request(1)
const leaving = request(1)

interface Renewal {
  readonly state: Spot
  readonly ticket: Spot
  readonly lasts: Spot
  /** It was asked before the try was granted. */
  readonly old: Spot
  /** It was answered before the entry was evicted. */
  readonly stale: Spot
  readonly all: readonly Spot[]
}

const slots: readonly Renewal[] = [1, 2].map(() => {
  const slot = { state: renewals(3), ticket: renewals(4), lasts: renewals(1), old: renewals(1), stale: renewals(1) }
  return { ...slot, all: Object.values(slot) }
})

/** The tickets of which a wake was sent, as bits. */
const wakes = sent(16)

const ticketSpots: readonly Spot[] = [entry, ticket, joinTicket, ...slots.map((slot) => slot.ticket)]
const answerToJoin: readonly Spot[] = [joinAnswer, joinTicket, joinLasts, joinStale]
const lookedAtByWaiters: readonly Spot[] = [wakes, subscribed]
const lookedAtByTheLiving: readonly Spot[] = [ticket, lasts, evicted]

export function handOver({ tries, renewals: renewalsMax, mistake, judged, faultless, evicts = false }: Rules): Model {
  const words = tries * WORDS + 1
  const rest = words - 1
  const all = [...Array(tries).keys()]
  const used = slots.slice(0, renewalsMax)
  const reliable = faultless !== undefined

  const initial = new Int32Array(words)
  const next = new Int32Array(words)
  let state: Int32Array = initial
  let visit: (step: number, broken: string | undefined) => void
  /** What the step that is being taken breaks. */
  let broken: string | undefined
  /** The largest ticket that anybody knows of, before the step that is being taken. */
  let lastTicket = 0
  let named: Int32Array = initial

  return {
    words,
    initial,
    next,
    steps,
    canonical,
    describe,
    waiting: {
      somebody: (of) => all.some((who) => isWaiting(read(of, who, phase))),
      needsNoLuck,
    },
  }

  function steps(of: Int32Array, tell: typeof visit): void {
    state = of
    visit = tell
    for (const who of all) {
      stepsOfTry(who)
      stepsOfCoordinator(who)
    }
    if (mistake !== 'never-prunes' && all.some((who) => is(who, ended) === 1)) take(PRUNE, 0, 0, prune)
  }

  function needsNoLuck(step: number): boolean {
    switch (step & 31) {
      case JOIN:
      case READ_JOIN:
      case ASK:
      case RENEW:
      case READ_RENEWAL:
      case RELEASE:
      case LEAVE:
      case END_OF_NOBODY:
      case SUBSCRIBE:
        return true
      case WAKE:
      case PRUNE:
        return reliable
      default:
        return false
    }
  }

  // What a try does.

  function stepsOfTry(who: number): void {
    const now = is(who, phase)
    if (now === IDLE) take(BEGIN, who, 0, () => begin(who))
    if (isWaiting(now)) take(GIVE_UP, who, 0, () => giveUp(who))
    if (now === HOLDING) take(RELEASE, who, 0, () => end(who))
    if (isWaiting(now) || now === HOLDING) take(DIE, who, 0, () => die(who))
    if (mistake === 'same-token' && now === OVER && is(who, hadTwoLives) === 0)
      take(BEGIN_AGAIN, who, 0, () => (set(who, hadTwoLives, 1), begin(who)))
    if (mistake === 'subscribes-late' && now === STANDING && is(who, subscribed) === 0)
      take(SUBSCRIBE, who, 0, () => set(who, subscribed, 1))
    stepsOfAsking(who)
    stepsOfTime(who)
    if (now === STANDING || (now === ASKING && mistake === 'forgets-early')) stepsOfWakes(who)
  }

  function begin(who: number): void {
    for (const spot of [...lookedAtByTheLiving, ...answerToJoin, excused]) set(who, spot, 0)
    set(who, phase, ASKING)
    set(who, joining, 1)
    set(who, unanswered, 1)
    set(who, subscribed, mistake === 'subscribes-late' ? 0 : 1)
  }

  function giveUp(who: number): void {
    set(who, phase, GAVE_UP)
    if (mistake !== 'stays') set(who, leaving, 1)
  }

  /** It is over, and leaves. */
  function end(who: number): void {
    set(who, phase, OVER)
    set(who, leaving, 1)
  }

  function die(who: number): void {
    set(who, phase, OVER)
    set(who, excused, 1)
    set(who, unanswered, 0)
    for (const slot of used) if (get(who, slot.state) !== UNDER_WAY) forget(who, slot)
  }

  function stepsOfAsking(who: number): void {
    if (is(who, unanswered) === 1) {
      if (is(who, joinAnswer) !== NONE) take(READ_JOIN, who, is(who, joinAnswer), () => readJoin(who))
      if (!reliable && is(who, joinAnswer) !== NOT) take(UNKNOWN, who, 0, () => unknown(who))
    }
    const now = is(who, phase)
    if (now === HOLDING || (now === STANDING && !reliable)) ask(who)
    for (const [index, slot] of used.entries()) {
      const answer = is(who, slot.state)
      if (answer === NONE || answer === UNDER_WAY) continue
      if (now === STANDING || now === HOLDING || hears(now))
        take(READ_RENEWAL, who, index, () => readRenewal(who, slot))
    }
    if (reliable) return
    for (const [index, slot] of used.entries())
      if (is(who, slot.state) !== NONE) take(LOSE_RENEWAL, who, index, () => forget(who, slot))
  }

  /** Whether a try that is over does anything about an answer. */
  function hears(now: number): boolean {
    return (mistake === 'revives' && now === OVER) || (mistake === 'renewal-joins' && now === GAVE_UP)
  }

  function ask(who: number): void {
    const index = used.findIndex((slot) => is(who, slot.state) === NONE)
    if (index !== -1) take(ASK, who, index, () => set(who, used[index]!.state, UNDER_WAY))
  }

  function unknown(who: number): void {
    for (const spot of answerToJoin) set(who, spot, 0)
    set(who, joinAnswer, NOT)
    // It may be carried out after it was left.
    if (get(who, joining) === 1) set(who, excused, 1)
  }

  function readJoin(who: number): void {
    const [answer, drawn, itLasts] = [get(who, joinAnswer), get(who, joinTicket), get(who, joinLasts)]
    if (get(who, joinStale) === 0) set(who, evicted, 0)
    for (const spot of [unanswered, ...answerToJoin]) set(who, spot, 0)
    if (get(who, phase) === GAVE_UP) {
      if (mistake !== 'left-once' && mistake !== 'stays') set(who, leaving, 1)
      return
    }
    if (answer === HELD) grant(who, drawn, itLasts)
    else if (answer === WAITING) stand(who, drawn, itLasts)
    else giveUp(who)
  }

  function readRenewal(who: number, slot: Renewal): void {
    const [answer, of, itLasts, old] = [slot.state, slot.ticket, slot.lasts, slot.old].map((spot) => get(who, spot))
    if (get(who, slot.stale) === 0) set(who, evicted, 0)
    forget(who, slot)
    switch (get(who, phase)) {
      case STANDING:
        if (answer === HELD) grant(who, of!, itLasts!)
        else if (answer === WAITING) stand(who, of!, itLasts!)
        else set(who, phase, OVER)
        return
      case HOLDING:
        if (old === 1) set(who, leaving, 1)
        else if (answer !== HELD || (of !== get(who, ticket) && mistake !== 'another-ticket')) end(who)
        else if (itLasts === 1 || mistake === 'from-reply') set(who, lasts, itLasts!)
        return
      case GAVE_UP:
        if (answer !== NOT) set(who, leaving, 1)
        return
      default:
        if (answer === HELD && itLasts === 1) hold(who, of!, 1)
    }
  }

  function stand(who: number, drawn: number, itLasts: number): void {
    set(who, phase, STANDING)
    set(who, ticket, drawn)
    set(who, lasts, itLasts)
  }

  function grant(who: number, drawn: number, itLasts: number): void {
    // The answer took longer than what it grants. Somebody else may hold by now.
    if (itLasts === 0 && mistake !== 'from-reply') giveUp(who)
    else hold(who, drawn, itLasts)
  }

  function hold(who: number, drawn: number, itLasts: number): void {
    set(who, phase, HOLDING)
    set(who, ticket, drawn)
    set(who, lasts, itLasts)
    for (const slot of used)
      if (mistake === 'old-answer-leaves' && get(who, slot.state) !== NONE) set(who, slot.old, 1)
      else forget(who, slot)
    if (get(who, evicted) === 1) return
    if (drawn < next[rest]!) broken = 'the fence of a holder is smaller than an earlier one'
    next[rest] = Math.max(next[rest]!, drawn)
  }

  function forget(who: number, slot: Renewal): void {
    for (const spot of slot.all) set(who, spot, 0)
  }

  function stepsOfWakes(who: number): void {
    const woken = is(who, wakes)
    for (let of = 1; woken >> of !== 0; of += 1) if ((woken >> of) & 1) wake(who, of)
  }

  function wake(who: number, of: number): void {
    if (faultless === 'but-wakes') take(LOSE_WAKE, who, of, () => heard(who, of))
    const standing = is(who, phase) === STANDING
    const right = of === is(who, ticket) || mistake === 'any-ticket'
    if (standing && right && (is(who, lasts) === 1 || mistake === 'old-word')) {
      take(WAKE, who, of, () => {
        if (reliable) heard(who, of)
        hold(who, get(who, ticket), get(who, lasts))
      })
    } else if (reliable && is(who, used[0]!.state) === NONE) {
      // A hint: it asks. While it is asking already, it will do so after that.
      take(WAKE, who, of, () => {
        heard(who, of)
        if (standing) set(who, used[0]!.state, UNDER_WAY)
      })
    }
  }

  function heard(who: number, of: number): void {
    set(who, wakes, get(who, wakes) & ~(1 << of))
  }

  // What time does.

  function stepsOfTime(who: number): void {
    const now = is(who, phase)
    const endless = mistake === 'from-reply' || mistake === 'no-deadline'
    if (is(who, lasts) === 1 && now === STANDING) take(PASS, who, 0, () => set(who, lasts, 0))
    if (is(who, lasts) === 1 && now === HOLDING) {
      if (endless) take(PASS, who, 0, () => set(who, lasts, 0))
      else take(STOP_BELIEVING, who, 0, () => end(who))
    }
    if (is(who, lasts) === 0 && now === HOLDING && mistake !== 'no-deadline')
      take(STOP_BELIEVING, who, 0, () => end(who))
    if (is(who, joinLasts) === 1) take(PASS_JOIN, who, 0, () => set(who, joinLasts, 0))
    for (const [index, slot] of used.entries())
      if (is(who, slot.lasts) === 1) take(PASS_RENEWAL, who, index, () => set(who, slot.lasts, 0))
    if (is(who, entry) === 0 || is(who, ended) === 1 || isKept(who)) return
    if (now === OVER || now === GAVE_UP) take(END_OF_NOBODY, who, 0, () => set(who, ended, 1))
    else if (!reliable) take(END, who, 0, () => set(who, ended, 1))
  }

  /** Whether somebody believes, or may come to believe, by an answer about this entry. */
  function isKept(who: number): boolean {
    const of = is(who, entry)
    const now = is(who, phase)
    if (now === ASKING) return is(who, joinLasts) === 1 && is(who, joinTicket) === of
    if (now !== STANDING && now !== HOLDING) return false
    if (is(who, lasts) === 1 && is(who, ticket) === of) return true
    return used.some((slot) => is(who, slot.lasts) === 1 && is(who, slot.ticket) === of && is(who, slot.old) === 0)
  }

  // What the coordinator does.

  function stepsOfCoordinator(who: number): void {
    if (is(who, joining) === 1) {
      take(JOIN, who, 0, () => (set(who, joining, 0), join(who, true)))
      // The answer of the first time may be the one that is read.
      if (is(who, joinAnswer) !== NONE) take(JOIN, who, 1, () => (set(who, joining, 0), join(who, false)))
      if (is(who, doubled) === 0 && !reliable) {
        take(JOIN_TWICE, who, 0, () => {
          set(who, doubled, 1)
          set(who, excused, 1)
          join(who, true)
        })
      }
    }
    for (const [index, slot] of used.entries())
      if (is(who, slot.state) === UNDER_WAY) take(RENEW, who, index, () => renew(who, slot))
    if (is(who, leaving) === 1) {
      take(LEAVE, who, 0, () => leave(who))
      if (!reliable) take(LOSE_LEAVE, who, 0, () => (set(who, leaving, 0), set(who, excused, 1)))
    }
    if (evicts && is(who, entry) !== 0) take(EVICT, who, 0, () => evict(who))
  }

  function join(who: number, answers: boolean): void {
    changeQueue(() => {
      if (get(who, entry) === 0) putIn(who)
    })
    if (!answers || get(who, unanswered) === 0 || get(who, joinAnswer) === NOT) return
    const first = get(who, joinAnswer) === NONE
    set(who, joinAnswer, holds(who) ? HELD : WAITING)
    set(who, joinTicket, get(who, entry))
    set(who, joinStale, 0)
    // It counts from before the join left, whichever time it was carried out.
    if (first) set(who, joinLasts, 1)
  }

  function renew(who: number, slot: Renewal): void {
    changeQueue(() => {
      if (get(who, entry) === 0 && mistake === 'renewal-joins') putIn(who)
    })
    const there = get(who, entry) !== 0
    set(who, slot.state, there ? (holds(who) ? HELD : WAITING) : NOT)
    set(who, slot.ticket, get(who, entry))
    set(who, slot.lasts, there ? 1 : 0)
  }

  function leave(who: number): void {
    set(who, leaving, 0)
    changeQueue(() => {
      const whose = mistake === 'any-owner' ? first() : who
      if (whose !== undefined) set(whose, entry, 0)
    }, mistake === 'silent-leave')
  }

  function putIn(who: number): void {
    set(who, entry, lastTicket + 1)
  }

  function evict(who: number): void {
    changeQueue(() => set(who, entry, 0))
    set(who, evicted, 1)
    if (get(who, joinAnswer) !== NONE) set(who, joinStale, 1)
    for (const slot of used)
      if (get(who, slot.state) !== NONE && get(who, slot.state) !== UNDER_WAY) set(who, slot.stale, 1)
  }

  function prune(): void {
    changeQueue(() => {})
  }

  /** Remove what has ended, then change the queue, then wake whoever holds now and did not before. */
  function changeQueue(change: () => void, silent = false): void {
    const before = first()
    const held = before === undefined ? 0 : get(before, entry)
    lastTicket = largestTicket()
    for (const who of all) {
      if (get(who, ended) === 0 || mistake === 'never-prunes') continue
      set(who, entry, 0)
      set(who, ended, 0)
    }
    change()
    const now = first()
    if (now === undefined || get(now, entry) === held || silent) return
    if (get(now, subscribed) === 1) set(now, wakes, get(now, wakes) | (1 << get(now, entry)))
  }

  function largestTicket(): number {
    let largest = next[rest]!
    for (const who of all) {
      for (const spot of ticketSpots) largest = Math.max(largest, get(who, spot))
      largest = Math.max(largest, 31 - Math.clz32(get(who, wakes) | 1))
    }
    return largest
  }

  /** Whose entry is first in the queue. */
  function first(): number | undefined {
    let found: number | undefined
    for (const who of all) {
      const of = get(who, entry)
      if (of !== 0 && (found === undefined || of < get(found, entry))) found = who
    }
    return found
  }

  function holds(who: number): boolean {
    return first() === who
  }

  // Reading `state`, and reading and writing `next`.

  function take(kind: number, who: number, detail: number, change: () => void): void {
    next.set(state)
    broken = undefined
    change()
    visit(kind | (who << 5) | (detail << 8), broken ?? brokenNow())
  }

  function read(of: Int32Array, who: number, { word, field }: Spot): number {
    return field.of(of[who * WORDS + word]!)
  }

  function is(who: number, spot: Spot): number {
    return read(state, who, spot)
  }

  function get(who: number, spot: Spot): number {
    return read(next, who, spot)
  }

  function set(who: number, { word, field }: Spot, value: number): void {
    next[who * WORDS + word] = field.put(next[who * WORDS + word]!, value)
  }

  function brokenNow(): string | undefined {
    if (all.filter((who) => get(who, phase) === HOLDING && get(who, evicted) === 0).length > 1)
      return 'two believe that they hold'
    if (judged === 'holders') return undefined
    return all.some(isResidue) ? 'an entry is left that nobody has and nobody will remove' : undefined
  }

  function isResidue(who: number): boolean {
    const now = get(who, phase)
    if (now !== OVER && now !== GAVE_UP) return false
    if (get(who, entry) === 0 || get(who, ended) === 1 || get(who, excused) === 1) return false
    if ([leaving, joining, unanswered].some((spot) => get(who, spot) === 1)) return false
    return used.every((slot) => get(who, slot.state) === NONE || (now === OVER && get(who, slot.state) !== UNDER_WAY))
  }

  // Names. In what follows, `named` is the state that is brought into its canonical form.

  /** Forgets what makes no difference, which try is which, and all of a ticket but how it compares with the others. */
  function canonical(of: Int32Array): void {
    named = of
    for (const who of all) {
      forgetWhatIsOver(who)
      forgetMessages(who)
      if (renewalsMax > 1) sortSlots(who)
    }
    renumber()
    for (let end = 1; end < tries; end += 1)
      for (let at = end; at > 0 && isBefore(of, at, at - 1); at -= 1) swap(of, at, at - 1)
  }

  function forgetWhatIsOver(who: number): void {
    const now = has(who, phase)
    // What was under way to a token may arrive in its next life.
    if (now === HOLDING && mistake !== 'same-token') clear(who, lookedAtByWaiters)
    if (now !== GAVE_UP && now !== OVER) return
    clear(who, lookedAtByTheLiving)
    if (mistake === 'same-token') return
    clear(who, lookedAtByWaiters)
    for (const slot of used) if (!mayMatter(slot, who)) clear(who, slot.all)
    const listens = used.some((slot) => has(who, slot.state) !== NONE)
    if (now === GAVE_UP && has(who, unanswered) === 0 && !listens) put(who, phase, OVER)
  }

  /** Of one that is over. */
  function mayMatter(slot: Renewal, who: number): boolean {
    const answer = has(who, slot.state)
    if (mistake === 'revives') return answer === UNDER_WAY || (answer === HELD && has(who, slot.lasts) === 1)
    return mistake === 'renewal-joins' && (answer === UNDER_WAY || has(who, phase) === GAVE_UP)
  }

  function forgetMessages(who: number): void {
    if (has(who, joining) === 0) put(who, doubled, 0)
    if (has(who, unanswered) === 0) clear(who, answerToJoin)
    if (has(who, phase) === GAVE_UP && has(who, joinAnswer) !== NONE) {
      clear(who, answerToJoin)
      put(who, joinAnswer, NOT)
    }
    const idle = has(who, entry) === 0 && has(who, joining) === 0 && used.every((slot) => has(who, slot.state) === NONE)
    if (idle && mistake !== 'any-owner' && mistake !== 'same-token') put(who, leaving, 0)
    if (idle && has(who, leaving) === 0 && has(who, phase) === OVER) put(who, excused, 0)
    if (mistake === 'any-ticket' || reliable) return
    let known = 0
    for (const spot of ticketSpots) known |= 1 << has(who, spot)
    put(who, wakes, has(who, wakes) & known)
  }

  function sortSlots(who: number): void {
    const [one, other] = slots as readonly [Renewal, Renewal]
    const difference = one.all.map((spot, index) => has(who, spot) - has(who, other.all[index]!)).find((each) => each)
    if (difference === undefined || difference > 0) return
    for (const [index, spot] of one.all.entries()) {
      const value = has(who, spot)
      put(who, spot, has(who, other.all[index]!))
      put(who, other.all[index]!, value)
    }
  }

  function renumber(): void {
    let known = 1 | (1 << named[rest]!)
    for (const who of all) {
      for (const spot of ticketSpots) known |= 1 << has(who, spot)
      known |= has(who, wakes)
    }
    // They are 1, 2, 3 and so on already.
    if ((known & (known + 1)) === 0) return
    const renamed = (drawn: number): number => bitsOf(known & ((1 << drawn) - 1))
    named[rest] = renamed(named[rest]!)
    for (const who of all) {
      for (const spot of ticketSpots) put(who, spot, renamed(has(who, spot)))
      const woken = has(who, wakes)
      put(who, wakes, 0)
      for (let drawn = 1; woken >> drawn !== 0; drawn += 1)
        if ((woken >> drawn) & 1) put(who, wakes, has(who, wakes) | (1 << renamed(drawn)))
    }
  }

  function has(who: number, spot: Spot): number {
    return read(named, who, spot)
  }

  function put(who: number, { word, field }: Spot, value: number): void {
    named[who * WORDS + word] = field.put(named[who * WORDS + word]!, value)
  }

  function clear(who: number, spots: readonly Spot[]): void {
    for (const spot of spots) put(who, spot, 0)
  }

  // Words.

  function describe(step: number, before: Int32Array, after: Int32Array): string {
    const who = (step >> 5) & 7
    const detail = step >> 8
    const name = 'ABC'[who]!
    const was = (spot: Spot): number => read(before, who, spot)
    const now = (spot: Spot): number => read(after, who, spot)
    const become = {
      [ASKING]: '',
      [STANDING]: `: it waits with the ticket ${now(ticket)}`,
      [HOLDING]: `: it holds with the fence ${now(ticket)}`,
      [GAVE_UP]: ', and gives up',
      [OVER]: was(phase) === HOLDING ? ', and holds no longer' : ', and is over',
    }[now(phase)]
    const outcome = now(phase) === was(phase) ? '' : become
    const queue = all
      .filter((each) => read(after, each, entry) !== 0)
      .sort((one, other) => read(after, one, entry) - read(after, other, entry))
      .map((each) => `${'ABC'[each]!} ${read(after, each, entry)}`)
    const line = `the queue is ${queue.length > 0 ? queue.join(', ') : 'empty'}`
    const told = (answer: number): string =>
      answer === HELD ? 'that it holds' : answer === WAITING ? 'that it waits' : 'that it is not there'
    switch (step & 31) {
      case BEGIN:
        return `${name} subscribes, and sends its join`
      case BEGIN_AGAIN:
        return `${name} tries again with the same owner token`
      case JOIN:
        return `the join of ${name} is carried out: ${line}`
      case JOIN_TWICE:
        return `the join of ${name} is carried out, and will be once more: ${line}`
      case UNKNOWN:
        return `${name} is to be told that the outcome of its join is not known`
      case READ_JOIN:
        return `${name} reads the answer to its join${outcome || (now(leaving) === 1 ? ', and leaves' : ', and does nothing')}`
      case ASK:
        return `${name} sends a renewal`
      case RENEW:
        return `the renewal of ${name} is carried out, and says ${told(now(slots[detail]!.state))}: ${line}`
      case READ_RENEWAL:
        return `${name} reads the answer to a renewal, ${told(was(slots[detail]!.state))}${outcome}`
      case LOSE_RENEWAL:
        return `a renewal of ${name}, or its answer, is lost`
      case WAKE:
        return `${name} is woken for the ticket ${detail}${outcome || (now(phase) === ASKING ? ', and forgets it' : ', and asks')}`
      case LOSE_WAKE:
        return `the wake of ${name} for the ticket ${detail} is lost`
      case EVICT:
        return `an operator evicts ${name}: ${line}`
      case RELEASE:
        return `${name} releases`
      case GIVE_UP:
        return `${name} gives up`
      case LEAVE:
        return `the leave of ${name} is carried out: ${line}`
      case LOSE_LEAVE:
        return `the leave of ${name} is lost for good`
      case DIE:
        return `${name} dies`
      case PASS:
        return now(phase) === HOLDING
          ? `the time of the last answer of ${name} passes, and it believes on`
          : `the time of the last answer of ${name} passes`
      case PASS_JOIN:
        return `the time of the answer to the join of ${name} passes before it is read`
      case PASS_RENEWAL:
        return `the time of an answer to a renewal of ${name} passes before it is read`
      case END:
      case END_OF_NOBODY:
        return `the time of the entry of ${name} is over`
      case PRUNE:
        return `what has ended is removed: ${line}`
      case SUBSCRIBE:
        return `${name} subscribes`
      case STOP_BELIEVING:
        return `${name} loses its lease by its own clock`
      default:
        throw new Error(`there is no step ${step & 31}`)
    }
  }
}

function fieldsOf(word: number): (bits: number) => Spot {
  const field = fieldsOfWord()
  return (bits) => ({ word, field: field(bits) })
}

/** It has no place that it knows of, or waits for its turn. */
function isWaiting(now: number): boolean {
  return now === ASKING || now === STANDING
}

function isBefore(of: Int32Array, one: number, other: number): boolean {
  for (let word = 0; word < WORDS; word += 1) {
    const difference = of[one * WORDS + word]! - of[other * WORDS + word]!
    if (difference !== 0) return difference < 0
  }
  return false
}

function swap(of: Int32Array, one: number, other: number): void {
  for (let word = 0; word < WORDS; word += 1) {
    const kept = of[one * WORDS + word]!
    of[one * WORDS + word] = of[other * WORDS + word]!
    of[other * WORDS + word] = kept
  }
}

function bitsOf(set: number): number {
  let bits = 0
  for (let left = set; left !== 0; left &= left - 1) bits += 1
  return bits
}
