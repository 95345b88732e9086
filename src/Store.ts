/**
 * Opens durable, buffered object stores.
 *
 * A `Store` keeps JavaScript values on disk as a `Map` keeps them in memory. Writes are visible at once.
 * A commit writes many of them in one transaction. The file grows up to a limit, and every failure is a typed
 * error.
 *
 * **Details**
 *
 * - `put`, `delete` and `update` are buffered: visible to all fibers when they return, durable after the
 *   next commit. A commit starts when `batchSize` keys or `batchBytes` are pending, when a write has been pending for
 *   `flushInterval`, or on `flush`.
 * - `putMany`, `deleteMany`, `deleteRange`, `clear`, `flush` and `withTransaction` are durable when they return.
 * - A commit that fails loses nothing: its writes stay pending and readable, and the next commit writes them.
 *   The fibers that wait for the commit receive its error. If no fiber waits, the next `put`, `update`, `flush` or
 *   `close` does.
 * - At the end of its scope, a store commits the pending writes and closes. If that commit fails, the
 *   scope fails with a defect that names the lost keys (option `closeFailure`).
 * - If a process opens the same path more than once, each open returns a handle on the same store. The store closes with
 *   its last handle. Options that concern the file must be the same for all handles.
 *
 * **Example** (Keeping a counter)
 *
 * ```ts
 * import { Console, Effect, Option } from "effect"
 * import { Store } from "effect-lmdb"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* Store
 *   yield* store.put("visits", 41)
 *   yield* store.update("visits", Option.map((n) => Number(n) + 1))
 *   yield* Console.log(yield* store.getOrFail("visits")) // => 42
 * })
 *
 * Effect.runPromise(Effect.provide(program, Store.layerTemp()))
 * ```
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Backend } from "./Backend.ts"
import type { Engine } from "./Engine.ts"
import { provideFiles } from "./internal/lateModule.ts"
import * as BlankConfig from "./internal/store/blankConfig.ts"
import * as Namespaces from "./internal/store/namespaces.ts"
import * as RecordAccess from "./internal/store/recordAccess.ts"
import * as RecordMethods from "./internal/store/recordMethods.ts"
import * as StoreAccess from "./internal/store/storeAccess.ts"
import { copy } from "./internal/store/storeCopy.ts"
import { StoreInternals } from "./internal/store/storeInternals.ts"
import * as StoreMethods from "./internal/store/storeMethods.ts"
import { resolve, resolveForBackend } from "./internal/store/storeOptions.ts"
import * as StoreRegistry from "./internal/store/storeRegistry.ts"
import * as StoreTransfer from "./internal/store/storeTransfer.ts"
import * as TransactionMethods from "./internal/store/transactionMethods.ts"
import { TypeId } from "./internal/storeTypeId.ts"
import * as LmdbEngine from "./LmdbEngine.ts"
import {
  type Closed,
  type EngineFailure,
  isStoreError,
  type MapFull,
  OpenFailed,
  type ReadOnly,
  type StoreError
} from "./StoreError.ts"
import type { BackendStoreOptions, StoreOptions } from "./StoreOptions.ts"
import type { StoreService } from "./StoreService.ts"
import type { Compaction, CompactOptions, ImportOptions, RestoreOptions, StoreNotEmpty } from "./StoreTransfer.ts"

/** Whether a close is not strict. A wrong value of `strict`, from JavaScript, makes it strict, so that no error is hidden. */
const isLenient = (options: unknown): boolean =>
  options === undefined ||
  (Predicate.isObject(options) && Object.keys(options).every((name) => name === "strict") &&
    (options["strict"] === undefined || options["strict"] === false))

/** Makes the service of a handle. */
const serviceOf = (handle: StoreRegistry.OwnedHandle): StoreService => {
  const access = RecordAccess.ofStore(StoreAccess.make(handle))
  const transactions = TransactionMethods.make(access)
  const internals = { access, transactions }
  function close(closeOptions: { readonly strict: true }): Effect.Effect<void, MapFull | EngineFailure>
  function close(closeOptions?: { readonly strict?: false | undefined }): Effect.Effect<void>
  function close(closeOptions?: { readonly strict?: boolean | undefined }) {
    return isLenient(closeOptions) ? StoreRegistry.close(handle) : handle.release(true)
  }
  return {
    ...RecordMethods.make(internals),
    ...StoreMethods.make(access),
    opening: handle.core.opening,
    namespace: (name) => Namespaces.open(internals, name),
    withTransaction: transactions.withTransaction,
    withTransactionRetry: transactions.withTransactionRetry,
    close,
    [TypeId]: new StoreInternals(access, transactions)
  }
}

const makeWithEngine = (options: StoreOptions): Effect.Effect<StoreService, OpenFailed, Engine | Scope.Scope> =>
  Effect.map(Effect.flatMap(resolve(options), StoreRegistry.open), serviceOf)

const makeWithBackend = <E, R>(
  backend: Effect.Effect<Backend, E, R>,
  options: BackendStoreOptions
): Effect.Effect<StoreService, E | OpenFailed, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.map(
    Effect.flatMap(resolveForBackend(options), (resolved) => StoreRegistry.openOn(resolved, backend)),
    serviceOf
  )

const make = (options: StoreOptions): Effect.Effect<StoreService, OpenFailed, Scope.Scope> =>
  Effect.provide(makeWithEngine(options), LmdbEngine.layer)

/** Whether an error is not an infrastructure error. */
const isOther = <E>(error: E): error is Exclude<E, StoreError> => !isStoreError(error)

/** Separates infrastructure errors from all other errors, which stay in the error channel. */
const storeErrorOf = <E>(error: E): Result.Result<E, Exclude<E, StoreError>> =>
  isOther(error) ? Result.fail(error) : Result.succeed(error)

const orDie = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.catchFilter(self, storeErrorOf<E>, (error) => Effect.die(error))

const orDieStream = <A, E, R>(self: Stream.Stream<A, E, R>) =>
  Stream.catchFilter(self, storeErrorOf<E>, (error) => Stream.die(error))

/**
 * Gives access to a durable, buffered object store.
 *
 * @category services
 * @since 0.1.0
 */
export class Store extends Context.Service<Store, StoreService>()("effect-lmdb/Store") {
  /** Opens a store until the scope closes. Fails with `OpenFailed`; its `reason` tells the cause. */
  static readonly make: (options: StoreOptions) => Effect.Effect<StoreService, OpenFailed, Scope.Scope> = make

  /** Opens a store until the scope closes, on the engine of the context in place of LMDB. */
  static readonly makeWithEngine: (
    options: StoreOptions
  ) => Effect.Effect<StoreService, OpenFailed, Engine | Scope.Scope> = makeWithEngine

  /**
   * Opens a store until the scope closes, on a backend in place of LMDB. The effect makes the backend in the scope of the
   * store, which closes it. A backend belongs to one store. To share the store, share its layer.
   */
  static readonly makeWithBackend = makeWithBackend

  /** Provides a store. Building the layer fails with `OpenFailed` if the store cannot be opened. */
  static readonly layer = (options: StoreOptions): Layer.Layer<Store, OpenFailed> => Layer.effect(Store, make(options))

  /** Provides a store on the engine of the context, in place of LMDB. */
  static readonly layerWithEngine = (options: StoreOptions): Layer.Layer<Store, OpenFailed, Engine> =>
    Layer.effect(Store, makeWithEngine(options))

  /** Provides a store on the backend that an effect makes, in place of LMDB. */
  static readonly layerWithBackend = <E, R>(
    backend: Effect.Effect<Backend, E, R>,
    options: BackendStoreOptions
  ): Layer.Layer<Store, E | OpenFailed, Exclude<R, Scope.Scope>> =>
    Layer.effect(Store, makeWithBackend(backend, options))

  /**
   * Provides a store with options from configuration. Building the layer also fails with `ConfigError` if a value is not
   * valid. An empty value is not the same as a missing one: an empty encryption key must not open a store without
   * encryption.
   */
  static readonly layerConfig = (
    options: Config.Wrap<StoreOptions>
  ): Layer.Layer<Store, OpenFailed | Config.ConfigError> =>
    Layer.effect(
      Store,
      Effect.flatMap(
        Effect.flatMap(ConfigProvider.ConfigProvider, (provider) =>
          Config.unwrap(options).parse(BlankConfig.keeping(provider))),
        make
      )
    )

  /** Provides a store for tests, in a temporary folder that is removed at the end of the scope. */
  static readonly layerTemp = (options?: Omit<StoreOptions, "path" | "subdirectory">): Layer.Layer<Store, OpenFailed> =>
    Layer.effect(Store, Effect.flatMap(temporaryFolder, (path) => make({ ...options, path })))

  /**
   * Turns infrastructure errors (`StoreError`) into defects. The other errors stay: `KeyNotFound`, `KeyExists`,
   * `UniqueViolation`, `TransactionConflict`, and all errors that are not errors of a store.
   *
   * **Details**
   *
   * It can be a step of `pipe` and of `Effect.fn`. Use it once, at the boundary of a service: the methods of
   * the service then fail only with errors that a caller can handle. The defect is the error itself, with its fields.
   *
   * **Example** (A service without infrastructure errors)
   *
   * ```ts
   * import { Effect } from "effect"
   * import { type Key, Store } from "effect-lmdb"
   *
   * // (key: Key) => Effect.Effect<unknown, KeyNotFound, Store>
   * const load = Effect.fn("load")(function*(key: Key) {
   *   const store = yield* Store
   *   return yield* store.getOrFail(key)
   * }, Store.orDie)
   *
   * const program = load("greeting").pipe(
   *   Effect.catchTag("KeyNotFound", () => Effect.succeed("nobody greets"))
   * )
   *
   * Effect.runPromise(Effect.provide(program, Store.layerTemp()))
   * ```
   */
  static readonly orDie: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, Exclude<E, StoreError>, R> = orDie

  /** Turns the infrastructure errors of a stream into defects, as `orDie` does for an effect. */
  static readonly orDieStream: <A, E, R>(
    self: Stream.Stream<A, E, R>
  ) => Stream.Stream<A, Exclude<E, StoreError>, R> = orDieStream

  /**
   * Copies all records, collections and indexes of a store to an empty store, which may be on another backend. Fails with
   * `StoreNotEmpty` if the target has records, or had any.
   *
   * **Details**
   *
   * It copies a snapshot, as bytes. Each part of 1 MiB is committed separately. A copy that fails or is interrupted deletes
   * what it has copied. After a crash, delete the target. Before the copy is complete, do not open a collection on the
   * target, and do not write to it.
   *
   * **Example** (To a store with compression)
   *
   * ```ts
   * import { Console, Effect } from "effect"
   * import { Store } from "effect-lmdb"
   *
   * const program = Effect.gen(function*() {
   *   const from = yield* Store.make({ path: "./data" })
   *   const to = yield* Store.make({ path: "./compressed", compression: true })
   *   yield* from.put("answer", 42)
   *   yield* Store.copy(from, to)
   *   yield* Console.log(yield* to.getOrFail("answer")) // => 42
   * })
   *
   * Effect.runPromise(Effect.scoped(program))
   * ```
   */
  static readonly copy: (
    from: StoreService,
    to: StoreService
  ) => Effect.Effect<void, StoreNotEmpty | ReadOnly | Closed | MapFull | EngineFailure> = copy

  /**
   * Restores a backup to a path where no process has a store open. It first checks every page of the backup, and then
   * replaces the file at the path in one step.
   *
   * **Details**
   *
   * Fails with `StoreNotEmpty` if the path has a store and `overwrite` is not set. Fails with `OpenFailed` if the backup is
   * damaged (its `reason` says how), or if a process has the store open (`AlreadyOpen`). If it fails, it changes nothing.
   * An encrypted backup needs the `encryptionKey` of its store.
   *
   * **Example** (Back to the last backup)
   *
   * ```ts
   * import { Effect } from "effect"
   * import { Store } from "effect-lmdb"
   *
   * const restore = Store.restore({ from: "./backups/monday", path: "./data", overwrite: true })
   * ```
   */
  static readonly restore = (options: RestoreOptions): Effect.Effect<void, OpenFailed | StoreNotEmpty> =>
    Effect.provide(StoreTransfer.restore(options), LmdbEngine.layer)

  /**
   * Makes the file of a store as small as its records allow, while no process has the store open. It copies the store without
   * its free pages, checks every page of the store and of the copy, and then replaces the file in one step.
   *
   * **Details**
   *
   * The disk needs room for the copy. The store is complete at any time, also after `kill -9` or a power cut. The file keeps
   * its permissions and its owner. Transaction ids go on, so `changes({ since })` does too.
   *
   * Fails with `OpenFailed` if the store does not exist, is damaged or encrypted, or if a process has it open, also for
   * reading (`AlreadyOpen`). Fails with `EngineFailure` if the copy cannot be written. If it fails, the store is unchanged.
   * An encrypted store cannot be compacted: copy it with `Store.copy`.
   *
   * **Example** (After many deletions)
   *
   * ```ts
   * import { Console, Effect } from "effect"
   * import { Store } from "effect-lmdb"
   *
   * const program = Effect.gen(function*() {
   *   yield* Effect.scoped(Effect.flatMap(Store.make({ path: "./data" }), (store) => store.put("greeting", "hello")))
   *   const { bytesAfter, bytesBefore } = yield* Store.compact({ path: "./data" })
   *   yield* Console.log(bytesAfter <= bytesBefore) // => true
   * })
   *
   * Effect.runPromise(program)
   * ```
   *
   * @since 0.2.0
   */
  static readonly compact = (options: CompactOptions): Effect.Effect<Compaction, OpenFailed | EngineFailure> =>
    Effect.provide(StoreTransfer.compact(options), LmdbEngine.layer)

  /**
   * Reads a file that a program has written with the package `lmdb` alone, and passes its records to `write`, in the order
   * of their keys. Returns the number of records. The file is not changed.
   *
   * **Details**
   *
   * `write` gets keys and values as lmdb-js decodes them, at most `batchSize` at a time. Fails with `OpenFailed` if the
   * file or the database does not exist. Fails with `EngineFailure` if a record cannot be decoded, because the options are
   * not those of the program that wrote the file. What `write` has already written is not undone.
   *
   * **Example** (Into a collection)
   *
   * ```ts
   * import { Effect, Schema } from "effect"
   * import { Collection, Store } from "effect-lmdb"
   *
   * const User = Schema.Struct({ name: Schema.String })
   * const decode = Schema.decodeUnknownEffect(Schema.Array(Schema.Tuple([Schema.Int, User])))
   *
   * const program = Effect.gen(function*() {
   *   const users = yield* Collection.make("users", { key: Schema.Int, value: User })
   *   yield* Store.importLmdb({
   *     from: "./old",
   *     write: (entries) => Effect.flatMap(decode(entries), users.putMany)
   *   })
   * })
   * ```
   */
  static readonly importLmdb: <E, R>(
    options: ImportOptions<E, R>
  ) => Effect.Effect<number, OpenFailed | EngineFailure | E, R> = StoreTransfer.importLmdb
}

const temporaryFolder: Effect.Effect<string, OpenFailed, Scope.Scope> = FileSystem.FileSystem.pipe(
  Effect.flatMap((fs) => fs.makeTempDirectoryScoped({ prefix: "effect-lmdb-" })),
  Effect.mapError((cause) =>
    new OpenFailed({ reason: { _tag: "Engine", detail: "no temporary folder could be made" }, path: "", cause })
  ),
  provideFiles("")
)
