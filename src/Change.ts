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
 * `value` decodes the value when it runs. It is the one of this transaction, whatever was written since. `kind` is
 * `"insert"` where the key had no value before the transaction, and `"update"` where it had one.
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
 * A record that was deleted because it had expired. No read has found it since the time at which it expired.
 *
 * @category models
 * @since 0.1.0
 */
export interface Expired<K> {
  readonly _tag: "Expired"
  readonly key: K
  readonly transactionId: number
}

/** Everything was deleted. What the same transaction put comes after it. */
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
 * - `Expired`: a record was deleted because it had expired. No read has found it since the time at which it expired.
 * - `Clear`: all records were deleted. Values that the same transaction has stored follow as `Put`.
 *
 * All changes of a transaction have the same `transactionId`. Later transactions have higher ones.
 *
 * @category models
 * @since 0.1.0
 */
export type Change<K, V, E = never, R = never> = Put<K, V, E, R> | Delete<K> | Expired<K> | Clear

/**
 * What was under a key before a transaction, decoded when the effect runs; `none` where there was no value.
 *
 * @category models
 * @since 0.1.0
 */
export interface Previous<V, E = never, R = never> {
  readonly previous: Effect.Effect<Option.Option<V>, E, R>
}

/**
 * A change with the value before the transaction, as `changes({ previous: true })` gives it.
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
 * How commits of other processes are noticed.
 *
 * @category options
 * @since 0.1.0
 */
export interface PollOptions {
  /**
   * How often to look for commits of other processes, which matters only with `shared` and `readOnly`.
   * Default: 50 milliseconds.
   */
  readonly pollInterval?: Duration.Input | undefined
}

/**
 * From where on changes are told, and how many may wait for a subscriber.
 *
 * @category options
 * @since 0.1.0
 */
export interface FollowOptions<Since extends number | undefined = number | undefined> extends PollOptions {
  /**
   * Tells of the changes after this transaction, first those that were made, then those that are made, without gap and of all
   * processes. They come from the change log, which the option `changeLog` of the store keeps. Where it does not reach back so far,
   * the stream fails with `ChangesMissed`. `0` is the time before the first record of the file.
   */
  readonly since?: Since
  /**
   * How many changes may wait, those of the last transaction not counted; beyond that
   * the subscriber fails with `ChangesMissed`. Default: 100,000. With `since` none wait: they are in the log.
   */
  readonly capacity?: number | undefined
}

/**
 * Which changes are wanted, from where on, and how many may wait for a subscriber.
 *
 * @category options
 * @since 0.1.0
 */
export interface ChangesOptions<Since extends number | undefined = number | undefined> extends FollowOptions<Since> {
  /** Only changes of keys that begin with these bytes, and `Clear`. */
  readonly prefix?: Key
}

/**
 * With `since`, changes are read from the file, which can fail.
 *
 * @category options
 * @since 0.1.0
 */
export type SinceError<Since> = Since extends number ? EngineFailure : never

/**
 * What a live query tells.
 *
 * **Details**
 *
 * - `Snapshot`: all entries of the range. It comes first, and again where single changes are not known: after a `clear`, after the
 *   consumer was too slow, and after another process has committed while the store keeps no change log. Replace what came before.
 * - `Changes`: what one transaction changed of them, each key once. `none` is a deletion.
 *
 * What has been told always makes the state after the transaction `transactionId`.
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
 * The log makes `changes({ since })` possible. Every commit then writes its keys and values twice. Several processes
 * that write to the store must all give the option: the log begins anew after a process without it has committed.
 *
 * @category options
 * @since 0.1.0
 */
export interface ChangeLogOptions {
  /**
   * How long changes are kept: a duration (`"7 days"`), or the limits `age`, `commits` (a number of commits) and `bytes` (a size of the
   * log), of which at least one is given. A commit deletes up to sixteen of the oldest commits that are beyond a limit.
   */
  readonly retention: Duration.Input | {
    readonly age?: Duration.Input | undefined
    readonly commits?: number | undefined
    readonly bytes?: ByteSize.Input | undefined
  }
  /** Whether the log has the values before each commit too, for `previous` together with `since`. Default: `false`. */
  readonly previous?: boolean | undefined
}
