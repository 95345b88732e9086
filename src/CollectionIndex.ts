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
 * Records with the same key in the index are in the order of their own keys. Each write of a record also writes its
 * index entries, so an index has pending writes as the collection has them.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectionIndex<IK extends KeySchema, K extends KeySchema, V extends ValueSchema> {
  /** Reads the value of the first record with this index key, or `none`. In a unique index there is at most one. */
  readonly get: (
    key: IK["Type"]
  ) => Effect.Effect<
    Option.Option<V["Type"]>,
    ReadError | ValueDecoding,
    IK["EncodingServices"] | V["DecodingServices"]
  >

  /** Reads the value of the first record with this index key. Fails with `KeyNotFound` if there is none. */
  readonly getOrFail: (
    key: IK["Type"]
  ) => Effect.Effect<
    V["Type"],
    ReadError | ValueDecoding | KeyNotFound<IK["Type"]>,
    IK["EncodingServices"] | V["DecodingServices"]
  >

  /** Tells whether a record has this key in the index. */
  readonly has: (key: IK["Type"]) => Effect.Effect<boolean, ReadError, IK["EncodingServices"]>

  /** Streams the keys of the records, in the order of the index. */
  readonly keys: (
    range?: RangeOf<IK>
  ) => Stream.Stream<K["Type"], ReadError, IK["EncodingServices"] | K["DecodingServices"]>

  /** Streams the values, in the order of the index. */
  readonly values: ReadValues<IK, V, IK["EncodingServices"] | V["DecodingServices"]>

  /** Streams the keys and values of the records, in the order of the index. */
  readonly entries: ReadEntries<
    K["Type"],
    IK,
    V,
    IK["EncodingServices"] | K["DecodingServices"] | V["DecodingServices"]
  >

  /** Reads the first record of each index key, all from the same state. The keys of `found` are those of the caller. */
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

  /** Reads the first record of a range of the index: the key of the record, and its value. */
  readonly first: ReadOne<IK, K, V>

  /** Reads the last record of a range of the index: the key of the record, and its value. */
  readonly last: ReadOne<IK, K, V>

  /** Counts the entries of a range of the index. */
  readonly count: (range?: RangeOf<IK>) => Effect.Effect<number, ReadError, IK["EncodingServices"]>

  /** Tells whether a range of the index has no entry. */
  readonly isEmpty: (range?: RangeOf<IK>) => Effect.Effect<boolean, ReadError, IK["EncodingServices"]>

  /** Deletes the records of a range of the index in one transaction. Durable when it returns. Returns their number. */
  readonly deleteRange: DeleteRange<IK>
}
