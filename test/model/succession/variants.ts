/** The succession of segments as it is, and what it would be without one of its parts. */
import type { Variant } from '../variant.ts'
import type { Rules } from './succession.ts'
import { succession } from './succession.ts'

const two: Rules = { processes: 2, seals: 2, joins: 2 }
const three: Rules = { ...two, processes: 3 }

const unknown = 'the log does not know who holds'

const known: readonly (Omit<Variant, 'size' | 'model'> & { readonly rules: Rules })[] = [
  {
    name: 'one-log',
    shows:
      'all are in one log: one believes at a time, no fence comes twice, what was answered stays, and somebody goes on',
    rules: two,
    finds: { states: 16_008 },
  },
  {
    name: 'three-seals',
    shows: 'a third seal changes nothing',
    rules: { ...two, seals: 3 },
    finds: { states: 46_884 },
  },
  {
    name: 'three-processes',
    shows: 'a third process changes nothing',
    rules: three,
    finds: { states: 411_144 },
    long: true,
  },
  {
    name: 'three-of-both',
    shows: 'nor do a third process and a third seal together',
    rules: { ...three, seals: 3 },
    finds: { states: 1_932_673 },
    long: true,
  },
  // Saying and reading.
  {
    name: 'unread',
    shows: 'who has said something must read up to there before it knows the outcome',
    rules: { ...two, mistake: 'unread' },
    finds: { broken: 'the fence 1 is given twice', steps: 11 },
  },
  {
    name: 'void-counts',
    shows: 'what stands behind a seal must be void for the one who wrote it, too',
    rules: { ...two, mistake: 'void-counts' },
    finds: { broken: unknown, steps: 12 },
  },
  // Ending a segment.
  {
    name: 'no-seal',
    shows: 'a segment must be ended in itself',
    rules: { ...two, mistake: 'no-seal' },
    finds: { broken: unknown, steps: 17 },
  },
  {
    name: 'seal-after',
    shows: 'it must be ended before the next one is there',
    rules: { ...two, mistake: 'seal-after' },
    finds: { broken: unknown, steps: 13 },
  },
  // Making the next one.
  {
    name: 'in-place',
    shows: 'a segment must be there as a whole or not at all: its maker may be killed',
    rules: { ...two, mistake: 'in-place' },
    finds: { broken: 'somebody waits in vain', steps: 3 },
  },
  {
    name: 'renames',
    shows: 'a segment must not be put in the place of one that is there',
    rules: { ...two, mistake: 'renames' },
    finds: { broken: unknown, steps: 10 },
  },
  {
    name: 'removes-first',
    shows: 'the old one must be there until the next one is',
    rules: { ...two, mistake: 'removes-first' },
    finds: { broken: unknown, steps: 14 },
  },
  {
    name: 'makes-unasked',
    shows: 'to look before one makes a segment saves the making, and nothing depends on it',
    rules: { ...three, mistake: 'makes-unasked' },
    finds: { states: 396_375 },
    long: true,
  },
  {
    name: 'keeps-one',
    shows: 'nor on keeping the one before the last',
    rules: { ...three, mistake: 'keeps-one' },
    finds: { states: 560_528 },
    long: true,
  },
  // Going on.
  {
    name: 'opens-the-next',
    shows: 'who made a segment must go on in the highest one',
    rules: { ...three, mistake: 'opens-the-next' },
    finds: { broken: unknown, steps: 21 },
  },
  {
    name: 'unchecked',
    shows: 'who opened a segment must make sure that it is still the highest',
    rules: { ...three, mistake: 'unchecked' },
    finds: { broken: unknown, steps: 24 },
  },
]

export const successionVariants: readonly Variant[] = known.map(({ rules, ...variant }) => ({
  ...variant,
  size: `${rules.processes} processes, ${rules.seals} seals`,
  model: () => succession(rules),
}))
