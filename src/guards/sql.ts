/**
 * A guard in a database: the check is a statement of the user's own transaction, so it and what follows happen as one, or
 * not at all.
 *
 * The statement writes the row of the name whether it lets the fence in or not, and gives back what is remembered then. So
 * one answer tells both, and the row is locked until the transaction ends: nobody else gets in between check and commit.
 */
import { describe } from '../core/duration.ts'
import { ArgumentTypeError } from '../core/errors.ts'
import { checkFunction, checkKnown } from '../core/request.ts'
import { whenThere } from './promise.ts'
import type { Holder, Seen, Visitor } from './rule.ts'
import { refusal, visitorOf, welcome } from './rule.ts'

/** `'mysql'` is MariaDB as well, and was tested with that. */
export type SqlDialect = 'postgres' | 'sqlite' | 'mysql'

export interface SqlGuardOptions {
  /** The table that remembers fences, with or without a schema. Default `'holdfast_fences'`. */
  readonly table?: string
}

/** What a statement answered: an array of objects, one a row. */
export type SqlRows = readonly object[]

/**
 * Sends one statement of the guard inside of the transaction that is open, and gives its rows. With `pg`:
 * `(sql, params) => client.query(sql, params).then(({ rows }) => rows)`; with `node:sqlite`:
 * `(sql, params) => database.prepare(sql).all(...params)`.
 */
export type SqlQuery<Answer> = (sql: string, params: (string | bigint)[]) => Answer

/**
 * Lets a holder into a database that is not too late, and refuses it otherwise: before reads and writes.
 *
 * @throws ArgumentTypeError for another dialect, or a table that is no plain name
 * @example
 * ```ts
 * import { DatabaseSync } from 'node:sqlite'
 * import { connect } from 'holdfast'
 * import { sqlGuard } from 'holdfast/guards'
 *
 * const database = new DatabaseSync(':memory:')
 * const guard = sqlGuard('sqlite')
 * database.exec(guard.schema)
 * await connect().run('account:7', async (lease) => {
 *   database.exec('BEGIN IMMEDIATE')
 *   try {
 *     guard.check(lease, (sql, params) => database.prepare(sql).all(...params))
 *     // ... read and write, in this transaction
 *     database.exec('COMMIT')
 *   } catch (error) {
 *     database.exec('ROLLBACK')
 *     throw error
 *   }
 * })
 * ```
 */
export function sqlGuard(dialect: SqlDialect, options: SqlGuardOptions = {}): SqlGuard {
  return new SqlGuard(dialect, options)
}

interface Dialect {
  /** `$1`, or `?`. */
  readonly parameter: (index: number) => string
  readonly text: string
  /** Ends an insertion: what becomes of the row that is there. */
  readonly update: (x: string, s: string) => string
  /** What was to be inserted. */
  readonly given: (column: 'x' | 's') => string
  /** Whether the insertion gives back the row. Otherwise it is read in a statement of its own. */
  readonly returns: boolean
}

const STANDARD = {
  text: 'TEXT',
  update: (x: string, s: string) => `ON CONFLICT (name) DO UPDATE SET x = ${x}, s = ${s} RETURNING x, s`,
  given: (column: 'x' | 's') => `excluded.${column}`,
  returns: true,
}

const DIALECTS: Readonly<Record<SqlDialect, Dialect>> = {
  postgres: { ...STANDARD, parameter: (index) => `$${index}` },
  sqlite: { ...STANDARD, parameter: () => '?' },
  mysql: {
    parameter: () => '?',
    // Compared byte by byte: other collations take `a` for `A`.
    text: 'VARBINARY(512)',
    update: (x, s) => `ON DUPLICATE KEY UPDATE x = ${x}, s = ${s}`,
    given: (column) => `VALUES(${column})`,
    returns: false,
  },
}

const OPTIONS: ReadonlySet<string> = new Set(['table'])

/** @see sqlGuard */
export class SqlGuard {
  /** Creates the table if it is not there: once, in a migration or at the start. */
  readonly schema: string
  /** Raises what is remembered, if it may. */
  readonly #raise: string
  /** Reads it, where raising does not give it back. */
  readonly #look: string | undefined

  constructor(dialect: SqlDialect, options: SqlGuardOptions = {}) {
    checkKnown(options, OPTIONS)
    if (!Object.hasOwn(DIALECTS, dialect))
      throw new ArgumentTypeError(
        `there is no dialect ${describe(dialect)}; there are ${Object.keys(DIALECTS).join(', ')}`,
      )
    const { table = 'holdfast_fences' } = options
    if (typeof table !== 'string' || !/^[a-z_]\w*(\.[a-z_]\w*)?$/i.test(table))
      throw new ArgumentTypeError(`table is ${describe(table)}; give letters, digits and underscores, such as 'fences'`)
    const { text, parameter, update, given, returns } = DIALECTS[dialect]
    const row = table.slice(table.indexOf('.') + 1)
    // The x of a shared visitor is given as 0, which raises nothing; and s rises to every fence that is larger, since no
    // fence below x is above s. So one statement serves both modes.
    const x = `CASE WHEN ${row}.s <= ${given('s')} AND ${row}.x < ${given('x')} THEN ${given('x')} ELSE ${row}.x END`
    const s = `CASE WHEN ${row}.s < ${given('s')} THEN ${given('s')} ELSE ${row}.s END`
    const values = [1, 2, 3].map((index) => parameter(index)).join(', ')
    this.schema = `CREATE TABLE IF NOT EXISTS ${table} (name ${text} PRIMARY KEY, x BIGINT NOT NULL, s BIGINT NOT NULL)`
    this.#raise = `INSERT INTO ${table} (name, x, s) VALUES (${values}) ${update(x, s)}`
    // A locking read sees what is there now, and not what was there when the transaction began.
    this.#look = returns ? undefined : `SELECT x, s FROM ${table} WHERE name = ${parameter(1)} FOR UPDATE`
  }

  /**
   * Let the holder in and remember its fence, as the first statement of a transaction that also reads and writes. If it
   * throws, roll back.
   *
   * @param query sends a statement in that transaction; `check` waits for it only if it gives a promise
   * @throws StaleFenceError, and whatever `query` throws
   */
  check(holder: Holder, query: SqlQuery<SqlRows>): void
  check(holder: Holder, query: SqlQuery<PromiseLike<SqlRows>>): Promise<void>
  check(holder: Holder, query: SqlQuery<SqlRows | PromiseLike<SqlRows>>): void | PromiseLike<void> {
    const visitor = visitorOf(holder)
    checkFunction(query, 'check')
    const { name, fence, mode } = visitor
    const raised = query(this.#raise, [name, mode === 'exclusive' ? fence : 0n, fence])
    const look = this.#look
    if (look === undefined) return whenThere(raised, (rows) => judge(visitor, rows))
    return whenThere(raised, () => whenThere(query(look, [name]), (rows) => judge(visitor, rows)))
  }
}

/** After the statement, `x` and `s` are those of a name that has seen this visitor, or of one that refused it. */
function judge(visitor: Visitor, rows: SqlRows): void {
  const row = Array.isArray(rows) && rows.length === 1 ? (rows[0] as Partial<Record<'x' | 's', unknown>>) : {}
  const seen: Seen = { x: fenceOf(row.x), s: fenceOf(row.s) }
  if (!welcome(seen, visitor)) throw refusal(visitor, seen)
}

/** Drivers give a 64-bit integer as text, as a bigint or as a number. */
function fenceOf(value: unknown): bigint {
  if (typeof value === 'bigint') return value
  if (typeof value === 'string' && /^\d+$/.test(value)) return BigInt(value)
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value)
  throw new ArgumentTypeError('query must give the rows of its statement: an array with one object, { x, s }')
}
