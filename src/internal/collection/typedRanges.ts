/**
 * Streams the records of a collection or of an index: encodes ranges of typed keys, and decodes records part by part.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Reader } from "../../Backend.ts"
import type { ValueSchema } from "../../CollectionOptions.ts"
import type { CollectionRange, ReadError, Undecodable } from "../../CollectionRange.ts"
import type { Bound, KeyRange } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema, PrefixOf } from "../../KeySchema.ts"
import type { Closed, EngineFailure, KeyEncoding, ValueDecoding } from "../../StoreError.ts"
import * as CallArguments from "../key/callArguments.ts"
import { afterPrefix, intersect } from "../key/keyRange.ts"
import * as Settled from "../settled.ts"
import {
  type Converted,
  converting,
  itself,
  type RecordPull,
  type RecordStreamOptions,
  type Resolve,
  type StoredRecord
} from "../store/recordStream.ts"
import type { KeyCodec } from "./typedKeyCodec.ts"

/** A range of typed keys. */
export type TypedRange<K extends KeySchema> = CollectionRange<K["Type"], PrefixOf<K>> & {
  readonly undecodable?: Undecodable | undefined
}

const at = (bytes: ByteString): Bound => ({ key: bytes, inclusive: true })

const before = (bytes: ByteString): Bound => ({ key: bytes, inclusive: false })

const startingWith = (bytes: ByteString): KeyRange => ({ from: at(bytes), to: afterPrefix(bytes) })

/** Encodes the bounds of a range. */
export type RangeCodec<K extends KeySchema> = Pick<KeyCodec<K>, "encode" | "encodePrefix" | "encodeStart">

/**
 * Converts a range of typed keys to a range of bytes. With `isPart`, the key of a record follows the bytes of each key,
 * as in an index that is not unique.
 */
export const toKeyRange = Effect.fnUntraced(function*<K extends KeySchema>(
  codec: RangeCodec<K>,
  range: TypedRange<K>,
  isPart: boolean
): Effect.fn.Return<KeyRange, KeyEncoding, K["EncodingServices"]> {
  let result: KeyRange = { from: undefined, to: undefined }
  const encode = (key: K["Type"]) => codec.encode(key)
  /** Returns the upper end of a range that includes a key, with all entries that begin with its bytes. */
  const endOf = (bytes: ByteString): Bound | undefined => isPart ? afterPrefix(bytes) : at(bytes)
  if (range.equals !== undefined) {
    const bytes = yield* encode(range.equals)
    result = intersect(result, { from: at(bytes), to: endOf(bytes) })
  }
  if (range.prefix !== undefined) {
    result = intersect(result, startingWith(yield* codec.encodePrefix(range.prefix)))
  }
  if (range.startsWith !== undefined) {
    result = intersect(result, startingWith(yield* codec.encodeStart(range.startsWith)))
  }
  if (range.gte !== undefined) result = intersect(result, { from: at(yield* encode(range.gte)), to: undefined })
  if (range.lt !== undefined) result = intersect(result, { from: undefined, to: before(yield* encode(range.lt)) })
  if (range.lte !== undefined) result = intersect(result, { from: undefined, to: endOf(yield* encode(range.lte)) })
  if (range.gt !== undefined) {
    const bytes = yield* encode(range.gt)
    const after = isPart ? afterPrefix(bytes) : before(bytes)
    result = intersect(result, {
      from: after === undefined ? undefined : { key: after.key, inclusive: isPart },
      to: undefined
    })
  }
  return result
})

/** Makes the item of a stream from a record. The stream skips a record for which this returns `undefined`. */
type Decode<B, E, R> = (record: StoredRecord) => Effect.Effect<{ readonly item: B } | undefined, E, R>

/** Decodes the records of a part, up to the first that fails. */
const decodeAll = Effect.fnUntraced(function*<B, E, R>(
  part: ReadonlyArray<StoredRecord>,
  decode: Decode<B, E, R>
): Effect.fn.Return<Converted<B, E>, never, R> {
  const items: Array<B> = []
  for (const record of part) {
    const effect = decode(record)
    const exit = Settled.isSettled(effect) ? effect : yield* Effect.exit(effect)
    if (Exit.isFailure(exit)) return { items, failed: Exit.failCause(exit.cause) }
    if (exit.value !== undefined) items.push(exit.value.item)
  }
  return { items }
})

/** The records of a collection, or the records that the entries of an index refer to. */
export interface Source<K extends KeySchema> {
  readonly open: <A>(
    options: RecordStreamOptions,
    resolve: Resolve<A>
  ) => Effect.Effect<RecordPull<A>, Closed | EngineFailure, Scope.Scope>
  /** Reads in one step, and calls `use` with the result. */
  readonly find: <F, E, A, E2, R>(
    search: (reader: Reader) => Effect.Effect<F, E>,
    use: (found: F) => Effect.Effect<A, E2, R>
  ) => Effect.Effect<A, E | E2 | Closed | EngineFailure, R>
  /** The name of the collection, or of the index as `collection.index`. */
  readonly name: string
  readonly database: string
  /** The codec of the keys of ranges. */
  readonly codec: KeyCodec<K>
  /** Whether the key of a record follows the bytes of each key, as in an index that is not unique. */
  readonly isPart: boolean
  /** Finds the keys of the records. */
  readonly keys: Finding
  /** Finds the keys and the bytes of the records. */
  readonly records: Finding
  /** Finds the record of each entry. */
  readonly locate: Resolve<Located>
}

/** An entry of a database, and the record that it refers to. */
export interface Located {
  readonly entry: ByteString
  /** `undefined` if the record does not exist. */
  readonly record: StoredRecord | undefined
}

/** Finds records from the entries of a database. */
interface Finding {
  /** Whether `resolve` needs the values of the database. */
  readonly values: boolean
  readonly resolve: Resolve<StoredRecord>
}

/** Finds the entries themselves, without their values, for counting. */
const entriesThemselves: Finding = { values: false, resolve: itself }

/** Checks a range, and encodes its conditions. */
export const checkedRange = <K extends KeySchema>({ codec, isPart, name }: Source<K>, range: TypedRange<K>) =>
  Effect.andThen(
    CallArguments.checked("the range", range, CallArguments.typedChecks, name),
    Effect.suspend(() => toKeyRange(codec, range, isPart))
  )

/** Makes the stream of a range. Calls `decode` only after it has checked the range. */
const make = <K extends KeySchema, B, E, R>(
  source: Source<K>,
  { resolve, values }: Finding,
  range: TypedRange<K>,
  decode: () => Decode<B, E, R>
): Stream.Stream<B, E | KeyEncoding | Closed | EngineFailure, R | K["EncodingServices"]> =>
  Stream.unwrap(
    Effect.flatMap(checkedRange(source, range), (keyRange): Effect.Effect<
      Stream.Stream<B, E | Closed | EngineFailure, R>,
      Closed | EngineFailure,
      Scope.Scope
    > =>
      Effect.map(
        source.open({ ...range, ...keyRange, database: source.database, values }, resolve),
        (pull) => {
          const decodeRecord = decode()
          return Stream.fromPull(Effect.succeed(converting(pull, (part) => decodeAll(part, decodeRecord))))
        }
      ))
  )

/** A value, or a `Result` of it with `undecodable: "result"`. */
type Tolerated<V> = V | Result.Result<V, ValueDecoding>

/** Decodes a value as the option `undecodable` says. Returns `undefined` for a value that the stream skips. */
const tolerating = <V, R>(
  undecodable: Undecodable | undefined,
  decoded: Effect.Effect<V, ValueDecoding | EngineFailure, R>
): Effect.Effect<{ readonly item: Tolerated<V> } | undefined, ValueDecoding | EngineFailure, R> => {
  if (undecodable !== "result" && Settled.isSucceeded(decoded)) return Effect.succeed({ item: decoded.value })
  switch (undecodable) {
    case "skip":
      return Effect.catchTag(
        Effect.map(decoded, (item) => ({ item })),
        "ValueDecoding",
        () => Effect.succeed(undefined)
      )
    case "result":
      return Effect.catchTag(
        Effect.map(decoded, (item) => ({ item: Result.succeed(item) })),
        "ValueDecoding",
        (error) => Effect.succeed({ item: Result.fail(error) })
      )
    default:
      return Effect.map(decoded, (item) => ({ item }))
  }
}

// ---------------------------------------------------------------------------
// methods
// ---------------------------------------------------------------------------

/** A source, and the codecs of its records. `RK` is the schema of the keys of ranges, `K` that of the keys of records. */
interface TypedReads<RK extends KeySchema, K extends KeySchema, V extends ValueSchema> {
  readonly source: Source<RK>
  readonly keyCodec: KeyCodec<K>
  readonly decodeValue: (
    record: StoredRecord
  ) => Effect.Effect<V["Type"], ValueDecoding | EngineFailure, V["DecodingServices"]>
}

/** A range that skips the values that do not decode. */
type Skipping<RK extends KeySchema> = TypedRange<RK> & { readonly undecodable: "skip" }

/** A range that gives a `Result` for each value. */
type WithResults<RK extends KeySchema> = TypedRange<RK> & { readonly undecodable: "result" }

type Decoded<V extends ValueSchema> = Result.Result<V["Type"], ValueDecoding>

type ValueServices<RK extends KeySchema, V extends ValueSchema> = RK["EncodingServices"] | V["DecodingServices"]

type EntryServices<RK extends KeySchema, K extends KeySchema, V extends ValueSchema> =
  | ValueServices<RK, V>
  | K["DecodingServices"]

const makeValues = <RK extends KeySchema, K extends KeySchema, V extends ValueSchema>(
  { decodeValue, source }: TypedReads<RK, K, V>
) => {
  type Services = ValueServices<RK, V>
  function values(range: Skipping<RK>): Stream.Stream<V["Type"], ReadError, Services>
  function values(range: WithResults<RK>): Stream.Stream<Decoded<V>, ReadError, Services>
  function values(range?: TypedRange<RK>): Stream.Stream<V["Type"], ReadError | ValueDecoding, Services>
  function values(
    range: TypedRange<RK> = {}
  ): Stream.Stream<V["Type"] | Decoded<V>, ReadError | ValueDecoding, Services> {
    return make(source, source.records, range, () => {
      const { undecodable } = range
      return (record) => tolerating(undecodable, decodeValue(record))
    })
  }
  return values
}

const makeEntries = <RK extends KeySchema, K extends KeySchema, V extends ValueSchema>(
  { decodeValue, keyCodec, source }: TypedReads<RK, K, V>
) => {
  type Services = EntryServices<RK, K, V>
  type Entry<A> = readonly [K["Type"], A]
  function entries(range: Skipping<RK>): Stream.Stream<Entry<V["Type"]>, ReadError, Services>
  function entries(range: WithResults<RK>): Stream.Stream<Entry<Decoded<V>>, ReadError, Services>
  function entries(range?: TypedRange<RK>): Stream.Stream<Entry<V["Type"]>, ReadError | ValueDecoding, Services>
  function entries(
    range: TypedRange<RK> = {}
  ): Stream.Stream<Entry<V["Type"] | Decoded<V>>, ReadError | ValueDecoding, Services> {
    return make(source, source.records, range, () => {
      const { undecodable } = range
      return (record) =>
        Settled.flatMap(keyCodec.decode(record[0]), (key) =>
          Settled.map(
            tolerating(undecodable, decodeValue(record)),
            (value) => value === undefined ? undefined : { item: [key, value.item] as const }
          ))
    })
  }
  return entries
}

const makeCollect = <RK extends KeySchema, K extends KeySchema, V extends ValueSchema>(self: TypedReads<RK, K, V>) => {
  type Services = ValueServices<RK, V>
  const values = makeValues(self)
  function collect(range: Skipping<RK>): Effect.Effect<ReadonlyArray<V["Type"]>, ReadError, Services>
  function collect(range: WithResults<RK>): Effect.Effect<ReadonlyArray<Decoded<V>>, ReadError, Services>
  function collect(
    range?: TypedRange<RK>
  ): Effect.Effect<ReadonlyArray<V["Type"]>, ReadError | ValueDecoding, Services>
  function collect(
    range: TypedRange<RK> = {}
  ): Effect.Effect<ReadonlyArray<V["Type"] | Decoded<V>>, ReadError | ValueDecoding, Services> {
    return Stream.runCollect(values(range))
  }
  return collect
}

const keys = <RK extends KeySchema, K extends KeySchema, V extends ValueSchema>(
  { keyCodec, source }: TypedReads<RK, K, V>,
  range: TypedRange<RK>
) => make(source, source.keys, range, () => ([key]) => Settled.map(keyCodec.decode(key), (item) => ({ item })))

const count = <RK extends KeySchema>(source: Source<RK>, range: TypedRange<RK>) =>
  Stream.runCount(make(source, entriesThemselves, range, () => () => Effect.succeed({ item: true })))

const isEmpty = <RK extends KeySchema>(source: Source<RK>, range: TypedRange<RK>) =>
  Effect.map(count(source, { ...range, limit: Math.min(1, range.limit ?? 1) }), (found) => found === 0)

/** Makes the methods that stream, collect and count the records of a range. */
export const makeReads = <RK extends KeySchema, K extends KeySchema, V extends ValueSchema>(
  source: Source<RK>,
  keyCodec: KeyCodec<K>,
  decodeValue: TypedReads<RK, K, V>["decodeValue"]
) => {
  const self: TypedReads<RK, K, V> = { source, keyCodec, decodeValue }
  return {
    values: makeValues(self),
    entries: makeEntries(self),
    collect: makeCollect(self),
    keys: (range: TypedRange<RK> = {}) => keys(self, range),
    count: (range: TypedRange<RK> = {}) => count(source, range),
    isEmpty: (range: TypedRange<RK> = {}) => isEmpty(source, range)
  }
}
