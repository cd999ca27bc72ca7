/**
 * Linearizability in general: is there an order of all operations, each at one point of its own window of time, that a
 * sequential object allows?
 *
 * The search is that of Wing and Gong (Testing and verifying concurrent objects, J. Parallel Distrib. Comput. 17, 1993):
 * whatever may come first is tried, and taken back if no order follows from it. It remembers what Lowe noticed (Testing
 * for linearizability, Concurrency Computat. Pract. Exper. 29(4), 2017): the same operations done, in whatever order, with
 * the same state after them, need no second look. In the worst case it still takes exponential time, so it is for samples.
 */

export interface Operation<Call> {
  readonly call: Call
  /** The window. `until` is `Infinity` if nobody heard of its end: then it may also never have happened. */
  readonly from: number
  readonly until: number
}

export interface Model<State, Call> {
  readonly initial: State
  /** The state after `call`, or `undefined` if the object does not allow it in this state. */
  step(state: State, call: Call): State | undefined
  /** The same text for the same state. */
  keyOf(state: State): string
}

export function linearizable<State, Call>(
  operations: readonly Operation<Call>[],
  { initial, step, keyOf }: Model<State, Call>,
): boolean {
  const all = operations.toSorted((a, b) => a.from - b.from)
  const seen = new Set<string>()
  const search = (done: bigint, state: State): boolean => {
    const left = all.flatMap((operation, index) => ((done >> BigInt(index)) & 1n ? [] : [{ operation, index }]))
    // Whoever begins after another one has ended does not come before it.
    const limit = left.reduce((least, { operation }) => Math.min(least, operation.until), Infinity)
    if (limit === Infinity) return true
    return left.some(({ operation, index }) => {
      const next = operation.from <= limit ? step(state, operation.call) : undefined
      if (next === undefined) return false
      const doneNext = done | (1n << BigInt(index))
      const key = `${doneNext} ${keyOf(next)}`
      if (seen.has(key)) return false
      seen.add(key)
      return search(doneNext, next)
    })
  }
  return search(0n, initial)
}
