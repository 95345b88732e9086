/**
 * Defines the options of a collection: its schemas, its indexes and its version.
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
 * Describes the schemas that the values of a collection can have: any schema. It may need services for encoding and
 * decoding.
 *
 * @category models
 * @since 0.1.0
 */
export type ValueSchema = Schema.Constraint

/**
 * Describes the values that a collection accepts: values of the schema. If the schema is a class, also the argument of its
 * `make`, such as a plain object.
 *
 * **Details**
 *
 * With any schema, a plain object or an array that is not a value of the schema goes through the `make` of the schema.
 * It validates the value, fills in the defaults of the constructors, and makes instances of all classes in it. Indexes
 * and `update` receive the result. An instance of another class is refused.
 *
 * @category models
 * @since 0.1.0
 */
export type ValueInput<V extends ValueSchema> = V["Type"] | ClassInput<V>

/** Selects class schemas: only they have both an identifier and fields. */
type ClassInput<V extends ValueSchema> = V extends { readonly identifier: string; readonly fields: object } ?
  Exclude<V["~type.make.in"], void>
  : never

/**
 * Names the mistake in the error of the compiler if `of` gives several keys. No value has this type.
 *
 * @category models
 * @since 0.1.0
 */
export interface SeveralKeysAreGivenByEach extends ReadonlyArray<unknown> {
  readonly "`of` gives one key, [a, b] if it is compound; for several keys of a record use `each` instead": never
}

/**
 * Describes the result of `of`: the key of a record in an index. With `undefined` or `Option.none()` the record is not in
 * the index. A compound key is an array of its elements: `[project, status]`.
 *
 * **Gotchas**
 *
 * If the schema of the keys decodes to an `Option`, wrap such a key: `Option.some(key)`.
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
  /** Whether each key may belong to one record only. Default: `false`. */
  readonly unique?: boolean | undefined
  /**
   * The version of `of` or `each`, a whole number from 1 on. Default: 1. If it has changed, the index is built again
   * when the collection is opened.
   *
   * **Gotchas**
   *
   * Raise it whenever the function gives other keys for the same value. When a collection is opened, the keys of about
   * six records are compared with their index entries. That finds most changes, but not a change of a few records.
   */
  readonly version?: number | undefined
}

/**
 * Defines a secondary index in which a record has at most one key.
 *
 * @category options
 * @since 0.1.0
 */
export interface IndexOf<Value, Key extends KeySchema> extends IndexOptions<Key> {
  /** Computes the key of a record; `undefined` or `none` if it has none. The same value must always give the same key. */
  readonly of: (value: Value) => IndexKey<Key["Type"]>
  readonly each?: undefined
}

/**
 * Defines a secondary index in which a record may have several keys.
 *
 * @category options
 * @since 0.1.0
 */
export interface IndexOfEach<Value, Key extends KeySchema> extends IndexOptions<Key> {
  /**
   * Computes all keys of a record; an empty array or `undefined` if it has none. The same value must always give the same
   * keys.
   */
  readonly each: (value: Value) => ReadonlyArray<Key["Type"]> | undefined
  readonly of?: undefined
}

/**
 * Defines a secondary index: it finds and orders the records by keys that are computed from their values.
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
 * Describes when a record expires: at a time, after a duration that begins when the record is written, or never
 * (`undefined`, `none` or an infinite duration).
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
 * Converts a value from one version of a collection to the next. The argument and the result are in the stored form of
 * their versions. `Collection.stored` returns the schema of that form.
 *
 * @category options
 * @since 0.1.0
 */
export type Migration<E, R> = (value: unknown) => Effect.Effect<unknown, E, R>

/**
 * Defines a collection.
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
  /** The schema of the keys. Its encoded side must have an order. */
  readonly key: Key
  /** The schema of the values. */
  readonly value: Value
  /** The secondary indexes, by their names. */
  readonly indexes?: { readonly [Name in keyof Indexes]: IndexDefinition<Value["Type"], Indexes[Name]> } | undefined
  /**
   * Computes from the value when a record expires. It is called at each write of the record. A duration begins at that
   * time, by `Clock`.
   *
   * **Details**
   *
   * After its time (`expires <= now`), no read, stream, count, index or transaction finds the record. The store deletes
   * it in the background. A write for which this function returns `undefined` makes the record permanent. If this option
   * is added, changed or removed, stored records keep the time with which they were written.
   */
  readonly expires?: ((value: Value["Type"]) => Expiration) | undefined
  /** The version of the schemas, a whole number from 1 on. Default: 1. */
  readonly version?: number | undefined
  /**
   * The migrations, by the version from which they convert values: `1` converts them from version 1 to version 2.
   */
  readonly migrations?: { readonly [From in keyof Services]: Migration<unknown, Services[From]> } | undefined
}
