import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backend.ts'
import type { MemoryBackend } from '../../src/backends/memory/index.ts'
import { memory } from '../../src/backends/memory/index.ts'
import type { Coordinator } from '../../src/testing/index.ts'
import { conformance, faulty, simulatedTime } from '../../src/testing/index.ts'
import { viewOf, withoutQueue } from './kit/view.ts'

async function plain(): Promise<Coordinator> {
  const time = simulatedTime()
  return { backend: memory({ clocks: time.runtime() }), advance: (ms) => time.advance(ms) }
}

/** Several processes on one memory, each behind its own network, which is slow and delivers wakes late and twice. */
async function behindNetworks(): Promise<Coordinator> {
  const time = simulatedTime({ seed: 5 })
  const shared: MemoryBackend = memory({ clocks: time.runtime() })
  const process = (): Backend => {
    const runtime = time.runtime()
    const ways = () => ({ requestMs: runtime.random(), replyMs: runtime.random() })
    return faulty(viewOf(shared), (verb) => (verb === 'wake' ? { ...ways(), againMs: 5 } : ways()), { runtime })
  }
  return {
    backend: process(),
    another: async () => process(),
    advance: (ms) => time.advance(ms),
    during: (work) => time.during(work),
  }
}

async function queueless(): Promise<Coordinator> {
  const time = simulatedTime()
  const shared = memory({ clocks: time.runtime() })
  const process = () => withoutQueue(viewOf(shared))
  return { backend: process(), another: async () => process(), advance: (ms) => time.advance(ms) }
}

describe.each([
  ['memory', plain],
  ['memory without its queue', queueless],
  ['memory behind slow networks', behindNetworks],
])('%s', (_, make) => {
  test.for(conformance(make))('$name', async ({ run }, { skip }) => {
    const outcome = await run()
    skip(outcome === 'skipped')
    expect(outcome).toBe('passed')
  })
})
