/**
 * Describes what a committed transaction has changed in a store.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { Key } from "./Key.ts"

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
export type Change<K, V, E = never, R = never> =
  | {
    readonly _tag: "Put"
    readonly key: K
    readonly value: Effect.Effect<V, E, R>
    readonly transactionId: number
  }
  | { readonly _tag: "Delete"; readonly key: K; readonly transactionId: number }
  | { readonly _tag: "Expired"; readonly key: K; readonly transactionId: number }
  | { readonly _tag: "Clear"; readonly transactionId: number }

/**
 * Selects changes, and limits how many can wait for a subscriber.
 *
 * @category options
 * @since 0.1.0
 */
export interface ChangesOptions {
  /** Only changes of keys that begin with these bytes, and `Clear`. */
  readonly prefix?: Key
  /**
   * How many changes can wait for the subscriber. If a transaction would exceed this number and other changes already
   * wait, the subscriber gets those and then fails with `ChangesMissed`. Default: 100,000.
   */
  readonly capacity?: number | undefined
}
