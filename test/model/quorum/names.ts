/** Forgets which node and which attempt is which, so that states that differ in nothing else are one. */
import type { Field } from '../fields.ts'
import type { Layout } from './layout.ts'
import { permutations } from '../permutations.ts'
import { IDLE } from './layout.ts'

/** Gives the canonical form of states: attempts in the order of their words, nodes in that of theirs, and the least of all these. */
export function canonicalFor({ words, nodes, attempts, node }: Layout): (state: Int32Array) => void {
  const orders = permutations([...Array(attempts).keys()])
  const perAttempt = [node.relation, node.awaited, node.supports, node.repeated, node.stale].filter(([of]) => of?.used)
  const best = new Int32Array(words)
  const candidate = new Int32Array(words)

  return (state) => {
    let found = false
    for (const order of orders) {
      if (!rising(state, order)) continue
      candidate.set(state)
      if (order !== orders[0]) rename(state, order)
      sortNodes(candidate)
      if (!found || less(candidate, best)) best.set(candidate)
      found = true
    }
    state.set(best)
  }

  function rising(state: Int32Array, order: readonly number[]): boolean {
    for (let place = 1; place < attempts; place += 1) {
      const before = order[place - 1]!
      const after = order[place]!
      if (state[nodes + before]! > state[nodes + after]!) return false
      // Attempts that have not begun are alike in everything.
      if (state[nodes + after] === IDLE && before > after) return false
    }
    return true
  }

  /** Puts into `candidate` the state with attempt `order[i]` called `i`. */
  function rename(state: Int32Array, order: readonly number[]): void {
    for (let place = 0; place < attempts; place += 1) candidate[nodes + place] = state[nodes + order[place]!]!
    for (let index = 0; index < nodes; index += 1) {
      const word = state[index]!
      let renamed = node.owner.put(word, 0)
      for (let place = 0; place < attempts; place += 1) {
        const was = order[place]!
        if (node.owner.of(word) === was + 1) renamed = node.owner.put(renamed, place + 1)
        for (const field of perAttempt) renamed = moved(field, renamed, place, word, was)
      }
      candidate[index] = renamed
    }
  }

  function sortNodes(state: Int32Array): void {
    for (let end = 1; end < nodes; end += 1) {
      const word = state[end]!
      let at = end
      for (; at > 0 && state[at - 1]! > word; at -= 1) state[at] = state[at - 1]!
      state[at] = word
    }
  }

  function less(one: Int32Array, other: Int32Array): boolean {
    for (let word = 0; word < nodes; word += 1) if (one[word] !== other[word]) return one[word]! < other[word]!
    return false
  }
}

function moved(field: readonly Field[], into: number, place: number, word: number, was: number): number {
  return field[place]!.put(into, field[was]!.of(word))
}
