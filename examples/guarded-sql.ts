/**
 * A database that refuses a late holder, whether it reads or writes: the check is the first statement of each transaction.
 *
 * SQLite, as it comes with Node. With PostgreSQL it is `sqlGuard('postgres')`, and `await` before `guard.check`.
 */
import { DatabaseSync } from 'node:sqlite'
import type { Lease } from 'holdfast'
import { connect } from 'holdfast'
import { sqlGuard } from 'holdfast/guards'

const database = new DatabaseSync(':memory:')
const guard = sqlGuard('sqlite')
database.exec(guard.schema)
database.exec('CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)')
database.exec('INSERT INTO account VALUES (7, 100)')

const locks = connect()
const first = await locks.acquire('account:7')
const stale = transaction(first, read)
console.log(`the first holder reads ${stale}`)

// It is frozen past its ttl, or its process is cut off: its lease ends, and somebody else is granted the name.
await locks.evict('account:7', first.fence)
await locks.run('account:7', (lease) => {
  const balance = transaction(lease, read)
  // What was read in one transaction may be written in another: nobody with an older fence came in between.
  transaction(lease, () => write(balance - 30))
  console.log(`the second holder leaves ${transaction(lease, read)}`)
})

// The first one wakes up where it was, and goes on.
attempt('write', () => transaction(first, () => write(stale - 50)))
attempt('read', () => transaction(first, read))

await locks.close()

/** All of it or nothing, and nothing at all for a holder that is too late. */
function transaction<T>(lease: Lease, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    guard.check(lease, (sql, params) => database.prepare(sql).all(...params))
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    database.exec('ROLLBACK')
    throw error
  }
}

function read(): number {
  return Number(database.prepare('SELECT balance FROM account WHERE id = 7').get()?.['balance'])
}

function write(balance: number): void {
  database.prepare('UPDATE account SET balance = ? WHERE id = 7').run(balance)
}

function attempt(what: string, access: () => unknown): void {
  try {
    access()
    console.log(`the late ${what} was accepted`)
  } catch (error) {
    if ((error as { code?: string }).code !== 'STALE_FENCE') throw error
    console.log(`the late ${what} is refused`)
  }
}
