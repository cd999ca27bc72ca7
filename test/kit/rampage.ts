/** Fault 60: one trouble after the other at random, with whoever takes turns, and a verdict. */
import { setTimeout as sleep } from 'node:timers/promises'
import { seeded } from '../file/kit/seed.ts'
import { TIMES } from './effort.ts'
import type { Hand } from './hand.ts'
import type { Scene } from './scene.ts'

/** Does its worst to some of the hands, or to the coordinator, and makes up for it. */
export type Trouble<S> = (set: S, victims: readonly Hand[], random: () => number) => unknown

/** Of each victim, at the same time. */
export function each<S>(trouble: (set: S, victim: Hand, random: () => number) => unknown): Trouble<S> {
  return (set, victims, random) => Promise.all(victims.map((victim) => trouble(set, victim, random)))
}

/** @param overlaps as of `Scene.verdict` */
export async function rampage<S extends Scene>(
  set: S,
  troubles: readonly Trouble<S>[],
  overlaps: 'none' | 'counted',
): Promise<void> {
  const random = seeded()
  for (const hand of set.hands) hand.works()
  for (const end = performance.now() + 5000 * TIMES; performance.now() < end;) {
    const victims = set.hands.filter(() => random() < 0.4)
    await troubles[Math.floor(troubles.length * random())]!(set, victims, random)
    await sleep(100 * random())
  }
  await set.recovers()
  const verdict = await set.verdict(overlaps)
  console.log(`${verdict.history.beliefs.length} holds, ${verdict.overlaps} overlaps`)
}
