/** The guard on a real MariaDB, through `mysql2`. Skipped where the server is not installed. */
import type { Pool, PoolConnection, RowDataPacket } from 'mysql2/promise'
import { createPool } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Holder, SqlRows } from '../../src/guards/index.ts'
import { sqlGuard } from '../../src/guards/index.ts'
import { DatabaseServer, MARIADB } from '../kit/database.ts'
import type { Cell, Found } from './kit/cell.ts'
import { everyGuard } from './kit/cell.ts'

const guard = sqlGuard('mysql')

describe.skipIf(DatabaseServer.missing(MARIADB))('MariaDB', () => {
  let server: DatabaseServer
  let pool: Pool

  beforeAll(async () => {
    server = await DatabaseServer.start(MARIADB)
    const login = { host: '127.0.0.1', port: server.port, user: 'root' }
    const first = createPool(login)
    await first.query('CREATE DATABASE app')
    await first.end()
    pool = createPool({ ...login, database: 'app', connectionLimit: 20 })
    await pool.query(guard.schema)
    await pool.query('CREATE TABLE cell (name VARCHAR(50) PRIMARY KEY, version INT NOT NULL, accesses INT NOT NULL)')
  })
  afterAll(async () => {
    await pool.end()
    await server.end()
  })

  const through =
    (connection: PoolConnection) =>
    async (sql: string, params: (string | bigint)[]): Promise<SqlRows> =>
      (await connection.query<RowDataPacket[]>(sql, params))[0]
  const prepared =
    (connection: PoolConnection) =>
    async (sql: string, params: (string | bigint)[]): Promise<SqlRows> =>
      (await connection.execute<RowDataPacket[]>(sql, params))[0]

  async function transaction<T>(work: (connection: PoolConnection) => Promise<T>): Promise<T> {
    const connection = await pool.getConnection()
    try {
      await connection.beginTransaction()
      const result = await work(connection)
      await connection.commit()
      return result
    } catch (error) {
      await connection.rollback()
      throw error
    } finally {
      connection.release()
    }
  }

  async function touch(connection: PoolConnection, name: string): Promise<Found> {
    await connection.query('UPDATE cell SET accesses = accesses + 1 WHERE name = ?', [name])
    const sql = 'SELECT version, accesses AS `order` FROM cell WHERE name = ? FOR UPDATE'
    return (await connection.query<(Found & RowDataPacket)[]>(sql, [name]))[0][0]!
  }

  everyGuard(
    async (name): Promise<Cell> => {
      await pool.query('INSERT INTO cell VALUES (?, 0, 0)', [name])
      const access = (holder: Holder, version?: number): Promise<Found> =>
        again(() =>
          transaction(async (connection) => {
            await guard.check(holder, through(connection))
            const found = await touch(connection, name)
            if (version !== undefined)
              await connection.query('UPDATE cell SET version = ? WHERE name = ?', [version, name])
            return found
          }),
        )
      return {
        read: (holder) => access(holder),
        write: (holder, version) => access(holder, version),
        peek: () => transaction((connection) => touch(connection, name)),
      }
    },
    { runs: 10 },
  )

  test('a transaction that began to read before the new holder came does not take an old look for the present', async () => {
    await transaction((connection) => guard.check({ name: 'old', fence: 1n }, through(connection)))
    const late = transaction(async (connection) => {
      await connection.query('SELECT * FROM holdfast_fences')
      await transaction((other) => guard.check({ name: 'old', fence: 2n }, through(other)))
      await guard.check({ name: 'old', fence: 1n }, through(connection))
    })
    await expect(late).rejects.toMatchObject({ code: 'STALE_FENCE', newest: 2n })
  })

  test('prepared statements will do, and names that differ in their case are two', async () => {
    await transaction(async (connection) => {
      await guard.check({ name: 'Name', fence: 2n ** 53n - 1n }, prepared(connection))
      await guard.check({ name: 'name', fence: 1n }, prepared(connection))
      await guard.check({ name: 'name ', fence: 1n }, prepared(connection))
    })
    const late = transaction((connection) => guard.check({ name: 'Name', fence: 2n ** 53n - 2n }, prepared(connection)))
    await expect(late).rejects.toMatchObject({ code: 'STALE_FENCE', newest: 2n ** 53n - 1n })
  })
})

/** A transaction that was chosen to end a deadlock is begun anew, as the manual says. */
async function again<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if ((error as { code?: string }).code !== 'ER_LOCK_DEADLOCK') throw error
    }
  }
}
