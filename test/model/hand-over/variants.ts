/** The hand-over as it is, and what it would be without one of its parts. */
import type { Variant } from '../variant.ts'
import type { Rules } from './hand-over.ts'
import { handOver } from './hand-over.ts'

const two: Rules = { tries: 2, renewals: 1 }
const faultless: Rules = { ...two, faultless: 'no-wake-lost' }

const believed = 'two believe that they hold'
const residue = 'an entry is left that nobody has and nobody will remove'
const inVain = 'somebody waits in vain'

const known: readonly (Omit<Variant, 'size' | 'model'> & { readonly rules: Rules })[] = [
  {
    name: 'one-at-a-time',
    shows:
      'one believes at a time, fences grow, nothing is left behind, and nobody waits in vain, whether or not wakes arrive',
    rules: two,
    finds: { states: 16_634 },
  },
  {
    name: 'two-renewals',
    shows: 'a renewal may be sent before the last one was answered',
    rules: { ...two, renewals: 2 },
    finds: { states: 67_352 },
  },
  {
    name: 'three-tries',
    shows: 'a third try changes nothing',
    rules: { ...two, tries: 3 },
    finds: { states: 3_433_353 },
    long: true,
  },
  {
    name: 'operators',
    shows: 'who was evicted believes until its next answer at most, and that brings nobody else into danger',
    rules: { ...two, evicts: true },
    finds: { states: 103_165 },
  },
  // What wakes are good for.
  {
    name: 'silent-leave',
    shows: 'a coordinator that wakes nobody when somebody leaves costs time, and no more',
    rules: { ...two, mistake: 'silent-leave' },
    finds: { states: 18_186 },
  },
  {
    name: 'wakes-alone',
    shows: 'without any fault nobody need ask again',
    rules: faultless,
    finds: { states: 408 },
  },
  {
    name: 'wakes-alone-lost',
    shows: 'who does not ask again by itself waits in vain when a wake is lost',
    rules: { ...two, faultless: 'but-wakes' },
    finds: { broken: inVain, steps: 8 },
  },
  {
    name: 'subscribes-late',
    shows: 'a try must subscribe before it asks, or the wake may go to nobody',
    rules: { ...faultless, mistake: 'subscribes-late' },
    finds: { broken: inVain, steps: 6 },
  },
  {
    name: 'forgets-early-wake',
    shows: 'a wake that overtakes the answer of the join must be remembered',
    rules: { ...faultless, mistake: 'forgets-early' },
    finds: { broken: inVain, steps: 7 },
  },
  {
    name: 'wakes-alone-silent-leave',
    shows: 'a leave must wake whoever holds then, if nobody asks again',
    rules: { ...faultless, mistake: 'silent-leave' },
    finds: { broken: inVain, steps: 6 },
  },
  {
    name: 'never-prunes',
    shows: 'whoever asks must find what has ended removed',
    rules: { ...two, mistake: 'never-prunes' },
    finds: { broken: inVain, steps: 4 },
  },
  // Who believes that it holds.
  {
    name: 'from-reply',
    shows: 'validity must be counted from before the request left',
    rules: { ...two, mistake: 'from-reply' },
    finds: { broken: believed, steps: 8 },
  },
  {
    name: 'no-deadline',
    shows: 'a lease must end by the local clock',
    rules: { ...two, mistake: 'no-deadline' },
    finds: { broken: believed, steps: 8 },
  },
  {
    name: 'any-ticket',
    shows: 'a wake is a grant only for the ticket that the try knows to be its own',
    rules: { ...two, mistake: 'any-ticket' },
    finds: { broken: believed, steps: 13 },
  },
  {
    name: 'old-word',
    shows: 'a wake is a grant only while the last answer lasts',
    rules: { ...two, mistake: 'old-word' },
    finds: { broken: believed, steps: 14 },
  },
  {
    name: 'revives',
    shows: 'a lease that is over must not come back by a late answer',
    rules: { ...two, mistake: 'revives' },
    finds: { broken: believed, steps: 11 },
  },
  {
    name: 'old-answer-leaves',
    shows: 'an answer to what was asked before the grant must not be taken for one to a try that gave up',
    rules: { ...two, mistake: 'old-answer-leaves' },
    finds: { broken: believed, steps: 17 },
  },
  {
    name: 'any-owner',
    shows: 'a leave must remove the entry of its own token, and no other',
    rules: { ...two, tries: 3, mistake: 'any-owner', judged: 'holders' },
    finds: { broken: believed, steps: 9 },
  },
  {
    name: 'same-token',
    shows: 'the next try must have a token of its own',
    rules: { ...two, mistake: 'same-token', judged: 'holders' },
    finds: { broken: believed, steps: 11 },
  },
  {
    name: 'another-ticket',
    shows: 'without operators, a lease need not look at the ticket that a renewal names',
    rules: { ...two, mistake: 'another-ticket' },
    finds: { states: 16_634 },
  },
  {
    name: 'another-ticket-operators',
    shows: 'with operators, it must: a doubled join may have put its token in again',
    rules: { ...two, evicts: true, mistake: 'another-ticket' },
    finds: { broken: believed, steps: 12 },
  },
  // What is left behind.
  {
    name: 'stays',
    shows: 'who gives up must leave',
    rules: { ...two, mistake: 'stays' },
    finds: { broken: residue, steps: 4 },
  },
  {
    name: 'left-once',
    shows: 'who gives up must leave once more when its join is answered after that',
    rules: { ...two, mistake: 'left-once' },
    finds: { broken: residue, steps: 5 },
  },
  {
    name: 'renewal-joins',
    shows: 'a renewal must not put in an entry that is gone',
    rules: { ...two, mistake: 'renewal-joins' },
    finds: { broken: residue, steps: 7 },
  },
]

export const handOverVariants: readonly Variant[] = known.map(({ rules, ...variant }) => ({
  ...variant,
  size: `${rules.tries} tries`,
  model: () => handOver(rules),
}))
