/**
 * Stores on a real PostgreSQL server. Each place has tables of its own, which are dropped when the scope closes.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import * as Struct from "effect/Struct"
import { createHash, randomBytes } from "node:crypto"
import type { OpenFailed, StoreOptions, StoreService } from "../../src/index.ts"
import { inRealTime } from "../../src/internal/postgres/sqlFailure.ts"
import * as Tables from "../../src/internal/postgres/tables.ts"
import * as PostgresStore from "../../src/Postgres.ts"
import { serverUrl } from "./postgresServer.ts"

/** How many snapshots a store of a test may have open, unless the test says otherwise. */
const snapshots = 40

/** Connects to a server, until the scope closes. In real time: a pool looks for idle connections again and again. */
export const connectTo = (url: string, options: Partial<PgClient.PgPoolConfig> = {}) =>
  Effect.map(
    inRealTime(
      Layer.build(PgClient.layer({ url: Redacted.make(url), maxConnections: snapshots + 8, ...options }))
    ),
    (context) => Context.get(context, SqlClient.SqlClient)
  )

/** Connects to the server of the tests, until the scope closes. */
export const connect = Effect.suspend(() => connectTo(serverUrl()))

/** Runs a statement. */
export const run = (sql: SqlClient.SqlClient, text: string) =>
  Effect.scoped(Effect.flatMap(sql.reserve, (connection) => connection.executeValuesUnprepared(text, [])))

const dropTables = (sql: SqlClient.SqlClient, table: string) =>
  Effect.forEach(
    Tables.removals(Tables.make(table)),
    (text) => run(sql, text),
    { discard: true }
  )

/** Waits until something holds, in real time. */
export const waitUntil = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => holds() ? Effect.void : Effect.andThen(inRealTime(Effect.sleep("5 millis")), waitUntil(holds)))

/** The tables of the stores that were opened by paths. */
const openedTables = new Set<string>()

/** Drops the tables of all stores that were opened by paths. */
export const dropAll = Effect.suspend(() =>
  openedTables.size === 0
    ? Effect.void
    : Effect.flatMap(
      connect,
      (sql) => Effect.forEach(openedTables, (table) => dropTables(sql, table), { discard: true })
    )
).pipe(Effect.scoped, Effect.ignore)

/** Makes a name for tables that no other test uses. The tables are dropped when the scope closes. */
export const freshTable: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => `t${randomBytes(6).toString("hex")}`),
  (table) => Effect.flatMap(connect, (sql) => dropTables(sql, table)).pipe(Effect.scoped, Effect.ignore)
)

/** Opens a store with a client of its own, as another process does, until the scope closes. */
export const openOn = (
  options: PostgresStore.PostgresStoreOptions,
  url?: string
): Effect.Effect<StoreService, OpenFailed, Scope.Scope> =>
  Effect.flatMap(
    Effect.orDie(url === undefined ? connect : connectTo(url)),
    (sql) => Effect.provideService(PostgresStore.make({ snapshots, ...options }), SqlClient.SqlClient, sql)
  )

/** Opens the backend with a client of its own, until the scope closes. */
export const backendOn = (options: PostgresStore.PostgresStoreOptions) =>
  Effect.flatMap(
    connect,
    (sql) => Effect.provideService(PostgresStore.makeBackend({ snapshots, ...options }), SqlClient.SqlClient, sql)
  )

/** The table of a path, so that tests of stores on LMDB can run on PostgreSQL. */
const tableOf = (path: string): string => {
  const table = `p${createHash("sha256").update(path).digest("hex").slice(0, 24)}`
  openedTables.add(table)
  return table
}

/** The options that stores on PostgreSQL have too. */
const commonOptions = [
  "autoFlushOnRead",
  "batchBytes",
  "batchSize",
  "changeLog",
  "checksums",
  "closeFailure",
  "flushInterval",
  "formatKey",
  "keyEncoding",
  "keyErrors",
  "keyNormalization",
  "readOnly",
  "transactionRetry"
] as const

/** Opens a store on PostgreSQL with the options of a store on LMDB, those of files left out. */
export const open = (options: StoreOptions): Effect.Effect<StoreService, OpenFailed, Scope.Scope> =>
  openOn({ ...Struct.pick(options, commonOptions), table: tableOf(options.path), name: options.path })
