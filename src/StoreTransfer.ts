/**
 * Defines the options and the error of the functions that copy records from one place to another: `Store.copy`,
 * `Store.restore` and `Store.importLmdb`.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { StoreOptions } from "./StoreOptions.ts"

/**
 * The target of a copy or a restore is not empty. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreNotEmpty extends Schema.TaggedError<StoreNotEmpty>("effect-lmdb/StoreNotEmpty")("StoreNotEmpty", {
  /** The path of the store that has records. */
  path: Schema.String,
  /** Says what the store contains, and what to do. */
  detail: Schema.String
}) {
  /** Says which store has records, and what to do. */
  override get message(): string {
    return `The store at ${this.path} is not empty: ${this.detail}`
  }
}

/**
 * Options of `Store.restore`: the backup and the target.
 *
 * @category options
 * @since 0.1.0
 */
export interface RestoreOptions
  extends Pick<StoreOptions, "path" | "subdirectory" | "encryptionKey" | "fileMode" | "lock" | "lockTimeout">
{
  /** The backup: a folder that `backup` has written, or the file in it. */
  readonly from: string
  /** Whether to replace a store at `path`. With `false`, the call fails with `StoreNotEmpty`. Default: `false`. */
  readonly overwrite?: boolean | undefined
}

/**
 * Options of `Store.compact`: the store.
 *
 * @category options
 * @since 0.2.0
 */
export interface CompactOptions extends Pick<StoreOptions, "path" | "subdirectory" | "lock" | "lockTimeout"> {}

/**
 * Tells what a compaction has saved.
 *
 * @category models
 * @since 0.2.0
 */
export interface Compaction {
  /** The length of the file before, in bytes. */
  readonly bytesBefore: number
  /** The length of the file after, in bytes. */
  readonly bytesAfter: number
}

/**
 * A record of another program, as lmdb-js decodes it.
 *
 * @category models
 * @since 0.1.0
 */
export type ImportedEntry = readonly [key: unknown, value: unknown]

/**
 * Options of `Store.importLmdb`. The options about encoding are those of the package `lmdb`. Use the same values as the
 * program that wrote the file.
 *
 * @category options
 * @since 0.1.0
 */
export interface ImportOptions<E, R> {
  /** The folder of the database, or its file. */
  readonly from: string
  /** The name of the database in the file. Default: the one without a name. */
  readonly database?: string | undefined
  /** How values are decoded. Default: `"msgpack"`. */
  readonly encoding?: "msgpack" | "json" | "string" | "binary" | "ordered-binary" | undefined
  /** How keys are decoded. Default: `"ordered-binary"`. */
  readonly keyEncoding?: "uint32" | "binary" | "ordered-binary" | undefined
  /** Whether a key can have several values. Default: `false`. */
  readonly dupSort?: boolean | undefined
  /** The key under which the file stores the structures of records. Default: the values have no structures. */
  readonly sharedStructuresKey?: symbol | undefined
  /** The number of records that `write` receives in one call. Default: 1000. */
  readonly batchSize?: number | undefined
  /** Stores records. It receives them in the order of their keys. */
  readonly write: (entries: ReadonlyArray<ImportedEntry>) => Effect.Effect<unknown, E, R>
}
