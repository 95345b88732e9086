/**
 * Every error that only collections fail with. The others are those of the store.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * There is a value under the key already, and `insert` wants none.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeyExists extends Schema.TaggedError<KeyExists>("effect-lmdb/KeyExists")("KeyExists", {
  /** The key as it is shown to a person. */
  key: Schema.String,
  /** The name of the collection. */
  collection: Schema.String
}) {
  /** Shows the key. */
  override get message(): string {
    return `There is a value under key ${this.key} in collection "${this.collection}" already.`
  }
}

/**
 * Another record has the same key in a unique index. Nothing was written.
 *
 * @category errors
 * @since 0.1.0
 */
export class UniqueViolation extends Schema.TaggedError<UniqueViolation>("effect-lmdb/UniqueViolation")(
  "UniqueViolation",
  {
    /** The name of the collection. */
    collection: Schema.String,
    /** The name of the index. */
    index: Schema.String,
    /** The key in the index, as it is shown to a person. */
    indexKey: Schema.String,
    /** The key of the record that was to be written. */
    key: Schema.String,
    /** The key of the record that is there. */
    existingKey: Schema.String
  }
) {
  /** Shows the keys. */
  override get message(): string {
    return `Key ${this.key} in collection "${this.collection}" was not written: key ${this.existingKey} has ` +
      `${this.indexKey} in the unique index "${this.index}" already.`
  }
}

/**
 * Why a collection could not be opened.
 *
 * **Details**
 *
 * - `BadDefinition`: its name, its version or a schema makes no sense; `detail` says what
 * - `NewerVersion`: a later version of the program wrote it
 * - `ChangedSchema`: a schema is another than the one it was written with, under the same version
 * - `MissingMigration`: there is no migration from the version that it has
 * - `Migration`: a migration failed on a record; what was migrated before stays, and is not done again
 * - `Index`: an index could not be built, because a record has no key there or a unique index is violated
 * - `TooManyDatabases`: each collection and each index needs one, and a store has 1,000 at the most
 *
 * @category errors
 * @since 0.1.0
 */
export const CollectionFailedReason = Schema.Literals([
  "BadDefinition",
  "NewerVersion",
  "ChangedSchema",
  "MissingMigration",
  "Migration",
  "Index",
  "TooManyDatabases"
])

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
    /** Why. */
    reason: CollectionFailedReason,
    /** The name of the collection. */
    collection: Schema.String,
    /** What is wrong and what to do. */
    detail: Schema.String,
    /** What failed, where something did. */
    cause: Schema.optional(Schema.Defect())
  }
) {
  /** Says what could not be opened and why. */
  override get message(): string {
    return `Cannot open the collection "${this.collection}": ${this.detail}`
  }
}
