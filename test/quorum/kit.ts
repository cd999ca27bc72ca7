/** Quorums of memory nodes in simulated time, each node with a wall clock and a network of its own. */
import type { Entry } from '../../src/backend.ts'
import { WHOLE } from '../../src/backend.ts'
import type { MemoryBackend } from '../../src/backends/memory/index.ts'
import { memory } from '../../src/backends/memory/index.ts'
import { QuorumBackend } from '../../src/quorum/index.ts'
import type { Node } from '../../src/quorum/node.ts'
import type { Fault, SimulatedTime, Target, Verb } from '../../src/testing/index.ts'
import { faultyNode, simulatedTime } from '../../src/testing/index.ts'

export const LONGEST_MS = 2000

/** What happens to a call to this node. */
export type Happens = (verb: Verb, target: Target) => Fault | undefined

export class World {
  readonly time: SimulatedTime
  /** What happens on the way to each node, now. */
  readonly happens: Happens[]
  readonly #nodes: MemoryBackend[]
  readonly #offsets: readonly number[]

  /** @param offsets how far the wall clock of each node is off, in milliseconds */
  constructor(offsets: readonly number[], seed = 1) {
    this.time = simulatedTime({ seed })
    this.#offsets = offsets
    this.happens = offsets.map(() => () => undefined)
    this.#nodes = offsets.map((wallOffsetMs) => memory({ clocks: this.time.runtime({ wallOffsetMs }) }))
  }

  node(index: number): MemoryBackend {
    return this.#nodes[index]!
  }

  /** It has lost all it knew; its clock now is off by so much. */
  forget(index: number, wallOffsetMs: number = this.#offsets[index]!): void {
    const clocks = this.time.runtime({ wallOffsetMs })
    this.#nodes[index] = memory({ clocks, quarantineMs: LONGEST_MS })
  }

  /** As another process has it. */
  quorum(): QuorumBackend {
    const runtime = this.time.runtime()
    const nodes = this.#offsets.map((_, index) => ({
      label: `node ${index + 1}`,
      node: faultyNode(this.#latest(index), (verb, target) => this.happens[index]!(verb, target), { runtime }),
    }))
    return new QuorumBackend({ kind: 'quorum', nodes, longestMs: LONGEST_MS, nodeTimeoutMs: 50, runtime })
  }

  /** These nodes cannot be reached, and the others can. */
  away(...nodes: readonly number[]): void {
    for (const index of this.#offsets.keys())
      this.happens[index] = nodes.includes(index) ? () => ({ fail: new Error('away') }) : () => undefined
  }

  /** What is sent to this node is lost, and nobody is told. */
  silence(index: number): void {
    this.happens[index] = () => ({ lose: 'request', silent: true })
  }

  do<T>(work: Promise<T>): Promise<T> {
    return this.time.during(work)
  }

  /** The node as it is when it is asked. */
  #latest(index: number): Node {
    return new Proxy(this.#nodes[index]!, {
      get: (_, word) => {
        const node = this.#nodes[index]! as unknown as Record<string | symbol, unknown>
        // It is everybody's.
        if (word === 'close') return async () => {}
        const part = node[word]
        return typeof part === 'function' ? (part.bind(node) as unknown) : part
      },
    })
  }
}

let entries = 0

export function entry(words: Partial<Entry> = {}): Entry {
  entries += 1
  const times = { ttlMs: 1000, waitTtlMs: 1000 }
  return { name: 'n', id: `id ${entries}`, weight: WHOLE, capacity: WHOLE, ...times, wait: true, ...words }
}

/** Who holds at this node, by id as far as that can be seen: the fence. */
export async function heldAt(node: MemoryBackend): Promise<bigint | undefined> {
  for await (const { holders } of node.inspect('')) return holders[0]?.fence
  return undefined
}
