/**
 * Reads ranges of a collection or of an index into memory: pages, the first and the last record, and the keys of the
 * records that are to be deleted.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Reader } from "../../Backend.ts"
import { InvalidCursor } from "../../CollectionError.ts"
import type { Page, PageRange } from "../../CollectionRange.ts"
import type { KeyRange } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import type { Closed, EngineFailure, KeyEncoding } from "../../StoreError.ts"
import * as CallArguments from "../key/callArguments.ts"
import { contains, intersect } from "../key/keyRange.ts"
import * as RangeReader from "../reader/rangeReader.ts"
import type { RecordPull, StoredRecord } from "../store/recordStream.ts"
import * as PageCursor from "./pageCursor.ts"
import { checkedRange, type Located, type Source, type TypedRange } from "./typedRanges.ts"

/** Decodes a record, and the entry that refers to it. */
export type DecodeLocated<A, E, R> = (record: StoredRecord, entry: ByteString) => Effect.Effect<A, E, R>

/** Pulls everything until the end. */
const pullAll = <A>(pull: RecordPull<A>): Effect.Effect<ReadonlyArray<A>, Closed | EngineFailure> =>
  Stream.runCollect(Stream.fromPull(Effect.succeed(pull)))

// ---------------------------------------------------------------------------
// pages
// ---------------------------------------------------------------------------

/** Returns the part of a range after an entry, in the direction of the page. */
const restAfter = (range: KeyRange, entry: ByteString, reverse: boolean): KeyRange => {
  const bound = { key: entry, inclusive: false }
  return intersect(range, reverse ? { from: undefined, to: bound } : { from: bound, to: undefined })
}

/** Returns the entry after which a page begins; `undefined` for the first page. */
const startOf = (
  name: string,
  source: PageCursor.PageSource,
  range: KeyRange,
  after: string | undefined
): Effect.Effect<ByteString | undefined, InvalidCursor> => {
  if (after === undefined) return Effect.succeed(undefined)
  const entry = Result.filterOrFail(
    PageCursor.entryOf(source, after),
    (found) => contains(range, found),
    () => "its item is not in the range"
  )
  return Effect.fromResult(
    Result.mapError(entry, (detail) => new InvalidCursor({ collection: name, cursor: after, detail }))
  )
}

/** Reads the entries of a page and one more, which shows that a next page exists. */
const readEntries = <RK extends KeySchema>(
  source: Source<RK>,
  range: KeyRange,
  { limit, reverse = false }: PageRange<RK>
): Effect.Effect<ReadonlyArray<Located>, Closed | EngineFailure> =>
  Effect.scoped(Effect.flatMap(
    source.open(
      { ...range, reverse, limit: limit + 1, database: source.database, values: source.records.values },
      source.locate
    ),
    pullAll
  ))

/** Reads a page of a range. */
export const page = Effect.fnUntraced(function*<RK extends KeySchema, A, E, R>(
  source: Source<RK>,
  given: PageRange<RK>,
  decode: DecodeLocated<A, E, R>
): Effect.fn.Return<Page<A>, E | InvalidCursor | KeyEncoding | Closed | EngineFailure, R | RK["EncodingServices"]> {
  // A program that is not type-checked can leave out the limit.
  const checked: unknown = !Predicate.isObject(given) || "limit" in given
    ? given
    : { ...Object(given), limit: undefined }
  yield* CallArguments.checked("the range", checked, CallArguments.pageChecks, source.name)
  const { after, limit, ...range } = given
  const keyRange = yield* checkedRange<RK>(source, range)
  const { reverse = false } = range
  const pages: PageCursor.PageSource = { database: source.database, reverse }
  const start = yield* startOf(source.name, pages, keyRange, after)
  const entries = yield* readEntries(
    source,
    start === undefined ? keyRange : restAfter(keyRange, start, reverse),
    given
  )
  const items: Array<A> = []
  for (const { entry, record } of entries.slice(0, limit)) {
    if (record !== undefined) items.push(yield* decode(record, entry))
  }
  const last = entries.length > limit ? entries[limit - 1] : undefined
  return {
    items,
    next: last === undefined ? undefined : PageCursor.make(pages, last.entry)
  }
})

// ---------------------------------------------------------------------------
// ends
// ---------------------------------------------------------------------------

/** Finds the first record of a range, with `reverse` the last, after `offset` entries. */
const findEnd = Effect.fnUntracedEager(function*<RK extends KeySchema>(
  source: Source<RK>,
  reader: Reader,
  range: KeyRange,
  { offset, reverse }: { readonly offset: number; readonly reverse: boolean }
): Effect.fn.Return<StoredRecord | undefined, EngineFailure> {
  let skipped = offset
  const read = RangeReader.make(reader, source.database, {
    ...range,
    reverse,
    values: source.records.values,
    wanted: () => skipped + 1
  })
  for (;;) {
    const part = yield* read()
    if (part === undefined) return undefined
    const entries = part.slice(skipped)
    skipped = Math.max(0, skipped - part.length)
    const located = entries.length === 0 ? [] : yield* source.locate(entries, reader)
    const found = located.find((each) => each?.record !== undefined)
    if (found !== undefined) return found.record
  }
})

/** Reads the first record of a range, with `reverse` the last, after `offset` entries. */
export const end = <RK extends KeySchema, A, E, R>(
  source: Source<RK>,
  range: Omit<TypedRange<RK>, "limit" | "reverse" | "snapshot">,
  reverse: boolean,
  decode: (record: StoredRecord) => Effect.Effect<A, E, R>
): Effect.Effect<Option.Option<A>, E | KeyEncoding | Closed | EngineFailure, R | RK["EncodingServices"]> =>
  Effect.flatMap(
    Effect.andThen(
      CallArguments.checked("the range", range, CallArguments.endChecks, source.name),
      Effect.suspend(() => checkedRange<RK>(source, range))
    ),
    (keyRange) =>
      source.find(
        (reader) => findEnd(source, reader, keyRange, { offset: range.offset ?? 0, reverse }),
        (record) => record === undefined ? Exit.succeed(Option.none<A>()) : Effect.map(decode(record), Option.some)
      )
  )

// ---------------------------------------------------------------------------
// keys
// ---------------------------------------------------------------------------

/** Reads the keys of the records of a range, as bytes. */
export const recordKeys = <RK extends KeySchema>(
  source: Source<RK>,
  range: TypedRange<RK>
): Effect.Effect<ReadonlyArray<ByteString>, KeyEncoding | Closed | EngineFailure, RK["EncodingServices"]> =>
  Effect.flatMap(checkedRange(source, range), (keyRange) =>
    Effect.scoped(Effect.flatMap(
      source.open(
        { ...range, ...keyRange, database: source.database, values: source.keys.values },
        source.keys.resolve
      ),
      (pull) => Effect.map(pullAll(pull), (records) => records.map(([key]) => key))
    )))
