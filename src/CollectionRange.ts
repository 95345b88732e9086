/**
 * What reads ranges of collections and of their indexes: what it takes, and what it gives.
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
import type { Closed, EngineFailure, KeyEncoding, ValueDecoding } from "./StoreError.ts"

/**
 * A part of a collection or of an index, from one end.
 *
 * **Details**
 *
 * Keys are in the order of their values. A key must meet all conditions that are given. They take keys as
 * the program has them (the decoded side of the schema). `prefix` is the beginning of the encoded text or bytes, or the
 * first elements of a tuple. `startsWith` is the same, but of a tuple the last element that is given may be the beginning
 * of a text: `["ABC", "tit"]` finds `["ABC", "title", 1]`. `offset` and `limit` count from the end at which reading
 * begins.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectionRange<Key, Prefix = never>
  extends Pick<StreamRange, "reverse" | "offset" | "limit" | "snapshot">
{
  /** Only keys that begin with this; the elements of a tuple count whole. */
  readonly prefix?: Prefix
  /** Only keys that begin with this; the last text or bytes that are given may continue. */
  readonly startsWith?: Prefix
  /** Only this key. */
  readonly equals?: Key
  /** Only keys after this one. */
  readonly gt?: Key
  /** This key and those after it. */
  readonly gte?: Key
  /** Only keys before this one. */
  readonly lt?: Key
  /** This key and those before it. */
  readonly lte?: Key
}

/**
 * What a stream does with a value that does not decode: it fails (the default), leaves
 * it out (`"skip"`; `offset` and `limit` count it all the same), or gives a `Result` for
 * each value (`"result"`).
 *
 * @category models
 * @since 0.1.0
 */
export type Undecodable = "fail" | "skip" | "result"

/**
 * A part of a collection or of an index whose keys have a schema.
 *
 * @category models
 * @since 0.1.0
 */
export type RangeOf<K extends KeySchema> = CollectionRange<K["Type"], PrefixOf<K>>

/**
 * What every method that reads can fail with. Those that decode values add `ValueDecoding`.
 *
 * @category errors
 * @since 0.1.0
 */
export type ReadError = KeyEncoding | Closed | EngineFailure

/**
 * Reads values in a range, in three ways of dealing with one that does not decode.
 * `Item` makes what is given from a value.
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
 * Reads keys and values in a range; `EntryKey` is the key that each comes with.
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
 * Reads one record at an end of a range: its own key, and its value. It costs about as much as a `get`.
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
 * It is `Stream.runCollect` of `values`, with the same three ways of dealing with a value that does not decode. All of
 * the range is in memory then: read it page by page, or as a stream, where it may be large.
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
 * Which page of a range is read.
 *
 * @category models
 * @since 0.1.0
 */
export type PageRange<K extends KeySchema> = Omit<RangeOf<K>, "offset" | "limit" | "snapshot"> & {
  /** The most items of the page, at least 1. */
  readonly limit: number
  /** The `next` of the page before; `undefined` begins at the first page. */
  readonly after?: string | undefined
}

/**
 * A page of a range.
 *
 * @category models
 * @since 0.1.0
 */
export interface Page<Item> {
  readonly items: ReadonlyArray<Item>
  /**
   * The cursor of the next page, safe in a URL; `undefined` on the last page. It says nothing but a position: check who
   * may read a page, as for any request.
   */
  readonly next: string | undefined
}

/**
 * Reads a range page by page.
 *
 * **Details**
 *
 * A cursor is the position of the last item. Each record that has the range for the whole time is on exactly one
 * page, also where many records have equal keys in an index, in either direction, and while others write. A record
 * whose key in the index changes between two pages may be on both or on none.
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
 * A record on a page of a collection.
 *
 * @category models
 * @since 0.1.0
 */
export interface PageItem<Key, Value> {
  readonly key: Key
  readonly value: Value
}

/**
 * A record on a page of an index.
 *
 * @category models
 * @since 0.1.0
 */
export interface IndexPageItem<IndexKey, Key, Value> extends PageItem<Key, Value> {
  /** The key that the record has in the index here. */
  readonly indexKey: IndexKey
}
