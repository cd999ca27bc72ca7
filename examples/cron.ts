/**
 * A job that a scheduler starts on every replica, and that is to run once an hour.
 *
 * Start it in several terminals, or from the crontab of several machines: one says that it runs, the others skip.
 */
import { connect } from 'holdfast'

const locks = connect()

// A little less than the period: the replica whose clock is early must not be refused because of its last run.
const result = await locks.once('hourly-report', { every: '55m' }, async (lease) => {
  console.log(`this replica runs it, under fence ${lease.fence}`)
  await makeReport(lease.signal)
})
if (!result.ran) console.log('another replica runs it, or has run it within the hour')

await locks.close()

async function makeReport(signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
}
