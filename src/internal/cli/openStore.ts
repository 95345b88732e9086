/**
 * Opens the store of a command: a folder or a file of LMDB, or a store on PostgreSQL. The modules of a store are loaded
 * only then.
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Inspect from "../../Inspect.ts"
import { Store } from "../../Store.ts"
import { type Closed, type EngineFailure, OpenFailed } from "../../StoreError.ts"
import type { StoreOptions } from "../../StoreOptions.ts"
import type { StoreService } from "../../StoreService.ts"
import { Usage } from "./failures.ts"
import * as Output from "./output.ts"
import type { StoreParameters } from "./parameters.ts"
import * as TextFile from "./textFile.ts"

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

/** What is needed to open a store. */
type OpenServices = FileSystem.FileSystem | Path.Path | Output.OutputServices

/** The error of a client of PostgreSQL that cannot connect. */
type SqlConnectionError = { readonly _tag: "SqlError"; readonly message: string }

/** Whether the store is on PostgreSQL. */
export const isUrl = (path: string): boolean => /^postgres(?:ql)?:\/\//.test(path)

const readKey = Effect.fnUntraced(function*(
  keyFile: Option.Option<string>
): Effect.fn.Return<Redacted.Redacted | undefined, Usage, FileSystem.FileSystem> {
  if (Option.isSome(keyFile)) {
    const text = yield* TextFile.read("--key-file", keyFile.value)
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
export const isMissing = (error: unknown): error is OpenFailed =>
  error instanceof OpenFailed && error.reason._tag === "Missing"

/** How long a command waits until another process has closed the store. */
const patience = Duration.seconds(1)

const waitingFor = ({ holder }: OpenFailed): string =>
  holder === undefined ? "another process" : `process ${holder.processId}, which has the store open for writing`

/** Opens a store for writing, together with the processes that share it, if there are any. It must exist, unless `create`. */
const openToWrite = Effect.fnUntraced(function*(options: StoreOptions, create: boolean) {
  const changeLog = Effect.catchIf(
    changeLogOf(options),
    (error) => create && isMissing(error),
    () => Effect.succeed(undefined)
  )
  const writing: StoreOptions = { ...options, changeLog: yield* changeLog }
  return yield* Effect.catchTag(
    Store.make({ ...writing, lockTimeout: 0 }),
    "OpenFailed",
    Effect.fnUntraced(function*(error) {
      if (error.holder?.shared === true) return yield* Store.make({ ...writing, shared: true })
      if (error.reason._tag !== "AlreadyOpen") return yield* error
      const output = yield* Output.make
      yield* output.note(`Waiting up to ${Duration.format(patience)} for ${waitingFor(error)}.`)
      return yield* Store.make({ ...writing, lockTimeout: patience })
    })
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

/** The folders in a folder that are stores, as the user would type them. */
const storesIn = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = yield* Effect.orElseSucceed(fs.readDirectory(folder), () => [])
  const isStore = (name: string) => Effect.orElseSucceed(fs.exists(path.join(folder, name, "data.mdb")), () => false)
  const stores = yield* Effect.filter(names, isStore)
  return stores.toSorted().map((name) => `${folder.replace(/[/\\]+$/, "")}/${name}`)
})

/** The most stores that a message names. */
const mostNamed = 5

/** The error of a path at which no store is: names the path as the user has typed it, and the stores in the folder. */
const missingAt = (path: string, { cause, detail: missing }: OpenFailed, stores: ReadonlyArray<string>): OpenFailed => {
  if (stores.length === 0) return new OpenFailed({ path, reason: { _tag: "Missing", detail: missing }, cause })
  const named = stores.slice(0, mostNamed).join(", ") + (stores.length > mostNamed ? ", ..." : "")
  const detail = `this folder is not a store. There ${
    stores.length === 1 ? "is a store" : "are stores"
  } in it: ${named}`
  return new OpenFailed({ path, reason: { _tag: "Missing", detail } })
}

const openFile = Effect.fnUntraced(
  function*(given: StoreParameters, { create = false, verify, write = false }: OpenOptions): Effect.fn.Return<
    StoreService,
    Exclude<OpenError, SqlConnectionError>,
    OpenServices | Scope.Scope
  > {
    const options: StoreOptions = { ...(yield* fileOptions(given)), verify }
    const opening = write ? openToWrite(options, create) : Store.make({ ...options, readOnly: true })
    return yield* Effect.catchIf(
      opening,
      isMissing,
      (error) => Effect.flatMap(storesIn(given.path), (stores) => Effect.fail(missingAt(given.path, error, stores)))
    )
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
): Effect.Effect<StoreService, OpenError, OpenServices | Scope.Scope> =>
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
): Effect.Effect<A, E | OpenError, OpenServices | Exclude<Exclude<R, Store>, Scope.Scope>> =>
  Effect.scoped(
    Effect.flatMap(openStore(given, options), (store) => Effect.provideService(use, Store, store))
  )
