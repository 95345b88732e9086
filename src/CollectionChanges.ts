/**
 * Defines how a program follows the changes of a collection.
 *
 * @since 0.1.0
 */
import type * as Stream from "effect/Stream"
import type { Change, ChangeWithPrevious, FollowOptions, SinceError } from "./Change.ts"
import type { ValueSchema } from "./CollectionOptions.ts"
import type { KeySchema, PrefixOf } from "./KeySchema.ts"
import type { ChangesMissed, Closed, EngineFailure, KeyEncoding, ValueDecoding } from "./StoreError.ts"

/**
 * Streams the changes of a collection.
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
 * Selects the changes of a collection, and from which transaction on.
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
