import { expect, test } from 'vitest'
import type { Mistake } from '../queue/model.ts'
import { conformance, simulatedTime } from '../../src/testing/index.ts'
import type { Blunder } from './kit/wrong.ts'
import { wrong } from './kit/wrong.ts'

const suiteFor = (mistake?: Mistake | Blunder) =>
  conformance(
    async () => {
      const time = simulatedTime()
      return { backend: wrong(time.runtime(), mistake), advance: (ms) => time.advance(ms) }
    },
    { waiters: 20 },
  )

/** Which test must notice which mistake; others may notice it as well. */
const caught: [Mistake | Blunder, string][] = [
  ['last come, first served', 'waiters hold in the order in which they joined'],
  ['whoever fits holds', 'an entry holds when the weights up to and including its own fit, and not by itself'],
  ['a try overtakes waiters', 'a try does not overtake those who wait'],
  ['a refused try stays', 'a try that is refused leaves nothing behind'],
  ['a repeated join adds an entry', 'a repeated join finds its entry'],
  ['a repeated join brings back what lapsed', 'a repeated join does not bring a lapsed entry back with its old ticket'],
  ['a renewal shortens', 'a renewal never shortens a lease'],
  ['renewals add up', 'renewals do not add up'],
  ['a renewal cannot lengthen', 'a renewal can make a lease last longer than its ttl'],
  ['a renewal brings back what lapsed', 'an entry that has lapsed is lost, and a renewal does not bring it back'],
  ['a renewal brings back what left', 'an entry that has left is lost, and a renewal does not bring it back'],
  ['what lingers is renewed', 'a lingering entry is gone for its owner: not renewed, not prolonged, not left again'],
  ['a waiter is kept like a holder', 'a waiter is kept for its waitTtl at most, whatever it asks for'],
  ['nothing lapses', 'a holder that is not renewed ends with its ttl, and not before'],
  ['everything lapses early', 'a holder that is not renewed ends with its ttl, and not before'],
  ['a leave needs no id', 'a leave with another id ends nothing'],
  ['a leave needs no id', 'a late leave of a given-up try does not end the next one'],
  ['an id counts for every name', 'an id counts for the name that it joined, and for no other'],
  ['leaving does not linger', 'a holder that lingers keeps others out for just that time'],
  ['lingering ends with the ttl', 'a holder can linger longer than its ttl'],
  ['a waiter lingers', 'a waiter that leaves makes room for those behind it, and ends nobody else'],
  ['no lock delay', 'a holder that lapses keeps others out for its lock delay'],
  ['a lock delay after every end', 'a clean leave owes no lock delay'],
  ['a lock delay after a waiter', 'a holder that leaves owes no lock delay, and neither does a waiter that lapses'],
  ['waitersMax is not heard', 'an entry does not wait behind more than waitersMax others'],
  ['waitersMax counts holders', 'an entry does not wait behind more than waitersMax others'],
  ['waitersMax counts the dead', 'waitersMax does not count waiters that have lapsed'],
  ['capacities are not compared', 'another capacity than that of the queue is refused, and hears which one it has'],
  ['capacities are compared with the dead', 'capacities are compared among entries that are alive'],
  ['fences begin anew in an empty queue', 'a fence is larger than that of every earlier holder, and below 2^53'],
  ['taking less renews', 'taking less gives no new lease'],
  ['taking more is possible', 'an entry never takes more than before'],
  ['whoever holds is evicted', 'nobody is evicted by another fence, or under another name'],
  ['nobody is woken', 'a waiter is woken with its own ticket when the holder leaves'],
  ['everybody hears that it holds', 'only the entry whose turn it is hears that it holds'],
  ['wakes name the ticket of another', 'a waiter is woken with its own ticket when the holder leaves'],
  ['unsubscribing does nothing', 'whoever unsubscribes hears nothing any more'],
  ['followers hear nothing', 'followers of a name hear when it is held, left, and described anew'],
  ['followers hear of every name', 'followers of one name do not hear of another'],
  ['new info is not told', 'followers of a name hear when it is held, left, and described anew'],
  ['new info is not kept', 'an entry can be described anew, and tries hear it'],
  ['the holder of a refusal is hidden', 'a try is refused while somebody holds, and hears who that is'],
  ['inspect shows ids', 'inspect never shows the id of an entry'],
  ['inspect reads patterns', 'inspect shows the names that begin with its prefix, and no others'],
  ['inspect shows every name', 'inspect shows the names that begin with its prefix, and no others'],
  ['something is wrong with it', 'a coordinator that is well has nothing wrong with it'],
  ['closing changes nothing', 'a backend that is closed fails with a code, and can be closed again'],
  ['closing twice fails', 'a backend that is closed fails with a code, and can be closed again'],
]

test.each(suiteFor())('the coordinator without a mistake passes: $name', async ({ run }) => {
  expect(['passed', 'skipped']).toContain(await run())
})

test.each(caught)('"%s" is noticed by: %s', async (mistake, name) => {
  const noticing = suiteFor(mistake).find((each) => each.name === name)
  await expect(noticing?.run()).rejects.toMatchObject({ code: 'ERR_ASSERTION' })
})
