import { mkdtempSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Holder } from '../../src/guards/index.ts'
import { sqlGuard } from '../../src/guards/index.ts'
import type { Cell } from './kit/cell.ts'
import { everyGuard } from './kit/cell.ts'

const guard = sqlGuard('sqlite')

describe('SQLite', () => {
  everyGuard(async (name) => inSqlite(new DatabaseSync(':memory:'), name))
})

function inSqlite(database: DatabaseSync, name: string): Cell {
  database.exec(guard.schema)
  database.exec('CREATE TABLE cell (name TEXT PRIMARY KEY, version INTEGER, accesses INTEGER)')
  database.prepare('INSERT INTO cell VALUES (?, 0, 0)').run(name)
  const touch = database.prepare(
    'UPDATE cell SET accesses = accesses + 1 WHERE name = ? RETURNING version, accesses AS "order"',
  )
  const put = database.prepare('UPDATE cell SET version = ? WHERE name = ?')
  const access = (holder: Holder, version?: number): { version: number; order: number } => {
    database.exec('BEGIN IMMEDIATE')
    try {
      guard.check(holder, (sql, params) => database.prepare(sql).all(...params))
      const found = touch.get(name) as { version: number; order: number }
      if (version !== undefined) put.run(version, name)
      database.exec('COMMIT')
      return found
    } catch (error) {
      database.exec('ROLLBACK')
      throw error
    }
  }
  return {
    read: async (holder) => access(holder),
    write: async (holder, version) => access(holder, version),
    peek: async () => touch.get(name) as { version: number; order: number },
  }
}

test('a check that was rolled back is forgotten, with what came after it', () => {
  const database = new DatabaseSync(':memory:')
  database.exec(guard.schema)
  const check = (fence: bigint): void =>
    guard.check({ name: 'a', fence }, (sql, params) => database.prepare(sql).all(...params))
  check(1n)
  database.exec('BEGIN')
  check(5n)
  database.exec('ROLLBACK')
  expect(() => check(2n)).not.toThrow()
  expect(() => check(1n)).toThrow(expect.objectContaining({ code: 'STALE_FENCE', newest: 2n }))
})

test('a refused check changes nothing, also where nobody rolls back', () => {
  const database = new DatabaseSync(':memory:')
  database.exec(guard.schema)
  const check = (fence: bigint, mode: 'exclusive' | 'shared'): void =>
    guard.check({ name: 'a', fence, mode }, (sql, params) => database.prepare(sql).all(...params))
  check(5n, 'shared')
  expect(() => check(3n, 'exclusive')).toThrow(expect.objectContaining({ code: 'STALE_FENCE', newest: 5n }))
  expect(() => check(2n, 'shared')).not.toThrow()
  check(6n, 'exclusive')
  expect(() => check(4n, 'shared')).toThrow(expect.objectContaining({ code: 'STALE_FENCE', newest: 6n }))
  expect({ ...database.prepare('SELECT x, s FROM holdfast_fences').get() }).toEqual({ x: 6, s: 6 })
})

test('two connections to one file: who is too late is refused by the other one, too', () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-guard-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const [one, other] = [1, 2].map(() => new DatabaseSync(join(folder, 'db')))
  const check = (database: DatabaseSync, fence: bigint): void =>
    guard.check({ name: 'a', fence }, (sql, params) => database.prepare(sql).all(...params))
  one!.exec(guard.schema)
  other!.exec(guard.schema)
  check(one!, 5n)
  expect(() => check(other!, 4n)).toThrow(expect.objectContaining({ code: 'STALE_FENCE' }))
  one!.close()
  other!.close()
})

test('a driver that gives bigints, text or promises will do', async () => {
  const database = new DatabaseSync(':memory:')
  database.exec(guard.schema)
  const rows = (sql: string, params: (string | bigint)[]): { x: bigint; s: bigint }[] => {
    const statement = database.prepare(sql)
    statement.setReadBigInts(true)
    return statement.all(...params) as { x: bigint; s: bigint }[]
  }
  expect(guard.check({ name: 'a', fence: 7n }, rows)).toBeUndefined()
  const text = async (sql: string, params: (string | bigint)[]): Promise<object[]> =>
    rows(sql, params).map(({ x, s }) => ({ x: String(x), s: String(s) }))
  await expect(guard.check({ name: 'a', fence: 8n }, text)).resolves.toBeUndefined()
  await expect(guard.check({ name: 'a', fence: 7n }, text)).rejects.toMatchObject({ code: 'STALE_FENCE', newest: 8n })
})

test.each([
  [undefined],
  [[]],
  [{ rows: [] }],
  [[{ x: 1 }]],
  [[{ x: null, s: null }]],
  [
    [
      { x: 1, s: 1 },
      { x: 1, s: 1 },
    ],
  ],
])('an answer that is not the rows lets nobody in: %j', (answer) => {
  expect(() => guard.check({ name: 'a', fence: 1n }, () => answer as never)).toThrow('an array with one object')
})

test('a table of another name, also with a schema', () => {
  const database = new DatabaseSync(':memory:')
  const named = sqlGuard('sqlite', { table: 'main.fences' })
  database.exec(named.schema)
  named.check({ name: 'a', fence: 3n }, (sql, params) => database.prepare(sql).all(...params))
  named.check({ name: 'a', fence: 4n }, (sql, params) => database.prepare(sql).all(...params))
  expect({ ...database.prepare('SELECT * FROM fences').get() }).toEqual({ name: 'a', x: 4, s: 4 })
})

test('wrong arguments are errors that say what to give', () => {
  expect(() => sqlGuard('oracle' as never)).toThrow("there is no dialect 'oracle'; there are postgres, sqlite, mysql")
  expect(() => sqlGuard('toString' as never)).toThrow('there is no dialect')
  expect(() => sqlGuard('sqlite', { table: 'a; DROP TABLE b' })).toThrow('give letters, digits and underscores')
  expect(() => sqlGuard('sqlite', { tabel: 'a' } as never)).toThrow("there is no option 'tabel'")
  expect(() => guard.check({ name: 'a', fence: 1n }, undefined as never)).toThrow('check needs a function')
  expect(() => guard.check({} as never, () => [])).toThrow('a name is undefined')
})
