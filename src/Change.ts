/**
 * Describes what a committed transaction has changed in a store.
 *
 * @since 0.1.0
 */
import type * as ByteSize from "effect/ByteSize"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { Key } from "./Key.ts"
import type { EngineFailure } from "./StoreError.ts"

/**
 * A value that a committed transaction put under a key.
 *
 * **Details**
 *
 * The effect `value` decodes the value that this transaction has stored, even if a later one has replaced it. `kind` is
 * `"insert"` if the key had no value before the transaction, and `"update"` if it had one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Put<K, V, E = never, R = never> {
  readonly _tag: "Put"
  readonly kind: "insert" | "update"
  readonly key: K
  readonly value: Effect.Effect<V, E, R>
  readonly transactionId: number
}

/**
 * A key that a committed transaction deleted. It may have had no value.
 *
 * @category models
 * @since 0.1.0
 */
export interface Delete<K> {
  readonly _tag: "Delete"
  readonly key: K
  readonly transactionId: number
}

/**
 * A record that was deleted because it had expired. Reads have not returned it since it expired.
 *
 * @category models
 * @since 0.1.0
 */
export interface Expired<K> {
  readonly _tag: "Expired"
  readonly key: K
  readonly transactionId: number
}

/** All records were deleted. Values that the same transaction has stored follow as `Put`. */
interface Clear {
  readonly _tag: "Clear"
  readonly transactionId: number
}

/**
 * Describes one change of a committed transaction.
 *
 * **Details**
 *
 * - `Put`: a value was stored under the key. `value` decodes the value that this transaction has stored, even if
 *   a later one has replaced it.
 * - `Delete`: the key was deleted. It may have had no value before.
 * - `Expired`: a record was deleted because it had expired. Reads have not returned it since it expired.
 * - `Clear`: all records were deleted. Values that the same transaction has stored follow as `Put`.
 *
 * All changes of a transaction have the same `transactionId`. Later transactions have higher ones.
 *
 * @category models
 * @since 0.1.0
 */
export type Change<K, V, E = never, R = never> = Put<K, V, E, R> | Delete<K> | Expired<K> | Clear

/**
 * Decodes the value that a key had before a transaction; `none` if it had no value.
 *
 * @category models
 * @since 0.1.0
 */
export interface Previous<V, E = never, R = never> {
  readonly previous: Effect.Effect<Option.Option<V>, E, R>
}

/**
 * A change with the value before the transaction, from `changes({ previous: true })`.
 *
 * @category models
 * @since 0.1.0
 */
export type ChangeWithPrevious<K, V, E = never, R = never> =
  | Put<K, V, E, R> & Previous<V, E, R>
  | Delete<K> & Previous<V, E, R>
  | Expired<K> & Previous<V, E, R>
  | Clear

/**
 * Options for noticing commits of other processes.
 *
 * @category options
 * @since 0.1.0
 */
export interface PollOptions {
  /**
   * The time between two checks for commits of other processes. It has an effect only with `shared` and `readOnly`.
   * Default: 50 milliseconds.
   */
  readonly pollInterval?: Duration.Input | undefined
}

/**
 * Options of a subscriber to changes: the first transaction, and the number of changes that may wait.
 *
 * @category options
 * @since 0.1.0
 */
export interface FollowOptions<Since extends number | undefined = number | undefined> extends PollOptions {
  /**
   * Streams the changes of all processes after this transaction, first the past ones and then the new ones, without a
   * gap. They come from the change log, which a store with the option `changeLog` keeps. If the log lacks some of
   * them, the stream fails with `ChangesMissed`. `0` is before the first transaction of the file.
   */
  readonly since?: Since
  /**
   * The number of changes that may wait for the subscriber, without those of the last transaction. If more wait, the
   * subscriber fails with `ChangesMissed`. Default: 100,000. With `since`, the stream reads the changes from the log, and none wait.
   */
  readonly capacity?: number | undefined
}

/**
 * Selects the changes of a store: by their keys, and from which transaction on.
 *
 * @category options
 * @since 0.1.0
 */
export interface ChangesOptions<Since extends number | undefined = number | undefined> extends FollowOptions<Since> {
  /** Only changes of keys that begin with these bytes, and `Clear`. */
  readonly prefix?: Key
}

/**
 * The additional error with `since`: the changes are read from the file, which can fail.
 *
 * @category options
 * @since 0.1.0
 */
export type SinceError<Since> = Since extends number ? EngineFailure : never

/**
 * Describes an element of a live query.
 *
 * **Details**
 *
 * - `Snapshot`: all entries of the range. It comes first. It comes again when the individual changes are not known: after
 *   a `clear`, after the consumer was too slow, and after a commit of another process if the store keeps no change log.
 *   Replace all earlier entries with it.
 * - `Changes`: the changes of one transaction, each key once. `none` is a deletion.
 *
 * All elements together always give the state after the transaction `transactionId`.
 *
 * @category models
 * @since 0.1.0
 */
export type WatchEvent<K, V> =
  | {
    readonly _tag: "Snapshot"
    readonly entries: ReadonlyArray<readonly [key: K, value: V]>
    readonly transactionId: number
  }
  | {
    readonly _tag: "Changes"
    readonly changes: ReadonlyArray<readonly [key: K, value: Option.Option<V>]>
    readonly transactionId: number
  }

/**
 * Keeps a log of the changes of a store in its file.
 *
 * **Details**
 *
 * The log is needed for `changes({ since })`. Every commit then writes its keys and values twice. All processes that
 * write to the store must have the option: after a commit of a process without it, the log starts again.
 *
 * @category options
 * @since 0.1.0
 */
export interface ChangeLogOptions {
  /**
   * How long the log keeps changes: a duration (`"7 days"`), or at least one of the limits `age`, `commits` (a number of
   * commits) and `bytes` (the size of the log). Each commit deletes at most sixteen of the oldest commits that exceed a
   * limit.
   */
  readonly retention: Duration.Input | {
    readonly age?: Duration.Input | undefined
    readonly commits?: number | undefined
    readonly bytes?: ByteSize.Input | undefined
  }
  /** Whether the log also keeps the values before each commit, for `previous` together with `since`. Default: `false`. */
  readonly previous?: boolean | undefined
}
