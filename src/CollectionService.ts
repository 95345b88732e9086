/**
 * Defines the methods of a collection.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { PollOptions, WatchEvent } from "./Change.ts"
import type { ReadChanges } from "./CollectionChanges.ts"
import type { DuplicateKeys, KeyExists, UniqueViolation } from "./CollectionError.ts"
import type { CollectionIndex } from "./CollectionIndex.ts"
import type { ModifyMethods } from "./CollectionModify.ts"
import type { ValueInput, ValueSchema } from "./CollectionOptions.ts"
import type {
  CollectValues,
  DeleteRange,
  PageItem,
  RangeOf,
  ReadEntries,
  ReadError,
  ReadOne,
  ReadPage,
  ReadValues
} from "./CollectionRange.ts"
import type { ListOf } from "./Entries.ts"
import type { KeySchema } from "./KeySchema.ts"
import type { WatchRange } from "./Range.ts"
import type {
  Closed,
  EngineFailure,
  KeyEncoding,
  KeyNotFound,
  MapFull,
  ReadOnly,
  TransactionConflict,
  ValueDecoding,
  ValueEncoding
} from "./StoreError.ts"
import type { WriteOptions } from "./WriteOptions.ts"

/**
 * Lists the errors of every method that stores values. Collections with indexes add `UniqueViolation`.
 *
 * @category errors
 * @since 0.1.0
 */
export type WriteError<Key = unknown> = KeyEncoding | ValueEncoding<Key> | ReadOnly | Closed | MapFull | EngineFailure

/**
 * Lists the `UniqueViolation` errors of a collection: another record has the same key in a unique index. It is a union
 * with one type for each index, so a test of `index` narrows it. For a collection without indexes it is `never`.
 *
 * @category errors
 * @since 0.1.0
 */
export type UniqueViolationOf<K extends KeySchema, I extends Record<string, KeySchema>> = {
  readonly [N in IndexName<I>]: UniqueViolation<K["Type"], N, I[N]["Type"]>
}[IndexName<I>]

/** The names of the indexes. The type of a collection without indexes has the name "", which no index can have. */
type IndexName<I> = Exclude<keyof I & string, "">

/** The range of a live query: `watchRange` has no `reverse`, `offset` or `limit`. */
type WatchedRangeOf<K extends KeySchema> =
  & Pick<RangeOf<K>, "prefix" | "equals" | "gt" | "gte" | "lt" | "lte">
  & Pick<WatchRange, "capacity" | "pollInterval">

/**
 * Describes a problem of a record or of an index entry that `verify` has found.
 *
 * **Details**
 *
 * - `Undecodable`: the key or the value of a record does not decode. `detail` says why.
 * - `MissingEntry`: an index lacks the entry of a record.
 * - `StrayEntry`: an index entry refers to no record, or its record does not have this index key.
 *
 * @category models
 * @since 0.1.0
 */
export type Problem =
  | { readonly _tag: "Undecodable"; readonly key: string; readonly detail: string }
  | { readonly _tag: "MissingEntry"; readonly key: string; readonly index: string; readonly indexKey: string }
  | { readonly _tag: "StrayEntry"; readonly key: string; readonly index: string; readonly indexKey: string }

/**
 * Reads and writes the records of a collection: a named part of a store, typed by schemas.
 *
 * **Details**
 *
 * The schemas encode and decode all keys and values. Keys are in the order of their values: numbers by size, dates by
 * time, tuples by their elements. All reads include pending writes. Inside `withTransaction`, reads and writes belong to
 * the transaction. A record and its index entries are always committed together.
 *
 * Writes of single records are buffered: visible to all fibers when the call returns, durable after the next commit. As
 * in the store, a buffered write can fail with the `MapFull` or `EngineFailure` of an earlier commit. It has stored
 * nothing then.
 *
 * With the option `shared` of the store, the commit decides `insert`, `update`, `deleteOrFail` and all writes to a
 * collection with a unique index. These calls are exact across processes, and durable when they return.
 *
 * Each method fails with the errors in its type:
 *
 * - `KeyEncoding`: a key, range, option or list is not valid, or a stored key does not decode.
 * - `ValueEncoding`: the schema does not encode the value. Nothing was stored.
 * - `ValueDecoding`: a stored value is damaged, or the schema does not decode it.
 * - `UniqueViolation`: another record has the same key in a unique index. Nothing was written.
 * - `KeyExists`: `insert` or `insertMany` has found a value under a key. Nothing was written.
 * - `KeyNotFound`: `getOrFail`, `deleteOrFail`, `updateOrFail` or `patch` has found no value under the key.
 * - `InvalidCursor`: `after` is not a cursor that `page` has returned for this range.
 * - `ReadOnly`: a write to a store that was opened with `readOnly`.
 * - `Closed`: the store or the transaction has ended, or another definition has opened the collection.
 * - `MapFull`: a commit does not fit into `maxMapSize`, or `resize` allows no more growth.
 * - `TransactionConflict`: a transaction of the call was still in conflict when the schedule `transactionRetry` of the
 *   store ended.
 * - `EngineFailure`: LMDB or the file system has failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Collection<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>
  extends ModifyMethods<K, V, WriteError<K["Type"]> | UniqueViolationOf<K, I>, WriteServices<K, V, I>>
{
  /** The name of the collection. */
  readonly name: string

  /** The secondary indexes, by their names. */
  readonly indexes: { readonly [N in keyof I]: CollectionIndex<I[N], K, V> }

  /** Reads a value. Returns `none` if the key has no value. */
  readonly get: (
    key: K["Type"]
  ) => Effect.Effect<
    Option.Option<V["Type"]>,
    ReadError | ValueDecoding<K["Type"]>,
    K["EncodingServices"] | V["DecodingServices"]
  >

  /** Reads a value. Fails with `KeyNotFound` if the key has no value. */
  readonly getOrFail: (
    key: K["Type"]
  ) => Effect.Effect<
    V["Type"],
    ReadError | ValueDecoding<K["Type"]> | KeyNotFound<K["Type"]>,
    K["EncodingServices"] | V["DecodingServices"]
  >

  /** Tells whether a key has a value. */
  readonly has: (key: K["Type"]) => Effect.Effect<boolean, ReadError, K["EncodingServices"]>

  /**
   * Reads many values, all from the same state. The keys of `found` are those of the caller; `missing` has the keys
   * without a value.
   */
  readonly getMany: (
    keys: ListOf<K["Type"]>
  ) => Effect.Effect<
    { readonly found: ReadonlyMap<K["Type"], V["Type"]>; readonly missing: ReadonlyArray<K["Type"]> },
    ReadError | ValueDecoding<K["Type"]>,
    K["EncodingServices"] | V["DecodingServices"]
  >

  /**
   * Stores a value under a key. Buffered: visible to all fibers when it returns, durable after the next commit. With
   * `{ durable: true }` it is visible at its commit and durable when it returns.
   *
   * **Details**
   *
   * If the schema is a class, the value can also be a plain object that its `make` accepts (`ValueInput`):
   * `users.put(1, { name: "Ada" })`.
   */
  readonly put: (
    key: K["Type"],
    value: ValueInput<V>,
    options?: WriteOptions
  ) => Effect.Effect<void, WriteError<K["Type"]> | UniqueViolationOf<K, I>, WriteServices<K, V, I>>

  /** Stores a value under a new key. Fails with `KeyExists` if the key has a value. Buffered like a put. */
  readonly insert: (
    key: K["Type"],
    value: ValueInput<V>,
    options?: WriteOptions
  ) => Effect.Effect<
    void,
    WriteError<K["Type"]> | UniqueViolationOf<K, I> | KeyExists<K["Type"]>,
    WriteServices<K, V, I>
  >

  /**
   * Replaces a value by the result of a function of it, and returns the new value. `none` deletes. Buffered like a put.
   *
   * **Details**
   *
   * No other fiber of this process writes the key between the read and the write. If `f` returns `current` itself, the
   * same `Option`, nothing is written. `Option.map` makes a new one.
   *
   * **Gotchas**
   *
   * `f` can be called more than once, for example after a conflict with `{ durable: true }`. Only its last result
   * counts. With `shared`, other processes cannot commit while it runs again.
   */
  readonly update: (
    key: K["Type"],
    f: (current: Option.Option<V["Type"]>) => Option.Option<ValueInput<V>>,
    options?: WriteOptions
  ) => Effect.Effect<
    Option.Option<V["Type"]>,
    WriteError<K["Type"]> | UniqueViolationOf<K, I> | ValueDecoding<K["Type"]>,
    WriteServices<K, V, I> | V["DecodingServices"]
  >

  /** Deletes a value. Succeeds if the key has no value. Buffered like a put. */
  readonly delete: (
    key: K["Type"],
    options?: WriteOptions
  ) => Effect.Effect<void, KeyEncoding | ReadOnly | Closed | MapFull | EngineFailure, K["EncodingServices"]>

  /** Deletes a value. Fails with `KeyNotFound` if the key has no value. Buffered like a put. */
  readonly deleteOrFail: (
    key: K["Type"],
    options?: WriteOptions
  ) => Effect.Effect<
    void,
    KeyEncoding | KeyNotFound<K["Type"]> | ReadOnly | Closed | MapFull | EngineFailure,
    K["EncodingServices"]
  >

  /**
   * Stores many values in one transaction: all of them or none. Visible and durable when it returns.
   *
   * **Details**
   *
   * If a key occurs more than once, its last value is stored. Unique indexes are checked after each value, in the order
   * of the values.
   */
  readonly putMany: (
    entries: Iterable<readonly [K["Type"], ValueInput<V>]>
  ) => Effect.Effect<
    void,
    WriteError<K["Type"]> | UniqueViolationOf<K, I> | TransactionConflict,
    WriteServices<K, V, I>
  >

  /** Deletes many values in one transaction: all of them or none. Visible and durable when it returns. */
  readonly deleteMany: (
    keys: ListOf<K["Type"]>
  ) => Effect.Effect<
    void,
    KeyEncoding | ReadOnly | Closed | MapFull | EngineFailure | TransactionConflict,
    K["EncodingServices"]
  >

  /** Streams the keys of a range, in their order. Reads from a snapshot as `keys` of the store does. */
  readonly keys: (
    range?: RangeOf<K>
  ) => Stream.Stream<K["Type"], ReadError, K["EncodingServices"] | K["DecodingServices"]>

  /** Streams the values of a range, in the order of their keys. Reads from a snapshot as `keys` does. */
  readonly values: ReadValues<K, V, K["EncodingServices"] | V["DecodingServices"]>

  /** Streams the keys and values of a range, in the order of the keys. Reads from a snapshot as `keys` does. */
  readonly entries: ReadEntries<
    K["Type"],
    K,
    V,
    K["EncodingServices"] | K["DecodingServices"] | V["DecodingServices"]
  >

  /** Reads the values of a range into an array, in the order of their keys. */
  readonly collect: CollectValues<K, V, K["EncodingServices"] | V["DecodingServices"]>

  /** Reads a page of a range, in the order of the keys. */
  readonly page: ReadPage<
    K,
    PageItem<K["Type"], V["Type"]>,
    K["EncodingServices"] | K["DecodingServices"] | V["DecodingServices"]
  >

  /** Reads the first record of a range: its key and its value. Returns `none` if the range has no record. */
  readonly first: ReadOne<K, K, V>

  /** Reads the last record of a range: its key and its value. Returns `none` if the range has no record. */
  readonly last: ReadOne<K, K, V>

  /** Counts the records of a range, pending writes included. Default: all records. */
  readonly count: (range?: RangeOf<K>) => Effect.Effect<number, ReadError, K["EncodingServices"]>

  /** Tells whether a range has no record. */
  readonly isEmpty: (range?: RangeOf<K>) => Effect.Effect<boolean, ReadError, K["EncodingServices"]>

  /** Deletes the records of a range in one transaction. Durable when it returns. Returns the number of records. */
  readonly deleteRange: DeleteRange<K>

  /** Counts all records, pending writes included. */
  readonly size: Effect.Effect<number, Closed | EngineFailure>

  /** Deletes all records of the collection in one transaction. Durable when it returns. */
  readonly clear: Effect.Effect<void, ReadOnly | Closed | MapFull | EngineFailure>

  /** Streams the changes of the records that this process commits, as `changes` of the store does. */
  readonly changes: ReadChanges<K, V>

  /**
   * Streams the value of a key, `none` if it has none, and then each new value that is committed, as `watch` of the store
   * does.
   *
   * **Details**
   *
   * A slow consumer gets only the last value. A value with the same stored bytes as the previous one is not repeated.
   */
  readonly watch: (
    key: K["Type"],
    options?: PollOptions
  ) => Stream.Stream<
    Option.Option<V["Type"]>,
    ReadError | ValueDecoding<K["Type"]>,
    K["EncodingServices"] | V["DecodingServices"]
  >

  /** Streams the entries of a range, and then the changes of each transaction, as `watchRange` of the store does. */
  readonly watchRange: (
    range?: WatchedRangeOf<K>
  ) => Stream.Stream<
    WatchEvent<K["Type"], V["Type"]>,
    ReadError | ValueDecoding<K["Type"]>,
    K["EncodingServices"] | K["DecodingServices"] | V["DecodingServices"]
  >

  /**
   * Repairs the indexes: compares every record with its entries and every entry with its record, and corrects what is
   * wrong. It works part by part, each part in a transaction.
   *
   * **Details**
   *
   * Other fibers can read the indexes and write records during the call. A transaction around the call does not undo the
   * repair. If several records have the same key in a unique index, it fails with `DuplicateKeys`, which lists them. The
   * index still finds one of them, and all other entries are correct. It fails with `ValueDecoding` if a value does not
   * decode, and with `KeyEncoding` if an index key is not valid.
   */
  readonly rebuildIndexes: Effect.Effect<
    void,
    | KeyEncoding
    | ValueDecoding
    | DuplicateKeys
    | ReadOnly
    | Closed
    | MapFull
    | EngineFailure
    | TransactionConflict,
    MaintenanceServices<K, V, I>
  >

  /**
   * Checks every record and every index entry, and returns the problems: an empty array if it finds none.
   *
   * **Details**
   *
   * It reads one snapshot of the store, pending writes included. Inside a transaction, it does not see the writes of the
   * transaction.
   */
  readonly verify: Effect.Effect<
    ReadonlyArray<Problem>,
    Closed | EngineFailure,
    K["DecodingServices"] | V["DecodingServices"] | I[keyof I]["EncodingServices"]
  >
}

/**
 * Lists the services that the methods which store values need.
 *
 * @category models
 * @since 0.1.0
 */
export type WriteServices<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>> =
  | K["EncodingServices"]
  | V["EncodingServices"]
  | I[keyof I]["EncodingServices"]

/**
 * Lists the services that are needed to open a collection and to repair its indexes.
 *
 * @category models
 * @since 0.1.0
 */
export type MaintenanceServices<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>> =
  | K["DecodingServices"]
  | V["DecodingServices"]
  | I[keyof I]["EncodingServices"]
  | I[keyof I]["DecodingServices"]
