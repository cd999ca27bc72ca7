/** What a model of the quorum may be told to do; see quorum.ts. */
export interface Rules {
  readonly nodes: number
  /** At most 3. */
  readonly attempts: number
  /** Which nodes a raise goes to, and where it is done. `never`: the maximum of the first answers is the fence. */
  readonly raise: 'owned' | 'never' | 'unconditional' | 'unanswered' | 'join'
  /** A fence may also be larger by 2, as where fences are times, or where a node counts for all names together. */
  readonly jumps?: boolean
  /** The raise of a node that drew the fence itself is its answer to the set: it knows it. */
  readonly drawn?: boolean
  /** A node may carry out a set twice, as when a client sends it again. `told-apart`: a raise names the answer it counted. */
  readonly repeats?: 'owner-only' | 'told-apart'
  /** Attempts may give up. Always so where a rule looks at it: with clocks, and where a quarantine waits. */
  readonly givesUp?: boolean
  /**
   * What a fence is judged by, other than that it is unique and larger than those of all that held before its attempt
   * began. `order`: only the latter. `order-of-holding`: it must be larger than those of all that held before it was held.
   */
  readonly judged?: 'order' | 'order-of-holding'
  /** How often a node loses its memory. */
  readonly wipes?: number
  /** All nodes are blank at first, as they are when a quorum is new. */
  readonly fresh?: boolean
  /** What a wiped node does; if left out, it goes on as if nothing had been. */
  readonly quarantine?: Quarantine
  /** A holder may put its entry back where there is none, and raise that node to its fence. */
  readonly reseed?: 'admitted-nodes' | 'blank-nodes-too'
  /**
   * Clocks keep their bounds: the entries of an attempt that is under way do not end, nor, while one believes that it
   * holds, those of the majority that its validity comes from. Then no two may believe it at once. Without clocks, any
   * entry may end, and who holds may believe it for ever.
   */
  readonly clocked?: boolean
}

/** A blank node grants nothing until it is admitted: a client reads `top` of others, then raises it to their maximum. */
export interface Quarantine {
  /** Until the attempts that were under way when the node was wiped have ended; `leases`: and the leases then held, too. */
  readonly waits: 'no' | 'attempts' | 'leases'
  /** From how many other nodes that are not blank. */
  readonly reads: number
  /** When reading may begin. */
  readonly readsFrom: 'wait-over' | 'at-once'
  /** An admission is refused when the node was wiped again since the first read. */
  readonly sameLife: boolean
  /**
   * What else nodes may be admitted on; nodes in their own wait count for nothing. `all-blank`: each node was read, and none
   * had a memory; all are admitted, each by a request of its own. `all-blank-twice`: and when all were read once more, each
   * was still blank, in the same life; so there was a moment when all of them were. `whatever-is-left`: a node is admitted
   * when each of the others was read, and some had a memory.
   */
  readonly without?: 'all-blank' | 'all-blank-twice' | 'whatever-is-left'
  /** How many clients do this at the same time. */
  readonly admissions: number
}
