/**
 * What goes wrong with processes and on wires: it can be done at any coordinator, also at one that others use. What goes wrong
 * with servers stands with those who start them.
 *
 * Each fault strikes once and makes up for it; meanwhile everybody else has turns at the same names. Whether it was felt is for
 * the history to say: a fault that nobody felt proves nothing.
 */
import type { History } from '../history.ts'
import { sleep } from './clock.ts'
import type { Crew, Hand } from './crew.ts'
import { diedInside, diedWaiting, struckAmidst, wasLost, wasPaused, wasRefused } from './felt.ts'
import type { Random } from './random.ts'
import { pick } from './random.ts'
import type { Came } from './player.ts'
import { exclusiveNames } from './workloads.ts'

/** What not every coordinator and not every machine has: a wire that can be cut, clocks that can be turned, a disk that can be filled. */
export type Need = 'wire' | 'clock' | 'small disk' | 'time namespace'

/** What a fault finds. `place` is the coordinator's, for those who know it. */
export interface Scene<P = unknown> {
  readonly crew: Crew
  readonly random: Random
  readonly place: P
}

export interface Fault<P = unknown> {
  /** `holder-frozen` */
  readonly name: string
  /** In a sentence. */
  readonly about: string
  /** What it takes away that the promise of exclusion rests on. */
  readonly breaks?: string
  readonly needs?: Need | undefined
  readonly strike: (scene: Scene<P>) => Promise<void>
  /** Whether anybody felt it, as the history tells. */
  readonly felt: (history: History) => boolean
}

/** So often each of them asks at once, who come in a crowd. */
const CROWD = 20

// What they have in common

/** One of them, or `victim`, goes inside and stays there while `trouble` strikes; then it finishes. For faults, also those of servers. */
export async function inside(
  { crew, random }: Scene,
  trouble: (victim: Hand) => Promise<void>,
  victim: Hand = crew.victims(random, 1)[0]!,
): Promise<Came | undefined> {
  try {
    await victim.does('enter', { name: pick(random, exclusiveNames(crew.prefix)) })
  } catch {
    // Of the fault before: it is over, and the next one will find it well.
    await victim.does('finish')
    return undefined
  }
  await trouble(victim)
  return victim.alive ? victim.does('finish') : undefined
}

/** A holder stands still for so many ttls. */
async function freeze(scene: Scene, least: number, most: number): Promise<void> {
  const { crew, random } = scene
  await inside(scene, async (victim) => {
    await crew.pause(victim)
    await sleep(crew.ttlMs * (least + (most - least) * random()))
    crew.resume(victim)
  })
}

export const FAULTS: readonly Fault[] = [
  {
    name: 'holder-killed',
    about: 'a holder is killed in its section',
    strike: async (scene) => {
      await inside(scene, (victim) => scene.crew.kill(victim))
      await scene.crew.hire()
    },
    felt: diedInside,
  },
  {
    name: 'child-left',
    about: 'a holder is killed in its section, and a child of its own lives on',
    strike: async (scene) => {
      const { crew } = scene
      await inside(scene, async (victim) => {
        crew.note(`a child of ${victim.name}`)
        await victim.does('spawn', { ms: 2 * crew.ttlMs })
        await crew.kill(victim)
      })
      await crew.hire()
    },
    felt: diedInside,
  },
  {
    name: 'waiter-killed',
    about: 'a waiter is killed in the queue',
    strike: async (scene) => {
      const { crew, random } = scene
      await inside(scene, async (holder) => {
        const waiter = crew.hands.find((hand) => hand !== holder)!
        for (const name of exclusiveNames(crew.prefix)) void waiter.does('beg', { name })
        await sleep(20 * random())
        await crew.kill(waiter)
      })
      await crew.hire()
    },
    felt: diedWaiting,
  },
  {
    name: 'holder-frozen-briefly',
    about: 'a holder stands still for less than its lease',
    strike: (scene) => freeze(scene, 0.2, 0.5),
    felt: wasPaused,
  },
  {
    name: 'holder-frozen',
    about: 'a holder stands still for longer than its lease, and goes on in the middle of a statement',
    strike: (scene) => freeze(scene, 1.1, 2.1),
    felt: (history) => wasLost(history) && wasRefused(history),
  },
  {
    name: 'loop-blocked',
    about: 'a holder computes for longer than its lease, so that no timer fires',
    strike: async (scene) => {
      await inside(scene, (victim) => scene.crew.block(victim, scene.crew.ttlMs * (1.1 + scene.random())))
    },
    felt: wasLost,
  },
  {
    name: 'frozen-while-asking',
    about: 'a process stands still from its request to long after the answer',
    strike: async ({ crew, random }) => {
      const [victim] = crew.victims(random, 1) as [Hand]
      await victim.does('beg', { name: pick(random, exclusiveNames(crew.prefix)) })
      await sleep(5 * random())
      await crew.pause(victim)
      await sleep(crew.ttlMs * (1.1 + random()))
      crew.resume(victim)
      await victim.does('finish')
    },
    felt: wasPaused,
  },
  {
    name: 'late-release',
    about: 'a holder releases within milliseconds of the end of its lease',
    strike: async (scene) => {
      await inside(scene, async (victim) => {
        await scene.crew.linger(victim, 6 * scene.random() - 3)
      })
    },
    felt: wasPaused,
  },
  {
    name: 'starved',
    about: 'all processes get the processor in turns only',
    strike: async ({ crew, random }) => {
      const { hands } = crew
      for (let turn = 0; turn < 10; turn += 1) {
        const victims = hands.filter(() => random() < 0.6)
        for (const victim of victims) await crew.pause(victim)
        await sleep(50 + 50 * random())
        for (const victim of victims) crew.resume(victim)
        await sleep(20)
      }
    },
    felt: wasPaused,
  },
  {
    name: 'crowd',
    about: 'everybody asks for a name many times at once while somebody holds',
    strike: async (scene) => {
      const { crew, random } = scene
      const name = pick(random, exclusiveNames(crew.prefix))
      const crowds: Promise<void>[] = []
      await inside(scene, async (holder) => {
        const others = crew.hands.filter((hand) => hand !== holder)
        crew.note(`a crowd of ${others.length * CROWD}`)
        crowds.push(...others.map((hand) => hand.does('crowd', { name, count: CROWD })))
        await sleep(crew.ttlMs * 0.5 * random())
      })
      await Promise.all(crowds)
    },
    felt: struckAmidst('a crowd'),
  },
  {
    name: 'clock-leaps',
    about: 'the wall clock of a holder leaps ahead by more than its lease, and back; or back, and ahead',
    needs: 'clock',
    strike: async (scene) => {
      const { crew, random } = scene
      await inside(scene, async (victim) => {
        const ms = crew.ttlMs * (2 + 2 * random()) * (random() < 0.7 ? 1 : -1)
        crew.leap(victim, ms)
        await sleep(crew.ttlMs * random())
        crew.leap(victim, -ms)
      })
    },
    felt: wasLost,
  },
  {
    name: 'suspended',
    about:
      'a holder stands still, and its wall clock has gone on for longer than its lease: as after a sleep of the machine',
    needs: 'clock',
    strike: async (scene) => {
      const { crew, random } = scene
      await inside(scene, async (victim) => {
        await crew.pause(victim)
        await sleep(crew.ttlMs * 0.3 * random())
        crew.leap(victim, crew.ttlMs * (2 + 2 * random()))
        crew.resume(victim)
      })
    },
    felt: wasLost,
  },
  {
    name: 'cut-off',
    about: 'the connection of a holder falls silent, for longer than its lease',
    needs: 'wire',
    strike: async (scene) => {
      await inside(scene, async (victim) => {
        scene.crew.silence(victim)
        await sleep(scene.crew.ttlMs * (1.1 + scene.random()))
        scene.crew.mend(victim)
      })
    },
    felt: wasLost,
  },
  {
    name: 'connections-dead',
    about:
      'what connects a holder falls silent, or what is answered on it, for longer than a lease; it could connect anew',
    needs: 'wire',
    strike: async (scene) => {
      await inside(scene, async (victim) => {
        scene.crew.deaden(victim, pick(scene.random, ['both', 'down', 'up'] as const))
        await sleep(scene.crew.ttlMs * (1.1 + scene.random()))
        scene.crew.mend(victim)
      })
    },
    felt: struckAmidst('deaden'),
  },
  {
    name: 'requests-late',
    about: 'what a holder says does not arrive until its lease is over; then all of it does',
    needs: 'wire',
    strike: async (scene) => {
      await inside(scene, async (victim) => {
        scene.crew.silence(victim, 'up')
        const finishing = victim.does('finish')
        await sleep(scene.crew.ttlMs * (1.1 + scene.random()))
        scene.crew.mend(victim)
        await finishing
      })
    },
    felt: struckAmidst('silence'),
  },
  {
    name: 'answers-lost',
    about: 'what the coordinator answers does not arrive, and then the connection is reset',
    needs: 'wire',
    strike: async ({ crew, random }) => {
      const [victim] = crew.victims(random, 1) as [Hand]
      crew.silence(victim, 'down')
      await victim.does('beg', { name: pick(random, exclusiveNames(crew.prefix)) })
      await sleep(crew.ttlMs * random())
      crew.reset(victim)
      crew.mend(victim)
      await victim.does('finish')
    },
    felt: struckAmidst('reset'),
  },
  {
    name: 'resets',
    about: 'connections are reset again and again',
    needs: 'wire',
    strike: async ({ crew, random }) => {
      for (let turn = 0; turn < 6; turn += 1) {
        for (const hand of crew.hands) if (random() < 0.5) crew.reset(hand)
        await sleep(50 + 150 * random())
      }
    },
    felt: struckAmidst('reset'),
  },
  {
    name: 'slow-network',
    about: 'each message takes a good part of a lease',
    needs: 'wire',
    strike: async ({ crew, random }) => {
      for (const hand of crew.hands)
        if (random() < 0.6) crew.slow(hand, Math.round(crew.ttlMs * (0.05 + 0.25 * random())))
      await sleep(2 * crew.ttlMs)
      for (const hand of crew.hands) crew.mend(hand)
    },
    felt: struckAmidst('slow'),
  },
]
