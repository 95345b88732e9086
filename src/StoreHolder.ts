/**
 * Describes the process that has a store open, for the errors of other processes.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"

/**
 * Describes a process that has a store open.
 *
 * @category models
 * @since 0.2.0
 */
export const StoreHolder = Schema.Struct({
  /** The process id, in the PID namespace of the process. */
  processId: Schema.Int,
  /** The name of the host or the container of the process. */
  host: Schema.String,
  /** When the process opened the store. */
  since: Schema.DateTimeUtc,
  /** Whether it opened the store with the option `shared`, so that other processes can write. */
  shared: Schema.Boolean,
  /** Whether it opened the store with the option `readOnly`. */
  readOnly: Schema.Boolean
})

/**
 * Describes a process that has a store open, as a type.
 *
 * @category models
 * @since 0.2.0
 */
export type StoreHolder = typeof StoreHolder.Type
