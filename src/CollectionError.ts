/**
 * Every error that only collections fail with. The others are those of the store.
 *
 * @since 0.1.0
 */
import * as Formatter from "effect/Formatter"
import * as Schema from "effect/Schema"
import type { ShownKey } from "./KeyError.ts"

/**
 * There is a value under the key already, and `insert` wants none.
 *
 * **Details**
 *
 * `Key` is the type of the keys of the collection. `key` stays in the process: neither a log nor an encoded
 * error has it. They have `shownKey`.
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
  /** Gives the key that was to be inserted. */
  get key(): Key {
    return this.#key
  }
  /** Shows the key. */
  override get message(): string {
    return `There is a value under key ${this.shownKey} in collection "${this.collection}" already.`
  }
}

/**
 * The cursor of a page is not one that this range of the collection or index has given.
 *
 * **Details**
 *
 * A cursor mostly comes from outside, in a URL. So this is an error of the application, which `Store.orDie` keeps. The
 * cursor is text that `page` has not given, or it is of another collection, index or direction, or its item is
 * not in the range.
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
    return `Cannot go on with a page of "${this.collection}": ${this.detail}; give the \`next\` of the page before.`
  }
}

/** What `UniqueViolation` is given. */
interface Violation<Key, Index extends string, IndexKey> extends ShownKey<Key> {
  readonly collection: string
  readonly index: Index
  readonly indexKey: IndexKey
  readonly shownIndexKey: string
  readonly existingKey: Key
  readonly shownExistingKey: string
}

/**
 * Another record has the same key in a unique index. Nothing was written.
 *
 * **Details**
 *
 * The keys are values, of the types of the collection and of the index; each has a text beside it. A collection
 * fails with one `UniqueViolation` for each of its indexes, so that `index` tells the type of `indexKey`.
 * The values stay in the process: neither a log nor an encoded error has them.
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
    /** The key in the index, as it is shown to a person. */
    shownIndexKey: Schema.String,
    /** The key of the record that was to be written, as it is shown to a person. */
    shownKey: Schema.String,
    /** The key of the record that is there, as it is shown to a person. */
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
  /** Gives the key of the record that was to be written. */
  get key(): Key {
    return this.#key
  }
  /** Gives the key of the record that is there. */
  get existingKey(): Key {
    return this.#existingKey
  }
  /** Gives the key that both have in the index. */
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
 * Records of a collection that have the same key in a unique index.
 *
 * @category models
 * @since 0.1.0
 */
export const DuplicateKey = Schema.Struct({
  /** The name of the index. */
  index: Schema.String,
  /** The key that the records have in the index. */
  indexKey: Schema.Unknown,
  /** The keys of the records; first that of the record which the index leads to. */
  keys: Schema.Array(Schema.Unknown)
})

/**
 * Records that have the same key in a unique index, as a type.
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
 * A unique index cannot be built, or not be made exact, because records have the same key in it.
 *
 * **Details**
 *
 * The index that was there is still in place. Other writers refuse a second record with the
 * same key, so duplicates come from data that is older than the index, or from another
 * program. To repair them, delete all records of a group but one, or put them with other keys.
 *
 * @category errors
 * @since 0.1.0
 */
export class DuplicateKeys extends Schema.TaggedError<DuplicateKeys>("effect-lmdb/DuplicateKeys")("DuplicateKeys", {
  /** The name of the collection. */
  collection: Schema.String,
  /** The first 100 of these records, in groups that have the same key. */
  duplicates: Schema.Array(DuplicateKey),
  /** How many records have a key that another record has already. */
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
 * - `BadDefinition`: its name, its version or a schema makes no sense; `detail` says what
 * - `NewerVersion`: a later version of the program wrote it, or has begun to migrate it
 * - `ChangedSchema`: under the same version, the schema of the keys is another, or that of the values does not take all
 *   that may be stored; `detail` names what differs. Or a migration to this version has started with other schemas
 * - `MissingMigration`: there is no migration from the version that it has
 * - `Migration`: a migration failed on a record; what was migrated before stays, and is not done again
 * - `Index`: an index could not be built, because a record has no key there, or because records have the same key in a
 *   unique index: then `duplicates` lists them. What indexes there were are still in place
 * - `TooManyDatabases`: each collection and each index needs one, and a store has 1,000 at the most
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
 * Why a collection could not be opened, as a type.
 *
 * @category errors
 * @since 0.1.0
 */
export type CollectionFailedReason = typeof CollectionFailedReason.Type

/**
 * A collection could not be opened.
 *
 * @category errors
 * @since 0.1.0
 */
export class CollectionFailed extends Schema.TaggedError<CollectionFailed>("effect-lmdb/CollectionFailed")(
  "CollectionFailed",
  {
    /** Why: an object with `_tag`, as `Effect.catchReason` takes it. */
    reason: CollectionFailedReason,
    /** The name of the collection. */
    collection: Schema.String,
    /** What failed, where something did. */
    cause: Schema.optional(Schema.Defect())
  }
) {
  /** Says what is wrong and what to do, as the reason has it. */
  get detail(): string {
    return this.reason.detail
  }
  /** Lists the records that have the same key in a unique index, where that is the reason. */
  get duplicates(): DuplicateKeys | undefined {
    return "duplicates" in this.reason ? this.reason.duplicates : undefined
  }
  /** Says what could not be opened and why. */
  override get message(): string {
    return `Cannot open the collection "${this.collection}": ${this.detail}`
  }
}
