/**
 * Looks at every state that a model can reach, breadth first, so that the first violation has a shortest trace.
 *
 * A state is a fixed number of 32-bit words. States that differ only in names (which node, which attempt) are one: the
 * model brings each into its canonical form, and only that is kept. All states lie in one array, in the order in which
 * they were found, which is the queue as well; a hash table tells whether a state is known.
 */

export interface Model {
  /** How many 32-bit words a state has. */
  readonly words: number
  readonly initial: Int32Array
  /** Where `steps` puts the state after a step; the searcher may overwrite it. */
  readonly next: Int32Array
  /** Calls `visit` for each step that can be taken in `state`, with what it breaks, if anything. */
  steps(state: Int32Array, visit: (step: number, broken: string | undefined) => void): void
  /** Brings a state into its canonical form, in place. */
  canonical(state: Int32Array): void
  /** One step in words, between the state before and the one after it. */
  describe(step: number, before: Int32Array, after: Int32Array): string
  /** Of a model in which somebody waits for something. */
  readonly waiting?: Waiting
}

/**
 * Nobody may wait in vain: from every state, steps that need no luck lead to one in which nobody waits. Luck is a message
 * that arrives although nothing should depend on it; bad luck, one that is lost, or a process that dies.
 */
export interface Waiting {
  /** Whether somebody waits in this state. */
  somebody(state: Int32Array): boolean
  needsNoLuck(step: number): boolean
}

export interface Found {
  /** Every reachable state was looked at, or a violation was found. */
  readonly complete: boolean
  /** How many different states were found. */
  readonly states: number
  /** How many steps the last of them is away from the first. */
  readonly depth: number
  /** The shortest way to a violation, when there is one. */
  readonly violation?: { readonly broken: string; readonly trace: readonly string[] }
}

export interface Limits {
  /** After so many states the search ends without being complete. */
  readonly statesMax?: number
  /** Told after each step of depth. */
  readonly progress?: (depth: number, states: number) => void
}

export function search(model: Model, { statesMax = Infinity, progress }: Limits = {}): Found {
  const known = new States(model.words)
  const initial = model.initial.slice()
  model.canonical(initial)
  known.add(initial, -1)

  let depth = 0
  let at = 0
  let violation: { broken: string; state: Int32Array } | undefined
  const state = new Int32Array(model.words)
  const visit = (step: number, broken: string | undefined): void => {
    model.canonical(model.next)
    const number = known.add(model.next, at)
    if (model.waiting?.needsNoLuck(step)) ways!.add(number)
    if (broken !== undefined) violation ??= { broken, state: model.next.slice() }
  }
  const ways = model.waiting && new Ways()
  for (let levelEnd = known.count; at < known.count; at += 1) {
    if (at === levelEnd) {
      depth += 1
      progress?.(depth, known.count)
      levelEnd = known.count
    }
    known.read(at, state)
    model.steps(state, visit)
    if (violation) {
      const trace = retold(model, [...known.wayTo(at), violation.state])
      return {
        complete: true,
        states: known.count,
        depth: trace.length,
        violation: { broken: violation.broken, trace },
      }
    }
    if (known.count > statesMax) return { complete: false, states: known.count, depth }
    ways?.end()
  }
  const vain = ways?.leadingNowhere((number) => {
    known.read(number, state)
    return !model.waiting!.somebody(state)
  })
  if (vain === undefined) return { complete: true, states: known.count, depth }
  const trace = retold(model, known.wayTo(vain))
  return {
    complete: true,
    states: known.count,
    depth: trace.length,
    violation: { broken: 'somebody waits in vain', trace },
  }
}

/** The steps between canonical states, told with names that stay the same from the first step to the last. */
function retold(model: Model, way: readonly Int32Array[]): string[] {
  let state = model.initial.slice()
  return way.slice(1).map((wanted) => {
    const before = state
    let line: string | undefined
    model.steps(before, (step) => {
      if (line !== undefined) return
      const after = model.next.slice()
      model.canonical(model.next)
      if (!model.next.every((word, index) => word === wanted[index])) return
      line = model.describe(step, before, after)
      state = after
    })
    if (line === undefined) throw new Error('a step of the trace cannot be taken: canonical() joins unlike states')
    return line
  })
}

/** A growing set of states, each with the state it was first reached from. */
class States {
  count = 0
  readonly #words: number
  #all: Int32Array
  #from = new Int32Array(1024)
  /** Open addressing; an entry is the state's number plus 1, and at least half of them are 0. */
  #table = new Int32Array(4096)

  constructor(words: number) {
    this.#words = words
    this.#all = new Int32Array(1024 * words)
  }

  read(number: number, into: Int32Array): void {
    const start = number * this.#words
    for (let word = 0; word < this.#words; word += 1) into[word] = this.#all[start + word]!
  }

  /** Adds a state unless it is there. Its number. */
  add(state: Int32Array, from: number): number {
    const mask = this.#table.length - 1
    let slot = hash(state, 0, this.#words) & mask
    for (let entry = this.#table[slot]!; entry !== 0; entry = this.#table[slot]!) {
      if (this.#is(entry - 1, state)) return entry - 1
      slot = (slot + 1) & mask
    }
    if (this.count === this.#from.length) this.#grow()
    this.#all.set(state, this.count * this.#words)
    this.#from[this.count] = from
    this.count += 1
    this.#table[slot] = this.count
    if (this.count * 2 > this.#table.length) this.#rehash()
    return this.count - 1
  }

  /** The states from the first one to this one. */
  wayTo(number: number): Int32Array[] {
    const way: Int32Array[] = []
    for (let at = number; at !== -1; at = this.#from[at]!) {
      way.push(this.#all.slice(at * this.#words, (at + 1) * this.#words))
    }
    return way.toReversed()
  }

  #is(number: number, state: Int32Array): boolean {
    const start = number * this.#words
    for (let word = 0; word < this.#words; word += 1) if (this.#all[start + word] !== state[word]) return false
    return true
  }

  #grow(): void {
    const length = this.#from.length * 2
    const all = new Int32Array(length * this.#words)
    all.set(this.#all)
    this.#all = all
    const from = new Int32Array(length)
    from.set(this.#from)
    this.#from = from
  }

  #rehash(): void {
    const table = new Int32Array(this.#table.length * 2)
    const mask = table.length - 1
    for (let number = 0; number < this.count; number += 1) {
      let slot = hash(this.#all, number * this.#words, this.#words) & mask
      while (table[slot] !== 0) slot = (slot + 1) & mask
      table[slot] = number + 1
    }
    this.#table = table
  }
}

/** From each state, which others some of its steps lead to. */
class Ways {
  #to = new Int32Array(4096)
  #length = 0
  /** Where the ways from each state end in `#to`. */
  readonly #ends: number[] = []

  /** From the state whose turn it is. */
  add(number: number): void {
    if (this.#length === this.#to.length) {
      const to = new Int32Array(2 * this.#length)
      to.set(this.#to)
      this.#to = to
    }
    this.#to[this.#length] = number
    this.#length += 1
  }

  /** It is the turn of the next state. */
  end(): void {
    this.#ends.push(this.#length)
  }

  /** The first state from which no way leads to one that is `good`. */
  leadingNowhere(good: (number: number) => boolean): number | undefined {
    const reaches = Uint8Array.from(this.#ends, (_, number) => (good(number) ? 1 : 0))
    // Most ways lead to states of higher numbers, so few rounds are enough.
    for (let changed = true; changed;) {
      changed = false
      for (let number = reaches.length - 1; number >= 0; number -= 1) {
        if (reaches[number] !== 0 || !this.#anyFrom(number, (to) => reaches[to] !== 0)) continue
        reaches[number] = 1
        changed = true
      }
    }
    const nowhere = reaches.indexOf(0)
    return nowhere === -1 ? undefined : nowhere
  }

  #anyFrom(number: number, is: (to: number) => boolean): boolean {
    for (let at = this.#ends[number - 1] ?? 0; at < this.#ends[number]!; at += 1) if (is(this.#to[at]!)) return true
    return false
  }
}

/** Murmur3 over whole words. */
function hash(all: Int32Array, start: number, words: number): number {
  let mixed = words
  for (let word = start; word < start + words; word += 1) {
    let part = Math.imul(all[word]!, 0xcc9e2d51)
    part = (part << 15) | (part >>> 17)
    mixed ^= Math.imul(part, 0x1b873593)
    mixed = (mixed << 13) | (mixed >>> 19)
    mixed = (Math.imul(mixed, 5) + 0xe6546b64) | 0
  }
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
