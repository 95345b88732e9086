/**
 * SQLite with a column of JSON, by any binding that is synchronous.
 *
 * Durability: in the mode WAL with `synchronous = FULL` every commit syncs the log to
 * disk before it returns. Writes that other systems buffer are one transaction here,
 * which is the fastest that SQLite can do; a durable `put` is a commit of its own.
 */
import * as Effect from "effect/Effect"
import type { Driver } from "../driver.ts"
import { type BenchRecord, type Entries, idOf, incremented, type Step } from "../records.ts"

/** What a binding has to have. */
export interface Connection {
  readonly exec: (sql: string) => unknown
  readonly prepare: (sql: string) => Statement
}

/** A prepared statement of a binding. */
interface Statement {
  readonly run: (...values: ReadonlyArray<string | number>) => unknown
  readonly get: (...values: ReadonlyArray<string | number>) => unknown
  readonly iterate: (...values: ReadonlyArray<string | number>) => Iterable<unknown>
}

/** The expression has to stand in a query as it stands in the index. */
const score = "json_extract(value, '$.score')"

const schema = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
`

const index = `CREATE INDEX IF NOT EXISTS by_score ON records (${score})`

const decode = (row: unknown): unknown =>
  typeof row === "object" && row !== null && "value" in row && typeof row.value === "string"
    ? JSON.parse(row.value)
    : undefined

const sum = (rows: Iterable<unknown>): number => {
  let total = 0
  for (const row of rows) total += idOf(decode(row))
  return total
}

/** Drives a connection. */
export const driver = (connection: Connection, indexed: boolean): Driver => {
  connection.exec(schema)
  if (indexed) connection.exec(index)
  const upsert = connection.prepare(
    "INSERT INTO records (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
  )
  const select = connection.prepare("SELECT value FROM records WHERE key = ?")
  const exists = connection.prepare("SELECT 1 FROM records WHERE key = ?")
  const all = connection.prepare("SELECT value FROM records ORDER BY key")
  const from = connection.prepare("SELECT value FROM records WHERE key >= ? ORDER BY key LIMIT ?")
  const withScore = connection.prepare(`SELECT value FROM records WHERE ${score} = ?`)

  const put = (key: string, record: BenchRecord) => upsert.run(key, JSON.stringify(record))

  const putAll = (entries: Entries): void => {
    for (const [key, record] of entries) put(key, record)
  }

  const get = (keys: ReadonlyArray<string>): number => {
    let total = 0
    for (const key of keys) total += idOf(decode(select.get(key)))
    return total
  }

  const has = (keys: ReadonlyArray<string>): number => {
    let found = 0
    for (const key of keys) if (exists.get(key) !== undefined) found++
    return found
  }

  const mix = (steps: ReadonlyArray<Step>): number => {
    let total = 0
    for (const { key, update } of steps) {
      if (update === undefined) total += idOf(decode(select.get(key)))
      else put(key, update)
    }
    return total
  }

  const inTransaction = <A>(work: () => A): A => {
    connection.exec("BEGIN IMMEDIATE")
    const result = work()
    connection.exec("COMMIT")
    return result
  }

  return {
    put: (entries) => Effect.sync(() => inTransaction(() => putAll(entries))),
    putMany: (entries) => Effect.sync(() => inTransaction(() => putAll(entries))),
    putDurably: (entries) => Effect.sync(() => putAll(entries)),
    read: (key) => Effect.sync(() => decode(select.get(key))),
    get: (keys) => Effect.sync(() => get(keys)),
    has: (keys) => Effect.sync(() => has(keys)),
    getMany: (keys) => Effect.sync(() => inTransaction(() => get(keys))),
    scan: Effect.sync(() => sum(all.iterate())),
    mix: (steps) => Effect.sync(() => inTransaction(() => mix(steps))),
    getPending: (entries, keys, stopwatch) =>
      Effect.sync(() =>
        inTransaction(() => {
          putAll(entries)
          return stopwatch.timeSync(() => get(keys))
        })
      ),
    range: (starts, length) =>
      Effect.sync(() => {
        let total = 0
        for (const start of starts) total += sum(from.iterate(start, length))
        return total
      }),
    byScore: (scores) =>
      Effect.sync(() => {
        let total = 0
        for (const one of scores) total += sum(withScore.iterate(one))
        return total
      }),
    transactions: (groups) =>
      Effect.sync(() => {
        for (const entries of groups) inTransaction(() => putAll(entries))
      }),
    increment: (key, times) =>
      Effect.sync(() => {
        for (let time = 0; time < times; time++) {
          inTransaction(() => put(key, incremented(decode(select.get(key)))))
        }
      })
  }
}
