/**
 * Selects ranges of keys to read, count or delete: keys between two bounds, or with a prefix.
 *
 * @since 0.1.0
 */
import type { PollOptions } from "./Change.ts"
import type { Key } from "./Key.ts"

/**
 * Selects keys of a store, the direction in which they are read, and how many are read.
 *
 * **Details**
 *
 * Keys are in the order of their bytes. A key is in the range if it satisfies every
 * property that is given. Bounds and prefix are encoded and checked like keys; every key
 * begins with the empty prefix. `offset` and `limit` are whole numbers, and count from
 * the end of the range at which reading begins.
 *
 * **Gotchas**
 *
 * A property whose value is `undefined` is a `KeyEncoding` error, so that a variable
 * without a value never selects all keys: leave the property out instead. A property
 * that ranges do not have is the same error.
 *
 * **Example** (The last three keys of March)
 *
 * ```ts
 * import type { Range } from "effect-lmdb"
 *
 * const range: Range = { prefix: "2026-03-", reverse: true, limit: 3 }
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Range {
  /** Only keys that begin with these bytes. */
  readonly prefix?: Key
  /** Only keys after this one. */
  readonly gt?: Key
  /** Only this key and keys after it. */
  readonly gte?: Key
  /** Only keys before this one. */
  readonly lt?: Key
  /** Only this key and keys before it. */
  readonly lte?: Key
  /** Whether the range is read from its last key to its first. Default: `false`. */
  readonly reverse?: boolean | undefined
  /** How many keys are skipped. Default: 0. */
  readonly offset?: number
  /** The most keys that are read. Default: all. */
  readonly limit?: number
}

/**
 * Selects a range of keys, and how a stream reads it.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamRange extends Range {
  /**
   * Whether the stream reads the whole range from a snapshot that it takes when it starts. With `false`, it reads each
   * part from the current state. Default: `true`.
   */
  readonly snapshot?: boolean | undefined
}

/**
 * Selects the keys of a live query.
 *
 * @category models
 * @since 0.1.0
 */
export interface WatchRange extends Pick<Range, "prefix" | "gt" | "gte" | "lt" | "lte">, PollOptions {
  /** The maximum number of changes that wait for the consumer. If more wait, it gets a new snapshot. Default: 100,000. */
  readonly capacity?: number | undefined
}
