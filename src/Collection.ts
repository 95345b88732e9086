/**
 * Opens collections: named parts of a store whose keys and values have schemas.
 *
 * Keys are in the order of their values, not of their text: numbers by size, dates by time, tuples by their elements.
 * Secondary indexes find the records by other keys. A record and its index entries are committed together.
 *
 * **Example** (Users by name, by e-mail and by age)
 *
 * ```ts
 * import { Console, Effect, Layer, Schema, Stream } from "effect"
 * import { Collection, Store } from "effect-lmdb"
 *
 * class User extends Schema.Class<User>("User")({
 *   name: Schema.NonEmptyString,
 *   email: Schema.String,
 *   age: Schema.Int
 * }) {}
 *
 * class Users extends Collection.Service<Users>()("users", {
 *   key: Schema.Int,
 *   value: User,
 *   indexes: {
 *     byEmail: { key: Schema.String, of: (user) => user.email, unique: true },
 *     byAge: { key: Schema.Int, of: (user) => user.age }
 *   }
 * }) {}
 *
 * const program = Effect.gen(function*() {
 *   const users = yield* Users
 *   yield* users.insert(1, new User({ name: "Ada", email: "ada@example.com", age: 36 }))
 *   yield* users.insert(2, new User({ name: "Alan", email: "alan@example.com", age: 41 }))
 *   const thirties = users.indexes.byAge.values({ gte: 30, lt: 40 })
 *   yield* Stream.runForEach(thirties, (user) => Console.log(user.name)) // => Ada
 * })
 *
 * const UsersLive = Users.layer.pipe(Layer.provide(Store.layer({ path: "./data" })))
 *
 * Effect.runPromise(Effect.provide(program, UsersLive))
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CollectionFailed } from "./CollectionError.ts"
import type { CollectionOptions, ValueSchema } from "./CollectionOptions.ts"
import type { Collection, MaintenanceServices } from "./CollectionService.ts"
import * as BatchWrites from "./internal/collection/batchWrites.ts"
import * as CollectionDefinition from "./internal/collection/collectionDefinition.ts"
import * as CollectionMethods from "./internal/collection/collectionMethods.ts"
import * as CollectionOpen from "./internal/collection/collectionOpen.ts"
import * as CollectionVerify from "./internal/collection/collectionVerify.ts"
import * as CollectionWriter from "./internal/collection/collectionWriter.ts"
import * as IndexMaintainer from "./internal/collection/indexMaintainer.ts"
import * as IndexReads from "./internal/collection/indexReads.ts"
import * as IndexRepair from "./internal/collection/indexRepair.ts"

import * as Maintenance from "./internal/collection/maintenance.ts"
import { storedSchema } from "./internal/collection/typedValueCodec.ts"
import { withSpan } from "./internal/privateSpan.ts"
import * as StoreInternals from "./internal/store/storeInternals.ts"
import * as Transaction from "./internal/transaction/transaction.ts"
import type { KeySchema } from "./KeySchema.ts"
import { Store } from "./Store.ts"
import type { Closed, EngineFailure, KeyEncoding, MapFull, ReadOnly, TransactionConflict } from "./StoreError.ts"

export * from "./CollectionChanges.ts"
export * from "./CollectionIndex.ts"
export * from "./CollectionModify.ts"
export * from "./CollectionOptions.ts"
export * from "./CollectionRange.ts"
export * from "./CollectionService.ts"

/**
 * Lists the errors of opening a collection.
 *
 * @category errors
 * @since 0.1.0
 */
export type OpenError = CollectionFailed | ReadOnly | Closed | MapFull | EngineFailure | TransactionConflict

/** The `indexes` of a collection without indexes: no index can have the name "". */
type NoIndexes = Record<"", never>

type NoMigrations = Record<number, never>

/**
 * Opens a collection on the store of the context. Migrates stored records to the given version, and builds missing
 * indexes.
 *
 * **Details**
 *
 * Collections with the same name are the same collection. A collection needs no closing: it lives as long as its store.
 *
 * Fails with `CollectionFailed` if the definition is not valid or what is stored does not fit it; `reason` says why. The
 * other errors are those of the store, which reads the catalog, and of the transactions that migrate records and build
 * indexes.
 *
 * **Gotchas**
 *
 * If the collection is opened again with another version, other schemas or other indexes, the earlier one can no longer
 * write or read its indexes (`Closed`). If another process does that, this process notices it at its next commit. Its
 * pending writes to the collection are lost then. The log says so, and the next `flush` or `put` fails with
 * `EngineFailure`. Until then, this process may read records that the other process has migrated already. So do not run
 * a program of an older version together with a newer one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*<
    K extends KeySchema,
    V extends ValueSchema,
    const I extends Record<string, KeySchema> = NoIndexes,
    R extends Record<number, unknown> = NoMigrations
  >(
    name: string,
    options: CollectionOptions<K, V, I, R>
  ): Effect.fn.Return<
    Collection<K, V, I>,
    OpenError,
    Store | R[keyof R] | MaintenanceServices<K, V, I>
  > {
    const internals = StoreInternals.of(yield* Store)
    const { access } = internals
    const { core } = access.handle
    const services = yield* Effect.context<MaintenanceServices<K, V, I>>()
    const withoutSlots = yield* CollectionDefinition.make(name, options, access.handle)
    const maintain = (made: CollectionDefinition.Definition<K, V, I>) =>
      Maintenance.make(
        internals,
        made,
        options,
        (indexes) => CollectionDefinition.withSlots(made, indexes).signature
      )
    const slots = yield* CollectionOpen.open(maintain(withoutSlots))
    const definition = CollectionDefinition.withSlots(withoutSlots, slots)
    const maintainer = IndexMaintainer.make(definition)
    core.shownKeys.set(definition.database, (key) => `${name}: ${definition.key.show(key)}`)
    if (definition.indexes.size > 0) {
      core.backend.checks.entryDeletions.set(
        definition.database,
        (present, key, write) => IndexMaintainer.entryDeletions(maintainer, present, key, write)
      )
    }
    const writer = CollectionWriter.make(internals, definition, maintainer, services)
    const deleteKeys = BatchWrites.deleteKeys(writer)
    const indexes = Object.fromEntries(
      Array.from(
        definition.indexes.values(),
        (index) => [index.name, IndexReads.make(definition, index, access, deleteKeys)]
      )
    )
    const isAll = (made: object): made is Collection<K, V, I>["indexes"] =>
      Object.keys(options.indexes ?? {}).every((index) => index in made)
    if (!isAll(indexes)) return yield* Effect.die("bug: an index of the collection was not made")
    return {
      name,
      indexes,
      ...CollectionMethods.make(writer),
      rebuildIndexes: Transaction.outside(core, IndexRepair.repair(maintain(definition))),
      verify: CollectionVerify.make(internals, definition)
    }
  },
  (effect, name) => withSpan(effect, "Collection.open", { collection: name })
)

/**
 * Returns the schema of the stored form of values. Migrations read and return values in this form.
 *
 * **Details**
 *
 * It is the schema itself if its encoded side contains no classes except `Date`, `Error`, `Map`, `Set`, `RegExp` and
 * `Uint8Array`. With other classes, such as `Option` or `DateTime`, the whole value is stored in the form of
 * `Schema.toCodecJson`, dates as text.
 *
 * @category migrations
 * @since 0.1.0
 */
export const stored: <S extends ValueSchema>(schema: S) => S | Schema.toCodecJson<S> = storedSchema

/**
 * Describes the class of a collection as a service.
 *
 * @category services
 * @since 0.1.0
 */
export interface ServiceClass<
  Self,
  Name extends string,
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>,
  R extends Record<number, unknown>
> extends Context.ServiceClass<Self, `effect-lmdb/Collection/${Name}`, Collection<K, V, I>> {
  /** Opens the collection on the store of the context. */
  readonly layer: Layer.Layer<Self, OpenError, Store | R[keyof R] | MaintenanceServices<K, V, I>>
  /** The name and the options of the collection. Tools read its schemas here. */
  readonly definition: CollectionOptions<K, V, I, R> & { readonly name: Name }
}

/**
 * Makes a service of a collection, with a layer that opens it.
 *
 * @category services
 * @since 0.1.0
 */
export const Service = <Self>() =>
<
  const Name extends string,
  K extends KeySchema,
  V extends ValueSchema,
  const I extends Record<string, KeySchema> = NoIndexes,
  R extends Record<number, unknown> = NoMigrations
>(
  name: Name,
  options: CollectionOptions<K, V, I, R>
): ServiceClass<Self, Name, K, V, I, R> => {
  const Base = Context.Service<Self, Collection<K, V, I>>()(`effect-lmdb/Collection/${name}`)
  return Object.assign(Base, { layer: Layer.effect(Base, make(name, options)), definition: { ...options, name } })
}

/**
 * Invalidates the queries of `Reactivity` when a collection changes, in the background until the scope closes. The key
 * is the name of the collection, with the keys of the changed records.
 *
 * **Details**
 *
 * A query over the whole collection registers for `["users"]`, a query of one record for `{ users: [1] }`. Queries run
 * again after the commit, not after the call that writes. If changes were missed, all queries of the collection run
 * again.
 *
 * @category reactivity
 * @since 0.1.0
 */
export const invalidateOnChange = Effect.fnUntraced(
  function*<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
    collection: Collection<K, V, I>
  ): Effect.fn.Return<
    void,
    never,
    Reactivity.Reactivity | Scope.Scope | K["DecodingServices"] | V["DecodingServices"]
  > {
    const reactivity = yield* Reactivity.Reactivity
    const tell: Effect.Effect<void, KeyEncoding | Closed, K["DecodingServices"] | V["DecodingServices"]> = Stream
      .runForEachArray(collection.changes(), (changes) => {
        const isCleared = changes.some(({ _tag }) => _tag === "Clear")
        const keys = changes.flatMap((change) => change._tag === "Clear" ? [] : [change.key])
        return reactivity.invalidate(isCleared ? [collection.name] : { [collection.name]: keys })
      }).pipe(
        Effect.catchTag("ChangesMissed", () => Effect.andThen(reactivity.invalidate([collection.name]), tell))
      )
    yield* Effect.forkScoped(
      Effect.catch(
        tell,
        // Log only the tag: the message of the error contains a key.
        ({ _tag }) =>
          Effect.logError(`Reactivity is no longer told about changes of the collection "${collection.name}": ${_tag}`)
      ),
      { startImmediately: true }
    )
  }
)
