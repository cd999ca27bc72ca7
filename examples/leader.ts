/**
 * One leader among many candidates, for a poller or a scheduler. Start it in two terminals and end the first.
 *
 * On Ctrl-C or SIGTERM the leader resigns, and the next candidate leads at once.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { connect } from 'holdfast'

const locks = connect()
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())

for await (const term of locks.elect('poller', { value: `pid ${process.pid}`, signal: stop.signal })) {
  console.log(`leader of term ${term.fence}`)
  const over = AbortSignal.any([stop.signal, term.signal])
  while (!over.aborted) {
    term.assertHeld()
    // One round of work goes here.
    await pause(100, undefined, { signal: over }).catch(() => {})
  }
}

console.log('resigned')
await locks.close()
