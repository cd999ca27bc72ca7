/** The suite on quorums of memory backends: of several sizes, slow, and with as many nodes gone as may be. */
import { describe, expect, test } from 'vitest'
import type { MemoryBackend } from '../../src/backends/memory/index.ts'
import { memory } from '../../src/backends/memory/index.ts'
import type { Backend } from '../../src/backend.ts'
import { QuorumBackend } from '../../src/quorum/index.ts'
import type { Coordinator, Plan, SimulatedTime } from '../../src/testing/index.ts'
import { conformance, faultyNode, preset, simulatedTime } from '../../src/testing/index.ts'
import { nodeViewOf } from './kit/view.ts'

type Network = (time: SimulatedTime) => Plan

const quick: Network = () => () => undefined
const slow: Network = (time) => () => ({ requestMs: time.random(), replyMs: time.random() })
const gone: Network = () => (verb) => (verb === 'close' ? undefined : preset('silent')(verb, { name: '' }, 1))
const broken: Network = () => (verb) => (verb === 'close' ? undefined : preset('broken')(verb, { name: '' }, 1))

/** Nodes that any number of processes share, each process behind networks of its own. */
function quorum(...networks: readonly Network[]): () => Promise<Coordinator> {
  return async () => {
    const time = simulatedTime({ seed: 5 })
    const nodes: MemoryBackend[] = networks.map(() => memory({ clocks: time.runtime() }))
    const process = (): Backend => {
      const runtime = time.runtime()
      return new QuorumBackend({
        kind: 'quorum',
        nodes: nodes.map((node, index) => ({
          node: faultyNode(nodeViewOf(node), networks[index]!(time), { runtime }),
          label: `node ${index + 1}`,
        })),
        longestMs: 60_000,
        nodeTimeoutMs: 20,
        runtime,
      })
    }
    return {
      backend: process(),
      another: async () => process(),
      advance: (ms) => time.advance(ms),
      during: (work) => time.during(work),
    }
  }
}

describe.each([
  ['of one', quorum(quick)],
  ['of three', quorum(quick, quick, quick)],
  ['of three behind slow networks', quorum(slow, slow, slow)],
  ['of three, one silent', quorum(slow, gone, slow)],
  ['of three, one broken', quorum(broken, slow, slow)],
  ['of four, one silent', quorum(slow, gone, slow, slow)],
  ['of five, two silent', quorum(gone, slow, slow, slow, gone)],
])('a quorum %s', (_, make) => {
  test.for(conformance(make))('$name', async ({ run }, { skip }) => {
    const outcome = await run()
    skip(outcome === 'skipped')
    expect(outcome).toBe('passed')
  })
})
