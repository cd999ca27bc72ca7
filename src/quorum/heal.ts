/**
 * Taking a node back that had forgotten, once it has waited out the longest lease.
 *
 * It is told the largest fence that the others know. Whatever it may have confirmed itself before, it confirmed together
 * with a majority; of each majority that it was in, at least one is among any `N - most + 1` of the others.
 *
 * The others are asked after the wait and not before. Otherwise: 1. an acquisition counts the word of a node that then
 * forgets;  2. the others are asked, and do not know its fence yet;  3. it confirms its fence to them, and holds;  4. the
 * node is taken back with less, and mints that fence once more.
 *
 * Where so many have forgotten that too few are left to ask, as in a new quorum, all of the others are asked, and once more:
 * if none has forgotten in between, what they know together is all there is to know. Then the order of fences rests on the
 * clocks of the nodes as well.
 */
import type { Memory } from './node.ts'
import type { Member } from './poll.ts'

/** @param recall what a node knows of itself; rejects when it does not answer in time */
export async function heal(
  member: Member,
  members: readonly Member[],
  most: number,
  recall: (member: Member) => Promise<Memory>,
): Promise<void> {
  const { incarnation, quarantineMs } = await recall(member)
  if (quarantineMs !== 0) return
  const others = members.filter((each) => each !== member)
  const ask = async (): Promise<Memory[]> =>
    (await Promise.allSettled(others.map(recall))).flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const known = await ask()
  const sure = known.filter((each) => each.quarantineMs === undefined)
  if (sure.length < members.length - most + 1) {
    const lives = (memories: readonly Memory[]): string => memories.map((each) => each.incarnation).join()
    if (known.length < others.length || lives(await ask()) !== lives(known)) return
  }
  const top = known.reduce((largest, each) => (each.top > largest ? each.top : largest), 0n)
  await member.node.admit(incarnation, top)
}
