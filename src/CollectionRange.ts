/**
 * Defines the ranges of collections and indexes, and the methods that take ranges.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Result from "effect/Result"
import type * as Stream from "effect/Stream"
import type { InvalidCursor } from "./CollectionError.ts"
import type { ValueSchema } from "./CollectionOptions.ts"
import type { KeySchema, PrefixOf } from "./KeySchema.ts"
import type { StreamRange } from "./Range.ts"
import type {
  Closed,
  EngineFailure,
  KeyEncoding,
  MapFull,
  ReadOnly,
  TransactionConflict,
  ValueDecoding
} from "./StoreError.ts"

/**
 * Selects a part of a collection or of an index.
 *
 * **Details**
 *
 * Keys are in the order of their values. A key is in the range if it meets all given conditions. `equals`, `gt`, `gte`,
 * `lt` and `lte` are keys of the decoded side of the schema. `prefix` is the beginning of the encoded text or bytes, or
 * the first elements of a tuple. `startsWith` is the same, but the last given element of a tuple may be the beginning of
 * a text: `["ABC", "tit"]` finds `["ABC", "title", 1]`. `offset` and `limit` count from the first record of the range,
 * with `reverse` from the last.
 *
 * **Gotchas**
 *
 * A condition whose value is `undefined` is a `KeyEncoding` error, so that a variable without a value never selects all
 * keys: leave the condition out instead. A property that ranges do not have is the same error.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectionRange<Key, Prefix = never>
  extends Pick<StreamRange, "reverse" | "offset" | "limit" | "snapshot">
{
  /** Only keys that begin with this. The elements of a tuple must be complete. */
  readonly prefix?: Prefix
  /** Only keys that begin with this. The last given text or bytes may continue. */
  readonly startsWith?: Prefix
  /** Only this key. */
  readonly equals?: Key
  /** Only keys after this one. */
  readonly gt?: Key
  /** Only this key and the keys after it. */
  readonly gte?: Key
  /** Only keys before this one. */
  readonly lt?: Key
  /** Only this key and the keys before it. */
  readonly lte?: Key
}

/**
 * Selects what a stream does with a value that does not decode. `"fail"`: it fails with `ValueDecoding` (the default).
 * `"skip"`: it skips the value, which still counts for `offset` and `limit`. `"result"`: it gives a `Result` for each
 * value.
 *
 * @category models
 * @since 0.1.0
 */
export type Undecodable = "fail" | "skip" | "result"

/**
 * Selects a part of a collection or of an index, by the schema of its keys.
 *
 * @category models
 * @since 0.1.0
 */
export type RangeOf<K extends KeySchema> = CollectionRange<K["Type"], PrefixOf<K>>

/**
 * Lists the errors of every method that reads. Methods that decode values add `ValueDecoding`.
 *
 * @category errors
 * @since 0.1.0
 */
export type ReadError = KeyEncoding | Closed | EngineFailure

/**
 * Streams the values of a range. The option `undecodable` selects what happens if a value does not decode.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReadValues<K extends KeySchema, V extends ValueSchema, R> {
  (
    range: RangeOf<K> & { readonly undecodable: "skip" }
  ): Stream.Stream<V["Type"], ReadError, R>
  (
    range: RangeOf<K> & { readonly undecodable: "result" }
  ): Stream.Stream<Result.Result<V["Type"], ValueDecoding>, ReadError, R>
  (
    range?: RangeOf<K> & { readonly undecodable?: "fail" | undefined }
  ): Stream.Stream<V["Type"], ReadError | ValueDecoding, R>
}

/**
 * Streams the keys and values of a range. `EntryKey` is the type of these keys.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReadEntries<EntryKey, K extends KeySchema, V extends ValueSchema, R> {
  (
    range: RangeOf<K> & { readonly undecodable: "skip" }
  ): Stream.Stream<readonly [EntryKey, V["Type"]], ReadError, R>
  (
    range: RangeOf<K> & { readonly undecodable: "result" }
  ): Stream.Stream<readonly [EntryKey, Result.Result<V["Type"], ValueDecoding>], ReadError, R>
  (
    range?: RangeOf<K> & { readonly undecodable?: "fail" | undefined }
  ): Stream.Stream<readonly [EntryKey, V["Type"]], ReadError | ValueDecoding, R>
}

/**
 * Reads the first or last record of a range: its key and its value. It costs about as much as a `get`.
 *
 * @category models
 * @since 0.1.0
 */
export type ReadOne<RK extends KeySchema, K extends KeySchema, V extends ValueSchema> = (
  range?: Omit<RangeOf<RK>, "limit" | "reverse" | "snapshot">
) => Effect.Effect<
  Option.Option<readonly [K["Type"], V["Type"]]>,
  ReadError | ValueDecoding,
  RK["EncodingServices"] | K["DecodingServices"] | V["DecodingServices"]
>

/**
 * Reads all values of a range into an array, in the order of its keys.
 *
 * **Details**
 *
 * It is `Stream.runCollect` of `values`, with the same option `undecodable`. The result needs memory for all values of
 * the range. Read a large range page by page, or as a stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectValues<K extends KeySchema, V extends ValueSchema, R> {
  (
    range: RangeOf<K> & { readonly undecodable: "skip" }
  ): Effect.Effect<ReadonlyArray<V["Type"]>, ReadError, R>
  (
    range: RangeOf<K> & { readonly undecodable: "result" }
  ): Effect.Effect<ReadonlyArray<Result.Result<V["Type"], ValueDecoding>>, ReadError, R>
  (
    range?: RangeOf<K> & { readonly undecodable?: "fail" | undefined }
  ): Effect.Effect<ReadonlyArray<V["Type"]>, ReadError | ValueDecoding, R>
}

/**
 * Selects a page of a range.
 *
 * @category models
 * @since 0.1.0
 */
export type PageRange<K extends KeySchema> = Omit<RangeOf<K>, "offset" | "limit" | "snapshot"> & {
  /** The maximum number of items on the page, at least 1. */
  readonly limit: number
  /** The `next` of the previous page. With `undefined` the first page is read. */
  readonly after?: string | undefined
}

/**
 * Describes a page of a range.
 *
 * @category models
 * @since 0.1.0
 */
export interface Page<Item> {
  /** The items, at most `limit`, in the order of the range. */
  readonly items: ReadonlyArray<Item>
  /**
   * The cursor of the next page, safe in a URL; `undefined` on the last page. It is only a position and grants no
   * access: check the permissions of each request.
   */
  readonly next: string | undefined
}

/**
 * Reads a page of a range.
 *
 * **Details**
 *
 * The cursor of the next page is the position of the last item. A record that is in the range from the first page to the last is on exactly
 * one page, in both directions. That also holds if many records have equal keys in an index, and if other fibers write
 * between the calls. A record whose key in the index changes between two calls may be on both pages or on none.
 *
 * Give the same range for each page. A cursor of another collection or index, of the other direction, or of an item
 * outside of the range is `InvalidCursor`.
 *
 * **Example** (All issues of a project, twenty at a time)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Collection, Store } from "effect-lmdb"
 *
 * class Issues extends Collection.Service<Issues>()("issues", {
 *   key: Schema.Number,
 *   value: Schema.Struct({ project: Schema.String, title: Schema.String }),
 *   indexes: { project: { key: Schema.String, of: (issue) => issue.project } }
 * }) {}
 *
 * const program = Effect.gen(function*() {
 *   const issues = yield* Issues
 *   yield* issues.putMany(Array.from({ length: 45 }, (_, id) => [id, { project: "ABC", title: `Issue ${id}` }] as const))
 *   let after: string | undefined
 *   do {
 *     const page = yield* issues.indexes.project.page({ equals: "ABC", reverse: true, limit: 20, after })
 *     yield* Console.log(page.items.length) // => 20, 20, 5
 *     after = page.next
 *   } while (after !== undefined)
 * })
 *
 * Effect.runPromise(program.pipe(Effect.provide(Issues.layer), Effect.provide(Store.layerTemp())))
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export type ReadPage<K extends KeySchema, Item, R> = (
  range: PageRange<K>
) => Effect.Effect<Page<Item>, ReadError | ValueDecoding | InvalidCursor, R>

/**
 * Describes a record on a page of a collection.
 *
 * @category models
 * @since 0.1.0
 */
export interface PageItem<Key, Value> {
  readonly key: Key
  readonly value: Value
}

/**
 * Describes a record on a page of an index.
 *
 * @category models
 * @since 0.1.0
 */
export interface IndexPageItem<IndexKey, Key, Value> extends PageItem<Key, Value> {
  /** The key of the record in the index. A record with several keys there can be on several pages. */
  readonly indexKey: IndexKey
}

/**
 * Deletes the records of a range in one transaction: all of them or none. Returns the number of records.
 *
 * **Details**
 *
 * The deletion is durable when the call returns. Inside another transaction, it is durable when that is committed. An
 * empty `prefix` or `startsWith` would select every key, so it fails with `KeyEncoding`. `clear` deletes all records.
 *
 * @category models
 * @since 0.1.0
 */
export type DeleteRange<K extends KeySchema> = (
  range: Omit<RangeOf<K>, "snapshot">
) => Effect.Effect<number, ReadError | ReadOnly | MapFull | TransactionConflict, K["EncodingServices"]>
