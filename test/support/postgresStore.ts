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
import { randomBytes } from "node:crypto"
import type { OpenFailed, StoreOptions, StoreService } from "../../src/index.ts"
import * as Tables from "../../src/internal/postgres/tables.ts"
import * as PostgresStore from "../../src/Postgres.ts"
import { serverUrl } from "./postgresServer.ts"

/** How many snapshots a store of a test may have open, unless the test says otherwise. */
const snapshots = 40

/** Connects to a server, until the scope closes. */
export const connectTo = (url: string, options: Partial<PgClient.PgPoolConfig> = {}) =>
  Effect.map(
    Layer.build(PgClient.layer({ url: Redacted.make(url), maxConnections: snapshots + 8, ...options })),
    (context) => Context.get(context, SqlClient.SqlClient)
  )

/** Connects to the server of the tests, until the scope closes. */
export const connect = Effect.suspend(() => connectTo(serverUrl()))

/** Makes a name for tables that no other test uses. The tables are dropped when the scope closes. */
export const freshTable: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => `t${randomBytes(6).toString("hex")}`),
  (table) =>
    Effect.scoped(Effect.flatMap(connect, (sql) =>
      Effect.forEach(
        Tables.removals(Tables.make(table)),
        (text) => Effect.scoped(Effect.flatMap(sql.reserve, (connection) => connection.executeValuesUnprepared(text, []))),
        { discard: true }
      ))).pipe(Effect.ignore)
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
const tableOf = (path: string): string =>
  `t${path.replaceAll(/[^a-zA-Z0-9]/g, "").toLowerCase().slice(-30)}${Buffer.from(path).length}`

/** Opens a store on PostgreSQL with the options of a store on LMDB, those of files left out. */
export const open = (options: StoreOptions): Effect.Effect<StoreService, OpenFailed, Scope.Scope> => {
  const { autoFlushOnRead, batchBytes, batchSize, changeLog, checksums, flushInterval, path, readOnly } = options
  return openOn({
    table: tableOf(path),
    name: path,
    autoFlushOnRead,
    batchBytes,
    batchSize,
    changeLog,
    checksums,
    flushInterval,
    readOnly
  })
}
