import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { file } from '../../src/backends/file/index.ts'
import type { Coordinator } from '../../src/testing/index.ts'
import { conformance } from '../../src/testing/index.ts'
import { fakeClock } from '../file/kit/fake-clock.ts'

/** Sockets between two backends are real, so each step of simulated time gives them some real time. */
const TURN_MS = 2

async function ownDirectory(): Promise<Coordinator> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-'))
  const clock = fakeClock()
  return {
    backend: file({ directory, clock }),
    another: async () => file({ directory, clock }),
    advance: async (ms) => {
      clock.advance(ms)
      await sleep(TURN_MS)
    },
    end: async () => rmSync(directory, { recursive: true }),
  }
}

describe('file', () => {
  test.for(conformance(ownDirectory))('$name', async ({ run }, { skip }) => {
    const outcome = await run()
    skip(outcome === 'skipped')
    expect(outcome).toBe('passed')
  })
})
