/**
 * Which schemas can be the key of a collection, and in which order their keys are.
 *
 * A collection keeps its keys in the order of their values. That is the order of
 * the encoded side of the schema: `Schema.NumberFromString` is encoded as text, so
 * its keys are in the order of text, `"10"` before `"9"`; `Schema.Number` is not.
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
 * Literals and enums are in the order of their values, not in that of their
 * declaration. Brands and checks change nothing. In a union of several kinds all
 * values of one kind come before those of the next, in the order of this table.
 *
 * The order of strings by code points is not that of `<` in JavaScript, which
 * compares UTF-16 code units: `"\uffff"` is before `"\u{10000}"` here. It knows no
 * language: `"Z"` is before `"a"`.
 *
 * **Gotchas**
 *
 * Some values that these schemas allow have no place in the order and are refused
 * when they are used as a key: `NaN`, an invalid `Date`, a string with a lone
 * surrogate, a `DateTime.Utc` that is no whole number of milliseconds.
 *
 * `-0` and `0` are two keys, although they are equal in JavaScript.
 *
 * `DateTime.Zoned` is no key: two of them can be the same time in different zones.
 * Use a tuple of a `DateTime.Utc` and the name of the zone.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Schema from "effect/Schema"

/**
 * The values that have an order: what the encoded side of a key schema consists of.
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
 * The decoded side is free: a class, or anything that needs services to be decoded.
 *
 * **Gotchas**
 *
 * `any` passes as every type does, and is refused where the schema is used.
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
 * How keys can begin: text for strings, bytes for bytes, the first elements for
 * tuples. Other keys do not begin with anything.
 *
 * **Details**
 *
 * The elements of a tuple count whole: `["Par"]` begins `["Par", 1]`, but not
 * `["Paris", 1]`.
 *
 * @category models
 * @since 0.1.0
 */
export type KeyPrefix<Key> = Key extends string ? string
  : Key extends Uint8Array ? Uint8Array
  : Key extends ReadonlyArray<unknown> ? FirstElements<Key>
  : never

/**
 * How the keys of a schema can begin: the beginning of the encoded text or bytes, or the first elements of a tuple as
 * the program has them.
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
