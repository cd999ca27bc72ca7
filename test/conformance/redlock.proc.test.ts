/** The suite on quorums of real servers, with as many of them gone as may be. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, test } from 'vitest'
import type { RedlockOptions } from '../../src/backends/redlock/index.ts'
import { redlock } from '../../src/backends/redlock/index.ts'
import { backendFor } from '../../src/connect.ts'
import type { Coordinator } from '../../src/testing/index.ts'
import { conformance } from '../../src/testing/index.ts'
import { andInMatrix } from '../kit/effort.ts'
import { Nodes } from '../kit/quorum.ts'

/** In a suite whose leases last a second; a machine that is busy is slower than a network. */
const OPTIONS = { durable: true, nodeTimeoutMs: 400 } as const

/** Backends on these nodes, and how to end what they share. */
type Open = (nodes: Nodes) => readonly [make: () => Coordinator['backend'], end: () => void]

const throughIoRedis: Open = (nodes) => throughIoRedisWith(OPTIONS)(nodes)

const throughIoRedisWith =
  (options: RedlockOptions): Open =>
  ({ ports }) => {
    const clients = ports.map((port) => new Redis(port))
    // Without a listener it is printed.
    for (const client of clients) client.on('error', () => {})
    return [() => redlock(clients, options), () => clients.forEach((client) => client.disconnect())]
  }

const throughNodeRedis: Open = ({ ports }) => {
  const clients = ports.map((port) => createClient({ url: `redis://127.0.0.1:${port}` }))
  for (const client of clients) {
    client.on('error', () => {})
    // One that is gone is never connected.
    client.connect().catch(() => {})
  }
  return [() => redlock(clients, OPTIONS), () => clients.forEach((client) => client.destroy())]
}

const atAddress: Open = (nodes) => [() => backendFor(nodes.url('durable&nodeTimeoutMs=400')), () => {}]

type Fault = (nodes: Nodes) => Promise<void> | void

type Quorum = readonly [name: string, size: number, fault: Fault, open: Open]

const some: readonly Quorum[] = [
  ['three, one frozen, through node-redis', 3, (nodes) => nodes.freeze(0), throughNodeRedis],
  ['three, one in a black hole, at an address', 3, (nodes) => nodes.blackHole(2), atAddress],
  ['five, one killed and one frozen, through ioredis', 5, killedAndFrozen, throughIoRedis],
  [
    'three, one restarted empty, through ioredis',
    3,
    restartedEmpty,
    throughIoRedisWith({ maxTtlMs: 15_000, nodeTimeoutMs: 400 }),
  ],
]

const more: readonly Quorum[] = [
  ['three, through ioredis', 3, () => {}, throughIoRedis],
  ['three, one killed, through node-redis', 3, (nodes) => nodes.kill(1), throughNodeRedis],
  ['five, two in black holes, at an address', 5, twoBlackHoles, atAddress],
  ['five, two frozen, through node-redis', 5, twoFrozen, throughNodeRedis],
]

/** It is in quarantine from then on. */
async function restartedEmpty(nodes: Nodes): Promise<void> {
  await nodes.enlist()
  await nodes.restartEmpty(1)
}

async function killedAndFrozen(nodes: Nodes): Promise<void> {
  await nodes.kill(0)
  nodes.freeze(4)
}

function twoBlackHoles(nodes: Nodes): void {
  nodes.blackHole(1)
  nodes.blackHole(3)
}

function twoFrozen(nodes: Nodes): void {
  nodes.freeze(0)
  nodes.freeze(1)
}

describe.each(andInMatrix(some, more))('a quorum of %s', (_, size, fault, open) => {
  let nodes: Nodes
  let make: () => Coordinator['backend']
  let end = (): void => {}
  beforeAll(async () => {
    nodes = await Nodes.start(size)
    await fault(nodes)
    ;[make, end] = open(nodes)
  })
  afterAll(async () => {
    end()
    await nodes.end()
  })

  const coordinator = async (): Promise<Coordinator> => ({
    backend: make(),
    another: async () => make(),
    advance: sleep,
  })
  test.concurrent.for(conformance(coordinator))('$name', async ({ run }, { skip, expect }) => {
    const outcome = await run()
    skip(outcome === 'skipped')
    expect(outcome).toBe('passed')
  })
})
