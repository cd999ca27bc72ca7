/** Known mistakes of a quorum, to be put in on purpose. */
import type { Mutant } from '../mutant.ts'

const quorum = 'quorum/index.ts'
const heal = 'quorum/heal.ts'
const table = 'queue/table.ts'
const node = 'backends/memory/index.ts'

export const quorumMutants: readonly Mutant[] = [
  {
    name: 'no-second-round',
    mistake: 'it holds with the largest ticket of its majority, which nobody else is told',
    nodes: 3,
    patches: [
      {
        file: quorum,
        find: 'vote.fence === fence ? vote : node.confirm(entry, vote.fence, fence)',
        replace: 'vote.fence > 0n ? vote : node.confirm(entry, vote.fence, fence)',
      },
    ],
    seedsMax: 200,
  },
  {
    name: 'confirm-puts-in',
    mistake: 'the second round puts an entry in again that is gone',
    nodes: 3,
    patches: [
      {
        file: table,
        find: 'if (!queue || !seat || queue.seats.length > 1) return LOST',
        replace: 'if (!queue || !seat) return this.seed(claim as never, fence, now) as never',
      },
    ],
    seedsMax: 3000,
  },
  {
    name: 'told-and-forgotten',
    mistake: 'a node that is told a fence goes on counting from its own',
    nodes: 3,
    patches: [
      {
        file: table,
        find: '    seat.fence = fence\n    this.raiseFence(fence)\n    return standing(queue, seat',
        replace: '    seat.fence = fence\n    return standing(queue, seat',
      },
    ],
    seedsMax: 100,
  },
  {
    name: 'draws-what-is-proposed',
    mistake: 'a node draws the fence that is proposed to it, though it knows of a larger one',
    nodes: 3,
    patches: [
      {
        file: node,
        find: 'this.#table.raiseFence(fence - 1)',
        replace: 'Object.assign(this.#table, { proposed: fence })',
      },
      {
        file: table,
        find: 'Math.max(this.#lastFence + 1, Math.floor(now.wallMs * 1000))\n    const seat',
        replace:
          '(this as { proposed?: number }).proposed || Math.max(this.#lastFence + 1, now.wallMs * 1000)\n    const seat',
      },
    ],
    seedsMax: 2000,
  },
  {
    name: 'no-give-back',
    mistake: 'what was won in part is not given back',
    nodes: 3,
    patches: [{ file: quorum, find: '      await this.#giveBack(entry, votes)\n', replace: '' }],
    seedsMax: 100,
  },
  {
    name: 'stragglers-stay',
    mistake: 'a vote that comes after the decision is not undone',
    nodes: 3,
    patches: [
      {
        file: quorum,
        find: '(standing === undefined || isHeld(standing))) member.node.leave',
        replace: 'standing === undefined) member.node.leave',
      },
    ],
    seedsMax: 100,
  },
  {
    name: 'leaves-a-majority',
    mistake: 'only a majority is told of a release',
    nodes: 3,
    patches: [
      {
        file: quorum,
        find: '      decide: (each) => this.#sure(each, isTrue),\n      enough: this.#most,\n      insist: true,\n    })',
        replace:
          '      decide: (each) => this.#sure(each, isTrue),\n      enough: this.#most,\n      insist: true,\n    }, this.#members.slice(0, this.#most))',
      },
    ],
    seedsMax: 100,
  },
  {
    name: 'left-is-ours',
    mistake: 'an entry that was left is put back where a late answer says that it is missing',
    nodes: 3,
    patches: [
      {
        file: quorum,
        find: '    this.#ours.delete(claim.id)\n    return this.#agreed',
        replace: '    return this.#agreed',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'seed-not-undone',
    mistake: 'an entry that is put back after it was left stays',
    nodes: 3,
    patches: [
      {
        file: quorum,
        find: 'if (this.#ours.get(id) !== ours) member.node.leave',
        replace: 'if (ours === undefined) member.node.leave',
      },
    ],
    seedsMax: 2000,
  },
  {
    name: 'no-quarantine',
    mistake: 'a node that has forgotten grants at once',
    nodes: 3,
    patches: [
      {
        file: node,
        find: 'quarantineMs === undefined ? undefined : clocks.monotonicMs() + quarantineMs',
        replace: 'quarantineMs !== Infinity ? undefined : clocks.monotonicMs()',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'admitted-untold',
    mistake: 'a node that has forgotten is taken back without being told the largest fence of the others',
    nodes: 3,
    patches: [
      {
        file: heal,
        find: 'await member.node.admit(incarnation, top)',
        replace: 'await member.node.admit(incarnation, top * 0n)',
      },
    ],
    seedsMax: 2000,
  },
  {
    name: 'admitted-by-few',
    mistake: 'a node that has forgotten is told what those few know who happen to answer',
    nodes: 3,
    patches: [
      {
        file: heal,
        find: 'if (sure.length < members.length - most + 1) {',
        replace: 'if (sure.length < 1 - most) {',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'renewed-by-any-answer',
    mistake: 'a renewal counts the nodes that say that the entry is lost, and does not put it back there',
    nodes: 3,
    patches: [
      {
        file: quorum,
        find: '    if (this.#by(renewed, isHeld)) {\n      const keptMs = this.#kept(renewed)',
        replace:
          '    if (renewed.answers.size >= this.#most && renewed.count(isHeld) > 0) {\n      const keptMs = ttlMs',
      },
      { file: quorum, find: 'late: (member, renewal) => isLost(renewal) && this.#seed(member, claim),', replace: '' },
      {
        file: quorum,
        find: '      for (const member of renewed.who(isLost)) this.#seed(member, claim)\n',
        replace: '',
      },
    ],
    seedsMax: 2000,
  },
  {
    name: 'renewed-by-one',
    mistake: 'a renewal needs one node that still has the entry',
    nodes: 3,
    patches: [
      {
        file: quorum,
        find: '    if (this.#by(renewed, isHeld)) {\n      const keptMs = this.#kept(renewed)',
        replace: '    if (renewed.count(isHeld) > 0) {\n      const keptMs = ttlMs',
      },
    ],
    seedsMax: 2000,
  },
  {
    name: 'half-is-most',
    mistake: 'half of the nodes are a majority',
    nodes: 4,
    patches: [{ file: quorum, find: 'Math.floor(nodes.length / 2) + 1', replace: 'Math.ceil(nodes.length / 2)' }],
    seedsMax: 100,
  },
]
