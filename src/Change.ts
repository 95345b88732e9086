/**
 * What changed in a store, told after the commit.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { Key } from "./Key.ts"

/**
 * One change of a committed transaction.
 *
 * **Details**
 *
 * - `Put`: a value was kept under the key. It is decoded when `value` runs, and is the
 *   one of this transaction, whatever was written since.
 * - `Delete`: a key was deleted, or was to be deleted and had no value
 * - `Clear`: everything was deleted; what the same transaction put comes after it
 *
 * `transactionId` is the same for all changes of a transaction, and higher for later ones.
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
  | { readonly _tag: "Clear"; readonly transactionId: number }

/**
 * Which changes are wanted, and how many may wait for a subscriber.
 *
 * @category options
 * @since 0.1.0
 */
export interface ChangesOptions {
  /** Only changes of keys that begin with these bytes, and `Clear`. */
  readonly prefix?: Key
  /**
   * How many changes may wait, those of the last transaction not counted; beyond that
   * the subscriber fails with `ChangesMissed`. Default: 100,000.
   */
  readonly capacity?: number | undefined
}
