/**
 * Reads the records of a place, and the entries of an index, without schemas.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Reader } from "../../Backend.ts"
import type { KeyRange } from "../../Engine.ts"
import { ByteString, fromBytes } from "../../Key.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import type { Closed, EngineFailure, KeyEncoding, ValueDecoding } from "../../StoreError.ts"
import type { Place, StoredEntry, StoredRange, StoredRecord } from "../../StoreInspection.ts"
import { entriesOf, timeOf, valueOf } from "../collection/collectionRecord.ts"
import { toKeyRange } from "../collection/typedRanges.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { indexDatabase } from "../databases.ts"
import { copyOf } from "../engineBytes.ts"
import { anyKeyCodec } from "../key/anyKeyCodec.ts"
import * as RecordStream from "../store/recordStream.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import { databaseOf } from "./place.ts"
import * as StoredKeys from "./storedKeys.ts"

/** The records of a place, as this module reads them. */
interface Records {
  readonly access: StoreAccess.StoreAccess
  readonly place: Place
  readonly keys: StoredKeys.StoredKeys
}

const recordsOf = (access: StoreAccess.StoreAccess, place: Place): Records => ({
  access,
  place,
  keys: StoredKeys.ofPlace(access, place)
})

/** The place of a value, for the errors about it. */
const placeOf = ({ access, keys, place }: Records, key: ByteString) => {
  const shown = keys.decode(key)
  return {
    key: shown,
    shownKey: access.handle.keys.show(shown),
    ...(place._tag === "Collection" ? { collection: place.name } : {}),
    ...(place._tag === "Namespace" ? { namespace: place.name } : {})
  }
}

/** The name of the index whose slot is in a record: the second slot of an index ends with `/2`. */
const indexOfSlot = (slot: string): string => slot.replace(/\/2$/, "")

/** Decodes a record from bytes that stay as they are. */
const decodeRecord = (
  self: Records,
  key: ByteString,
  record: Uint8Array
): Effect.Effect<StoredRecord, EngineFailure> => {
  const bytes = valueOf(record)
  const time = timeOf(record)
  const decoded = StructureTable.decode(self.access.handle.core.structures, bytes, () => placeOf(self, key)).pipe(
    Effect.map((value): Result.Result<unknown, ValueDecoding> => Result.succeed(value)),
    Effect.catchTag(
      "ValueDecoding",
      (error): Effect.Effect<Result.Result<unknown, ValueDecoding>> => Effect.succeed(Result.fail(error))
    )
  )
  return Effect.map(
    decoded,
    (value) => ({
      key: self.keys.decode(key),
      value,
      bytes,
      expires: time === undefined ? undefined : Option.getOrUndefined(DateTime.make(time)),
      indexKeys: self.place._tag === "Collection"
        ? entriesOf(record).map(([slot, indexKey]) => [indexOfSlot(slot), StoredKeys.decodeAny(indexKey)] as const)
        : []
    })
  )
}

/** A record that was read without its value. */
const keyOnly = ({ keys }: Records, key: ByteString): StoredRecord => ({
  key: keys.decode(key),
  value: Result.succeed(undefined),
  bytes: new Uint8Array(0),
  expires: undefined,
  indexKeys: []
})

/** Reads a record. */
export const get = Effect.fnUntraced(function*(
  access: StoreAccess.StoreAccess,
  place: Place,
  key: OrderedKey
): Effect.fn.Return<Option.Option<StoredRecord>, KeyEncoding | Closed | EngineFailure> {
  const self = recordsOf(access, place)
  const bytes = yield* self.keys.encode(key)
  const record = yield* StoreAccess.read(access, (reader) => reader.get(databaseOf(place), bytes, copyOf))
  return record === undefined ? Option.none() : Option.some(yield* decodeRecord(self, bytes, record))
})

type ReadError = KeyEncoding | Closed | EngineFailure

/** Makes the options of a stream, and the range of bytes. */
const streamOptions = Effect.fnUntraced(function*(
  keys: StoredKeys.StoredKeys,
  database: string,
  range: StoredRange,
  isPart: boolean
) {
  const { limit, offset, prefix, reverse, values = true, ...others } = range
  // Every key begins with an empty text.
  const bounds = prefix === undefined || prefix === "" ? others : { ...others, prefix }
  const keyRange: KeyRange = yield* toKeyRange<StoredKeys.AnyKey>(
    keys,
    bounds,
    isPart
  )
  return {
    ...keyRange,
    database,
    values,
    ...(limit === undefined ? {} : { limit }),
    ...(offset === undefined ? {} : { offset }),
    ...(reverse === undefined ? {} : { reverse })
  }
})

/** Streams what a range has, each part decoded by an effect. */
const streamOf = <A, B>(
  access: StoreAccess.StoreAccess,
  options: Effect.Effect<RecordStream.RecordStreamOptions, KeyEncoding>,
  resolve: RecordStream.Resolve<A>,
  decode: (found: A) => Effect.Effect<B, EngineFailure>
): Stream.Stream<B, ReadError> =>
  Stream.unwrap(
    Effect.flatMap(options, (resolved) =>
      Effect.map(
        RecordStream.open(access, resolved, resolve),
        (pull) => Stream.fromPull(Effect.succeed(pull))
      ))
  ).pipe(Stream.mapEffect(decode))

/** Streams the records of a range. */
export const records = (
  access: StoreAccess.StoreAccess,
  place: Place,
  range: StoredRange
): Stream.Stream<StoredRecord, ReadError> => {
  const self = recordsOf(access, place)
  return streamOf(
    access,
    streamOptions(self.keys, databaseOf(place), range, false),
    RecordStream.itself,
    ([key, record]) => range.values === false ? Effect.succeed(keyOnly(self, key)) : decodeRecord(self, key, record)
  )
}

// ---------------------------------------------------------------------------
// indexes
// ---------------------------------------------------------------------------

/** An index to read. */
export interface IndexPlace {
  readonly collection: string
  readonly index: string
  /** The last part of the name of its database. */
  readonly slot: string
  readonly isUnique: boolean
}

/** An index entry, and the bytes of its record. */
interface Located {
  readonly indexKey: OrderedKey
  readonly key: ByteString
  readonly record: Uint8Array | undefined
}

/** Splits an entry into its index key and the key of its record. An entry that is damaged is an index key as a whole. */
export const split = (isUnique: boolean, entry: ByteString, value: Uint8Array): readonly [OrderedKey, ByteString] => {
  const indexKey = StoredKeys.firstKeyOf(entry)
  if (isUnique) return [indexKey, fromBytes(value)]
  return Result.match(anyKeyCodec.decodePart(entry, 0), {
    onSuccess: ({ end }) => [indexKey, ByteString(entry.slice(end))],
    onFailure: () => [indexKey, ByteString("")]
  })
}

const locate =
  (isUnique: boolean, database: string, withRecords: boolean): RecordStream.Resolve<Located> =>
  (part, reader: Reader) => {
    const entries = part.map(([entry, value]) => split(isUnique, entry, value))
    const keys = entries.map(([, key]) => key)
    const found: Effect.Effect<ReadonlyArray<Uint8Array | undefined>, EngineFailure> = withRecords
      ? reader.getMany(database, keys, (bytes) => copyOf(bytes))
      : Exit.succeed([])
    return Effect.map(
      found,
      (stored) => entries.map(([indexKey, key], at): Located => ({ indexKey, key, record: stored[at] }))
    )
  }

/** Streams the entries of a range of an index, with their records. */
export const entries = (
  access: StoreAccess.StoreAccess,
  { collection, index, isUnique, slot }: IndexPlace,
  range: StoredRange
): Stream.Stream<StoredEntry, ReadError> => {
  const place: Place = { _tag: "Collection", name: collection }
  const self = recordsOf(access, place)
  const withRecords = range.values !== false
  return streamOf(
    access,
    Effect.map(
      streamOptions(StoredKeys.ofIndex(access, collection, index), indexDatabase(collection, slot), range, !isUnique),
      // The value of an entry of a unique index is the key of its record.
      (options) => ({ ...options, values: isUnique })
    ),
    locate(isUnique, databaseOf(place), withRecords),
    ({ indexKey, key, record }): Effect.Effect<StoredEntry, EngineFailure> =>
      record === undefined
        ? Effect.succeed({
          indexKey,
          key: self.keys.decode(key),
          record: withRecords ? undefined : keyOnly(self, key)
        })
        : Effect.map(decodeRecord(self, key, record), (decoded) => ({ indexKey, key: decoded.key, record: decoded }))
  )
}
