/** The suite on quorums of real servers, with as many of them gone as may be. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { redlock } from '../../src/backends/redlock/index.ts'
import { backendFor } from '../../src/connect.ts'
import type { Coordinator } from '../../src/testing/index.ts'
import { conformance } from '../../src/testing/index.ts'
import { Nodes } from '../kit/quorum.ts'

const OPTIONS = { durable: true, nodeTimeoutMs: 500 } as const

async function throughIoRedis({ ports }: Nodes): Promise<Coordinator> {
  const clients = ports.map((port) => new Redis(port))
  // Without a listener it is printed.
  for (const client of clients) client.on('error', () => {})
  return {
    backend: redlock(clients, OPTIONS),
    another: async () => redlock(clients, OPTIONS),
    advance: sleep,
    end: async () => clients.forEach((client) => client.disconnect()),
  }
}

async function throughNodeRedis({ ports }: Nodes): Promise<Coordinator> {
  const clients = ports.map((port) => createClient({ url: `redis://127.0.0.1:${port}` }))
  for (const client of clients) {
    client.on('error', () => {})
    // One that is gone is never connected.
    client.connect().catch(() => {})
  }
  return {
    backend: redlock(clients, OPTIONS),
    another: async () => redlock(clients, OPTIONS),
    advance: sleep,
    end: async () => clients.forEach((client) => client.destroy()),
  }
}

async function atAddress(nodes: Nodes): Promise<Coordinator> {
  const url = nodes.url('durable&nodeTimeoutMs=500')
  return { backend: backendFor(url), another: async () => backendFor(url), advance: sleep }
}

type Fault = (nodes: Nodes) => Promise<void> | void

const quorums: readonly [string, number, Fault, (nodes: Nodes) => Promise<Coordinator>][] = [
  ['three, through ioredis', 3, () => {}, throughIoRedis],
  ['three, one killed, through node-redis', 3, (nodes) => nodes.kill(1), throughNodeRedis],
  ['three, one frozen, through node-redis', 3, (nodes) => nodes.freeze(0), throughNodeRedis],
  ['three, one in a black hole, at an address', 3, (nodes) => nodes.blackHole(2), atAddress],
  ['five, one killed and one frozen, through ioredis', 5, killedAndFrozen, throughIoRedis],
  ['five, two in black holes, at an address', 5, twoBlackHoles, atAddress],
]

async function killedAndFrozen(nodes: Nodes): Promise<void> {
  await nodes.kill(0)
  nodes.freeze(4)
}

function twoBlackHoles(nodes: Nodes): void {
  nodes.blackHole(1)
  nodes.blackHole(3)
}

describe.each(quorums)('a quorum of %s', (_, count, fault, make) => {
  let nodes: Nodes
  beforeAll(async () => {
    nodes = await Nodes.start(count)
    await fault(nodes)
  })
  afterAll(() => nodes.end())

  test.concurrent.for(conformance(() => make(nodes)))('$name', async ({ run }, { skip, expect }) => {
    const outcome = await run()
    skip(outcome === 'skipped')
    expect(outcome).toBe('passed')
  })
})
