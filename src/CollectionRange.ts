/**
 * What reads ranges of collections and of their indexes: what it takes, and what it gives.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Result from "effect/Result"
import type * as Stream from "effect/Stream"
import type { ValueSchema } from "./CollectionOptions.ts"
import type { KeyPrefix, KeySchema } from "./KeySchema.ts"
import type { StreamRange } from "./Range.ts"
import type { Closed, EngineFailure, KeyEncoding, ValueDecoding } from "./StoreError.ts"

/**
 * A part of a collection or of an index, from one end.
 *
 * **Details**
 *
 * Keys are in the order of their values. All that is given must hold. `prefix` is the
 * beginning of text, of bytes, or the first elements of a tuple, in the encoded form of
 * the schema. `offset` and `limit` count from the end at which reading begins.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectionRange<Key, Prefix = never>
  extends Pick<StreamRange, "reverse" | "offset" | "limit" | "snapshot">
{
  /** Only keys that begin with this. */
  readonly prefix?: Prefix
  /** Only this key. */
  readonly equals?: Key
  /** Only keys behind this one. */
  readonly gt?: Key
  /** This key and those behind it. */
  readonly gte?: Key
  /** Only keys before this one. */
  readonly lt?: Key
  /** This key and those before it. */
  readonly lte?: Key
}

/**
 * What a stream does with a value that does not decode: it fails (the default), leaves
 * it out (`"skip"`; `offset` and `limit` count it all the same), or gives a `Result` for
 * each value (`"result"`).
 *
 * @category models
 * @since 0.1.0
 */
export type Undecodable = "fail" | "skip" | "result"

/**
 * A part of a collection or of an index whose keys have a schema.
 *
 * @category models
 * @since 0.1.0
 */
export type RangeOf<K extends KeySchema> = CollectionRange<K["Type"], KeyPrefix<K["Encoded"]>>

/**
 * What every method that reads can fail with. Those that decode values add `ValueDecoding`.
 *
 * @category errors
 * @since 0.1.0
 */
export type ReadError = KeyEncoding | Closed | EngineFailure

/**
 * Reads values in a range, in three ways of dealing with one that does not decode.
 * `Item` makes what is given from a value.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReadValues<K extends KeySchema, V extends ValueSchema, R> {
  (
    range: RangeOf<K> & { readonly undecodable: "skip" }
  ): Stream.Stream<V["Type"], ReadError, R>
  (
    range: RangeOf<K> & { readonly undecodable: "result" }
  ): Stream.Stream<Result.Result<V["Type"], ValueDecoding>, ReadError, R>
  (
    range?: RangeOf<K> & { readonly undecodable?: "fail" | undefined }
  ): Stream.Stream<V["Type"], ReadError | ValueDecoding, R>
}

/**
 * Reads keys and values in a range; `EntryKey` is the key that each comes with.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReadEntries<EntryKey, K extends KeySchema, V extends ValueSchema, R> {
  (
    range: RangeOf<K> & { readonly undecodable: "skip" }
  ): Stream.Stream<readonly [EntryKey, V["Type"]], ReadError, R>
  (
    range: RangeOf<K> & { readonly undecodable: "result" }
  ): Stream.Stream<readonly [EntryKey, Result.Result<V["Type"], ValueDecoding>], ReadError, R>
  (
    range?: RangeOf<K> & { readonly undecodable?: "fail" | undefined }
  ): Stream.Stream<readonly [EntryKey, V["Type"]], ReadError | ValueDecoding, R>
}

/**
 * Reads one record at an end of a range.
 *
 * @category models
 * @since 0.1.0
 */
export type ReadOne<K extends KeySchema, V extends ValueSchema> = (
  range?: Omit<RangeOf<K>, "limit" | "reverse" | "snapshot">
) => Effect.Effect<
  Option.Option<readonly [K["Type"], V["Type"]]>,
  ReadError | ValueDecoding,
  K["EncodingServices"] | K["DecodingServices"] | V["DecodingServices"]
>
