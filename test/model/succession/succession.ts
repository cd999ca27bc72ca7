/**
 * The succession of the segments of a `file:` store, as a model: a directory, and processes that append and read.
 *
 * 1. *Say*: a process appends a line to the segment that it has open, then *reads* all lines up to there. What they say in
 *    this order is true: who joins where nobody holds is the holder, with the next fence.
 * 2. A *seal* ends a segment. What stands behind it is void, and is said again in the next one.
 * 3. Who reads a seal *looks* whether its segment is the highest; if so it *makes* the next one from the state at the seal,
 *    unless somebody has. It lists the segments, removes all but the last two, and goes on in the highest.
 * 4. Who comes, or goes on, looks for the highest number, *opens* that segment, and *checks* that it is still the highest.
 *
 * Each of these is one step, as it is one call of the kernel: between any two a process may stand still for as long as it
 * likes, or be killed. Who is dead is said to be so by others, and then holds nothing.
 *
 * Left out: a line that is torn (it counts for nobody), a line that only reads, and what is behind a seal. There is no clock:
 * leases do not expire here. Nor does the machine crash, and nobody else touches the directory.
 */
import type { Field } from '../fields.ts'
import { fieldsOfWord } from '../fields.ts'
import { permutations } from '../permutations.ts'
import type { Model } from '../search.ts'

export interface Rules {
  readonly processes: 2 | 3
  /** How often somebody may say a seal, and how often somebody may join. */
  readonly seals: number
  readonly joins: number
  /** One part is missing, or otherwise. */
  readonly mistake?: Mistake
}

export type Mistake =
  /** The next segment is made from what its maker has read, and nothing ends the old one. */
  | 'no-seal'
  /** The seal is written when the next segment is there. */
  | 'seal-after'
  /** Who joins asks what it has read already, and does not read up to its line. */
  | 'unread'
  /** Who finds its line behind a seal goes on as if it counted. */
  | 'void-counts'
  /** The next segment is made in its place, and then written. */
  | 'in-place'
  /** The next segment replaces one that is there. */
  | 'renames'
  /** The old segment is removed before the next one is made. */
  | 'removes-first'
  /** All but the last one are removed. */
  | 'keeps-one'
  /** Who read a seal makes the next segment whether or not its own is the highest. */
  | 'makes-unasked'
  /** Who made the next segment goes on in that one, and not in the highest. */
  | 'opens-the-next'
  /** Who opened a segment does not check that it is still the highest. */
  | 'unchecked'

// What a process does next.
const DEAD = 0
const IDLE = 1
const SAY = 2
const READ = 3
const LOOK_BACK = 4
const MAKE = 5
const LIST = 6
const REMOVE = 7
const LOOK = 8
const OPEN = 9
const CHECK = 10
const FILL = 11
const SEAL_OLD = 12
const REMOVE_OWN = 13

/** Steps have the name of what is done, and: */
const KILL = 14

// What a line says.
const NOTHING = 0
const JOIN = 1
const LEAVE = 2
const BURY = 3
const SEAL = 4

/** How many files can be there at a time, also without a name. */
const FILES = 8
/** How many lines of a file somebody may not have read. */
const LINES = 5
const LINE_BITS = 6

/** Some bits of the words of a process, or of a file. */
interface Spot {
  readonly word: number
  readonly field: Field
}

/** What a log says: the last fence, and who holds. */
interface Truth {
  last: number
  holder: number
}

// Of a process.
const PROCESS_WORDS = 2
const current = fieldsOf(0)
const intended = fieldsOf(1)
const does = current(4)
/** The file that it has open, plus 1. */
const opened = current(4)
/** How many lines of that it has read, and what they say. */
const offset = current(3)
const last = current(3)
const holder = current(2)
/** It believes that it holds, with this fence. */
const fence = current(3)
/** What it says: said, and not answered yet; or to be said. */
const verb = intended(3)
/** Of whom it says that it is dead, plus 1. */
const about = intended(2)
/** The number that it has in mind: of the segment to make, to open or to check. */
const number = intended(4)
/** The numbers of segments that it is about to remove, as bits. */
const list = intended(8)

// Of a file.
const FILE_WORDS = 2
const file = fieldsOf(0)
const lines = fieldsOf(1)
/** 0: there is no such file. */
const fileNumber = file(4)
const linked = file(1)
const empty = file(1)
const sealed = file(1)
/** What it begins with. Lines that all have read who have it open are a part of that. */
const fileLast = file(3)
const fileHolder = file(2)
const count = file(3)
const said = lines(LINES * LINE_BITS)

// Of the last word.
const counters = fieldsOfWord()
const sealsLeft = counters(3)
const joinsLeft = counters(3)
/** The largest fence that was answered. */
const answered = counters(4)

// Of a line.
const parts = fieldsOfWord()
const lineVerb = parts(2)
const lineBy = parts(2)
const lineAbout = parts(2)

export function succession({ processes, seals, joins, mistake }: Rules): Model {
  const words = processes * PROCESS_WORDS + FILES * FILE_WORDS + 1
  const rest = words - 1
  const all = [...Array(processes).keys()]
  const files = [...Array(FILES).keys()]
  const orders = permutations(all)

  const initial = new Int32Array(words)
  const next = new Int32Array(words)
  const named = new Int32Array(words)
  const best = new Int32Array(words)
  for (const who of all) initial[who * PROCESS_WORDS] = does.field.put(0, LOOK)
  initial[rest] = joinsLeft.put(sealsLeft.put(0, seals), joins)
  let state: Int32Array = initial
  let visit: (step: number, broken: string | undefined) => void
  /** What the step that is being taken breaks. */
  let broken: string | undefined

  return {
    words,
    initial,
    next,
    steps,
    canonical,
    describe,
    waiting: {
      somebody: (of) => all.some((who) => isBusy(does.field.of(of[wordOf(who, does)]!))),
      // Whoever is in the middle of something goes on.
      needsNoLuck: (step) => (step & 31) < KILL && step >> 8 === 0,
    },
  }

  function steps(of: Int32Array, tell: typeof visit): void {
    state = of
    visit = tell
    next.set(state)
    for (const who of all) {
      const doing = get(who, does)
      if (doing === DEAD) continue
      take(KILL, who, 0, () => kill(who))
      if (doing === IDLE) stepsOfIdle(who)
      else take(doing, who, 0, () => goOn(who, doing))
    }
  }

  // What somebody does who has nothing to do. `detail` is what it says, and of whom.

  function stepsOfIdle(who: number): void {
    const holds = get(who, fence) !== 0
    if (!holds && joinsLeft.of(state[rest]!) > 0) begin(who, JOIN, 0)
    if (holds) begin(who, LEAVE, 0)
    if (sealsLeft.of(state[rest]!) > 0) begin(who, SEAL, 0)
    for (const other of all)
      if (get(other, does) === DEAD && get(who, holder) === other + 1) begin(who, BURY, other + 1)
  }

  function begin(who: number, what: number, ofWhom: number): void {
    take(SAY, who, what | (ofWhom << 3), () => {
      set(who, verb, what)
      set(who, about, ofWhom)
      if (what === JOIN) next[rest] = joinsLeft.put(next[rest]!, joinsLeft.of(next[rest]!) - 1)
      if (what === SEAL) next[rest] = sealsLeft.put(next[rest]!, sealsLeft.of(next[rest]!) - 1)
      // From here on it does not believe.
      if (what === LEAVE) set(who, fence, 0)
      if (mistake === 'no-seal' && what !== SEAL) set(who, does, LOOK)
      else if ((mistake === 'no-seal' || mistake === 'seal-after') && what === SEAL) aim(who)
      else say(who)
    })
  }

  function kill(who: number): void {
    for (const spot of [does, opened, offset, last, holder, fence, verb, about, number, list]) set(who, spot, 0)
  }

  // What somebody does who is in the middle of something.

  function goOn(who: number, doing: number): void {
    switch (doing) {
      case SAY:
        return say(who)
      case READ:
        return readOn(who)
      case LOOK_BACK:
        return lookBack(who)
      case MAKE:
        return make(who)
      case LIST:
        return listAll(who)
      case REMOVE:
        return removeLowest(who)
      case LOOK:
        return look(who)
      case OPEN:
        return open(who)
      case CHECK:
        return check(who)
      case FILL:
        return fill(who)
      case SEAL_OLD:
        setFile(get(who, opened) - 1, sealed, 1)
        return set(who, does, LIST)
      case REMOVE_OWN:
        unlink(getFile(get(who, opened) - 1, fileNumber))
        return set(who, does, MAKE)
    }
  }

  /** At the end of the file that it has open, whatever became of its name. */
  function say(who: number): void {
    set(who, does, READ)
    const at = get(who, opened) - 1
    // Nobody reads what is behind a seal.
    if (getFile(at, sealed) === 1) return
    if (get(who, verb) === SEAL) return setFile(at, sealed, 1)
    const line = lineAbout.put(lineBy.put(lineVerb.put(0, get(who, verb)), who + 1), get(who, about))
    const place = getFile(at, count)
    if (place === LINES) throw new RangeError('a file of the model has no room for another line')
    setFile(at, said, getFile(at, said) | (line << (place * LINE_BITS)))
    setFile(at, count, place + 1)
    if (mistake !== 'unread') return
    apply(who, line)
    answer(who)
  }

  function readOn(who: number): void {
    const at = get(who, opened) - 1
    for (let place = get(who, offset); place < getFile(at, count); place += 1) {
      const line = lineAt(at, place)
      const mine = get(who, verb) === lineVerb.of(line) && lineBy.of(line) === who + 1
      apply(who, line)
      if (mine) answer(who)
      set(who, offset, place + 1)
    }
    const over = getFile(at, sealed) === 1
    if (get(who, verb) === SEAL) clear(who, verb)
    if (over && get(who, verb) !== NOTHING && mistake === 'void-counts') {
      apply(who, lineAbout.put(lineBy.put(lineVerb.put(0, get(who, verb)), who + 1), get(who, about)))
      answer(who)
    }
    set(who, does, over ? LOOK_BACK : IDLE)
  }

  function answer(who: number): void {
    if (get(who, verb) === JOIN && get(who, holder) === who + 1) {
      const given = get(who, last)
      if (given <= answered.of(next[rest]!)) broken = `the fence ${given} is given twice`
      next[rest] = answered.put(next[rest]!, Math.max(answered.of(next[rest]!), given))
      set(who, fence, given)
    }
    clear(who, verb)
    clear(who, about)
  }

  function lookBack(who: number): void {
    const at = get(who, opened) - 1
    const is = getFile(at, linked) === 1 && highest() === getFile(at, fileNumber)
    if (is || mistake === 'makes-unasked') aim(who)
    else leaveFor(who, LOOK)
  }

  /** It will make the next segment. */
  function aim(who: number): void {
    set(who, number, getFile(get(who, opened) - 1, fileNumber) + 1)
    set(who, does, mistake === 'removes-first' ? REMOVE_OWN : MAKE)
  }

  function make(who: number): void {
    const wanted = get(who, number)
    if (mistake === 'renames') unlink(wanted)
    const made = fileOf(wanted) === undefined
    if (made) {
      const at = unusedFile()
      for (const spot of [sealed, count, said]) setFile(at, spot, 0)
      setFile(at, fileNumber, wanted)
      setFile(at, linked, 1)
      setFile(at, empty, mistake === 'in-place' ? 1 : 0)
      setFile(at, fileLast, get(who, last))
      setFile(at, fileHolder, get(who, holder))
    }
    if (mistake === 'seal-after' && get(who, opened) !== 0) return set(who, does, SEAL_OLD)
    if (mistake === 'in-place' && made) return set(who, does, FILL)
    set(who, does, LIST)
  }

  function fill(who: number): void {
    const at = fileOf(get(who, number))
    if (at !== undefined) setFile(at, empty, 0)
    set(who, does, LIST)
  }

  function listAll(who: number): void {
    const numbers = files.filter((at) => getFile(at, linked) === 1).map((at) => getFile(at, fileNumber))
    const removed = numbers.sort((one, other) => one - other).slice(0, mistake === 'keeps-one' ? -1 : -2)
    set(
      who,
      list,
      removed.reduce((bits, each) => bits | (1 << each), 0),
    )
    if (removed.length > 0) set(who, does, REMOVE)
    else afterMaking(who)
  }

  function removeLowest(who: number): void {
    const lowest = 31 - Math.clz32(get(who, list) & -get(who, list))
    unlink(lowest)
    set(who, list, get(who, list) & ~(1 << lowest))
    if (get(who, list) === 0) afterMaking(who)
  }

  function afterMaking(who: number): void {
    if (mistake === 'opens-the-next') set(who, does, OPEN)
    else leaveFor(who, LOOK)
  }

  function look(who: number): void {
    const found = highest()
    set(who, number, found === 0 ? 1 : found)
    set(who, does, found === 0 ? MAKE : OPEN)
  }

  function open(who: number): void {
    const at = fileOf(get(who, number))
    // Somebody has moved on between the look and the opening; or it is not written yet.
    if (at === undefined || getFile(at, empty) === 1) return leaveFor(who, LOOK)
    set(who, opened, at + 1)
    set(who, offset, 0)
    set(who, last, getFile(at, fileLast))
    set(who, holder, getFile(at, fileHolder))
    if (mistake === 'unchecked' || mistake === 'opens-the-next') goOnIn(who)
    else set(who, does, CHECK)
  }

  function check(who: number): void {
    if (highest() === get(who, number)) goOnIn(who)
    else leaveFor(who, LOOK)
  }

  function goOnIn(who: number): void {
    clear(who, number)
    if (mistake === 'no-seal' && get(who, verb) === SEAL) clear(who, verb)
    set(who, does, get(who, verb) === NOTHING ? IDLE : SAY)
  }

  /** What it has open it needs no more. */
  function leaveFor(who: number, doing: number): void {
    for (const spot of [opened, offset, last, holder, number]) set(who, spot, 0)
    set(who, does, doing)
  }

  // The directory.

  function highest(): number {
    let found = 0
    for (const at of files) if (getFile(at, linked) === 1) found = Math.max(found, getFile(at, fileNumber))
    return found
  }

  function fileOf(wanted: number): number | undefined {
    return files.find((at) => getFile(at, linked) === 1 && getFile(at, fileNumber) === wanted)
  }

  function unusedFile(): number {
    const found = files.find((at) => getFile(at, fileNumber) === 0)
    if (found === undefined) throw new RangeError('the model has no room for another file')
    return found
  }

  function unlink(wanted: number): void {
    const at = fileOf(wanted)
    if (at !== undefined) setFile(at, linked, 0)
  }

  /** Forget files that nobody can open or has open, and make lines that all have read a part of the beginning. */
  function tidy(): void {
    for (const at of files) {
      if (getFile(at, fileNumber) === 0) continue
      const readers = all.filter((who) => get(who, opened) === at + 1)
      if (readers.length === 0 && getFile(at, linked) === 0) {
        for (let word = 0; word < FILE_WORDS; word += 1) next[wordOfFile(at) + word] = 0
        continue
      }
      const read = readers.reduce((least, who) => Math.min(least, get(who, offset)), getFile(at, count))
      if (read === 0) continue
      const truth = truthOf(at, read)
      setFile(at, fileLast, truth.last)
      setFile(at, fileHolder, truth.holder)
      setFile(at, said, getFile(at, said) >>> (read * LINE_BITS))
      setFile(at, count, getFile(at, count) - read)
      for (const who of readers) set(who, offset, get(who, offset) - read)
    }
  }

  // What lines say.

  function apply(who: number, line: number): void {
    const truth = { last: get(who, last), holder: get(who, holder) }
    obey(truth, line)
    set(who, last, truth.last)
    set(who, holder, truth.holder)
  }

  /** What the beginning of a file and so many of its lines say. */
  function truthOf(at: number, upTo: number): Truth {
    const truth = { last: getFile(at, fileLast), holder: getFile(at, fileHolder) }
    for (let place = 0; place < upTo; place += 1) obey(truth, lineAt(at, place))
    return truth
  }

  function lineAt(at: number, place: number): number {
    return (getFile(at, said) >>> (place * LINE_BITS)) & ((1 << LINE_BITS) - 1)
  }

  // What must be true.

  function brokenNow(): string | undefined {
    if (all.filter((who) => get(who, fence) !== 0).length > 1) return 'two believe that they hold'
    const at = fileOf(highest())
    if (at === undefined || getFile(at, empty) === 1) return undefined
    const truth = truthOf(at, getFile(at, count))
    for (const who of all) {
      if (get(who, fence) !== 0 && truth.holder !== who + 1) return 'the log does not know who holds'
      const left = get(who, fence) === 0 && get(who, verb) === NOTHING && get(who, does) !== DEAD
      if (left && truth.holder === who + 1) return 'the log does not know that somebody has left'
    }
    return undefined
  }

  // Reading and writing `next`, which is `state` again before each step.

  function take(kind: number, who: number, detail: number, change: () => void): void {
    broken = undefined
    change()
    tidy()
    visit(kind | (who << 5) | (detail << 8), broken ?? brokenNow())
    next.set(state)
  }

  function get(who: number, { word, field }: Spot): number {
    return field.of(next[who * PROCESS_WORDS + word]!)
  }

  function set(who: number, { word, field }: Spot, value: number): void {
    const at = who * PROCESS_WORDS + word
    next[at] = field.put(next[at]!, value)
  }

  function clear(who: number, spot: Spot): void {
    set(who, spot, 0)
  }

  function wordOf(who: number, { word }: Spot): number {
    return who * PROCESS_WORDS + word
  }

  function wordOfFile(at: number): number {
    return processes * PROCESS_WORDS + at * FILE_WORDS
  }

  function getFile(at: number, { word, field }: Spot): number {
    return field.of(next[wordOfFile(at) + word]!)
  }

  function setFile(at: number, { word, field }: Spot, value: number): void {
    next[wordOfFile(at) + word] = field.put(next[wordOfFile(at) + word]!, value)
  }

  // Names.

  /** Forgets which process is which, and in which order files were made: of all ways to name them, the least. */
  function canonical(of: Int32Array): void {
    let found = false
    for (const order of orders) {
      rename(of, order)
      sortFiles()
      if (!found || isLess(named, best)) best.set(named)
      found = true
    }
    of.set(best)
  }

  /** Puts into `named` the state with process `order[i]` called `i`. */
  function rename(of: Int32Array, order: readonly number[]): void {
    named.set(of)
    const newName = (old: number): number => (old === 0 ? 0 : order.indexOf(old - 1) + 1)
    for (const [name, was] of order.entries()) {
      const [one, two] = [of[was * PROCESS_WORDS]!, of[was * PROCESS_WORDS + 1]!]
      named[name * PROCESS_WORDS] = holder.field.put(one, newName(holder.field.of(one)))
      named[name * PROCESS_WORDS + 1] = about.field.put(two, newName(about.field.of(two)))
    }
    for (const at of files) {
      const start = wordOfFile(at)
      named[start] = fileHolder.field.put(of[start]!, newName(fileHolder.field.of(of[start]!)))
      let renamed = 0
      for (let place = 0; place < LINES; place += 1) {
        const line = (of[start + 1]! >>> (place * LINE_BITS)) & ((1 << LINE_BITS) - 1)
        const byNew = lineBy.put(line, newName(lineBy.of(line)))
        renamed |= lineAbout.put(byNew, newName(lineAbout.of(line))) << (place * LINE_BITS)
      }
      named[start + 1] = renamed
    }
  }

  function sortFiles(): void {
    for (let end = 1; end < FILES; end += 1) {
      for (let at = end; at > 0 && isFileBefore(at, at - 1); at -= 1) swapFiles(at, at - 1)
    }
  }

  /** By who has it open, too: two files may be alike in all else. */
  function isFileBefore(one: number, other: number): boolean {
    for (let word = 0; word < FILE_WORDS; word += 1) {
      const difference = named[wordOfFile(one) + word]! - named[wordOfFile(other) + word]!
      if (difference !== 0) return difference < 0
    }
    return readersOf(one) < readersOf(other)
  }

  function readersOf(at: number): number {
    let readers = 0
    for (const who of all) if (opened.field.of(named[wordOf(who, opened)]!) === at + 1) readers |= 1 << who
    return readers
  }

  function swapFiles(one: number, other: number): void {
    for (let word = 0; word < FILE_WORDS; word += 1) {
      const kept = named[wordOfFile(one) + word]!
      named[wordOfFile(one) + word] = named[wordOfFile(other) + word]!
      named[wordOfFile(other) + word] = kept
    }
    for (const who of all) {
      const at = wordOf(who, opened)
      const has = opened.field.of(named[at]!) - 1
      if (has === one) named[at] = opened.field.put(named[at]!, other + 1)
      else if (has === other) named[at] = opened.field.put(named[at]!, one + 1)
    }
  }

  // Words.

  function describe(step: number, before: Int32Array, after: Int32Array): string {
    const who = (step >> 5) & 7
    const detail = step >> 8
    const name = 'ABC'[who]!
    const was = (spot: Spot): number => spot.field.of(before[wordOf(who, spot)]!)
    const is = (spot: Spot): number => spot.field.of(after[wordOf(who, spot)]!)
    const openBefore = fileNumber.field.of(before[wordOfFile(was(opened) - 1)] ?? 0)
    const openAfter = fileNumber.field.of(after[wordOfFile(is(opened) - 1)] ?? 0)
    const kind = step & 31
    const what = kind === SAY && detail !== 0 ? detail & 7 : was(verb)
    const of = kind === SAY && detail !== 0 ? detail >> 3 : was(about)
    const words = ['', 'that it joins', 'that it leaves', `that ${'ABC'[of - 1]} is dead`, 'the seal'][what]!
    switch (kind) {
      case SAY:
        if (is(does) === READ) return `${name} says ${words}, in log.${openBefore}`
        return is(does) === MAKE ? `${name} is about to make log.${is(number)}` : `${name} is about to say ${words}`
      case READ: {
        const holds = is(fence) !== 0 && was(fence) === 0 ? `, and holds with the fence ${is(fence)}` : ''
        const refused = was(verb) === JOIN && is(verb) === NOTHING && is(fence) === 0 ? ', and is refused' : ''
        return `${name} reads log.${openBefore}${is(does) === LOOK_BACK ? ' up to its seal' : ''}${holds}${refused}`
      }
      case LOOK_BACK:
        return is(does) === LOOK
          ? `${name} sees that there is a segment after log.${openBefore}`
          : `${name} sees that log.${openBefore} is the highest`
      case MAKE:
        return isThere(before, was(number))
          ? `${name} finds that somebody has made log.${was(number)}`
          : `${name} makes log.${was(number)}`
      case LIST:
        return `${name} lists the segments${is(list) === 0 ? '' : ', and will remove some'}`
      case REMOVE:
        return `${name} removes log.${31 - Math.clz32(was(list) & -was(list))}`
      case LOOK:
        return is(does) === MAKE
          ? `${name} sees that there is no segment`
          : `${name} sees that log.${is(number)} is the highest`
      case OPEN:
        return is(opened) === 0 ? `${name} cannot open log.${was(number)}` : `${name} opens log.${openAfter}`
      case CHECK:
        return `${name} checks that log.${was(number)} is still the highest${is(does) === LOOK ? ': it is not' : ''}`
      case FILL:
        return `${name} writes log.${was(number)}`
      case SEAL_OLD:
        return `${name} says the seal, in log.${openBefore}`
      case REMOVE_OWN:
        return `${name} removes log.${openBefore}`
      default:
        return `${name} is killed`
    }
  }

  function isThere(of: Int32Array, wanted: number): boolean {
    return files.some((at) => {
      const word = of[wordOfFile(at)]!
      return linked.field.of(word) === 1 && fileNumber.field.of(word) === wanted
    })
  }
}

function fieldsOf(word: number): (bits: number) => Spot {
  const field = fieldsOfWord()
  return (bits) => ({ word, field: field(bits) })
}

function isBusy(doing: number): boolean {
  return doing !== DEAD && doing !== IDLE
}

function obey(truth: Truth, line: number): void {
  const by = lineBy.of(line)
  switch (lineVerb.of(line)) {
    case JOIN:
      if (truth.holder !== 0) return
      truth.holder = by
      truth.last += 1
      return
    case LEAVE:
      if (truth.holder === by) truth.holder = 0
      return
    case BURY:
      if (truth.holder === lineAbout.of(line)) truth.holder = 0
  }
}

function isLess(one: Int32Array, other: Int32Array): boolean {
  for (let word = 0; word < one.length; word += 1) if (one[word] !== other[word]) return one[word]! < other[word]!
  return false
}
