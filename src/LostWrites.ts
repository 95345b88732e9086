/**
 * Describes the writes that are lost because the last commit of a closing store has failed.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { count } from "./internal/quantity.ts"

/**
 * Writes that a call has accepted, but that are lost, because the store has closed and could not commit them.
 *
 * @category models
 * @since 0.1.0
 */
export const LostWrites = Schema.Struct({
  /** The folder or file of the store. */
  path: Schema.String,
  /** The number of keys that were not written. */
  count: Schema.Number,
  /** The first of these keys as text, at most ten. */
  keys: Schema.Array(Schema.String)
})

/**
 * The type of `LostWrites`.
 *
 * @category models
 * @since 0.1.0
 */
export type LostWrites = typeof LostWrites.Type

/** Says what is lost, for the messages of errors. */
export const showLost = ({ count: lost, keys, path }: LostWrites): string => {
  const others = lost - keys.length
  return `The store at ${path} closed, and ${count(lost, "key")} that had not been written ${
    lost === 1 ? "is" : "are"
  } lost: ${keys.join(", ")}${others > 0 ? ` and ${count(others, "more key")}` : ""}`
}
