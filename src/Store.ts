/**
 * A durable, buffered object store.
 *
 * A `Store` keeps JavaScript values on disk the way a program keeps them in a
 * `Map`. Writes are visible at once and are grouped into few transactions; the
 * file grows by itself up to a limit; everything that can go wrong is a typed
 * error.
 *
 * **Details**
 *
 * - `put`, `delete` and `update` are buffered: visible to every fiber when they
 *   return, on disk after the next commit. A commit begins when `batchSize` keys
 *   or `batchBytes` are pending, when `flushInterval` has passed, or on `flush`.
 * - `putMany`, `deleteMany`, `clear` and `flush` are on disk when they return.
 * - A commit that fails loses nothing: its writes stay pending and readable, and
 *   the next commit takes them along. Its error reaches whoever waits for it, or
 *   else the next `put`, `update`, `flush` or `close`.
 * - The scope of the store closes it and commits what is pending. When that fails, the
 *   scope fails with a defect that names the keys that are lost (`closeFailure`).
 * - All who open the same path in one process hold the same store; it closes with its
 *   last holder. Options that decide about the file must then be the same.
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
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
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
import * as BlankConfig from "./internal/store/blankConfig.ts"
import * as RangeMethods from "./internal/store/rangeMethods.ts"
import * as ReadMethods from "./internal/store/readMethods.ts"
import * as StoreAccess from "./internal/store/storeAccess.ts"
import * as StoreInternals from "./internal/store/storeInternals.ts"
import { resolve, resolveForBackend } from "./internal/store/storeOptions.ts"
import * as StoreRegistry from "./internal/store/storeRegistry.ts"
import * as TransactionMethods from "./internal/store/transactionMethods.ts"
import * as WriteMethods from "./internal/store/writeMethods.ts"
import * as LmdbEngine from "./LmdbEngine.ts"
import { type EngineFailure, isStoreError, type MapFull, OpenFailed, type StoreError } from "./StoreError.ts"
import type { BackendStoreOptions, StoreOptions } from "./StoreOptions.ts"
import type { StoreService } from "./StoreService.ts"

/** Whether a close logs its error. What is neither left out nor `false`, from JavaScript, rather fails than hides it. */
const isLenient = (options: unknown): boolean =>
  options === undefined ||
  (Predicate.isObject(options) && Object.keys(options).every((name) => name === "strict") &&
    (options["strict"] === undefined || options["strict"] === false))

/** Makes the service of a hold. */
const serviceOf = (hold: StoreRegistry.Hold): StoreService => {
  const access = StoreAccess.make(hold)
  const transactions = TransactionMethods.make(access)
  function close(closeOptions: { readonly strict: true }): Effect.Effect<void, MapFull | EngineFailure>
  function close(closeOptions?: { readonly strict?: false | undefined }): Effect.Effect<void>
  function close(closeOptions?: { readonly strict?: boolean | undefined }) {
    return isLenient(closeOptions) ? StoreRegistry.close(hold) : hold.release(true)
  }
  return {
    ...ReadMethods.make(access),
    ...WriteMethods.make(access),
    ...RangeMethods.make(access),
    ...transactions,
    close,
    [StoreInternals.TypeId]: { access, transactions }
  }
}

const makeWithEngine = (options: StoreOptions): Effect.Effect<StoreService, OpenFailed, Engine | Scope.Scope> =>
  Effect.map(Effect.flatMap(resolve(options), StoreRegistry.hold), serviceOf)

const makeWithBackend = <E, R>(
  backend: Effect.Effect<Backend, E, R>,
  options: BackendStoreOptions
): Effect.Effect<StoreService, E | OpenFailed, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.map(
    Effect.flatMap(resolveForBackend(options), (resolved) => StoreRegistry.holdOn(resolved, backend)),
    serviceOf
  )

const make = (options: StoreOptions): Effect.Effect<StoreService, OpenFailed, Scope.Scope> =>
  Effect.provide(makeWithEngine(options), LmdbEngine.layer)

/** Whether an error is not of the infrastructure. */
const isOther = <E>(error: E): error is Exclude<E, StoreError> => !isStoreError(error)

/** Tells an error of the infrastructure from all others, which stay in the channel. */
const storeErrorOf = <E>(error: E): Result.Result<E, Exclude<E, StoreError>> =>
  isOther(error) ? Result.fail(error) : Result.succeed(error)

const orDie = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.catchFilter(self, storeErrorOf<E>, (error) => Effect.die(error))

const orDieStream = <A, E, R>(self: Stream.Stream<A, E, R>) =>
  Stream.catchFilter(self, storeErrorOf<E>, (error) => Stream.die(error))

/**
 * The service of a durable, buffered object store.
 *
 * @category services
 * @since 0.1.0
 */
export class Store extends Context.Service<Store, StoreService>()("effect-lmdb/Store") {
  /** Opens a store until the scope closes. Fails with `OpenFailed`, whose `reason` says why. */
  static readonly make: (options: StoreOptions) => Effect.Effect<StoreService, OpenFailed, Scope.Scope> = make

  /** The same on the engine of the context, in place of LMDB. */
  static readonly makeWithEngine: (
    options: StoreOptions
  ) => Effect.Effect<StoreService, OpenFailed, Engine | Scope.Scope> = makeWithEngine

  /**
   * The same on a backend, in place of LMDB. The effect makes the backend in the scope of the store, which closes it.
   * A backend belongs to one store: to share the store, share its layer.
   */
  static readonly makeWithBackend = makeWithBackend

  /** Provides a store. */
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
   * Provides a store with options from configuration. A value that is there and empty is not taken
   * for one that is missing: an empty encryption key must not open a store without encryption.
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

  /** Provides a store in a temporary folder that is removed with its scope, for tests. */
  static readonly layerTemp = (options?: Omit<StoreOptions, "path" | "subdirectory">): Layer.Layer<Store, OpenFailed> =>
    Layer.effect(Store, Effect.flatMap(temporaryFolder, (path) => make({ ...options, path })))

  /**
   * Turns errors of the infrastructure (`StoreError`) into defects, and leaves the application's errors:
   * `KeyNotFound`, `KeyExists`, `UniqueViolation`, `TransactionConflict`, and all that are not of the store.
   *
   * **Details**
   *
   * It is a step of `pipe` and of `Effect.fn`. One at the border of a service is enough: the methods of
   * the service then have only errors that a caller acts on. The defect is the error itself, with its fields.
   *
   * **Example** (A service without errors of the infrastructure)
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

  /** Does for a stream what `orDie` does for an effect. */
  static readonly orDieStream: <A, E, R>(
    self: Stream.Stream<A, E, R>
  ) => Stream.Stream<A, Exclude<E, StoreError>, R> = orDieStream
}

const temporaryFolder: Effect.Effect<string, OpenFailed, Scope.Scope> = FileSystem.FileSystem.pipe(
  Effect.flatMap((fs) => fs.makeTempDirectoryScoped({ prefix: "effect-lmdb-" })),
  Effect.mapError((cause) =>
    new OpenFailed({ reason: { _tag: "Engine", detail: "no temporary folder could be made" }, path: "", cause })
  ),
  Effect.provide(NodeFileSystem.layer)
)
