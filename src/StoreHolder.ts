/**
 * The process that has a store open, as the errors of other processes name it.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"

/**
 * A process that has a store open.
 *
 * @category models
 * @since 0.2.0
 */
export const StoreHolder = Schema.Struct({
  /** Its process id, in its own PID namespace. */
  processId: Schema.Int,
  /** The name of its host, or of its container. */
  host: Schema.String,
  /** When it opened the store. */
  since: Schema.DateTimeUtc,
  /** Whether it lets other processes write, with the option `shared`. */
  shared: Schema.Boolean,
  /** Whether it only reads. */
  readOnly: Schema.Boolean
})

/**
 * A process that has a store open, as a type.
 *
 * @category models
 * @since 0.2.0
 */
export type StoreHolder = typeof StoreHolder.Type
