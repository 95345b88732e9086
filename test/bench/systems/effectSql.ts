/**
 * Effect's SQL client on the SQLite that comes with Node: what an Effect program would otherwise use.
 *
 * Tables, durability and grouping of writes are those of `sqlite.ts`. Each statement is an effect of the client.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { join } from "node:path"
import type { Driver, Open } from "../driver.ts"
import * as SqliteClient from "../ports/sqlClient.ts"
import { type BenchRecord, type Entries, idOf, incremented, type Step } from "../records.ts"

/** As many records are read at once by a scan. */
const pageSize = 1000

interface Row {
  readonly key: string
  readonly value: string
}

const decode = (row: Pick<Row, "value"> | undefined): unknown => row === undefined ? undefined : JSON.parse(row.value)

const sumOf = (rows: ReadonlyArray<Pick<Row, "value">>): number => {
  let total = 0
  for (const row of rows) total += idOf(decode(row))
  return total
}

/** The statements that the pieces of work are made of. */
const statementsOf = (sql: SqlClient.SqlClient) => ({
  put: (key: string, record: BenchRecord) =>
    sql`INSERT INTO records (key, value) VALUES (${key}, ${JSON.stringify(record)})
        ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
  find: (key: string) =>
    Effect.map(sql<Pick<Row, "value">>`SELECT value FROM records WHERE key = ${key}`, ([row]) => decode(row)),
  exists: (key: string) => Effect.map(sql`SELECT 1 FROM records WHERE key = ${key}`, (rows) => rows.length > 0),
  from: (start: string, length: number) =>
    sql<Pick<Row, "value">>`SELECT value FROM records WHERE key >= ${start} ORDER BY key LIMIT ${length}`,
  after: (key: string) => sql<Row>`SELECT key, value FROM records WHERE key > ${key} ORDER BY key LIMIT ${pageSize}`,
  withScore: (score: number) =>
    sql<Pick<Row, "value">>`SELECT value FROM records WHERE json_extract(value, '$.score') = ${score}`
})

type Statements = ReturnType<typeof statementsOf>

const putAll = Effect.fnUntraced(function*({ put }: Statements, entries: Entries) {
  for (const [key, record] of entries) yield* put(key, record)
})

const get = Effect.fnUntraced(function*({ find }: Statements, keys: ReadonlyArray<string>) {
  let total = 0
  for (const key of keys) total += idOf(yield* find(key))
  return total
})

const scan = Effect.fnUntraced(function*({ after }: Statements) {
  let total = 0
  let last = ""
  for (;;) {
    const rows = yield* after(last)
    const end = rows.at(-1)
    if (end === undefined) return total
    total += sumOf(rows)
    last = end.key
  }
})

const mix = Effect.fnUntraced(function*({ find, put }: Statements, steps: ReadonlyArray<Step>) {
  let total = 0
  for (const { key, update } of steps) {
    if (update === undefined) total += idOf(yield* find(key))
    else yield* put(key, update)
  }
  return total
})

const reads = (statements: Statements) => ({
  read: statements.find,
  get: (keys) => get(statements, keys),
  has: Effect.fnUntraced(function*(keys) {
    let found = 0
    for (const key of keys) if (yield* statements.exists(key)) found++
    return found
  }),
  scan: scan(statements),
  range: Effect.fnUntraced(function*(starts, length) {
    let total = 0
    for (const start of starts) total += sumOf(yield* statements.from(start, length))
    return total
  }),
  byScore: Effect.fnUntraced(function*(scores) {
    let total = 0
    for (const score of scores) total += sumOf(yield* statements.withScore(score))
    return total
  })
} satisfies Partial<Driver>)

const driver = (sql: SqlClient.SqlClient): Driver => {
  const statements = statementsOf(sql)
  const commit = (entries: Entries) => sql.withTransaction(putAll(statements, entries))
  const increment = (key: string) =>
    sql.withTransaction(Effect.flatMap(statements.find(key), (found) => statements.put(key, incremented(found))))
  return {
    ...reads(statements),
    put: commit,
    putMany: commit,
    putDurably: (entries) =>
      Effect.forEach(entries, ([key, record]) => statements.put(key, record), {
        concurrency: "unbounded",
        discard: true
      }),
    getMany: (keys) => sql.withTransaction(get(statements, keys)),
    mix: (steps) => sql.withTransaction(mix(statements, steps)),
    getPending: (entries, keys, stopwatch) =>
      sql.withTransaction(Effect.andThen(putAll(statements, entries), stopwatch.time(get(statements, keys)))),
    transactions: (groups) => Effect.forEach(groups, commit, { discard: true }),
    transactionsAtOnce: (groups) => Effect.forEach(groups, commit, { concurrency: 100, discard: true }),
    increment: (key, times) =>
      Effect.forEach(Array.from({ length: times }), () => increment(key), { concurrency: "unbounded", discard: true })
  }
}

/** Opens a file of SQLite. */
export const open: Open = Effect.fnUntraced(function*(folder, { indexed = false }) {
  const database = yield* SqliteClient.openDatabase(join(folder, "records.sqlite"), true)
  const context = yield* Layer.build(SqliteClient.layer(database))
  const sql = Context.get(context, SqlClient.SqlClient)
  yield* sql`CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID`
  if (indexed) yield* sql`CREATE INDEX IF NOT EXISTS by_score ON records (json_extract(value, '$.score'))`
  return driver(sql)
})
