/**
 * Checks the options of a store on PostgreSQL, and fills in the defaults.
 */
import * as ByteSize from "effect/ByteSize"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as SqlClient from "effect/sql/SqlClient"
import * as Struct from "effect/Struct"
import type { PostgresStoreOptions } from "../../Postgres.ts"
import { OpenFailed } from "../../StoreError.ts"
import type { BackendStoreOptions, StoreOptions } from "../../StoreOptions.ts"
import type { ChangeLogOptions } from "../commit/changeLog.ts"
import { similarTo } from "../similarNames.ts"
import { resolve as resolveStoreOptions } from "../store/storeOptions.ts"
import { isTableName } from "./tables.ts"

/** Options that were checked. */
export interface ResolvedPostgresOptions {
  readonly name: string
  readonly table: string
  readonly readOnly: boolean
  readonly batchSize: number
  readonly batchBytes: number
  readonly flushInterval: Duration.Duration | undefined
  readonly isAsync: boolean
  readonly changeLog: ChangeLogOptions
  readonly maxValueBytes: number
  readonly snapshots: number
  readonly notify: boolean
  readonly patience: Duration.Duration
  /** The options of the store on the backend. */
  readonly store: BackendStoreOptions
}

/** The names of all options. The compiler checks that none is missing. */
const optionNames = {
  name: true,
  table: true,
  readOnly: true,
  batchSize: true,
  batchBytes: true,
  flushInterval: true,
  autoFlushOnRead: true,
  keyEncoding: true,
  keyErrors: true,
  keyNormalization: true,
  formatKey: true,
  transactionRetry: true,
  durability: true,
  closeFailure: true,
  checksums: true,
  changeLog: true,
  maxValueBytes: true,
  snapshots: true,
  notify: true,
  patience: true
} satisfies Record<keyof PostgresStoreOptions, true>

const mebibyte = 1024 * 1024

/** A connection listens to commits, and at least one makes commits and reads. */
const otherConnections = 2

/** The largest message that `@effect/sql-pg` reads, unless its option `maxMessageSize` says otherwise. */
const defaultMessageBytes = 16 * mebibyte

/** The bytes of a message that are not of values: keys, numbers and heads. */
const messageOverhead = 64 * 1024

/** A row of the log has two values: that of the commit, and the one before it. */
const valuesInRow = 2

const isConfigured = (sql: object): sql is { readonly config: object } =>
  Predicate.hasProperty(sql, "config") && Predicate.isObject(sql.config)

/** A number among the options of the client; `undefined` if the client has none. */
const configured = (sql: object, option: string): number | undefined => {
  const value: unknown = isConfigured(sql) ? Reflect.get(sql.config, option) : undefined
  return Predicate.isNumber(value) ? value : undefined
}

/** The longest value that the client can read. */
const longestValue = (sql: object): number =>
  Math.floor(((configured(sql, "maxMessageSize") ?? defaultMessageBytes) - messageOverhead) / valuesInRow)

const refuse = (path: string, option: string, detail: string): OpenFailed =>
  new OpenFailed({ reason: { _tag: "BadOption", option, detail }, path })

const checkNames = (options: PostgresStoreOptions, name: string): OpenFailed | undefined => {
  const names = Object.keys(optionNames)
  const unknown = Object.keys(options).find((option) => !names.includes(option))
  return unknown === undefined
    ? undefined
    : refuse(name, unknown, `a store on PostgreSQL has no such option${similarTo(unknown, names)}`)
}

/** How long the log keeps changes by default. */
const defaultRetention: ChangeLogOptions = {
  retention: { age: Duration.toMillis(Duration.hours(1)), commits: Infinity, bytes: Infinity },
  previous: false
}

const resolveOwn = Effect.fnUntraced(function*(
  { maxValueBytes, notify = true, patience = "10 seconds", snapshots = 4 }: PostgresStoreOptions,
  name: string,
  sql: SqlClient.SqlClient
) {
  const longest = longestValue(sql)
  const given = maxValueBytes === undefined
    ? Option.some(longest)
    : Option.filter(
      Option.flatMap(ByteSize.fromInput(maxValueBytes), ByteSize.toNumber),
      (bytes) => bytes >= 1 && bytes <= longest
    )
  if (Option.isNone(given)) {
    return yield* refuse(
      name,
      "maxValueBytes",
      `it must be a size of at most ${longest} bytes: the client reads no longer messages (its option maxMessageSize)`
    )
  }
  if (!Number.isSafeInteger(snapshots) || snapshots < 1) {
    return yield* refuse(name, "snapshots", "it must be a whole number of at least 1")
  }
  const connections = configured(sql, "maxConnections")
  if (connections !== undefined && connections < snapshots + otherConnections) {
    return yield* refuse(
      name,
      "snapshots",
      `the client has ${connections} connections (its option maxConnections); it needs ${otherConnections} more than snapshots`
    )
  }
  const waiting = Option.filter(Duration.fromInput(patience), (duration) => !Duration.isNegative(duration))
  if (Option.isNone(waiting)) return yield* refuse(name, "patience", "it must be a duration of zero or more")
  if (!Predicate.isBoolean(notify)) return yield* refuse(name, "notify", "it must be true or false")
  return { maxValueBytes: given.value, snapshots, notify, patience: waiting.value }
})

/** The options that stores on LMDB have too. */
const commonOf = ({
  maxValueBytes: _maxValueBytes,
  name: _name,
  notify: _notify,
  patience: _patience,
  snapshots: _snapshots,
  table: _table,
  ...common
}: PostgresStoreOptions): Omit<StoreOptions, "path"> => common

/** The options that the handle of a store takes as they are given. */
const handleOptions = [
  "autoFlushOnRead",
  "checksums",
  "closeFailure",
  "formatKey",
  "keyEncoding",
  "keyErrors",
  "keyNormalization",
  "transactionRetry"
] as const

/** Checks options and fills in the defaults. Fails with the first option that is not valid. */
export const resolve = Effect.fnUntraced(function*(
  options: PostgresStoreOptions,
  sql: SqlClient.SqlClient
): Effect.fn.Return<ResolvedPostgresOptions, OpenFailed> {
  const { name: given, table = "store" } = options
  const name = given ?? table
  const unknown = checkNames(options, name)
  if (unknown !== undefined) return yield* unknown
  if (!isTableName(table)) {
    return yield* refuse(
      name,
      "table",
      "it must be a name of at most 40 lower case letters, digits and underscores that begins with no digit"
    )
  }
  const common = yield* resolveStoreOptions({ ...commonOf(options), path: name, shared: true })
  const own = yield* resolveOwn(options, name, sql)
  const { batchBytes, batchSize, changeLog, durability, flushInterval, readOnly } = common
  return {
    ...own,
    name,
    table,
    readOnly,
    batchSize,
    batchBytes,
    flushInterval,
    isAsync: durability === "noSync",
    changeLog: changeLog ?? defaultRetention,
    store: {
      name,
      shared: true,
      readOnly,
      ...Struct.pick(options, handleOptions)
    }
  }
})
