/** Asking all nodes at once, with answers and timers that come when they are told to. `quorum.test.ts` has real nodes. */
import { expect, test } from 'vitest'
import type { Node } from '../../src/quorum/node.ts'
import type { Question } from '../../src/quorum/poll.ts'
import { Member, poll, Tally } from '../../src/quorum/poll.ts'
import { handTimers } from '../kit/timers.ts'

const TIMEOUT_MS = 50

/** A poll of members `0`, `1`, …, that answer when they are told to. */
function setUp(size = 3) {
  const timers = handTimers()
  const members = Array.from({ length: size }, (_, index) => new Member({} as Node, String(index), timers.runtime))
  const asked: string[] = []
  const late: unknown[] = []
  /** How to end the latest call of each. */
  const calls = new Map<string, { resolve: (answer: string) => void; reject: (error: unknown) => void }>()
  const ask = (_: Node, member: Member): Promise<string> => {
    asked.push(member.label)
    return new Promise((resolve, reject) => calls.set(member.label, { resolve, reject }))
  }
  return {
    ...timers,
    members,
    late,
    /** Who was asked since. */
    asked: () => asked.splice(0),
    start<D>(question: Partial<Question<string, D>> & Pick<Question<string, D>, 'decide'>) {
      const heard: { decision?: D; error?: unknown } = {}
      const hear = (member: Member, answer: string | undefined): void => void late.push([member.label, answer])
      void poll(timers.runtime, members, TIMEOUT_MS, { ask, late: hear, ...question }).then(
        (decision) => void (heard.decision = decision),
        (error: unknown) => void (heard.error = error),
      )
      return heard
    },
    async answer(label: string, answer: string) {
      calls.get(label)!.resolve(answer)
      await settled()
    },
    async fail(label: string) {
      calls.get(label)!.reject(new Error(`${label} failed`))
      await settled()
    },
    /** The time limit passes, and the turn after it. */
    async lapse(ms = TIMEOUT_MS) {
      expect(timers.standing()).toEqual([ms])
      timers.pass(ms)
      timers.ring()
      expect(timers.standing()).toEqual([1])
      timers.ring()
      await settled()
    },
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
}

/** Decides when so many have answered, or nobody is open. */
const majority = (tally: Tally<string>): string | undefined =>
  tally.answers.size >= 2 ? said(tally) : tally.open === 0 ? `only ${said(tally)}` : undefined

function said(tally: Tally<string>): string {
  const failures = [...tally.failures].map(([{ label }, error]) => `${label}: ${(error as Error).message}`)
  return [...[...tally.answers].map(([{ label }, answer]) => `${label} ${answer}`), ...failures].join('; ')
}

test('it is decided by the answers in hand, and what comes later is heard by itself', async () => {
  const { start, asked, answer, fail, late, standing, alive } = setUp(4)
  const heard = start({ decide: majority })
  await settled()
  expect(asked()).toEqual(['0', '1', '2', '3'])
  await answer('1', 'yes')
  expect(heard).toEqual({})
  expect([standing(), alive()]).toEqual([[TIMEOUT_MS], [true]])
  await answer('0', 'no')
  expect(heard).toEqual({ decision: '1 yes; 0 no' })
  // The time limit stands for those who are open, and keeps no process alive.
  expect([standing(), alive()]).toEqual([[TIMEOUT_MS], [false]])
  await answer('2', 'late')
  await fail('3')
  expect(late).toEqual([
    ['2', 'late'],
    ['3', undefined],
  ])
  expect(standing()).toEqual([])
  expect(heard).toEqual({ decision: '1 yes; 0 no' })
})

test('a failure counts at once, and when nobody is open it must be decided', async () => {
  const { start, members, answer, fail, standing } = setUp()
  const heard = start({ decide: majority })
  await settled()
  await fail('0')
  await fail('2')
  expect(heard).toEqual({})
  expect(members.map(({ well }) => well)).toEqual([false, true, false])
  await answer('1', 'yes')
  expect(heard).toEqual({ decision: 'only 1 yes; 0: 0 failed; 2: 2 failed' })
  expect(standing()).toEqual([])
  await settled()
  expect(members.map(({ well }) => well)).toEqual([false, true, false])
})

test('what deciding throws is thrown', async () => {
  const { start, answer, late } = setUp()
  const heard = start({
    decide: () => {
      throw new Error('no')
    },
  })
  await settled()
  expect(heard).toEqual({ error: new Error('no') })
  await answer('0', 'yes')
  expect(late).toEqual([['0', 'yes']])
})

test('whoever does not answer in time is given up, and asked again when it has answered', async () => {
  const { start, asked, members, answer, lapse, late, standing } = setUp()
  const heard = start({ decide: majority })
  await settled()
  await answer('0', 'yes')
  expect(members.map(({ overdue }) => overdue)).toEqual([false, false, false])
  await lapse()
  const within = `it did not answer within ${TIMEOUT_MS} ms`
  expect(heard).toEqual({ decision: `only 0 yes; 1: ${within}; 2: ${within}` })
  expect(members.map(({ overdue }) => overdue)).toEqual([false, true, true])
  expect(standing()).toEqual([])
  await answer('1', 'yes')
  expect(late).toEqual([['1', 'yes']])
  expect(members.map(({ overdue }) => overdue)).toEqual([false, false, true])
  asked()
  const again = start({ decide: majority })
  await settled()
  expect(asked()).toEqual(['0', '1'])
  await answer('0', 'yes')
  expect(again).toEqual({})
  await answer('1', 'no')
  expect(again).toEqual({ decision: '0 yes; 1 no; 2: it still owes an earlier answer' })
})

test('one that never answers is asked again after five seconds', async () => {
  const { start, asked, members, answer, lapse, pass } = setUp()
  start({ decide: majority })
  await settled()
  await answer('0', 'yes')
  await lapse()
  asked()
  pass(4999)
  expect(members[2]!.overdue).toBe(true)
  pass(1)
  expect(members[2]!.overdue).toBe(false)
  start({ decide: majority })
  await settled()
  expect(asked()).toEqual(['0', '1', '2'])
})

test('an answer that was owed and fails is paid, too', async () => {
  const { start, members, answer, fail, lapse } = setUp()
  start({ decide: majority })
  await settled()
  await answer('0', 'yes')
  await lapse()
  await fail('2')
  expect(members.map(({ overdue }) => overdue)).toEqual([false, true, false])
})

test('while too few have answered the slow are waited for ten times as long', async () => {
  const { start, answer, lapse, alive } = setUp()
  const heard = start({ decide: majority, enough: 2 })
  await settled()
  await answer('0', 'yes')
  await lapse()
  expect(heard).toEqual({})
  expect(alive()).toEqual([true])
  await lapse(9 * TIMEOUT_MS)
  const within = `it did not answer within ${10 * TIMEOUT_MS} ms`
  expect(heard).toEqual({ decision: `only 0 yes; 1: ${within}; 2: ${within}` })
})

test('when enough have answered after the time limit, the rest are given up', async () => {
  const { start, answer, lapse, standing } = setUp()
  const decide = (tally: Tally<string>): string | undefined => (tally.open === 0 ? said(tally) : undefined)
  const heard = start({ decide, enough: 2 })
  await settled()
  await answer('0', 'yes')
  await lapse()
  await answer('1', 'yes')
  expect(heard).toEqual({ decision: `0 yes; 1 yes; 2: it did not answer within ${TIMEOUT_MS} ms` })
  expect(standing()).toEqual([])
})

test('those who owe answers are asked when the prompt are too few, and waited for', async () => {
  const { start, asked, answer, lapse } = setUp()
  start({ decide: majority })
  await settled()
  await answer('0', 'yes')
  await lapse()
  asked()
  const heard = start({ decide: majority, enough: 2 })
  await settled()
  expect(asked()).toEqual(['0', '1', '2'])
  await answer('1', 'yes')
  await answer('2', 'yes')
  expect(heard).toEqual({ decision: '1 yes; 2 yes' })
})

test('what must reach a node reaches it also when it owes answers, and is not waited for', async () => {
  const { start, asked, answer, lapse, late } = setUp()
  start({ decide: majority })
  await settled()
  await answer('0', 'yes')
  await lapse()
  asked()
  const heard = start({ decide: majority, insist: true })
  await settled()
  expect(asked()).toEqual(['0', '1', '2'])
  await answer('1', 'yes')
  expect(late).toEqual([['1', 'yes']])
  expect(heard).toEqual({})
  await answer('0', 'yes')
  const owes = 'it still owes an earlier answer'
  expect(heard).toEqual({ decision: `only 0 yes; 1: ${owes}; 2: ${owes}` })
})

test('one that was not waited for does not fail a second time when time is up', async () => {
  const { start, answer, lapse } = setUp()
  start({ decide: majority })
  await settled()
  await answer('0', 'yes')
  await lapse()
  const heard = start({ decide: majority, insist: true })
  await settled()
  await lapse()
  const owes = 'it still owes an earlier answer'
  expect(heard).toEqual({ decision: `only 1: ${owes}; 2: ${owes}; 0: it did not answer within ${TIMEOUT_MS} ms` })
})

test('a time limit that passes after the decision only notes who owes an answer', async () => {
  const { start, members, answer, pass, ring, standing, alive } = setUp()
  start({ decide: majority })
  await settled()
  await answer('0', 'yes')
  await answer('1', 'yes')
  pass(TIMEOUT_MS)
  ring()
  expect([standing(), alive()]).toEqual([[1], [false]])
  ring()
  expect(standing()).toEqual([])
  expect(members.map(({ overdue }) => overdue)).toEqual([false, false, true])
})

test('a poll of nobody is decided at once, and an ask that throws is a failure', async () => {
  const nobody = setUp(0)
  const heard = nobody.start({ decide: majority })
  await settled()
  expect(heard).toEqual({ decision: 'only ' })
  expect(nobody.standing()).toEqual([])
  const throws = setUp(1)
  const ask = (): never => {
    throw new Error('broken')
  }
  const other = throws.start({ decide: majority, ask })
  await settled()
  expect(other).toEqual({ decision: 'only 0: broken' })
})

test('two tallies are one, and who answered how is counted', () => {
  const { members } = setUp()
  const [one, other] = [new Tally<string>(2), new Tally<string>(3)]
  one.answers.set(members[0]!, 'yes').set(members[1]!, 'no')
  other.answers.set(members[1]!, 'yes')
  other.failures.set(members[2]!, 'why')
  const both = one.plus(other)
  expect(both.open).toBe(5)
  expect(both.count((answer) => answer === 'yes')).toBe(2)
  expect(one.count((answer) => answer === 'yes')).toBe(1)
  expect(one.who((answer) => answer === 'no')).toEqual([members[1]])
  expect([...both.failures]).toEqual([[members[2], 'why']])
})
