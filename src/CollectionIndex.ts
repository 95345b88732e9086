/**
 * Defines the methods of an index of a collection.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { ValueSchema } from "./CollectionOptions.ts"
import type {
  CollectValues,
  DeleteRange,
  IndexPageItem,
  RangeOf,
  ReadEntries,
  ReadError,
  ReadOne,
  ReadPage,
  ReadValues
} from "./CollectionRange.ts"
import type { ListOf } from "./Entries.ts"
import type { KeySchema } from "./KeySchema.ts"
import type { KeyNotFound, ValueDecoding } from "./StoreError.ts"

/**
 * Reads the records of a collection by the keys of a secondary index.
 *
 * **Details**
 *
 * Records are in the order of their index keys, and records with the same index key in the order of their own keys. A
 * record with several index keys (`each`) is read once for each of them. Each write of a record also writes its index
 * entries, so the reads of an index include pending writes as those of the collection do.
 *
 * Each method fails with the errors in its type, as those of the collection do. All of them fail with `Closed` after
 * another definition has opened the collection.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectionIndex<IK extends KeySchema, K extends KeySchema, V extends ValueSchema> {
  /** Reads the value of the first record with this index key. Returns `none` if no record has it. */
  readonly get: (
    key: IK["Type"]
  ) => Effect.Effect<
    Option.Option<V["Type"]>,
    ReadError | ValueDecoding,
    IK["EncodingServices"] | V["DecodingServices"]
  >

  /** Reads the value of the first record with this index key. Fails with `KeyNotFound` if no record has it. */
  readonly getOrFail: (
    key: IK["Type"]
  ) => Effect.Effect<
    V["Type"],
    ReadError | ValueDecoding | KeyNotFound<IK["Type"]>,
    IK["EncodingServices"] | V["DecodingServices"]
  >

  /** Tells whether a record has this index key. */
  readonly has: (key: IK["Type"]) => Effect.Effect<boolean, ReadError, IK["EncodingServices"]>

  /** Streams the own keys of the records of a range, in the order of the index. Reads from a snapshot. */
  readonly keys: (
    range?: RangeOf<IK>
  ) => Stream.Stream<K["Type"], ReadError, IK["EncodingServices"] | K["DecodingServices"]>

  /** Streams the values of a range, in the order of the index. Reads from a snapshot. */
  readonly values: ReadValues<IK, V, IK["EncodingServices"] | V["DecodingServices"]>

  /** Streams the own keys and the values of the records of a range, in the order of the index. Reads from a snapshot. */
  readonly entries: ReadEntries<
    K["Type"],
    IK,
    V,
    IK["EncodingServices"] | K["DecodingServices"] | V["DecodingServices"]
  >

  /**
   * Reads the value of the first record of each index key, all from the same state. The keys of `found` are those of the
   * caller; `missing` has the keys that no record has.
   */
  readonly getMany: (
    keys: ListOf<IK["Type"]>
  ) => Effect.Effect<
    { readonly found: ReadonlyMap<IK["Type"], V["Type"]>; readonly missing: ReadonlyArray<IK["Type"]> },
    ReadError | ValueDecoding,
    IK["EncodingServices"] | V["DecodingServices"]
  >

  /** Reads the values of a range into an array, in the order of the index. */
  readonly collect: CollectValues<IK, V, IK["EncodingServices"] | V["DecodingServices"]>

  /** Reads a page of a range, in the order of the index. */
  readonly page: ReadPage<
    IK,
    IndexPageItem<IK["Type"], K["Type"], V["Type"]>,
    IK["EncodingServices"] | IK["DecodingServices"] | K["DecodingServices"] | V["DecodingServices"]
  >

  /** Reads the first record of a range: its own key and its value. Returns `none` if the range has no record. */
  readonly first: ReadOne<IK, K, V>

  /** Reads the last record of a range: its own key and its value. Returns `none` if the range has no record. */
  readonly last: ReadOne<IK, K, V>

  /** Counts the entries of a range: a record with several index keys in it counts once for each. Default: all entries. */
  readonly count: (range?: RangeOf<IK>) => Effect.Effect<number, ReadError, IK["EncodingServices"]>

  /** Tells whether a range has no entry. */
  readonly isEmpty: (range?: RangeOf<IK>) => Effect.Effect<boolean, ReadError, IK["EncodingServices"]>

  /** Deletes the records of a range in one transaction. Durable when it returns. Returns the number of records. */
  readonly deleteRange: DeleteRange<IK>
}
