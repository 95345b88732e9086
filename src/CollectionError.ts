/**
 * Defines the errors with which only collections fail. All other errors of collections are errors of the store.
 *
 * @since 0.1.0
 */
import * as Formatter from "effect/Formatter"
import * as Schema from "effect/Schema"
import type { ShownKey } from "./KeyError.ts"

/**
 * Reports that a key already has a value. `insert` and `insertMany` store only new keys.
 *
 * **Details**
 *
 * `Key` is the type of the keys of the collection. Logs and encoded errors do not contain `key`. They contain
 * `shownKey`.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeyExists<out Key = unknown> extends Schema.TaggedError<KeyExists>("effect-lmdb/KeyExists")("KeyExists", {
  /** The key as it is shown to a person. */
  shownKey: Schema.String,
  /** The name of the collection. */
  collection: Schema.String
}) {
  readonly #key: Key

  constructor(properties: ShownKey<Key> & { readonly collection: string }, options?: Schema.MakeOptions) {
    super(properties, options)
    this.#key = properties.key
  }
  /** Returns the key that could not be inserted. */
  get key(): Key {
    return this.#key
  }
  /** Shows the key. */
  override get message(): string {
    return `Key ${this.shownKey} in collection "${this.collection}" already has a value.`
  }
}

/**
 * Reports a cursor that `page` has not returned for this range of the collection or index.
 *
 * **Details**
 *
 * A cursor usually comes from outside, in a URL. So this is an error of the application, which `Store.orDie` keeps. The
 * text is not a cursor, or it is the cursor of another collection, index or direction, or its item is not in the range.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidCursor extends Schema.TaggedError<InvalidCursor>("effect-lmdb/InvalidCursor")("InvalidCursor", {
  /** The name of the collection, or of the index as `collection.index`. */
  collection: Schema.String,
  /** The cursor that was given as `after`. */
  cursor: Schema.String,
  /** What is wrong with it. */
  detail: Schema.String
}) {
  /** Says what is wrong with the cursor. */
  override get message(): string {
    return `The cursor in \`after\` does not continue a page of "${this.collection}": ${this.detail}. Pass the field \`next\` of the page before.`
  }
}

/** The properties of `UniqueViolation`. */
interface Violation<Key, Index extends string, IndexKey> extends ShownKey<Key> {
  readonly collection: string
  readonly index: Index
  readonly indexKey: IndexKey
  readonly shownIndexKey: string
  readonly existingKey: Key
  readonly shownExistingKey: string
}

/**
 * Reports that another record has the same key in a unique index. Nothing was written.
 *
 * **Details**
 *
 * The keys have the types of the collection and of the index. Each of them is also given as text. The error type of a collection
 * is a union with one `UniqueViolation` for each index, so a test of `index` narrows the type of `indexKey`.
 * Logs and encoded errors contain only the texts.
 *
 * @category errors
 * @since 0.1.0
 */
export class UniqueViolation<out Key = unknown, out Index extends string = string, out IndexKey = unknown>
  extends Schema.TaggedError<UniqueViolation>("effect-lmdb/UniqueViolation")("UniqueViolation", {
    /** The name of the collection. */
    collection: Schema.String,
    /** The name of the index. */
    index: Schema.String,
    /** The key that both records have in the index, as text. */
    shownIndexKey: Schema.String,
    /** The key of the record that was not written, as text. */
    shownKey: Schema.String,
    /** The key of the record that has the index key already, as text. */
    shownExistingKey: Schema.String
  })
{
  declare readonly index: Index
  readonly #key: Key
  readonly #existingKey: Key
  readonly #indexKey: IndexKey

  constructor(properties: Violation<Key, Index, IndexKey>, options?: Schema.MakeOptions) {
    super(properties, options)
    this.#key = properties.key
    this.#existingKey = properties.existingKey
    this.#indexKey = properties.indexKey
  }
  /** Returns the key of the record that was not written. */
  get key(): Key {
    return this.#key
  }
  /** Returns the key of the record that has the index key already. */
  get existingKey(): Key {
    return this.#existingKey
  }
  /** Returns the key that both records have in the index. */
  get indexKey(): IndexKey {
    return this.#indexKey
  }
  /** Shows the keys. */
  override get message(): string {
    return `Key ${this.shownKey} in collection "${this.collection}" was not written: key ${this.shownExistingKey} has ` +
      `${this.shownIndexKey} in the unique index "${this.index}" already.`
  }
}

/**
 * Lists records of a collection that have the same key in a unique index.
 *
 * @category models
 * @since 0.1.0
 */
export const DuplicateKey = Schema.Struct({
  /** The name of the index. */
  index: Schema.String,
  /** The key that the records have in the index. */
  indexKey: Schema.Unknown,
  /** The keys of the records. The first is the key of the record that the index finds. */
  keys: Schema.Array(Schema.Unknown)
})

/**
 * Describes records that have the same key in a unique index, as a type.
 *
 * @category models
 * @since 0.1.0
 */
export type DuplicateKey = typeof DuplicateKey.Type

const shown = 3

const showKey = (key: unknown): string => {
  const text = Formatter.format(key)
  return text.length > 50 ? `${text.slice(0, 47)}...` : text
}

/**
 * Reports that a unique index cannot be built or repaired, because several records have the same key in it.
 *
 * **Details**
 *
 * The previous index stays in use. Writes refuse a second record with the same key, so duplicates come from data that
 * is older than the index, or from another program. To repair them, delete all records of a group but one, or put them
 * with other keys.
 *
 * @category errors
 * @since 0.1.0
 */
export class DuplicateKeys extends Schema.TaggedError<DuplicateKeys>("effect-lmdb/DuplicateKeys")("DuplicateKeys", {
  /** The name of the collection. */
  collection: Schema.String,
  /** The first 100 of these records, in groups that have the same key. */
  duplicates: Schema.Array(DuplicateKey),
  /** The number of records that have a key which another record has already. */
  count: Schema.Number
}) {
  /** Shows the first groups and says how to repair them. */
  override get message(): string {
    const groups = this.duplicates.slice(0, shown).map(({ index, indexKey, keys }) =>
      `${keys.map(showKey).join(" and ")} all have ${showKey(indexKey)} in the unique index "${index}"`
    )
    const more = this.duplicates.length > shown ? ", and so on" : ""
    const records = `${this.count.toLocaleString("en-US")} record${this.count === 1 ? "" : "s"}`
    return `In collection "${this.collection}", ${records} cannot be in a unique index: the keys ${
      groups.join("; the keys ")
    }${more}. Of each group, delete all records but one, or put them with other keys.`
  }
}

const why = {
  /** What is wrong and what to do. */
  detail: Schema.String
}

/**
 * Tells why a collection could not be opened: the field `reason` of `CollectionFailed`, by its `_tag`.
 *
 * **Details**
 *
 * - `BadDefinition`: its name, its version, an option or a schema is not valid. `detail` says which. Names that begin with
 *   `effect.` belong to the subpaths of this package.
 * - `NewerVersion`: a later version of the program has written it or has begun to migrate it, or a later version of
 *   this package has written its catalog entry.
 * - `ChangedSchema`: the version is the same, but the schema of the keys has changed, or the schema of the values does
 *   not accept every value that may be stored. `detail` names the difference. Or a migration to this version has started
 *   with other schemas.
 * - `MissingMigration`: the definition lacks the migration from the stored version, or from a version between it and the
 *   new one.
 * - `Migration`: a migration has failed on a record. Records that were migrated before stay so. The next opening
 *   continues after them. Or the store is read-only and the collection has to be migrated.
 * - `Index`: an index could not be built, because a value does not decode, a key is not valid, or several records have
 *   the same key in a unique index. `duplicates` lists these. The previous indexes stay in use. Or the store is
 *   read-only and an index has to be built.
 * - `TooManyDatabases`: each collection, each index and each namespace needs a database, and a store has about 1,000.
 *
 * @category errors
 * @since 0.1.0
 */
export const CollectionFailedReason = Schema.TaggedUnion({
  BadDefinition: why,
  NewerVersion: why,
  ChangedSchema: why,
  MissingMigration: why,
  Migration: why,
  Index: { ...why, duplicates: Schema.optional(DuplicateKeys) },
  TooManyDatabases: why
})

/**
 * Describes the reason why a collection could not be opened, as a type.
 *
 * @category errors
 * @since 0.1.0
 */
export type CollectionFailedReason = typeof CollectionFailedReason.Type

/**
 * Reports that a collection could not be opened. `reason` says why.
 *
 * @category errors
 * @since 0.1.0
 */
export class CollectionFailed extends Schema.TaggedError<CollectionFailed>("effect-lmdb/CollectionFailed")(
  "CollectionFailed",
  {
    /** The reason: an object with `_tag`, for `Effect.catchReason`. */
    reason: CollectionFailedReason,
    /** The name of the collection. */
    collection: Schema.String,
    /** The error that caused this one, if any. */
    cause: Schema.optional(Schema.Defect())
  }
) {
  /** Says what is wrong and what to do. The same as `reason.detail`. */
  get detail(): string {
    return this.reason.detail
  }
  /** Lists the records that have the same key in a unique index, if that is the reason. */
  get duplicates(): DuplicateKeys | undefined {
    return "duplicates" in this.reason ? this.reason.duplicates : undefined
  }
  /** Says which collection could not be opened and why. */
  override get message(): string {
    return `Cannot open the collection "${this.collection}": ${this.detail}`
  }
}
