/**
 * Defines the error of a namespace that cannot be opened.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const why = {
  /** What is wrong and what to do. */
  detail: Schema.String
}

/**
 * Tells why a namespace could not be opened: the field `reason` of `NamespaceFailed`, by its `_tag`.
 *
 * **Details**
 *
 * - `BadName`: the name is not text, is empty, has more than 255 bytes, or contains `/` or U+0000.
 * - `TooManyDatabases`: each collection, each index and each namespace needs a database, and a store has about 1,000.
 *
 * @category errors
 * @since 0.1.0
 */
export const NamespaceFailedReason = Schema.TaggedUnion({
  BadName: why,
  TooManyDatabases: why
})

/**
 * The reason why a namespace could not be opened, as a type.
 *
 * @category errors
 * @since 0.1.0
 */
export type NamespaceFailedReason = typeof NamespaceFailedReason.Type

/**
 * A namespace could not be opened.
 *
 * @category errors
 * @since 0.1.0
 */
export class NamespaceFailed extends Schema.TaggedError<NamespaceFailed>("effect-lmdb/NamespaceFailed")(
  "NamespaceFailed",
  {
    /** The reason: an object with `_tag`, for `Effect.catchReason`. */
    reason: NamespaceFailedReason,
    /** The name of the namespace; the type of the name if it is not text. */
    namespace: Schema.String,
    /** The error that caused this one, if any. */
    cause: Schema.optional(Schema.Defect())
  }
) {
  /** Says what is wrong and what to do. The same as `reason.detail`. */
  get detail(): string {
    return this.reason.detail
  }
  /** Says which namespace could not be opened and why. */
  override get message(): string {
    return `Cannot open the namespace "${this.namespace}": ${this.detail}`
  }
}
