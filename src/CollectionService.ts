/**
 * The methods of a collection.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { Change, ChangeWithPrevious, FollowOptions, PollOptions, SinceError, WatchEvent } from "./Change.ts"
import type { DuplicateKeys, KeyExists, UniqueViolation } from "./CollectionError.ts"
import type { ModifyMethods } from "./CollectionModify.ts"
import type { ValueInput, ValueSchema } from "./CollectionOptions.ts"
import type {
  CollectValues,
  IndexPageItem,
  PageItem,
  RangeOf,
  ReadEntries,
  ReadError,
  ReadOne,
  ReadPage,
  ReadValues
} from "./CollectionRange.ts"
import type { ListOf } from "./Entries.ts"
import type { KeySchema, PrefixOf } from "./KeySchema.ts"
import type { WatchRange } from "./Range.ts"
import type {
  ChangesMissed,
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

/**
 * What every method that stores values can fail with. Collections with indexes add `UniqueViolation`.
 *
 * @category errors
 * @since 0.1.0
 */
export type WriteError<Key = unknown> = KeyEncoding | ValueEncoding<Key> | ReadOnly | Closed | MapFull | EngineFailure

/**
 * What writing a record can fail with because another record has its key in a unique index: one type for each
 * index, which `index` tells apart. A collection without indexes has none.
 *
 * @category errors
 * @since 0.1.0
 */
export type UniqueViolationOf<K extends KeySchema, I extends Record<string, KeySchema>> = {
  readonly [N in IndexName<I>]: UniqueViolation<K["Type"], N, I[N]["Type"]>
}[IndexName<I>]

/** The names of the indexes. A collection that has none has the name "" in its type, which no index can have. */
type IndexName<I> = Exclude<keyof I & string, "">

type WatchedRangeOf<K extends KeySchema> =
  & Pick<RangeOf<K>, "prefix" | "equals" | "gt" | "gte" | "lt" | "lte">
  & Pick<WatchRange, "capacity" | "pollInterval">

/**
 * A secondary index of a collection: its records by another key.
 *
 * **Details**
 *
 * Records that have the same key in the index are in the order of their own keys.
 * It is written with its records, so that it shows pending writes as they do.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectionIndex<IK extends KeySchema, K extends KeySchema, V extends ValueSchema> {
  /** The first record that has this key in the index: in a unique index the only one. */
  readonly get: (
    key: IK["Type"]
  ) => Effect.Effect<
    Option.Option<V["Type"]>,
    ReadError | ValueDecoding,
    IK["EncodingServices"] | V["DecodingServices"]
  >

  /** The same, or fails with `KeyNotFound`. */
  readonly getOrFail: (
    key: IK["Type"]
  ) => Effect.Effect<
    V["Type"],
    ReadError | ValueDecoding | KeyNotFound<IK["Type"]>,
    IK["EncodingServices"] | V["DecodingServices"]
  >

  /** Says whether a record has this key in the index. */
  readonly has: (key: IK["Type"]) => Effect.Effect<boolean, ReadError, IK["EncodingServices"]>

  /** The records' own keys, in the order of the index. */
  readonly keys: (
    range?: RangeOf<IK>
  ) => Stream.Stream<K["Type"], ReadError, IK["EncodingServices"] | K["DecodingServices"]>

  /** The values, in the order of the index. */
  readonly values: ReadValues<IK, V, IK["EncodingServices"] | V["DecodingServices"]>

  /** The records' own keys and values, in the order of the index. */
  readonly entries: ReadEntries<
    K["Type"],
    IK,
    V,
    IK["EncodingServices"] | K["DecodingServices"] | V["DecodingServices"]
  >

  /** Reads the first record of each key, all from the same state; `found` is keyed by the caller's own keys. */
  readonly getMany: (
    keys: ListOf<IK["Type"]>
  ) => Effect.Effect<
    { readonly found: ReadonlyMap<IK["Type"], V["Type"]>; readonly missing: ReadonlyArray<IK["Type"]> },
    ReadError | ValueDecoding,
    IK["EncodingServices"] | V["DecodingServices"]
  >

  /** Reads the values of a range into an array, in the order of the index. */
  readonly collect: CollectValues<IK, V, IK["EncodingServices"] | V["DecodingServices"]>

  /** Reads a range page by page. */
  readonly page: ReadPage<
    IK,
    IndexPageItem<IK["Type"], K["Type"], V["Type"]>,
    IK["EncodingServices"] | IK["DecodingServices"] | K["DecodingServices"] | V["DecodingServices"]
  >

  /** Reads the first record of a range: its own key, and its value. */
  readonly first: ReadOne<IK, K, V>

  /** Reads the last record of a range: its own key, and its value. */
  readonly last: ReadOne<IK, K, V>

  /** Counts the entries of a range of the index. */
  readonly count: (range?: RangeOf<IK>) => Effect.Effect<number, ReadError, IK["EncodingServices"]>

  /** Says whether a range of the index has no entry. */
  readonly isEmpty: (range?: RangeOf<IK>) => Effect.Effect<boolean, ReadError, IK["EncodingServices"]>

  /** Deletes the records of a range of the index in one transaction, durable when it returns; gives how many. */
  readonly deleteRange: DeleteRange<IK>
}

/**
 * Deletes the records of a range in one transaction; gives how many there were.
 *
 * **Details**
 *
 * It is durable when it returns; in a transaction, when that is committed. An empty `prefix` or `startsWith`, with which
 * every key begins, is a `KeyEncoding`: `clear` deletes everything.
 *
 * @category models
 * @since 0.1.0
 */
export type DeleteRange<K extends KeySchema> = (
  range: Omit<RangeOf<K>, "snapshot">
) => Effect.Effect<number, ReadError | ReadOnly | MapFull | TransactionConflict, K["EncodingServices"]>

/**
 * What `verify` finds wrong with a record, or with an entry of an index.
 *
 * **Details**
 *
 * - `Undecodable`: the key or the value of a record does not decode; `detail` says why
 * - `MissingEntry`: an index lacks a record
 * - `StrayEntry`: an index has an entry that no record is behind, or that its record does not have
 *
 * @category models
 * @since 0.1.0
 */
export type Problem =
  | { readonly _tag: "Undecodable"; readonly key: string; readonly detail: string }
  | { readonly _tag: "MissingEntry"; readonly key: string; readonly index: string; readonly indexKey: string }
  | { readonly _tag: "StrayEntry"; readonly key: string; readonly index: string; readonly indexKey: string }

/**
 * A named, schema-typed view of a store.
 *
 * **Details**
 *
 * Its calls are those of the store: buffered, visible at once, a part of the transaction
 * that they are made in. Keys and values go through the schemas, both ways. A write to a
 * collection and the writes to its indexes are one: both are on disk, or none.
 *
 * With the option `shared` of the store, `insert`, `update` and `deleteOrFail`, and all writes to a collection
 * that has a unique index, are decided inside of their commit, visible and on disk when they return. So they are exact
 * across processes.
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

  /** Reads a value; `none` where there is none. */
  readonly get: (
    key: K["Type"]
  ) => Effect.Effect<
    Option.Option<V["Type"]>,
    ReadError | ValueDecoding<K["Type"]>,
    K["EncodingServices"] | V["DecodingServices"]
  >

  /** Reads a value, or fails with `KeyNotFound`. */
  readonly getOrFail: (
    key: K["Type"]
  ) => Effect.Effect<
    V["Type"],
    ReadError | ValueDecoding<K["Type"]> | KeyNotFound<K["Type"]>,
    K["EncodingServices"] | V["DecodingServices"]
  >

  /** Says whether there is a value. */
  readonly has: (key: K["Type"]) => Effect.Effect<boolean, ReadError, K["EncodingServices"]>

  /** Reads many values, all from the same state; `found` is keyed by the caller's own keys. */
  readonly getMany: (
    keys: ListOf<K["Type"]>
  ) => Effect.Effect<
    { readonly found: ReadonlyMap<K["Type"], V["Type"]>; readonly missing: ReadonlyArray<K["Type"]> },
    ReadError | ValueDecoding<K["Type"]>,
    K["EncodingServices"] | V["DecodingServices"]
  >

  /**
   * Keeps a value in place of another, if any; visible at once, on disk after the next commit.
   *
   * **Details**
   *
   * Where the schema is a class, a plain object is taken as its `make` takes it (`ValueInput`):
   * `users.put(1, { name: "Ada" })`.
   */
  readonly put: (
    key: K["Type"],
    value: ValueInput<V>
  ) => Effect.Effect<void, WriteError<K["Type"]> | UniqueViolationOf<K, I>, WriteServices<K, V, I>>

  /** Keeps a value where there is none, or fails with `KeyExists`. */
  readonly insert: (
    key: K["Type"],
    value: ValueInput<V>
  ) => Effect.Effect<
    void,
    WriteError<K["Type"]> | UniqueViolationOf<K, I> | KeyExists<K["Type"]>,
    WriteServices<K, V, I>
  >

  /**
   * Reads a value, computes the next and keeps it, as one step to all other fibers;
   * `none` deletes. Gives the next value.
   *
   * **Details**
   *
   * If `f` returns `current` itself, the same `Option`, nothing is written. `Option.map` makes a new one.
   *
   * **Gotchas**
   *
   * `f` may be called again; with `shared` also while no other process can commit.
   */
  readonly update: (
    key: K["Type"],
    f: (current: Option.Option<V["Type"]>) => Option.Option<ValueInput<V>>
  ) => Effect.Effect<
    Option.Option<V["Type"]>,
    WriteError<K["Type"]> | UniqueViolationOf<K, I> | ValueDecoding<K["Type"]>,
    WriteServices<K, V, I> | V["DecodingServices"]
  >

  /** Deletes a value; deleting what is not there is fine. */
  readonly delete: (
    key: K["Type"]
  ) => Effect.Effect<void, KeyEncoding | ReadOnly | Closed | MapFull | EngineFailure, K["EncodingServices"]>

  /** Deletes a value, or fails with `KeyNotFound`. */
  readonly deleteOrFail: (
    key: K["Type"]
  ) => Effect.Effect<
    void,
    KeyEncoding | KeyNotFound<K["Type"]> | ReadOnly | Closed | MapFull | EngineFailure,
    K["EncodingServices"]
  >

  /**
   * Keeps many values in one transaction, on disk when it returns. The last of equal keys
   * wins. Unique indexes are looked at after each value, in their order.
   */
  readonly putMany: (
    entries: Iterable<readonly [K["Type"], ValueInput<V>]>
  ) => Effect.Effect<
    void,
    WriteError<K["Type"]> | UniqueViolationOf<K, I> | TransactionConflict,
    WriteServices<K, V, I>
  >

  /** Deletes many values in one transaction, on disk when it returns. */
  readonly deleteMany: (
    keys: ListOf<K["Type"]>
  ) => Effect.Effect<
    void,
    KeyEncoding | ReadOnly | Closed | MapFull | EngineFailure | TransactionConflict,
    K["EncodingServices"]
  >

  /** The keys of a range, in the order of their values, as a stream like that of the store. */
  readonly keys: (
    range?: RangeOf<K>
  ) => Stream.Stream<K["Type"], ReadError, K["EncodingServices"] | K["DecodingServices"]>

  /** The values of a range, in the order of their keys. */
  readonly values: ReadValues<K, V, K["EncodingServices"] | V["DecodingServices"]>

  /** The keys and values of a range. */
  readonly entries: ReadEntries<
    K["Type"],
    K,
    V,
    K["EncodingServices"] | K["DecodingServices"] | V["DecodingServices"]
  >

  /** Reads the values of a range into an array, in the order of their keys. */
  readonly collect: CollectValues<K, V, K["EncodingServices"] | V["DecodingServices"]>

  /** Reads a range page by page. */
  readonly page: ReadPage<
    K,
    PageItem<K["Type"], V["Type"]>,
    K["EncodingServices"] | K["DecodingServices"] | V["DecodingServices"]
  >

  /** Reads the first key of a range, and its value. */
  readonly first: ReadOne<K, K, V>

  /** Reads the last key of a range, and its value. */
  readonly last: ReadOne<K, K, V>

  /** Counts the keys of a range that have a value. */
  readonly count: (range?: RangeOf<K>) => Effect.Effect<number, ReadError, K["EncodingServices"]>

  /** Says whether no key of a range has a value. */
  readonly isEmpty: (range?: RangeOf<K>) => Effect.Effect<boolean, ReadError, K["EncodingServices"]>

  /** Deletes the records of a range in one transaction, durable when it returns; gives how many. */
  readonly deleteRange: DeleteRange<K>

  /** How many keys have a value. */
  readonly size: Effect.Effect<number, Closed | EngineFailure>

  /** Deletes everything in one transaction, on disk when it returns. */
  readonly clear: Effect.Effect<void, ReadOnly | Closed | MapFull | EngineFailure>

  /** The changes of its records, as the store's `changes` gives them. */
  readonly changes: ReadChanges<K, V>

  /**
   * The value of a key, and then each other value that is committed, as the store's `watch` gives them.
   *
   * **Details**
   *
   * A consumer that is slow gets only the last value. A value that is stored as the last one was is not told again.
   */
  readonly watch: (
    key: K["Type"],
    options?: PollOptions
  ) => Stream.Stream<
    Option.Option<V["Type"]>,
    ReadError | ValueDecoding<K["Type"]>,
    K["EncodingServices"] | V["DecodingServices"]
  >

  /** The entries of a range, and then what each transaction changes of them, as the store's `watchRange` gives them. */
  readonly watchRange: (
    range?: WatchedRangeOf<K>
  ) => Stream.Stream<
    WatchEvent<K["Type"], V["Type"]>,
    ReadError | ValueDecoding<K["Type"]>,
    K["EncodingServices"] | K["DecodingServices"] | V["DecodingServices"]
  >

  /**
   * Compares every record with its entries in the indexes and every entry with its record, and
   * corrects what is wrong, part by part, each part in a transaction.
   *
   * **Details**
   *
   * The indexes can be used meanwhile, also by writers. Where records have the same key in a
   * unique index, it fails with `DuplicateKeys`, which lists them; the index still leads to one
   * of them, and everything else in it is exact.
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
   * Looks at every record and every entry of the indexes, in one snapshot of the store
   * (not of a transaction), and gives what is wrong with them; nothing where all is well.
   */
  readonly verify: Effect.Effect<
    ReadonlyArray<Problem>,
    Closed | EngineFailure,
    K["DecodingServices"] | V["DecodingServices"] | I[keyof I]["EncodingServices"]
  >
}

/**
 * Tells of the changes of a collection.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReadChanges<K extends KeySchema, V extends ValueSchema> {
  (
    options?: CollectionChangesOptions<K, undefined> & { readonly previous?: false | undefined }
  ): Stream.Stream<
    Change<K["Type"], V["Type"], ValueDecoding<K["Type"]>, V["DecodingServices"]>,
    KeyEncoding | ChangesMissed | Closed,
    K["DecodingServices"] | V["DecodingServices"]
  >
  <const S extends number | undefined = undefined>(
    options: CollectionChangesOptions<K, S> & { readonly previous: true }
  ): Stream.Stream<
    ChangeWithPrevious<K["Type"], V["Type"], ValueDecoding<K["Type"]>, V["DecodingServices"]>,
    KeyEncoding | ChangesMissed | Closed | SinceError<S>,
    K["DecodingServices"] | V["DecodingServices"]
  >
  (
    options: CollectionChangesOptions<K, number> & { readonly since: number; readonly previous?: false | undefined }
  ): Stream.Stream<
    Change<K["Type"], V["Type"], ValueDecoding<K["Type"]>, V["DecodingServices"]>,
    KeyEncoding | ChangesMissed | Closed | EngineFailure,
    K["DecodingServices"] | V["DecodingServices"]
  >
}

/**
 * Which changes of a collection are wanted, and from where on.
 *
 * @category options
 * @since 0.1.0
 */
export interface CollectionChangesOptions<K extends KeySchema, S extends number | undefined = number | undefined>
  extends FollowOptions<S>
{
  /** Only changes of keys that begin with this, and `Clear`. */
  readonly prefix?: PrefixOf<K>
}

/**
 * The services that writing needs.
 *
 * @category models
 * @since 0.1.0
 */
export type WriteServices<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>> =
  | K["EncodingServices"]
  | V["EncodingServices"]
  | I[keyof I]["EncodingServices"]

/**
 * The services that opening a collection and correcting its indexes need.
 *
 * @category models
 * @since 0.1.0
 */
export type MaintenanceServices<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>> =
  | K["DecodingServices"]
  | V["DecodingServices"]
  | I[keyof I]["EncodingServices"]
  | I[keyof I]["DecodingServices"]
