/**
 * What a collection is: its schemas, its indexes, its version.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { KeySchema } from "./KeySchema.ts"

/**
 * The schema of the values of a collection: any schema, with services for encoding
 * and decoding where it needs some.
 *
 * @category models
 * @since 0.1.0
 */
export type ValueSchema = Schema.Constraint

/**
 * The keys that a record has in an index: one, several as an array, or none as
 * `undefined`. Where the key is a tuple, only an array of tuples is told from a tuple.
 *
 * @category models
 * @since 0.1.0
 */
export type IndexKeys<Key> = undefined | ReadonlyArray<Key> | (Key extends ReadonlyArray<unknown> ? never : Key)

/**
 * A secondary index: another order of the records, by a key that comes from the value.
 *
 * @category options
 * @since 0.1.0
 */
export interface IndexDefinition<Value, Key extends KeySchema> {
  /** The schema of the keys. */
  readonly key: Key
  /** The keys of a record: one, several, or none. The same value must give the same keys. */
  readonly of: (value: Value) => IndexKeys<Key["Type"]>
  /** Whether no two records may have the same key. Default: `false`. */
  readonly unique?: boolean | undefined
  /**
   * The version of `of`, a whole number from 1 on. Default: 1. An index with another version
   * is built again when the collection is opened.
   *
   * **Gotchas**
   *
   * Raise it whenever `of` gives other keys for the same value: what a function gives cannot
   * be seen from outside. When a collection is opened, a few records are compared with their
   * entries, which finds most changes, but not one that concerns few records.
   */
  readonly version?: number | undefined
}

/**
 * Brings a value from one version of a collection to the next: in its stored form, both
 * ways, whose schema `Collection.stored` gives.
 *
 * @category options
 * @since 0.1.0
 */
export type Migration<E, R> = (value: unknown) => Effect.Effect<unknown, E, R>

/**
 * What a collection is made of.
 *
 * @category options
 * @since 0.1.0
 */
export interface CollectionOptions<
  Key extends KeySchema,
  Value extends ValueSchema,
  Indexes extends Record<string, KeySchema>,
  Services extends Record<number, unknown>
> {
  /** The schema of the keys, whose encoded side has an order. */
  readonly key: Key
  /** The schema of the values. */
  readonly value: Value
  /** The secondary indexes, by their names. */
  readonly indexes?: { readonly [Name in keyof Indexes]: IndexDefinition<Value["Type"], Indexes[Name]> } | undefined
  /** The version of the schemas, a whole number from 1 on. Default: 1. */
  readonly version?: number | undefined
  /**
   * The migrations, by the version that they begin with: `1` brings values from version 1
   * to version 2.
   */
  readonly migrations?: { readonly [From in keyof Services]: Migration<unknown, Services[From]> } | undefined
}
