/**
 * The indexes of a collection, for those who read.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { ValueSchema } from "../CollectionOptions.ts"
import type { CollectionIndex } from "../CollectionService.ts"
import type { Reader } from "../Engine.ts"
import { ByteString, fromBytes } from "../Key.ts"
import type { KeySchema } from "../KeySchema.ts"
import { afterPrefix } from "../Range.ts"
import { Closed, type EngineFailure, type KeyEncoding, KeyNotFound, type ValueDecoding } from "../StoreError.ts"
import type { KeyCodec } from "./collectionCodec.ts"
import type { Definition, Index } from "./collectionDefinition.ts"
import * as CollectionStreams from "./collectionStreams.ts"
import type { OpenRecords, StoredRecord } from "./recordStream.ts"
import * as Settled from "./settled.ts"
import type { Holder, StoreAccess } from "./storeAccess.ts"

/** A record that an index leads to. */
interface Found {
  readonly key: ByteString
  readonly record: Uint8Array
}

/** The key of the record that an entry of an index leads to. */
export const recordKeyOf = (
  index: { readonly isUnique: boolean; readonly key: Pick<KeyCodec<KeySchema>, "endOf"> },
  [entry, value]: StoredRecord
): Result.Result<ByteString, KeyEncoding | undefined> =>
  Result.filterOrFail(
    index.isUnique
      ? Result.succeed(fromBytes(value.subarray(0, value.length)))
      : Result.map(index.key.endOf(entry), (end) => ByteString(entry.slice(end))),
    (key) => key !== "",
    () => undefined
  )

/** Makes an index for those who read. */
export const make = <
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>,
  IK extends KeySchema
>(
  definition: Definition<K, V, I>,
  index: Index<V["Type"], IK>,
  { core }: Holder,
  access: StoreAccess,
  openRecords: OpenRecords
): CollectionIndex<IK, K, V> => {
  const { database, key: keyCodec, name, signature, value: valueCodec } = definition

  /** An index is that of the definition by which the collection was opened last. */
  const checked = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | Closed, R> =>
    Effect.suspend((): Effect.Effect<A, E | Closed, R> =>
      core.definitions.get(name) === signature
        ? effect
        : Effect.fail(new Closed({ path: core.options.path, what: "Collection" }))
    )

  const open: OpenRecords = (options, resolve) => checked(openRecords(options, resolve))
  const read: StoreAccess["read"] = (use) => checked(access.read(use))

  const source = { open, database: index.database, codec: index.key, isPart: !index.isUnique, values: index.isUnique }

  /** The key that an entry leads to. An entry that cannot be read leads to none; `verify` tells of it. */
  const resolveKey = (entry: StoredRecord): Result.Result<ByteString | undefined> =>
    Result.succeed(Result.getOrUndefined(recordKeyOf(index, entry)))

  const resolveRecord = (entry: StoredRecord, reader: Reader): Result.Result<Found | undefined, EngineFailure> => {
    const key = Result.getOrUndefined(recordKeyOf(index, entry))
    if (key === undefined) return Result.succeed(undefined)
    return Result.map(
      reader.get(database, key),
      // The engine reads the next record into the same memory.
      (record) => record === undefined ? undefined : { key, record: new Uint8Array(record.subarray(0, record.length)) }
    )
  }

  const decodeValue = ({ key, record }: Found) => valueCodec.decode(record, () => keyCodec.show(key))

  /** The first entry of an index key. */
  const findEntry = (reader: Reader, indexKey: ByteString): Result.Result<StoredRecord | undefined, EngineFailure> => {
    if (index.isUnique) {
      return Result.map(
        reader.get(index.database, indexKey),
        (value) => value === undefined ? undefined : [indexKey, value]
      )
    }
    const part = (from: ByteString, inclusive: boolean): Result.Result<StoredRecord | undefined, EngineFailure> =>
      Result.flatMap(
        reader.read(index.database, {
          from: { key: from, inclusive },
          to: afterPrefix(indexKey),
          reverse: false,
          values: false,
          maxRecords: 1,
          maxBytes: Infinity
        }),
        ({ records: [first], rest }) =>
          // What the engine gave may be deleted by a pending write: then what follows is looked at.
          first === undefined && rest?.from !== undefined
            ? part(rest.from.key, rest.from.inclusive)
            : Result.succeed(first)
      )
    return part(indexKey, true)
  }

  type ReadError = KeyEncoding | Closed | EngineFailure

  const get = (
    key: IK["Type"]
  ): Effect.Effect<
    Option.Option<V["Type"]>,
    ReadError | ValueDecoding,
    IK["EncodingServices"] | V["DecodingServices"]
  > =>
    Effect.flatMap(index.key.encode(key), (indexKey) =>
      read((reader) =>
        Effect.fromResult(
          Result.flatMap(findEntry(reader, indexKey), (entry) =>
            entry === undefined ? Result.succeed(undefined) : resolveRecord(entry, reader))
        )
      )).pipe(
        Effect.flatMap((found) =>
          found === undefined ? Effect.succeedNone : Effect.asSome(decodeValue(found))
        )
      )

  type Range = CollectionStreams.TypedRange<IK>
  type ValueServices = IK["EncodingServices"] | V["DecodingServices"]
  type Value = V["Type"]
  type Decoded = Result.Result<Value, ValueDecoding>

  function values(range: Range & { readonly undecodable: "skip" }): Stream.Stream<Value, ReadError, ValueServices>
  function values(range: Range & { readonly undecodable: "result" }): Stream.Stream<Decoded, ReadError, ValueServices>
  function values(range?: Range): Stream.Stream<Value, ReadError | ValueDecoding, ValueServices>
  function values(range: Range = {}): Stream.Stream<Value | Decoded, ReadError | ValueDecoding, ValueServices> {
    return CollectionStreams.make(
      { ...source, resolve: resolveRecord },
      range,
      (found) => CollectionStreams.tolerating(range.undecodable, decodeValue(found))
    )
  }

  type Entry<A> = readonly [K["Type"], A]
  type EntryServices = ValueServices | K["DecodingServices"]

  function entries(
    range: Range & { readonly undecodable: "skip" }
  ): Stream.Stream<Entry<Value>, ReadError, EntryServices>
  function entries(
    range: Range & { readonly undecodable: "result" }
  ): Stream.Stream<Entry<Decoded>, ReadError, EntryServices>
  function entries(range?: Range): Stream.Stream<Entry<Value>, ReadError | ValueDecoding, EntryServices>
  function entries(
    range: Range = {}
  ): Stream.Stream<Entry<Value | Decoded>, ReadError | ValueDecoding, EntryServices> {
    return CollectionStreams.make(
      { ...source, resolve: resolveRecord },
      range,
      (found) =>
        Settled.flatMap(keyCodec.decode(found.key), (key) =>
          Settled.map(
            CollectionStreams.tolerating(range.undecodable, decodeValue(found)),
            (value) => value === undefined ? undefined : { item: [key, value.item] as const }
          ))
    )
  }

  return {
    get,
    getOrFail: (key) =>
      Effect.flatMap(get(key), (found) =>
        Option.isSome(found)
          ? Effect.succeed(found.value)
          : Effect.flatMap(
            index.key.encode(key),
            (bytes) => Effect.fail(new KeyNotFound({ key: index.key.show(bytes), collection: `${name}.${index.name}` }))
          )),
    has: (key) =>
      Effect.flatMap(
        index.key.encode(key),
        (indexKey) =>
          read((reader) => Effect.fromResult(Result.map(findEntry(reader, indexKey), (entry) => entry !== undefined)))
      ),
    keys: (range = {}) =>
      CollectionStreams.make(
        { ...source, resolve: resolveKey },
        range,
        (bytes) => Settled.map(keyCodec.decode(bytes), (item) => ({ item }))
      ),
    values,
    entries,
    count: (range = {}) =>
      Stream.runCount(
        CollectionStreams.make(
          { ...source, values: false, resolve: () => Result.succeed(true) },
          range,
          () => Effect.succeed({ item: true })
        )
      )
  }
}
