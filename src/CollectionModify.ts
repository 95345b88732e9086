/**
 * Defines the methods of a collection that read a record, compute the next one and store it.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { KeyExists } from "./CollectionError.ts"
import type { ValueInput, ValueSchema } from "./CollectionOptions.ts"
import type { KeySchema } from "./KeySchema.ts"
import type { KeyNotFound, TransactionConflict, ValueDecoding } from "./StoreError.ts"
import type { WriteOptions } from "./WriteOptions.ts"

/**
 * Names the mistake in the error of the compiler if `patch` is called on a collection whose values have no fields. No
 * value has this type.
 *
 * @category models
 * @since 0.1.0
 */
export interface OnlyValuesWithFieldsCanBePatched {
  readonly "`patch` needs a value schema with fields, such as Schema.Struct or Schema.Class; use `update` for other values":
    never
}

/**
 * Describes the argument of `patch`: some of the fields that the `make` of the value schema accepts.
 *
 * @category models
 * @since 0.1.0
 */
export type PatchOf<V extends ValueSchema> = V extends { readonly fields: object } ?
  Partial<Exclude<V["~type.make.in"], void>>
  : OnlyValuesWithFieldsCanBePatched

/**
 * Updates the records of a collection: reads a record, computes the next one and stores it, as one step for all other
 * fibers. `E` and `R` are the errors and the services of `put` of the collection.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModifyMethods<K extends KeySchema, V extends ValueSchema, E, R> {
  /**
   * Updates a record that must exist, and returns the new value. Fails with `KeyNotFound` if the key has no value.
   *
   * **Details**
   *
   * Buffered like a put: visible to all fibers when it returns, durable after the next commit. With `{ durable: true }`
   * it is durable when it returns. The same applies to `modify` and `patch`.
   *
   * **Gotchas**
   *
   * `f` can be called more than once. Only its last result counts.
   */
  readonly updateOrFail: (
    key: K["Type"],
    f: (current: V["Type"]) => ValueInput<V>,
    options?: WriteOptions
  ) => Effect.Effect<
    V["Type"],
    E | ValueDecoding<K["Type"]> | KeyNotFound<K["Type"]>,
    R | V["DecodingServices"]
  >

  /**
   * Updates a record as `update` does, and returns a result that the program chooses: `f` returns a pair of the result
   * and the next value.
   *
   * **Details**
   *
   * `none` as the next value deletes the record. If the next value is `current` itself, nothing is written.
   *
   * **Example** (Taking from a stock)
   *
   * ```ts
   * import { Console, Effect, Option, Schema } from "effect"
   * import { Collection, Store } from "effect-lmdb"
   *
   * const program = Effect.gen(function*() {
   *   const stock = yield* Collection.make("stock", { key: Schema.String, value: Schema.Int })
   *   yield* stock.put("apples", 2)
   *   const take = stock.modify("apples", (current) => {
   *     const left = Option.getOrElse(current, () => 0)
   *     return left === 0 ? [false, current] : [true, Option.some(left - 1)]
   *   })
   *   yield* Console.log(yield* take, yield* take, yield* take) // => true true false
   * })
   *
   * Effect.runPromise(Effect.provide(program, Store.layerTemp()))
   * ```
   */
  readonly modify: <A>(
    key: K["Type"],
    f: (current: Option.Option<V["Type"]>) => readonly [result: A, next: Option.Option<ValueInput<V>>],
    options?: WriteOptions
  ) => Effect.Effect<A, E | ValueDecoding<K["Type"]>, R | V["DecodingServices"]>

  /**
   * Updates a record by an effect, as a transaction: durable when it returns. Inside another transaction it is a nested
   * transaction, and durable when the outer one is committed.
   *
   * **Details**
   *
   * The effect returns a pair of the result and the next value, as the function of `modify` does. If it fails, nothing is
   * written. Everything that it reads and writes in this store, also in other collections, belongs to the transaction.
   * The call fails with `TransactionConflict` if the transaction is still in conflict when the schedule
   * `transactionRetry` of the store ends.
   *
   * **Gotchas**
   *
   * After a conflict the effect runs again. Send requests after the call, not in the effect.
   */
  readonly modifyEffect: <A, E2, R2>(
    key: K["Type"],
    f: (
      current: Option.Option<V["Type"]>
    ) => Effect.Effect<readonly [result: A, next: Option.Option<ValueInput<V>>], E2, R2>
  ) => Effect.Effect<
    A,
    E | E2 | ValueDecoding<K["Type"]> | TransactionConflict,
    R | R2 | V["DecodingServices"]
  >

  /**
   * Replaces some fields of a record and returns the new value. Fails with `KeyNotFound` if the key has no value.
   *
   * **Details**
   *
   * It is for value schemas with fields: structs and classes. The schema checks the whole new value. If the schema is a
   * class, its `make` makes the new value. Fields that the patch does not have stay as they are.
   *
   * **Gotchas**
   *
   * A patch replaces each of its fields as a whole, even if the field is a struct. It cannot remove an optional field: use
   * `update` for that. A field that is `undefined`, or that the schema does not have, is `ValueEncoding`.
   */
  readonly patch: (
    key: K["Type"],
    fields: PatchOf<V>,
    options?: WriteOptions
  ) => Effect.Effect<
    V["Type"],
    E | ValueDecoding<K["Type"]> | KeyNotFound<K["Type"]>,
    R | V["DecodingServices"]
  >

  /**
   * Stores many new records in one transaction: all of them or none. Visible and durable when it returns.
   *
   * **Details**
   *
   * Fails with `KeyExists` for the first key that has a value, or that occurs twice in `entries`.
   */
  readonly insertMany: (
    entries: Iterable<readonly [K["Type"], ValueInput<V>]>
  ) => Effect.Effect<void, E | KeyExists<K["Type"]> | TransactionConflict, R>
}
