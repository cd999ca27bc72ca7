/**
 * Two at a time, across all processes: browsers, conversions, calls to an API that allows two.
 *
 * A process that dies gives its permit back. This bounds how many run at once, not how many start in a minute.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { connect } from 'holdfast'

const locks = connect()
const browsers = locks.semaphore('browsers', 2)

let running = 0
let most = 0
const pages = ['a', 'b', 'c', 'd', 'e']
await Promise.all(
  pages.map((page) =>
    browsers.run({ wait: '1m' }, async () => {
      most = Math.max(most, (running += 1))
      await pause(20)
      console.log(`rendered ${page}`)
      running -= 1
    }),
  ),
)
console.log(`at most ${most} at once`)

await locks.close()
