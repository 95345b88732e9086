/**
 * Opens the tables of a store: checks the server, creates what is missing, and registers this process as a client.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { OpenFailed, type OpenFailedReason } from "../../StoreError.ts"
import { commitCreation, trimCreation } from "./commitFunction.ts"
import { numberIn, type Rows, runOnce, textIn } from "./server.ts"
import { isTransient, retrying, stateOf } from "./sqlFailure.ts"
import * as Tables from "./tables.ts"

/** How a store is opened. */
export interface OpeningOptions {
  readonly sql: SqlClient.SqlClient
  readonly tables: Tables.Tables
  /** The name of the store, for errors. */
  readonly name: string
  readonly readOnly: boolean
  readonly patience: Duration.Duration
  readonly client: string
}

/** The oldest version of PostgreSQL that is supported. */
const oldestVersion = 140_000

const failed = ({ name }: OpeningOptions, reason: OpenFailedReason, cause?: unknown): OpenFailed =>
  new OpenFailed({ reason, path: name, ...(cause === undefined ? {} : { cause }) })

/** Makes the error of a statement that could not run. */
const unreachable = (options: OpeningOptions) => (error: SqlError): OpenFailed => {
  const state = stateOf(error)
  const detail = Predicate.hasProperty(error.reason.cause, "message") ? `: ${String(error.reason.cause.message)}` : ""
  if (isTransient(error)) {
    return failed(options, { _tag: "Unreachable", detail: `the database server does not answer${detail}` }, error)
  }
  if (state === "42501" || state?.startsWith("28") === true) {
    return failed(options, { _tag: "Permission", detail: `the database server refuses this user${detail}` }, error)
  }
  return failed(options, { _tag: "Engine", detail: `the database server has failed${detail}` }, error)
}

/** Refuses servers that cannot keep the promises of a store. */
const checkServer = Effect.fnUntraced(function*(
  options: OpeningOptions,
  ask: (text: string) => Effect.Effect<Rows, OpenFailed>
): Effect.fn.Return<void, OpenFailed> {
  const { readOnly } = options
  const [row] = yield* ask(
    "SELECT current_setting('server_version_num')::float8, pg_is_in_recovery(), " +
      "current_setting('default_transaction_isolation'), to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL"
  )
  const version = numberIn(row?.[0]) ?? 0
  if (version < oldestVersion) {
    return yield* failed(options, {
      _tag: "Unsupported",
      detail: `the server has version ${Math.floor(version / 10_000)} of PostgreSQL; use version 14 or a later one`
    })
  }
  if (row?.[1] === true && !readOnly) {
    return yield* failed(options, {
      _tag: "Permission",
      detail: "the server is a standby, which only reads; connect to the primary server, or set readOnly"
    })
  }
  if (textIn(row?.[2]) !== "read committed") {
    yield* Effect.logWarning(
      `The default isolation of the database of ${options.name} is "${textIn(row?.[2])}". Commits are much slower ` +
        "than with \"read committed\", which is enough"
    )
  }
  if (row?.[3] !== true) return
  const [distributed] = yield* ask(
    `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_dist_partition WHERE logicalrel = to_regclass('${options.tables.records}'))`
  )
  if (distributed?.[0] === true) {
    return yield* failed(options, {
      _tag: "Unsupported",
      detail: `Citus distributes the table ${options.tables.records}, and its reads can see half of a transaction; ` +
        "keep the table on one node"
    })
  }
})

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** Creates what is missing. Another process may do the same at the same time, so a lock of the server is held meanwhile. */
const create = ({ patience, sql, tables }: OpeningOptions): Effect.Effect<void, SqlError> => {
  const statements = [...Tables.creations(tables), commitCreation(tables), trimCreation(tables)]
  // One statement is one transaction, which holds the lock until its end.
  const block = `DO $open$ BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(${quote(tables.store)}, 0));
    ${statements.map((text) => `EXECUTE ${quote(text)};`).join("\n")}
  END $open$`
  return Effect.asVoid(retrying(
    Effect.scoped(Effect.flatMap(sql.reserve, (connection) => connection.executeValuesUnprepared(block, []))),
    patience
  ))
}

const isComplete = ({ clients, commit, store, trim }: Tables.Tables): string =>
  `SELECT to_regclass('${store}') IS NOT NULL, to_regclass('${clients}') IS NOT NULL AND
     EXISTS (SELECT 1 FROM pg_proc WHERE proname = '${commit}' AND pg_function_is_visible(oid)) AND
     EXISTS (SELECT 1 FROM pg_proc WHERE proname = '${trim}' AND pg_function_is_visible(oid))`

/**
 * Identifies the tables of a store among those of all servers, whatever address leads to them. `undefined` if the user may
 * not read the identity of the server.
 */
export const identityOf = ({ sql, tables }: Pick<OpeningOptions, "sql" | "tables">) =>
  runOnce(sql)(
    `SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()), pg_is_in_recovery(),
       (SELECT oid FROM pg_database WHERE datname = current_database()), to_regclass('${tables.store}')::oid)`,
    []
  ).pipe(
    Effect.map(([row]) => row === undefined ? undefined : textIn(row[0])),
    Effect.catch(() => Effect.succeed(undefined))
  )

/** Checks the server and the tables. Creates the tables that are missing, unless the store only reads. */
export const open = Effect.fnUntraced(function*(options: OpeningOptions): Effect.fn.Return<void, OpenFailed> {
  const { client, patience, readOnly, sql, tables } = options
  const ask = (text: string, parameters: ReadonlyArray<unknown> = []) =>
    Effect.mapError(retrying(runOnce(sql)(text, parameters), patience), unreachable(options))
  yield* checkServer(options, ask)
  const [row] = yield* ask(isComplete(tables))
  if (row?.[0] !== true && readOnly) {
    return yield* failed(options, { _tag: "Missing", detail: `there is no table ${tables.store}` })
  }
  if (row?.[0] === true) {
    const [stored] = yield* ask(`SELECT s.format::float8 FROM ${tables.store} s WHERE s.id = 1`)
    const format = numberIn(stored?.[0])
    if (format !== undefined && format !== Tables.formatVersion) {
      return yield* failed(options, {
        _tag: "UnsupportedFormat",
        detail: `the tables have format ${format}, and this version of the package knows format ${Tables.formatVersion}`
      })
    }
  }
  if (readOnly) return
  if (row?.[0] !== true || row[1] !== true) {
    yield* Effect.mapError(create(options), unreachable(options))
  }
  yield* ask(
    `INSERT INTO ${tables.clients} (id, token, number, failed) VALUES ($1, 0, 0, '{}') ON CONFLICT DO NOTHING`,
    [client]
  )
  // Processes that ended long ago ask for no outcome any more.
  yield* ask(`DELETE FROM ${tables.clients} c WHERE c.at < now() - interval '7 days' AND c.id <> $1`, [client])
})
