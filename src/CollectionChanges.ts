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
 * Streams the changes of a collection that this process commits, in the order of the commits, until the store closes.
 * With `since`, streams those of all processes after that transaction.
 *
 * **Details**
 *
 * The stream fails with
 *
 * - `KeyEncoding` if an option is not valid or a key does not decode,
 * - `ChangesMissed` if more than `capacity` changes wait for it, or the change log does not have all of them,
 * - `Closed` if the store is closed when it starts,
 * - `EngineFailure` if it reads the change log, which only `since` does, and the file cannot be read.
 *
 * It does not decode the values. The effect `value` of a change does, and can fail with `ValueDecoding`.
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
  /** Selects only the changes of keys that begin with this, and `Clear`. */
  readonly prefix?: PrefixOf<K>
}
