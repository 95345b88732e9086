/**
 * Options and the error of the functions that bring records from one place to another: `Store.copy`, `Store.restore`
 * and `Store.importLmdb`.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { StoreOptions } from "./StoreOptions.ts"

/**
 * A store is to be copied or restored to a place where there are records already. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreNotEmpty extends Schema.TaggedError<StoreNotEmpty>("effect-lmdb/StoreNotEmpty")("StoreNotEmpty", {
  /** The path of the store that has records. */
  path: Schema.String,
  /** What is there and what to do. */
  detail: Schema.String
}) {
  /** Says which store has records, and what to do. */
  override get message(): string {
    return `The store at ${this.path} is not empty: ${this.detail}`
  }
}

/**
 * What `Store.restore` restores, and where to.
 *
 * @category options
 * @since 0.1.0
 */
export interface RestoreOptions
  extends Pick<StoreOptions, "path" | "subdirectory" | "encryptionKey" | "fileMode" | "lock" | "lockTimeout">
{
  /** The backup: a folder that `backup` wrote, or the file in it. */
  readonly from: string
  /** Whether a store that is at `path` is replaced. Default: `false`. */
  readonly overwrite?: boolean | undefined
}

/**
 * A record of another program, as lmdb-js decodes it.
 *
 * @category models
 * @since 0.1.0
 */
export type ImportedEntry = readonly [key: unknown, value: unknown]

/**
 * What `Store.importLmdb` reads, and what it does with it. The options are those of the package `lmdb`, as the program
 * that wrote the file has given them.
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
  /** Whether a key may have several values. Default: `false`. */
  readonly dupSort?: boolean | undefined
  /** The key under which the structures of records are stored. Default: values have none. */
  readonly sharedStructuresKey?: symbol | undefined
  /** How many records are written at a time. Default: 1000. */
  readonly batchSize?: number | undefined
  /** Writes records, in the order of their keys: decodes them and puts them where they belong. */
  readonly write: (entries: ReadonlyArray<ImportedEntry>) => Effect.Effect<unknown, E, R>
}
