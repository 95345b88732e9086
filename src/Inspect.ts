/**
 * Looks into a store without the schemas of the program that wrote it: its namespaces, collections and indexes, and its
 * records in their stored form.
 *
 * It is the subpath `effect-lmdb/Inspect`. The command line `effect-lmdb` is built on it.
 *
 * **Details**
 *
 * - The keys of a collection are decoded by their kind, which their bytes name. A key is in its encoded form: a number for
 *   `Schema.Int`, text for `Schema.NumberFromString`. The elements of a tuple are decoded likewise.
 * - Values are in their stored form: what `Collection.stored` describes.
 * - Open the store with `readOnly: true`. It can then be open in another process, also for writing.
 *
 * **Example** (What is in a store?)
 *
 * ```ts
 * import { Console, Effect, Schema, Stream } from "effect"
 * import { Collection, Store } from "effect-lmdb"
 * import * as Inspect from "effect-lmdb/Inspect"
 *
 * const program = Effect.gen(function*() {
 *   const users = yield* Collection.make("users", { key: Schema.Int, value: Schema.Struct({ name: Schema.String }) })
 *   yield* users.put(1, { name: "Ada" })
 *
 *   const { collections } = yield* Inspect.contents
 *   for (const { keyKinds, name, records } of collections) yield* Console.log(name, records, keyKinds) // => users 1 [ 'number' ]
 *
 *   const found = Inspect.records(Inspect.collection("users"))
 *   yield* Stream.runForEach(found, ({ key, value }) => Console.log(key, value._tag)) // => 1 Success
 * })
 *
 * Effect.runPromise(Effect.provide(program, Store.layer({ path: "./data" })))
 * ```
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { EngineReaders } from "./Engine.ts"
import * as InspectContents from "./internal/inspect/contents.ts"
import * as InspectPlace from "./internal/inspect/place.ts"
import * as StoredProblems from "./internal/inspect/storedProblems.ts"
import * as StoredRecords from "./internal/inspect/storedRecords.ts"
import * as StoredWrites from "./internal/inspect/storedWrites.ts"
import * as StoreInternals from "./internal/store/storeInternals.ts"
import type { OrderedKey } from "./KeySchema.ts"
import { Store } from "./Store.ts"
import type { Closed, EngineFailure, KeyEncoding, MapFull, ReadOnly, ValueEncoding } from "./StoreError.ts"
import type {
  Contents,
  NeedsSchema,
  NotInStore,
  Place,
  StoredEntry,
  StoredProblem,
  StoredRange,
  StoredRecord,
  StoreState
} from "./StoreInspection.ts"

export * from "./StoreInspection.ts"
export * from "./TaggedJson.ts"
export * from "./Transfer.ts"

/**
 * The records of the store itself.
 *
 * @category places
 * @since 0.2.0
 */
export const own: Place = { _tag: "Store" }

/**
 * The records of a namespace.
 *
 * @category places
 * @since 0.2.0
 */
export const namespace = (name: string): Place => ({ _tag: "Namespace", name })

/**
 * The records of a collection.
 *
 * @category places
 * @since 0.2.0
 */
export const collection = (name: string): Place => ({ _tag: "Collection", name })

const withInternals = <A, E>(
  use: (internals: StoreInternals.StoreInternals) => Effect.Effect<A, E>
): Effect.Effect<A, E, Store> => Effect.flatMap(Store, (store) => use(StoreInternals.of(store)))

const withAccess = <A, E>(
  use: (access: StoreInternals.StoreInternals["access"]) => Effect.Effect<A, E>
): Effect.Effect<A, E, Store> => Effect.flatMap(Store, (store) => use(StoreInternals.of(store).access))

const streamWithAccess = <A, E>(
  use: (access: StoreInternals.StoreInternals["access"]) => Stream.Stream<A, E>
): Stream.Stream<A, E, Store> => Stream.unwrap(Effect.map(Store, (store) => use(StoreInternals.of(store).access)))

/**
 * Lists what the store contains, all of one moment.
 *
 * @category reading
 * @since 0.2.0
 */
export const contents: Effect.Effect<Contents, Closed | EngineFailure, Store> = withAccess(InspectContents.read)

/**
 * Reads a record. Returns `none` if the key has no value.
 *
 * @category reading
 * @since 0.2.0
 */
export const get = (
  place: Place,
  key: OrderedKey
): Effect.Effect<Option.Option<StoredRecord>, NotInStore | KeyEncoding | Closed | EngineFailure, Store> =>
  withAccess((access) =>
    Effect.andThen(InspectContents.checkPlace(access, place), StoredRecords.get(access, place, key))
  )

/**
 * Streams the records of a place in the order of their keys. Default: all of them. It reads a snapshot.
 *
 * @category reading
 * @since 0.2.0
 */
export const records = (
  place: Place,
  range: StoredRange = {}
): Stream.Stream<StoredRecord, NotInStore | KeyEncoding | Closed | EngineFailure, Store> =>
  streamWithAccess((access) =>
    Stream.unwrap(Effect.as(InspectContents.checkPlace(access, place), StoredRecords.records(access, place, range)))
  )

/**
 * Counts the records of a range.
 *
 * @category reading
 * @since 0.2.0
 */
export const count = (
  place: Place,
  range: StoredRange = {}
): Effect.Effect<number, NotInStore | KeyEncoding | Closed | EngineFailure, Store> =>
  Stream.runCount(records(place, { ...range, values: false }))

/**
 * Streams the entries of an index in the order of their keys, with their records. The bounds of the range are index keys.
 *
 * @category reading
 * @since 0.2.0
 */
export const entries = (
  collectionName: string,
  indexName: string,
  range: StoredRange = {}
): Stream.Stream<StoredEntry, NotInStore | KeyEncoding | Closed | EngineFailure, Store> =>
  streamWithAccess((access) =>
    Stream.unwrap(
      Effect.map(
        InspectContents.findIndex(access, collectionName, indexName),
        (found) => StoredRecords.entries(access, found, range)
      )
    )
  )

/**
 * Puts a record in its stored form. It is on disk when the call returns. Returns `false` if nothing was put, because
 * `ifAbsent` is set and the key has a value.
 *
 * **Details**
 *
 * Nothing checks that the value is one of the schema of the collection. A collection with indexes refuses it
 * (`NeedsSchema`): open the collection with its schemas, and use its `put`.
 *
 * @category writing
 * @since 0.2.0
 */
export const put = (
  place: Place,
  key: OrderedKey,
  value: unknown,
  options: { readonly ifAbsent?: boolean | undefined } = {}
): Effect.Effect<
  boolean,
  NotInStore | NeedsSchema | KeyEncoding | ValueEncoding | ReadOnly | Closed | MapFull | EngineFailure,
  Store
> =>
  withInternals((internals) =>
    Effect.andThen(
      InspectContents.checkPlace(internals.access, place),
      StoredWrites.put(internals, place, key, value, options.ifAbsent === true)
    )
  )

/**
 * Deletes records with their index entries, in one transaction, without the schemas of the collection. Returns how many of
 * the keys had a value. The deletions are on disk when the call returns.
 *
 * @category writing
 * @since 0.2.0
 */
export const remove = (
  place: Place,
  keys: ReadonlyArray<OrderedKey>
): Effect.Effect<
  number,
  NotInStore | NeedsSchema | KeyEncoding | ReadOnly | Closed | MapFull | EngineFailure,
  Store
> =>
  withInternals((internals) =>
    Effect.andThen(
      InspectContents.checkPlace(internals.access, place),
      StoredWrites.remove(internals, place, keys)
    )
  )

/**
 * Reads the size and the state of the store.
 *
 * @category reading
 * @since 0.2.0
 */
export const state: Effect.Effect<StoreState, Closed | EngineFailure, Store> = withAccess(InspectContents.readState)

/**
 * Verifies all records and indexes: whether keys and values decode, and whether records and indexes agree. Returns the
 * problems. It reads one moment of the store.
 *
 * **Details**
 *
 * The schemas of the program are not needed. `verify` of a collection also decodes by the schemas, and computes the index keys
 * again. To check the pages of the file, open the store with `verify: true`.
 *
 * @category reading
 * @since 0.2.0
 */
export const verify: Effect.Effect<ReadonlyArray<StoredProblem>, Closed | EngineFailure, Store> = withAccess(
  StoredProblems.find
)

/**
 * Lists the other processes that have the store open, and the slots for read transactions. On PostgreSQL, both lists are
 * empty.
 *
 * @category reading
 * @since 0.2.0
 */
export const readers: Effect.Effect<EngineReaders, Closed | EngineFailure, Store> = withAccess(
  InspectContents.readReaders
)

/**
 * Frees the slots of processes that have ended without closing the store. Returns their number.
 *
 * @category writing
 * @since 0.2.0
 */
export const clearReaders: Effect.Effect<number, Closed | EngineFailure, Store> = withAccess(
  InspectContents.clearReaders
)

/**
 * Names a place as a message does, such as `the collection "users"`.
 *
 * @category formatting
 * @since 0.2.0
 */
export const show: (place: Place) => string = InspectPlace.show
