/**
 * The methods of a collection that read a record, compute the next one and store it.
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
 * What an error of the compiler names if `patch` is called on a collection whose values have no fields. No value has
 * this type.
 *
 * @category models
 * @since 0.1.0
 */
export interface OnlyValuesWithFieldsCanBePatched {
  readonly "`patch` needs a value schema with fields, such as Schema.Struct or Schema.Class; use `update` for other values":
    never
}

/**
 * What `patch` takes: some of the fields that the `make` of the value schema takes.
 *
 * @category models
 * @since 0.1.0
 */
export type PatchOf<V extends ValueSchema> = V extends { readonly fields: object } ?
  Partial<Exclude<V["~type.make.in"], void>>
  : OnlyValuesWithFieldsCanBePatched

/**
 * Read-modify-write for the records of a collection. `E` and `R` are the errors and the services of its `put`.
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
   * Like `update`, it is one step to all other fibers: visible at once, on disk after the next commit. With
   * `{ durable: true }` it is on disk when it returns, as `modify` and `patch` are.
   *
   * **Gotchas**
   *
   * `f` may be called again; only its last result counts.
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
   * Updates a record as `update` does, and returns a result of its own: `f` returns a pair of the result and the next
   * value.
   *
   * **Details**
   *
   * `None` as the next value deletes the record. `current` itself leaves it as it is and writes nothing.
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
   * Updates a record by an effect, as a transaction: on disk when it returns. Inside an open transaction it is nested in
   * that, and on disk when that is committed.
   *
   * **Details**
   *
   * The effect returns a pair of the result and the next value, as the function of `modify` does. If it fails, nothing is
   * written. What it reads and writes in this store, also in other collections, belongs to the transaction.
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
   * It is for value schemas with fields: structs and classes. The whole value is validated again. For a class, the new
   * value is made by its `make`. Fields that the patch does not have stay as they are.
   *
   * **Gotchas**
   *
   * A patch replaces a field as a whole, also a nested struct. It cannot remove an optional field: use `update` for that.
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
   * Stores many new records in one transaction: all of them or none. On disk when it returns.
   *
   * **Details**
   *
   * Fails with `KeyExists` for the first key that has a value, or that occurs twice in `entries`.
   */
  readonly insertMany: (
    entries: Iterable<readonly [K["Type"], ValueInput<V>]>
  ) => Effect.Effect<void, E | KeyExists<K["Type"]> | TransactionConflict, R>
}
