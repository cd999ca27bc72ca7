/** The fence of a quorum as it is, and what it would be without one of its parts. */
import type { Variant } from '../variant.ts'
import { quorum } from './quorum.ts'
import type { Quarantine, Rules } from './rules.ts'

const three: Rules = { nodes: 3, attempts: 2, raise: 'owned' }
const quarantine: Quarantine = { waits: 'leases', reads: 2, readsFrom: 'wait-over', sameLife: true, admissions: 1 }
const wiped: Rules = { ...three, wipes: 1 }
const quarantined: Rules = { ...wiped, quarantine }

const known: readonly (Omit<Variant, 'size' | 'model'> & { readonly rules: Rules })[] = [
  {
    name: 'conditional',
    shows: 'fences are unique and grow when a raise needs the entry whose answer was counted',
    rules: three,
    finds: { states: 6496 },
  },
  {
    name: 'gives-up',
    shows: 'that attempts give up changes nothing',
    rules: { ...three, givesUp: true },
    finds: { states: 18_569 },
  },
  {
    name: 'jumps',
    shows: 'fences may jump ahead',
    rules: { ...three, jumps: true },
    finds: { states: 85_505 },
  },
  {
    name: 'drawn',
    shows: 'whoever drew the fence itself knows it, and need not be raised',
    rules: { ...three, jumps: true, drawn: true },
    finds: { states: 29_045 },
  },
  {
    name: 'drawn-repeated',
    shows: 'and a set may be sent again all the same, where a raise names the answer it counted',
    rules: { ...three, drawn: true, repeats: 'told-apart' },
    finds: { states: 2_905_234 },
    long: true,
  },
  {
    name: 'drawn-clocked',
    shows: 'with clocks, each holder has a larger fence than those before it, whoever was raised',
    rules: { ...three, jumps: true, drawn: true, judged: 'order-of-holding', clocked: true },
    finds: { states: 14_542 },
  },
  {
    name: 'four-nodes',
    shows: 'an even number of nodes will do',
    rules: { ...three, nodes: 4 },
    finds: { states: 27_520 },
  },
  {
    name: 'reseed',
    shows: 'a holder may put its entry back on any node',
    rules: { ...three, reseed: 'admitted-nodes' },
    finds: { states: 11_719 },
  },
  {
    name: 'three-attempts',
    shows: 'a third attempt changes nothing',
    rules: { ...three, attempts: 3 },
    finds: { states: 906_932 },
    long: true,
  },
  {
    name: 'five-nodes',
    shows: 'five nodes are like three',
    rules: { ...three, nodes: 5 },
    finds: { states: 503_105 },
    long: true,
  },
  {
    name: 'order-of-holding',
    shows:
      'of two that were under way at once, the later holder may have the smaller fence, unless clocks keep them apart',
    rules: { ...three, judged: 'order-of-holding' },
    finds: { broken: 'the fence 1 is not larger than an earlier one', steps: 13 },
  },
  {
    name: 'order-of-holding-clocked',
    shows: 'with clocks that keep their bounds, each holder has a larger fence than those before it',
    rules: { ...three, judged: 'order-of-holding', clocked: true },
    finds: { states: 3606 },
  },
  // Without one part.
  {
    name: 'no-raise',
    shows: 'the maximum of the first answers is no fence',
    rules: { ...three, raise: 'never' },
    finds: { broken: 'two have the fence 2', steps: 8 },
  },
  {
    name: 'unconditional',
    shows: 'a raise must need that the attempt still owns the name',
    rules: { ...three, raise: 'unconditional' },
    finds: { broken: 'two have the fence 2', steps: 14 },
  },
  {
    name: 'unanswered',
    shows: 'a raise must not go to a node whose first answer was not counted',
    rules: { ...three, raise: 'unanswered' },
    finds: { broken: 'two have the fence 2', steps: 17 },
  },
  {
    name: 'by-join',
    shows: 'a raise must not put a lapsed entry back',
    rules: { ...three, raise: 'join' },
    finds: { broken: 'two have the fence 2', steps: 16 },
  },
  {
    name: 'repeated-set',
    shows: 'a set that a client sends again must not put a lapsed entry back, if a raise looks at the owner only',
    rules: { ...three, repeats: 'owner-only' },
    finds: { broken: 'two have the fence 2', steps: 17 },
  },
  {
    name: 'repeated-told-apart',
    shows: 'a set may be sent again when a raise names the answer it counted, and the node compares it with its entry',
    rules: { ...three, repeats: 'told-apart' },
    finds: { states: 8_468_836 },
    long: true,
  },
  // A node loses its memory.
  {
    name: 'wiped',
    shows: 'a node that goes on after it lost its memory breaks the fences',
    rules: wiped,
    finds: { broken: 'two have the fence 1', steps: 13 },
  },
  {
    name: 'wiped-order',
    shows: 'and then a fence may also be no larger than that of one that had held before its attempt began',
    rules: { ...wiped, judged: 'order' },
    finds: { broken: 'the fence 1 is not larger than an earlier one', steps: 13 },
  },
  {
    name: 'quarantine',
    shows: 'a node that lost its memory harms nothing when it waits, and is raised to a majority of the others',
    rules: quarantined,
    finds: { states: 191_583 },
  },
  {
    name: 'quarantine-drawn',
    shows: 'a node that lost its memory harms nothing, either, when whoever drew the fence was not raised',
    rules: { ...quarantined, jumps: true, drawn: true },
    finds: { states: 726_095 },
    long: true,
  },
  {
    name: 'quarantine-reseed',
    shows: 'a holder may put its entry back on a node in quarantine, too',
    rules: { ...quarantined, reseed: 'blank-nodes-too' },
    finds: { states: 342_523 },
  },
  {
    name: 'quarantine-twice',
    shows: 'two losses of memory, on one node or two, harm nothing',
    rules: { ...quarantined, wipes: 2 },
    finds: { states: 930_335 },
    long: true,
  },
  {
    name: 'quarantine-two-admissions',
    shows: 'two clients that admit nodes at the same time, with two losses of memory, harm nothing',
    rules: { ...quarantined, wipes: 2, quarantine: { ...quarantine, admissions: 2 } },
    finds: { states: 31_148_972 },
    long: true,
  },
  {
    name: 'quarantine-three-attempts',
    shows: 'the quarantine holds with a third attempt',
    rules: { ...quarantined, attempts: 3 },
    finds: { states: 45_358_207 },
    long: true,
  },
  {
    name: 'quarantine-five-nodes',
    shows: 'the quarantine holds with five nodes, when three of the others are read',
    rules: { ...quarantined, nodes: 5, quarantine: { ...quarantine, reads: 3 } },
    finds: { states: 29_727_572 },
    long: true,
  },
  {
    name: 'too-few-read',
    shows: 'one other node of three is too few to read',
    rules: { ...wiped, quarantine: { ...quarantine, reads: 1 } },
    finds: { broken: 'two have the fence 1', steps: 15 },
  },
  {
    name: 'too-few-read-of-five',
    shows: 'two other nodes of five are too few to read',
    rules: { ...wiped, nodes: 5, quarantine: { ...quarantine, reads: 2 } },
    finds: { broken: 'two have the fence 1', steps: 20 },
    long: true,
  },
  {
    name: 'no-wait',
    shows: 'a node must not be admitted before what was under way has ended',
    rules: { ...wiped, attempts: 3, quarantine: { ...quarantine, waits: 'no' } },
    finds: { broken: 'two have the fence 2', steps: 18 },
    long: true,
  },
  {
    name: 'read-too-early',
    shows: 'others must not be read before the wait is over, even if the node is admitted after it',
    rules: { ...wiped, attempts: 3, quarantine: { ...quarantine, readsFrom: 'at-once' } },
    finds: { broken: 'two have the fence 2', steps: 19 },
    long: true,
  },
  {
    name: 'former-life',
    shows: 'an admission must be refused when the node was wiped again',
    rules: { ...wiped, wipes: 2, quarantine: { ...quarantine, sameLife: false, admissions: 2 } },
    finds: { broken: 'two have the fence 2', steps: 20 },
    long: true,
  },
  {
    name: 'fresh',
    shows: 'nodes that are all blank, as those of a new quorum, may be admitted by whoever has read that twice of each',
    rules: { ...quarantined, fresh: true, quarantine: { ...quarantine, without: 'all-blank-twice' } },
    finds: { states: 734_500 },
  },
  {
    name: 'fresh-read-once',
    shows: 'nodes that are all blank must not be admitted by two clients, when each was read only once',
    rules: { ...quarantined, fresh: true, quarantine: { ...quarantine, without: 'all-blank', admissions: 2 } },
    finds: { broken: 'two have the fence 1', steps: 21 },
    long: true,
  },
  {
    name: 'whatever-is-left',
    shows: 'a node must not be admitted on the word of fewer than a majority because the others are blank',
    rules: { ...wiped, wipes: 2, quarantine: { ...quarantine, without: 'whatever-is-left' } },
    finds: { broken: 'two have the fence 1', steps: 17 },
  },
  // Who believes that it holds, with clocks that keep their bounds.
  {
    name: 'exclusion',
    shows: 'two never believe at once that they hold, while clocks keep their bounds',
    rules: { ...three, clocked: true },
    finds: { states: 3606 },
  },
  {
    name: 'exclusion-wiped',
    shows: 'a node that goes on after it lost its memory lets two believe that they hold',
    rules: { ...wiped, clocked: true },
    finds: { broken: 'two believe that they hold', steps: 13 },
  },
  {
    name: 'exclusion-quarantine',
    shows: 'with the quarantine, two never believe at once that they hold',
    rules: { ...quarantined, clocked: true },
    finds: { states: 52_219 },
  },
  {
    name: 'exclusion-attempts-only',
    shows: 'the wait must be for the leases that were held, too, and not only for attempts',
    rules: { ...wiped, clocked: true, quarantine: { ...quarantine, waits: 'attempts' } },
    finds: { broken: 'two believe that they hold', steps: 16 },
  },
  {
    name: 'exclusion-reseed',
    shows: 'two never believe at once that they hold when holders put entries back on nodes that are admitted',
    rules: { ...quarantined, clocked: true, reseed: 'admitted-nodes' },
    finds: { states: 82_137 },
  },
  {
    name: 'exclusion-reseed-blank',
    shows: 'two never believe at once that they hold when holders put entries back on nodes in quarantine, too',
    rules: { ...quarantined, clocked: true, reseed: 'blank-nodes-too' },
    finds: { states: 148_231 },
  },
  {
    name: 'exclusion-reseed-twice',
    shows: 'nor with two losses of memory',
    rules: { ...quarantined, wipes: 2, clocked: true, reseed: 'blank-nodes-too' },
    finds: { states: 1_096_465 },
    long: true,
  },
  {
    name: 'exclusion-reseed-three-attempts',
    shows: 'nor with one loss and a third attempt',
    rules: { ...quarantined, attempts: 3, clocked: true, reseed: 'blank-nodes-too' },
    finds: { states: 14_794_006 },
    long: true,
  },
  {
    name: 'exclusion-three-attempts',
    shows: 'with a third attempt, too, two never believe at once that they hold',
    rules: { ...three, attempts: 3, clocked: true },
    finds: { states: 220_205 },
    long: true,
  },
]

export const quorumVariants: readonly Variant[] = known.map(({ rules, ...variant }) => ({
  ...variant,
  size: `${rules.nodes} nodes, ${rules.attempts} attempts`,
  model: () => quorum(rules),
}))
