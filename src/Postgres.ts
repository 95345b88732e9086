/**
 * Opens stores on a PostgreSQL server, for programs that outgrow one machine.
 *
 * It is the subpath `effect-lmdb/Postgres`. `PostgresStore.layer` replaces `Store.layer`: collections, transactions, changes,
 * expiry and all ports work on it unchanged. Many processes on many machines can use the same store.
 *
 * **Details**
 *
 * - It uses the `SqlClient` of the context. `@effect/sql-pg` provides one: install it beside this package.
 * - `put` and `delete` of the store, and of collections without a unique index, are buffered, as on LMDB: visible in this
 *   process when they return, and committed after `flushInterval` or with a full batch. All other writes are committed
 *   when they return.
 * - `update`, `insert`, unique indexes and transactions are exact across all processes: the server checks in the commit
 *   that everything is unchanged that they were computed from.
 * - Transactions hold no connection while they run. The server checks that all of their reads are of one state.
 * - One commit is one call of a function on the server. If the connection is lost before the answer, the same call is made
 *   again, and the server recognizes it: nothing is written twice, and nothing is lost.
 * - The server keeps a log of changes (`changeLog`, by default for one hour), so `changes({ since })`, `watch` and `commits`
 *   have the commits of all processes.
 * - `backup` writes a file that `Store.layer` opens, and `Store.copy` copies a store in both directions.
 * - A read takes a round trip to the server. Reads of many fibers share statements: use `getMany`, ranges or many fibers.
 *   `size` counts the records, which takes time in proportion to their number.
 *
 * **Example** (A store on a server)
 *
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Console, Effect, Layer, Redacted } from "effect"
 * import { Store } from "effect-lmdb"
 * import * as PostgresStore from "effect-lmdb/Postgres"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* Store
 *   yield* store.put("greeting", "hello")
 *   yield* Console.log(yield* store.getOrFail("greeting"))
 * })
 *
 * const Live = PostgresStore.layer({ table: "app" }).pipe(
 *   Layer.provide(PgClient.layer({ url: Redacted.make("postgres://app@localhost/app") }))
 * )
 *
 * Effect.runPromise(Effect.provide(program, Live))
 * ```
 *
 * @since 0.2.0
 */
import type * as ByteSize from "effect/ByteSize"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { Backend } from "./Backend.ts"
import * as PostgresBackend from "./internal/postgres/postgresBackend.ts"
import { resolve } from "./internal/postgres/postgresOptions.ts"
import { Store } from "./Store.ts"
import type { OpenFailed } from "./StoreError.ts"
import type { StoreOptions } from "./StoreOptions.ts"
import type { StoreService } from "./StoreService.ts"

/**
 * Configures a store on PostgreSQL. The other options of `StoreOptions` concern the files of LMDB.
 *
 * @category options
 * @since 0.2.0
 */
export interface PostgresStoreOptions extends
  Pick<
    StoreOptions,
    | "readOnly"
    | "batchSize"
    | "batchBytes"
    | "flushInterval"
    | "autoFlushOnRead"
    | "keyEncoding"
    | "keyErrors"
    | "keyNormalization"
    | "formatKey"
    | "transactionRetry"
    | "closeFailure"
    | "checksums"
    | "changeLog"
  >
{
  /** The first part of the names of the tables, which are created if they do not exist. Default: `"store"`. */
  readonly table?: string | undefined
  /** The name of the store in errors, logs and metrics. Default: the option `table`. */
  readonly name?: string | undefined
  /**
   * `"sync"`: a commit is on the disk of the server when it returns, as the server is configured. `"noSync"`: the server
   * writes it a little later (`synchronous_commit` is `off`), and a crash of the server can lose the last commits. Default:
   * `"sync"`.
   */
  readonly durability?: "sync" | "noSync" | undefined
  /**
   * The maximum length of an encoded value. Default and maximum: nearly half of the longest message that the client reads,
   * about 8 MB for `@effect/sql-pg`.
   */
  readonly maxValueBytes?: ByteSize.Input | undefined
  /**
   * How many snapshots may hold a connection at the same time: those of streams, and of transactions whose first attempt
   * others have disturbed. Snapshots of the same state share one. Other transactions hold no connection. The client needs
   * at least two more connections. Default: 4.
   */
  readonly snapshots?: number | undefined
  /**
   * Whether commits notify other processes at once (`NOTIFY`). Without it, they notice a commit at the next poll.
   * Default: `true`.
   */
  readonly notify?: boolean | undefined
  /** How long a call is tried again while the server does not answer. Default: 10 seconds. */
  readonly patience?: Duration.Input | undefined
}

/**
 * Opens the backend of a store on PostgreSQL until the scope closes, for tests and for programs that wrap it.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeBackend = (
  options: PostgresStoreOptions = {}
): Effect.Effect<Backend, OpenFailed, SqlClient.SqlClient | Scope.Scope> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    return yield* PostgresBackend.make(yield* resolve(options, sql), sql)
  })

/**
 * Opens a store on PostgreSQL until the scope closes. Fails with `OpenFailed`; its `reason` tells the cause.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (
  options: PostgresStoreOptions = {}
): Effect.Effect<StoreService, OpenFailed, SqlClient.SqlClient | Scope.Scope> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const resolved = yield* resolve(options, sql)
    return yield* Store.makeWithBackend(PostgresBackend.make(resolved, sql), resolved.store)
  })

/**
 * Provides a store on PostgreSQL. Building the layer fails with `OpenFailed` if the store cannot be opened.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (options: PostgresStoreOptions = {}): Layer.Layer<Store, OpenFailed, SqlClient.SqlClient> =>
  Layer.effect(Store, make(options))
