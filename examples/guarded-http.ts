/**
 * A server that refuses a late holder, whether it reads or writes: a guard in front of the handler, and a client that sends
 * the fence of its lease.
 *
 * One process that keeps its data itself. With several, or with a database behind, the handler checks in its transaction:
 * see guarded-sql.ts.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Lease } from 'holdfast'
import { connect } from 'holdfast'
import { fencedFetch, httpGuard } from 'holdfast/guards'

// The server.
let balance = 100
const guard = httpGuard()
const handler = guard.node('account:7', async (request, response) => {
  if (request.method === 'PUT') balance = Number((await request.toArray()).join(''))
  response.end(String(balance))
})
const server = createServer((request, response) => void handler(request, response))
await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`

// Its clients.
const read = async (lease: Lease): Promise<number> => Number(await (await fencedFetch(lease, url)).text())
const write = async (lease: Lease, value: number): Promise<Response> =>
  fencedFetch(lease, url, { method: 'PUT', body: String(value), signal: lease.signal })

const locks = connect()
const first = await locks.acquire('account:7')
const stale = await read(first)
console.log(`the first holder reads ${stale}`)

// It is frozen past its ttl, or its process is cut off: its lease ends, and somebody else is granted the name.
await locks.evict('account:7', first.fence)
await locks.run('account:7', async (lease) => {
  await write(lease, (await read(lease)) - 30)
  console.log(`the second holder leaves ${await read(lease)}`)
})

// The first one wakes up where it was, and goes on.
await attempt('write', write(first, stale - 50))
await attempt('read', read(first))

// Whoever sends no fence at all is refused as well.
console.log(`without a fence: ${(await fetch(url)).status}`)

await locks.close()
server.close()
server.closeAllConnections()

async function attempt(what: string, access: Promise<unknown>): Promise<void> {
  try {
    await access
    console.log(`the late ${what} was accepted`)
  } catch (error) {
    if ((error as { code?: string }).code !== 'STALE_FENCE') throw error
    console.log(`the late ${what} is refused`)
  }
}
