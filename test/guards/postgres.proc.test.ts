/** The guard on a real PostgreSQL, through `pg`. Skipped where the server is not installed. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Holder, SqlRows } from '../../src/guards/index.ts'
import { sqlGuard } from '../../src/guards/index.ts'
import { DatabaseServer, POSTGRES } from '../kit/database.ts'
import type { Cell, Found } from './kit/cell.ts'
import { everyGuard } from './kit/cell.ts'

const guard = sqlGuard('postgres')

describe.skipIf(DatabaseServer.missing(POSTGRES))('PostgreSQL', () => {
  let server: DatabaseServer
  let pool: pg.Pool

  beforeAll(async () => {
    server = await DatabaseServer.start(POSTGRES)
    pool = new pg.Pool({ host: '127.0.0.1', port: server.port, user: 'test', database: 'postgres', max: 20 })
    await pool.query(guard.schema)
    await pool.query('CREATE TABLE cell (name TEXT PRIMARY KEY, version INT NOT NULL, accesses INT NOT NULL)')
  })
  afterAll(async () => {
    await pool.end()
    await server.end()
  })

  const through =
    (client: pg.ClientBase) =>
    async (sql: string, params: (string | bigint)[]): Promise<SqlRows> =>
      (await client.query(sql, params)).rows as object[]

  async function transaction<T>(work: (client: pg.PoolClient) => Promise<T>, isolation = 'READ COMMITTED'): Promise<T> {
    const client = await pool.connect()
    try {
      await client.query(`BEGIN ISOLATION LEVEL ${isolation}`)
      const result = await work(client)
      await client.query('COMMIT')
      return result
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    } finally {
      client.release()
    }
  }

  async function touch(client: pg.ClientBase, name: string): Promise<Found> {
    const sql = 'UPDATE cell SET accesses = accesses + 1 WHERE name = $1 RETURNING version, accesses AS "order"'
    return (await client.query<Found>(sql, [name])).rows[0]!
  }

  describe.each(['READ COMMITTED', 'SERIALIZABLE'])('%s', (isolation) => {
    everyGuard(
      async (short): Promise<Cell> => {
        const name = `${short} ${isolation}`
        await pool.query('INSERT INTO cell VALUES ($1, 0, 0)', [name])
        const access = (holder: Holder, version?: number): Promise<Found> =>
          again(() =>
            transaction(async (client) => {
              await guard.check({ ...holder, name }, through(client))
              const found = await touch(client, name)
              if (version !== undefined)
                await client.query('UPDATE cell SET version = $1 WHERE name = $2', [version, name])
              return found
            }, isolation),
          ).catch((error: unknown) => {
            // The lock of the story has a shorter name.
            if ((error as { lock?: string }).lock === name) Object.assign(error as object, { lock: short })
            throw error
          })
        return {
          read: (holder) => access(holder),
          write: (holder, version) => access(holder, version),
          peek: () => transaction((client) => touch(client, name)),
        }
      },
      { runs: 10 },
    )
  })

  test('between check and commit nobody else gets in', async () => {
    const late = { name: 'gap', fence: 1n }
    let waiting: Promise<void> | undefined
    const done: string[] = []
    await transaction(async (client) => {
      await guard.check(late, through(client))
      waiting = transaction(async (other) => {
        await guard.check({ name: 'gap', fence: 2n }, through(other))
        done.push('the new holder is let in')
      })
      await expect.poll(async () => (await pool.query(`SELECT 1 FROM pg_locks WHERE NOT granted`)).rowCount).toBe(1)
      done.push('the old holder commits')
    })
    await waiting
    expect(done).toEqual(['the old holder commits', 'the new holder is let in'])
    await expect(transaction((client) => guard.check(late, through(client)))).rejects.toMatchObject({
      code: 'STALE_FENCE',
    })
  })

  test('a table with a schema', async () => {
    const named = sqlGuard('postgres', { table: 'public.Fences' })
    await pool.query(named.schema)
    await transaction((client) => named.check({ name: 'a', fence: 2n }, through(client)))
    await transaction((client) => named.check({ name: 'a', fence: 3n, mode: 'shared' }, through(client)))
    expect((await pool.query('SELECT * FROM fences')).rows).toEqual([{ name: 'a', x: '2', s: '3' }])
  })
})

/** A transaction that the database could not put in order with others is begun anew, as its manual says. */
async function again<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if ((error as { code?: string }).code !== '40001') throw error
    }
  }
}
