/**
 * Data in Redis that refuses a late holder, whether it reads or writes: check and command are one step in the server.
 *
 * Needs a Redis server on this machine, and `npm install ioredis`.
 */
import { connect } from 'holdfast'
import { redisGuard } from 'holdfast/guards'
import { Redis } from 'ioredis'

const client = new Redis()
const locks = connect(client)
const guard = redisGuard(client)

const first = await locks.acquire('account:7')
await guard.set(first, 'account:7', 100)
console.log(`the first holder reads ${await guard.get(first, 'account:7')}`)

// It is frozen past its ttl, or its process is cut off: its lease ends, and somebody else is granted the name.
await locks.evict('account:7', first.fence)
await locks.run('account:7', async (lease) => {
  console.log(`the second holder leaves ${await guard.call<number>(lease, 'DECRBY', 'account:7', 30)}`)
})

// The first one wakes up where it was, and goes on.
await attempt('write', guard.set(first, 'account:7', 100 - 50))
await attempt('read', guard.get(first, 'account:7'))

// Several commands, or keys, in one step: a script behind the check. Keys with {account:7} lie in one slot of a cluster.
const move = guard.script<number>(`
  redis.call('DECRBY', KEYS[1], ARGV[1])
  return redis.call('INCRBY', KEYS[2], ARGV[1])`)
await locks.run('account:7', async (lease) => {
  const saved = await move(lease, { keys: ['account:7', '{account:7}:savings'], args: [20] })
  console.log(`the third holder has saved ${saved}`)
})

await locks.close()
client.disconnect()

async function attempt(what: string, access: Promise<unknown>): Promise<void> {
  try {
    await access
    console.log(`the late ${what} was accepted`)
  } catch (error) {
    if ((error as { code?: string }).code !== 'STALE_FENCE') throw error
    console.log(`the late ${what} is refused`)
  }
}
