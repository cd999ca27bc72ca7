/** A quorum of five Redis servers. */
import { Redis } from 'ioredis'
import { connect } from '../../src/index.ts'
import { sleep, until } from '../../src/verify/torture/clock.ts'
import type { Line } from '../../src/verify/torture/crew.ts'
import type { Fault, Scene } from '../../src/verify/torture/faults.ts'
import { inside } from '../../src/verify/torture/faults.ts'
import { struckAmidst } from '../../src/verify/torture/felt.ts'
import { layerOf } from '../../src/verify/torture/lines.ts'
import type { Random } from '../../src/verify/torture/random.ts'
import type { Arena, Place } from '../../src/verify/torture/trial.ts'
import { allNames } from '../../src/verify/torture/workloads.ts'
import { Nodes } from '../../test/kit/quorum.ts'
import { QuorumLog } from '../logs/quorum.ts'
import { SLOW_CLOCKS } from './slow-clocks.ts'

const COUNT = 5
const FEW = 2
const MOST = 3
const TTL_MS = 1000
/** Whoever has forgotten waits so long; nobody is granted anything for longer. */
const OPTIONS = `maxTtlMs=${3 * TTL_MS}`
const BACK_MS = 60_000

class QuorumPlace implements Place {
  readonly nodes: Nodes
  readonly url: string
  readonly #killed = new Set<number>()

  private constructor(nodes: Nodes) {
    this.nodes = nodes
    this.url = nodes.url(OPTIONS)
  }

  static async open(): Promise<QuorumPlace> {
    const nodes = await Nodes.start(COUNT)
    await nodes.enlist()
    return new QuorumPlace(nodes)
  }

  lay(): Promise<Line> {
    return layerOf(this.url)!()
  }

  listen(): Promise<QuorumLog> {
    return QuorumLog.open(this.nodes.servers.map(({ port }) => port))
  }

  async kill(node: number): Promise<void> {
    this.#killed.add(node)
    await this.nodes.kill(node)
  }

  async flush(node: number): Promise<void> {
    const admin = new Redis(this.nodes.servers[node]!.port)
    await admin.flushall()
    admin.disconnect()
  }

  /** All run, and those that have forgotten have been taken back. */
  async recovers(): Promise<void> {
    for (const wire of this.nodes.wires) wire.heal()
    for (const server of this.nodes.servers) server.thaw()
    for (const node of this.#killed) await this.nodes.servers[node]!.start()
    this.#killed.clear()
    const locks = connect(this.url)
    const isWell = async (): Promise<boolean> => {
      // A lock that is taken takes them back, as it does for everybody.
      await locks.tryAcquire('verify/well').then(
        (lease) => lease?.release(),
        () => {},
      )
      const findings = await locks.diagnose()
      return !findings.some(({ subject }) => subject.endsWith('quarantine'))
    }
    try {
      await until(isWell, 'a quorum without quarantine', BACK_MS, 200)
    } finally {
      await locks.close()
    }
  }

  end(): Promise<void> {
    return this.nodes.end()
  }
}

function someOf(random: Random, count: number): number[] {
  const left = Array.from({ length: COUNT }, (_, node) => node)
  return Array.from({ length: count }, () => left.splice(Math.floor(random() * left.length), 1)[0]!)
}

async function away(
  { crew, random }: Scene<QuorumPlace>,
  what: string,
  count: number,
  act: (node: number) => unknown,
): Promise<void> {
  const nodes = someOf(random, count)
  crew.note(`${what} ${nodes.join(', ')}`)
  await Promise.all(nodes.map(act))
  await sleep(crew.ttlMs * (1 + random()))
}

const faults: readonly Fault<QuorumPlace>[] = [
  {
    name: 'nodes-killed',
    about: 'two of five are killed, and come back empty',
    strike: (scene) => away(scene, 'kill nodes', FEW, (node) => scene.place.kill(node)),
    felt: struckAmidst('kill nodes'),
  },
  {
    name: 'nodes-frozen',
    about: 'two of five stand still',
    strike: (scene) => away(scene, 'freeze nodes', FEW, (node) => scene.place.nodes.freeze(node)),
    felt: struckAmidst('freeze nodes'),
  },
  {
    name: 'nodes-silent',
    about: 'two of five fall into a black hole',
    strike: (scene) => away(scene, 'silence nodes', FEW, (node) => scene.place.nodes.blackHole(node)),
    felt: struckAmidst('silence nodes'),
  },
  {
    name: 'node-flushed',
    about: 'one of five loses all its keys while somebody holds',
    strike: async (scene) => {
      await inside(scene, () => away(scene, 'flush node', 1, (node) => scene.place.flush(node)))
    },
    felt: struckAmidst('flush node'),
  },
  {
    name: 'majority-frozen',
    about: 'three of five stand still for longer than a lease',
    strike: (scene) => away(scene, 'freeze nodes', MOST, (node) => scene.place.nodes.freeze(node)),
    felt: struckAmidst('freeze nodes'),
  },
  {
    name: 'majority-flushed',
    about: 'three of five lose all their keys while somebody holds',
    breaks: 'no more than a minority forgets',
    strike: async (scene) => {
      const { crew, place } = scene
      await inside(scene, async () => {
        const flushed = away(scene, 'flush nodes', MOST, (node) => place.flush(node))
        await crew.forgets(allNames(crew.prefix), () => flushed)
      })
    },
    felt: struckAmidst('flush nodes'),
  },
]

export const redlock: Arena<QuorumPlace> = {
  name: 'redlock',
  ttlMs: TTL_MS,
  workloads: ['exclusive', 'several', 'once'],
  has: new Set(['wire']),
  faults: [...SLOW_CLOCKS, ...faults],
  open: () => QuorumPlace.open(),
}
