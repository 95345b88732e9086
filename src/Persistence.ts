/**
 * Keeps the results of Effect's `Persistence` in a store.
 *
 * It is the subpath `effect-lmdb/Persistence`. `layer` provides `Persistence`, on which `PersistedCache` and
 * `RequestResolver.persisted` work. `layerBacking` provides `BackingPersistence`, which `Chat.layerPersisted` needs.
 *
 * **Details**
 *
 * - `set` and `remove` are buffered: visible at once, on disk after the next commit. With the option `durable` they are
 *   on disk when they return. `setMany` writes all entries or none, and `clear` deletes those of its store id only. Both
 *   are one transaction, always on disk when they return.
 * - An entry has expired when its time to live has passed by the `Clock` of the store (`expires <= now`). The store
 *   deletes expired entries in the background, whether the cache is used or not.
 * - Ids of stores and keys are any strings, also those that are too long for a key of a collection.
 * - Inside `withTransaction` of the store, the calls belong to the transaction.
 * - Every failure is a `PersistenceError`. Its `cause` is the error of the store.
 *
 * **Example** (A cache that survives a restart)
 *
 * ```ts
 * import { Console, Effect, Layer, Schema } from "effect"
 * import { Store } from "effect-lmdb"
 * import * as LmdbPersistence from "effect-lmdb/Persistence"
 * import { Persistable, PersistedCache } from "effect/persistence"
 *
 * class GetUser extends Persistable.Class<{ payload: { id: number } }>()("GetUser", {
 *   primaryKey: ({ id }) => String(id),
 *   success: Schema.Struct({ name: Schema.String })
 * }) {}
 *
 * const program = Effect.gen(function*() {
 *   const users = yield* PersistedCache.make(
 *     (request: GetUser) => Effect.as(Console.log("looking up", request.id), { name: "Ada" }),
 *     { storeId: "users", timeToLive: () => "1 hour" }
 *   )
 *   yield* users.get(new GetUser({ id: 1 })) // => looking up 1
 *   const user = yield* users.get(new GetUser({ id: 1 }))
 *   yield* Console.log(user.name) // => Ada
 * })
 *
 * const Live = LmdbPersistence.layer().pipe(Layer.provide(Store.layerTemp()))
 *
 * Effect.runPromise(Effect.provide(Effect.scoped(program), Live))
 * ```
 *
 * @since 0.2.0
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Persistence from "effect/persistence/Persistence"
import type { OpenError } from "./Collection.ts"
import * as Damage from "./internal/ports/damage.ts"
import { ownLayer } from "./internal/ports/ownLayer.ts"
import * as PersistedResults from "./internal/ports/persistedResults.ts"
import { replaceErrors, replaceErrorsOfBuffered } from "./internal/ports/portError.ts"
import type { Store } from "./Store.ts"
import type { ValueDecoding } from "./StoreError.ts"

/**
 * Options of `BackingPersistence` in a store.
 *
 * @category options
 * @since 0.2.0
 */
export interface PersistenceOptions {
  /** Whether `set` and `remove` are on disk when they return. Default: `false`, they are buffered. */
  readonly durable?: boolean | undefined
}

const errorOf = (doing: string) => (cause: Error) =>
  new Persistence.PersistenceError({ message: `Could not ${doing}: ${cause.message}`, cause })

const call = (doing: string) => replaceErrors(errorOf(doing))

const bufferedCall = (doing: string) => replaceErrorsOfBuffered(errorOf(doing))

/** What the stores of a layer have in common. */
interface Backing {
  readonly results: PersistedResults.PersistedResults
  readonly options: PersistenceOptions
  readonly damage: Damage.Damage
  /** Whether `get` gives `undefined` for a damaged entry: it can be computed again. */
  readonly isCache: boolean
}

const makeStore = (
  { damage, isCache, options, results }: Backing,
  storeId: string
): Persistence.BackingPersistenceStore => {
  const writeOptions = (options.durable ?? false) ? { durable: options.durable } : undefined
  const writeCall = options.durable === true ? call : bufferedCall
  const keyOf = (key: string) => PersistedResults.keyOf(storeId, key)

  const get = (key: string) => Effect.map(results.get(keyOf(key)), (found) => Option.getOrUndefined(found)?.value)

  const undefinedFor = (error: ValueDecoding) =>
    Effect.as(Damage.report(damage, error, "A persisted value is damaged and is taken for missing"), undefined)

  const getIfSound = (key: string) => Effect.catchTag(get(key), "ValueDecoding", undefinedFor)

  const getMany = (keys: Arr.NonEmptyArray<string>) => {
    const stored = Arr.map(keys, keyOf)
    return Effect.map(results.getMany(stored), ({ found }) => Arr.map(stored, (key) => found.get(key)?.value)).pipe(
      // One entry does not decode: the others are read without it.
      Effect.catchTag("ValueDecoding", () => Effect.forEach(keys, getIfSound))
    )
  }

  return {
    get: (key) => (isCache ? getIfSound(key) : get(key)).pipe(bufferedCall("read a persisted value")),
    getMany: (keys) => getMany(keys).pipe(bufferedCall("read persisted values")),
    set: (key, value, ttl) =>
      results.put(keyOf(key), PersistedResults.recordOf(storeId, key, value, ttl), writeOptions).pipe(
        writeCall("persist a value")
      ),
    setMany: (entries) =>
      results.putMany(
        entries.map(([key, value, ttl]) => [keyOf(key), PersistedResults.recordOf(storeId, key, value, ttl)])
      ).pipe(call("persist values")),
    remove: (key) => results.delete(keyOf(key), writeOptions).pipe(writeCall("remove a persisted value")),
    clear: results.deleteRange({ prefix: [keyOf("")[0]] }).pipe(Effect.asVoid, call("clear persisted values"))
  }
}

const make = (options: PersistenceOptions, isCache: boolean) =>
  Effect.map(PersistedResults.open, (results) => {
    const backing: Backing = { results, options, isCache, damage: Damage.make() }
    return Persistence.BackingPersistence.of({ make: (storeId) => Effect.succeed(makeStore(backing, storeId)) })
  })

/**
 * Makes `BackingPersistence` in the store of the context. Fails if its collection cannot be opened.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeBacking = (
  options: PersistenceOptions = {}
): Effect.Effect<Persistence.BackingPersistence["Service"], OpenError, Store> => make(options, false)

/**
 * Provides `BackingPersistence` in the store of the context: for `Chat.layerPersisted`, and for programs that keep JSON
 * values themselves.
 *
 * **Example** (Chats that are on disk after each turn)
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Store } from "effect-lmdb"
 * import * as LmdbPersistence from "effect-lmdb/Persistence"
 * import { Chat } from "effect/ai"
 *
 * export const Chats = Chat.layerPersisted({ storeId: "chats" }).pipe(
 *   Layer.provide(LmdbPersistence.layerBacking({ durable: true })),
 *   Layer.provide(Store.layer({ path: "./data" }))
 * )
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layerBacking = (
  options?: PersistenceOptions
): Layer.Layer<Persistence.BackingPersistence, OpenError, Store> =>
  Layer.effect(Persistence.BackingPersistence, makeBacking(options))

/**
 * Provides `Persistence` in the store of the context: for `PersistedCache` and `RequestResolver.persisted`.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (options?: PersistenceOptions): Layer.Layer<Persistence.Persistence, OpenError, Store> =>
  ownLayer(
    Layer.provide(Persistence.layer, Layer.effect(Persistence.BackingPersistence, make(options ?? {}, true)))
  )
