/**
 * What a collection is: its schemas, its indexes, its version.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
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
 * What a collection takes as a value: a value of the schema, and where the schema is a class also what
 * its `make` takes, such as a plain object.
 *
 * **Details**
 *
 * Whatever the schema, a plain object or an array that is no value of it goes through the `make` of the schema: it
 * is validated, defaults of the constructor are filled in, and instances are made of its classes, also of those
 * inside of it. Indexes and `update` see what was made. An instance of another class is refused.
 *
 * @category models
 * @since 0.1.0
 */
export type ValueInput<V extends ValueSchema> = V["Type"] | ClassInput<V>

/** Of all schemas only classes have both an identifier and fields. */
type ClassInput<V extends ValueSchema> = V extends { readonly identifier: string; readonly fields: object } ?
  Exclude<V["~type.make.in"], void>
  : never

/**
 * What an error of the compiler names where `of` gives several keys. No value has this type.
 *
 * @category models
 * @since 0.1.0
 */
export interface SeveralKeysAreGivenByEach extends ReadonlyArray<unknown> {
  readonly "`of` gives one key, as [a, b] where it is compound; for several keys of a record give `each` in its place":
    never
}

/**
 * The key that a record has in an index, or `undefined` or `Option.none()` where it is not in the index. The
 * elements of a compound key are an array: `[project, status]`.
 *
 * **Gotchas**
 *
 * A key that is an `Option` itself, which a schema can decode to, is given as `Option.some(key)`.
 *
 * @category models
 * @since 0.1.0
 */
export type IndexKey<Key> =
  | undefined
  | Option.Option<Key>
  | Key
  | SeveralKeysAreGivenByEach

interface IndexOptions<Key extends KeySchema> {
  /** The schema of the keys. */
  readonly key: Key
  /** Whether no two records may have the same key. Default: `false`. */
  readonly unique?: boolean | undefined
  /**
   * The version of `of` or `each`, a whole number from 1 on. Default: 1. An index with another version
   * is built again when the collection is opened.
   *
   * **Gotchas**
   *
   * Raise it whenever the function gives other keys for the same value: what a function gives cannot
   * be seen from outside. When a collection is opened, a few records are compared with their
   * entries, which finds most changes, but not one that concerns few records.
   */
  readonly version?: number | undefined
}

/**
 * A secondary index in which a record has one key at most.
 *
 * @category options
 * @since 0.1.0
 */
export interface IndexOf<Value, Key extends KeySchema> extends IndexOptions<Key> {
  /** Gives the key of a record, or none. The same value must give the same key. */
  readonly of: (value: Value) => IndexKey<Key["Type"]>
  readonly each?: undefined
}

/**
 * A secondary index in which a record may have several keys.
 *
 * @category options
 * @since 0.1.0
 */
export interface IndexOfEach<Value, Key extends KeySchema> extends IndexOptions<Key> {
  /** Gives all keys of a record: an empty array or `undefined` where it has none. The same value must give the same keys. */
  readonly each: (value: Value) => ReadonlyArray<Key["Type"]> | undefined
  readonly of?: undefined
}

/**
 * A secondary index: another order of the records, by keys that come from the value.
 *
 * **Example** (One key, a compound key, no key, several keys)
 *
 * ```ts
 * import { Option, Schema } from "effect"
 * import { Collection } from "effect-lmdb"
 *
 * const Issue = Schema.Struct({
 *   project: Schema.String,
 *   status: Schema.Literals(["open", "closed"]),
 *   assignee: Schema.Option(Schema.String),
 *   tags: Schema.Array(Schema.String)
 * })
 *
 * export const issues = Collection.make("issues", {
 *   key: Schema.Int,
 *   value: Issue,
 *   indexes: {
 *     byProject: { key: Schema.String, of: (issue) => issue.project },
 *     byStatus: { key: Schema.Tuple([Schema.String, Schema.String]), of: (issue) => [issue.project, issue.status] },
 *     byAssignee: { key: Schema.String, of: (issue) => issue.assignee },
 *     byTag: { key: Schema.String, each: (issue) => issue.tags }
 *   }
 * })
 * ```
 *
 * @category options
 * @since 0.1.0
 */
export type IndexDefinition<Value, Key extends KeySchema> = IndexOf<Value, Key> | IndexOfEach<Value, Key>

/**
 * When a record expires: at a time, a while after it is written, or never (`undefined`, `None` or an infinite
 * duration).
 *
 * @category models
 * @since 0.1.0
 */
export type Expiration =
  | DateTime.DateTime
  | Date
  | Duration.Duration
  | Option.Option<DateTime.DateTime | Date | Duration.Duration>
  | undefined

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
  /**
   * When a record expires, by its value. Asked at each write of the record; a duration counts from then on, by `Clock`.
   *
   * **Details**
   *
   * A record is gone for every read, stream, count, index and transaction when its time has come (`expires <= now`),
   * and is deleted in the background. A write that gives `undefined` makes it permanent. Records that are there
   * keep the time that they were written with, also when this option is added, changed or left out.
   */
  readonly expires?: ((value: Value["Type"]) => Expiration) | undefined
  /** The version of the schemas, a whole number from 1 on. Default: 1. */
  readonly version?: number | undefined
  /**
   * The migrations, by the version that they begin with: `1` brings values from version 1
   * to version 2.
   */
  readonly migrations?: { readonly [From in keyof Services]: Migration<unknown, Services[From]> } | undefined
}
