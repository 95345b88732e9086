/**
 * Opens the store of a command: a folder or a file of LMDB, or a store on PostgreSQL. The modules of a store are loaded
 * only then.
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Inspect from "../../Inspect.ts"
import { Store } from "../../Store.ts"
import { type Closed, type EngineFailure, OpenFailed } from "../../StoreError.ts"
import type { StoreOptions } from "../../StoreOptions.ts"
import type { StoreService } from "../../StoreService.ts"
import { Usage } from "./failures.ts"
import type { StoreParameters } from "./parameters.ts"

/** How a command uses the store. */
export interface OpenOptions {
  /** Whether the command writes. The store must exist. */
  readonly write?: boolean
  /** Whether a command that writes may create the store. Default: `false`. */
  readonly create?: boolean
  /** Whether all pages of the file are checked. Default: as the store decides. */
  readonly verify?: boolean
}

/** What can go wrong. `SqlError`: the server does not accept the connection. */
export type OpenError = Usage | OpenFailed | Closed | EngineFailure | SqlConnectionError

/** The error of a client of PostgreSQL that cannot connect. */
type SqlConnectionError = { readonly _tag: "SqlError"; readonly message: string }

/** Whether the store is on PostgreSQL. */
export const isUrl = (path: string): boolean => /^postgres(?:ql)?:\/\//.test(path)

const readKey = Effect.fnUntraced(function*(
  keyFile: Option.Option<string>
): Effect.fn.Return<Redacted.Redacted | undefined, Usage, FileSystem.FileSystem> {
  if (Option.isSome(keyFile)) {
    const fs = yield* FileSystem.FileSystem
    const text = yield* Effect.mapError(
      fs.readFileString(keyFile.value),
      ({ message }) => new Usage({ message: `The file of --key-file cannot be read: ${message}` })
    )
    return Redacted.make(text.replace(/\r?\n$/, ""))
  }
  const given = yield* Effect.mapError(
    Config.option(Config.Redacted("STORE_ENCRYPTION_KEY")),
    ({ message }) => new Usage({ message: `STORE_ENCRYPTION_KEY is not valid: ${message}` })
  )
  return Option.getOrUndefined(given)
})

/** The option with which a write keeps a log of changes that the store has: a commit without the option deletes the log. */
const changeLogOf = (
  options: StoreOptions
): Effect.Effect<StoreOptions["changeLog"], OpenFailed | Closed | EngineFailure> =>
  Store.make({ ...options, readOnly: true }).pipe(
    Effect.flatMap((store) => Effect.provideService(Inspect.state, Store, store)),
    Effect.map(({ changeLog }) =>
      changeLog === undefined ? undefined : { retention: Duration.infinity, previous: changeLog.hasPrevious }
    ),
    Effect.scoped
  )

/** Whether a store cannot be opened because nothing is at its path. */
export const isMissing = (error: unknown): boolean => error instanceof OpenFailed && error.reason._tag === "Missing"

/** Opens a store for writing, together with the processes that share it, if there are any. It must exist, unless `create`. */
const openToWrite = Effect.fnUntraced(function*(options: StoreOptions, create: boolean) {
  const changeLog = Effect.catchIf(
    changeLogOf(options),
    (error) => create && isMissing(error),
    () => Effect.succeed(undefined)
  )
  const writing: StoreOptions = { ...options, changeLog: yield* changeLog }
  return yield* Effect.catchTag(
    Store.make({ ...writing, lockTimeout: "1 second" }),
    "OpenFailed",
    (error) => error.holder?.shared === true ? Store.make({ ...writing, shared: true }) : Effect.fail(error)
  )
})

/** The options with which the store of a command is opened, if it is a folder or a file. */
export const fileOptions = Effect.fnUntraced(function*(
  { keyFile, path }: Pick<StoreParameters, "path" | "keyFile">
): Effect.fn.Return<StoreOptions, Usage, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  const isFile = yield* Effect.match(fs.stat(path), {
    onFailure: () => false,
    onSuccess: ({ type }) => type === "File"
  })
  return { path, ...(isFile ? { subdirectory: false } : {}), encryptionKey: yield* readKey(keyFile) }
})

const openFile = Effect.fnUntraced(
  function*(given: StoreParameters, { create = false, verify, write = false }: OpenOptions): Effect.fn.Return<
    StoreService,
    Exclude<OpenError, SqlConnectionError>,
    FileSystem.FileSystem | Scope.Scope
  > {
    const options: StoreOptions = { ...(yield* fileOptions(given)), verify }
    return yield* write ? openToWrite(options, create) : Store.make({ ...options, readOnly: true })
  }
)

const loadPostgres = Effect.tryPromise({
  try: () => import("./openPostgres.ts"),
  catch: () =>
    new Usage({
      message: "A postgres:// URL needs the package @effect/sql-pg: install it beside effect-lmdb " +
        "(npm install @effect/sql-pg)."
    })
})

/**
 * Opens the store of a command until the scope closes.
 *
 * @public
 */
export const openStore = (
  given: StoreParameters,
  options: OpenOptions = {}
): Effect.Effect<StoreService, OpenError, FileSystem.FileSystem | Scope.Scope> =>
  isUrl(given.path)
    ? Effect.flatMap(loadPostgres, ({ open }) => open(given.path, given.table, options.write === true))
    : openFile(given, options)

/** Opens a store that may not exist yet, until the scope closes. Its encryption key comes from its own file only. */
export const openNew = Effect.fnUntraced(function*(
  { keyFile, path, table }: StoreParameters,
  { compression }: { readonly compression: boolean }
): Effect.fn.Return<StoreService, OpenError, FileSystem.FileSystem | Scope.Scope> {
  if (isUrl(path)) return yield* Effect.flatMap(loadPostgres, ({ open }) => open(path, table, true))
  const encryptionKey = Option.isSome(keyFile) ? yield* readKey(keyFile) : undefined
  return yield* Store.make({ path, compression, encryptionKey, lockTimeout: "1 second" })
})

/** Opens the store of a command, and provides it to an effect. */
export const withStore = <A, E, R>(
  given: StoreParameters,
  use: Effect.Effect<A, E, R>,
  options?: OpenOptions
): Effect.Effect<A, E | OpenError, FileSystem.FileSystem | Exclude<Exclude<R, Store>, Scope.Scope>> =>
  Effect.scoped(
    Effect.flatMap(openStore(given, options), (store) => Effect.provideService(use, Store, store))
  )
