/**
 * Defines which schemas can be the key of a collection, and the order of their keys.
 *
 * A collection orders its keys by their values, on the encoded side of the schema. `Schema.Number` is encoded as a
 * number, so its keys are in the order of numbers. `Schema.NumberFromString` is encoded as text, so its keys are in the
 * order of text: `"10"` before `"9"`.
 *
 * | Encoded as                 | Order                                                      |
 * | -------------------------- | ---------------------------------------------------------- |
 * | `boolean`                  | `false`, `true`                                            |
 * | `number`                   | from `-Infinity` to `Infinity`, with `-0` just before `0`  |
 * | `bigint`                   | by value, of any size                                      |
 * | `Date`                     | by time                                                    |
 * | `DateTime.Utc`             | by time                                                    |
 * | `string`                   | by code points, as UTF-8 is in the order of its bytes      |
 * | `Uint8Array`               | by bytes, a shorter one before those that begin with it    |
 * | a tuple, or an array       | by the first element that differs, a shorter one first     |
 *
 * Literals and enums are in the order of their values, not of their declaration. Brands and checks do not change the
 * order. In a union of several kinds, all values of one kind come before those of the next, in the order of this table.
 *
 * The order of strings by code points differs from `<` in JavaScript, which compares UTF-16 code units: `"\uffff"` is
 * before `"\u{10000}"` here. It does not depend on a language: `"Z"` is before `"a"`.
 *
 * **Gotchas**
 *
 * Some values of these schemas have no order. As a key they fail with `KeyEncoding`: `NaN`, an invalid `Date`, a string
 * with a lone surrogate, a `DateTime.Utc` that is not a whole number of milliseconds.
 *
 * `-0` and `0` are two keys, although they are equal in JavaScript.
 *
 * `DateTime.Zoned` cannot be a key, because two of them can be the same time in different zones. Use a tuple of a
 * `DateTime.Utc` and the name of the zone.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Schema from "effect/Schema"

/**
 * The values that have an order. The encoded side of a key schema consists of them.
 *
 * @category models
 * @since 0.1.0
 */
export type OrderedKey =
  | boolean
  | number
  | bigint
  | Date
  | DateTime.Utc
  | string
  | Uint8Array
  | ReadonlyArray<OrderedKey>

/**
 * A schema whose encoded side has an order.
 *
 * **Details**
 *
 * The decoded side can be any type, such as a class, and can need services.
 *
 * **Gotchas**
 *
 * The compiler accepts a schema of `any` here. Opening the collection fails with it (`CollectionFailed`).
 *
 * **Example** (Keys in the order of country and population)
 *
 * ```ts
 * import { Schema } from "effect"
 * import type { KeySchema } from "effect-lmdb"
 *
 * const ByPopulation = Schema.Tuple([Schema.String, Schema.Int]) satisfies KeySchema
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export type KeySchema = Schema.ConstraintCodec<unknown, OrderedKey, unknown, unknown>

/**
 * The type of a prefix of encoded keys: text for strings, bytes for bytes, the first elements for tuples. Other keys
 * have no prefix.
 *
 * **Details**
 *
 * The elements of a tuple must be complete: `["Par"]` is a prefix of `["Par", 1]`, but not of `["Paris", 1]`.
 *
 * @category models
 * @since 0.1.0
 */
export type KeyPrefix<Key> = Key extends string ? string
  : Key extends Uint8Array ? Uint8Array
  : Key extends ReadonlyArray<unknown> ? FirstElements<Key>
  : never

/**
 * The type of a prefix of the keys of a schema: the beginning of the encoded text or bytes, or the first decoded
 * elements of a tuple.
 *
 * @category models
 * @since 0.1.0
 */
export type PrefixOf<K extends KeySchema> = K["Encoded"] extends string ? string
  : K["Encoded"] extends Uint8Array ? Uint8Array
  : KeyPrefix<K["Type"]>

type FirstElements<Tuple extends ReadonlyArray<unknown>> = number extends Tuple["length"] ? Tuple
  : Tuple extends readonly [...infer Initial, infer Last] ?
      | readonly [...Initial, Last]
      | FirstElements<Initial>
  : readonly []
