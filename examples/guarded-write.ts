/**
 * What a lock cannot do alone: refuse a holder that comes too late. The resource does, by the fence.
 *
 * Reads are guarded as well. Otherwise the new holder could read, then the old one write, then the new one write what it
 * made of the value it had read: the old one's update is lost.
 */
import { DatabaseSync } from 'node:sqlite'
import { connect } from 'holdfast'

const database = new DatabaseSync(':memory:')
database.exec('CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, fence INTEGER NOT NULL)')
database.exec('INSERT INTO account VALUES (7, 100, 0)')

const locks = connect()
const late = await locks.acquire('account:7')
console.log(`the first holder reads ${read(late.fence)}`)

// It is frozen past its ttl, or its process is cut off: somebody else is granted the name.
await locks.evict('account:7', late.fence)

await locks.run('account:7', async (lease) => {
  write(read(lease.fence) - 30, lease.fence)
})

// The first holder goes on where it was, and writes what it made of the value that it had read.
try {
  write(100 - 50, late.fence)
} catch (error) {
  console.log((error as Error).message)
}

const balance = database.prepare('SELECT balance FROM account').get()?.['balance']
console.log(`the balance is ${Number(balance)}`)
await locks.close()

function read(fence: bigint): number {
  const row = database
    .prepare('UPDATE account SET fence = :fence WHERE id = 7 AND fence <= :fence RETURNING balance')
    .get({ fence })
  if (!row) throw new Error(`refused: fence ${fence} is older than the last one`)
  return Number(row['balance'])
}

function write(balance: number, fence: bigint): void {
  const { changes } = database
    .prepare('UPDATE account SET balance = :balance, fence = :fence WHERE id = 7 AND fence <= :fence')
    .run({ balance, fence })
  if (changes === 0) throw new Error(`refused: fence ${fence} is older than the last one`)
}
