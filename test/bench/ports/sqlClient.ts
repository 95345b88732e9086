/**
 * A `SqlClient` of Effect on the SQLite that comes with Node: one connection, one statement or transaction at a time.
 *
 * The file is in the mode WAL. With `synchronous = FULL` each commit is on disk when it returns, to survive a loss of
 * power. With `NORMAL` it survives the end of the process, and is on disk after a checkpoint.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { classifySqliteError, SqlError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"

/** Opens a file until the scope closes. */
export const openDatabase = (path: string, isDurable: boolean) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const database = new DatabaseSync(path)
      database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${isDurable ? "FULL" : "NORMAL"};`)
      return database
    }),
    (database) => Effect.sync(() => database.close())
  )

const parameterOf = (value: unknown): SQLInputValue => {
  if (value === null || value instanceof Uint8Array) return value
  switch (typeof value) {
    case "string":
    case "number":
    case "bigint":
      return value
    default:
      throw new TypeError(`SQLite has no type for a parameter of the type ${typeof value}`)
  }
}

const connectionOf = (database: DatabaseSync): Connection => {
  // Statements are compiled once, as the driver @effect/sql-sqlite-node does
  const statements = new Map<string, StatementSync>()
  const prepare = (sql: string): StatementSync => {
    const known = statements.get(sql)
    if (known !== undefined) return known
    const statement = database.prepare(sql)
    if (statements.size < 200) statements.set(sql, statement)
    return statement
  }
  const query = (sql: string, parameters: ReadonlyArray<unknown>) =>
    Effect.try({
      try: () => prepare(sql).all(...parameters.map(parameterOf)),
      catch: (cause) => new SqlError({ reason: classifySqliteError(cause, { message: sql, operation: "execute" }) })
    })
  const execute: Connection["execute"] = (sql, parameters, transformRows) =>
    Effect.map(query(sql, parameters), (rows) => transformRows === undefined ? rows : transformRows(rows))
  const executeValues: Connection["executeValues"] = (sql, parameters) =>
    Effect.map(query(sql, parameters), (rows) => rows.map((row) => Object.values(row)))
  return {
    execute,
    executeRaw: query,
    executeStream: (...call) => Stream.unwrap(Effect.map(execute(...call), Stream.fromIterable)),
    executeUnprepared: execute,
    executeValues,
    executeValuesUnprepared: executeValues
  }
}

/** Provides the client of an open file. */
export const layer = (database: DatabaseSync): Layer.Layer<SqlClient.SqlClient> =>
  Layer.effect(
    SqlClient.SqlClient,
    SqlClient.make({
      ...SqlClient.makeSqliteAcquirers({
        connection: Effect.succeed(connectionOf(database)),
        semaphore: Semaphore.makeUnsafe(1),
        isTransaction: () => database.isTransaction
      }),
      compiler: Statement.makeCompilerSqlite(),
      driver: "node:sqlite",
      prepareTransactionControls: true,
      spanAttributes: []
    })
  ).pipe(Layer.provide(Reactivity.layer))
