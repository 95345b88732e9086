/**
 * Defines the methods of a store that read a value, compute the next one and store it.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { Key } from "./Key.ts"
import type {
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
import type { WriteOptions } from "./WriteOptions.ts"

type ModifyError =
  | KeyEncoding
  | ValueEncoding<Key>
  | ValueDecoding<Key>
  | ReadOnly
  | Closed
  | MapFull
  | EngineFailure

/**
 * Defines read-modify-write for the values of a store.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreModify {
  /**
   * Updates a value that must exist, and returns the new value. Fails with `KeyNotFound` if the key has no value.
   * Like `update`, it is buffered and atomic for all other fibers. With `{ durable: true }` it is durable when it returns,
   * as `modify` is.
   *
   * **Gotchas**
   *
   * `f` may be called again; only its last result counts.
   */
  readonly updateOrFail: (
    key: Key,
    f: (current: unknown) => unknown,
    options?: WriteOptions
  ) => Effect.Effect<unknown, ModifyError | KeyNotFound<Key>>

  /**
   * Updates a value as `update` does, and returns another result: `f` returns a pair of the result and the next value.
   *
   * **Details**
   *
   * If the next value is `None`, the value is deleted. If it is `current` itself, nothing is written.
   *
   * **Example** (Taking the next number)
   *
   * ```ts
   * import { Console, Effect, Option } from "effect"
   * import { Store } from "effect-lmdb"
   *
   * const program = Effect.gen(function*() {
   *   const store = yield* Store
   *   const nextNumber = store.modify("next number", (current) => {
   *     const number = Option.match(current, { onNone: () => 1, onSome: Number })
   *     return [number, Option.some(number + 1)]
   *   })
   *   yield* Console.log(yield* nextNumber, yield* nextNumber) // => 1 2
   * })
   *
   * Effect.runPromise(Effect.provide(program, Store.layerTemp()))
   * ```
   */
  readonly modify: <A>(
    key: Key,
    f: (current: Option.Option<unknown>) => readonly [result: A, next: Option.Option<unknown>],
    options?: WriteOptions
  ) => Effect.Effect<A, ModifyError>

  /**
   * Updates a value by an effect, as a transaction: durable when it returns. Inside an open transaction it is nested in
   * that, and durable when that is committed.
   *
   * **Details**
   *
   * The effect returns a pair of the result and the next value, as the function of `modify` does. If it fails, nothing is
   * written. Its reads and writes in this store are part of the transaction.
   *
   * **Gotchas**
   *
   * After a conflict the effect runs again. Send requests after the call, not in the effect.
   */
  readonly modifyEffect: <A, E, R>(
    key: Key,
    f: (
      current: Option.Option<unknown>
    ) => Effect.Effect<readonly [result: A, next: Option.Option<unknown>], E, R>
  ) => Effect.Effect<A, ModifyError | TransactionConflict | E, R>
}
