/**
 * Makes the methods of an index, which read records by their index keys.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Reader } from "../../Backend.ts"
import type { CollectionIndex } from "../../CollectionIndex.ts"
import type { ValueSchema } from "../../CollectionOptions.ts"
import type { Bound } from "../../Engine.ts"
import type { ListOf } from "../../Entries.ts"
import { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import {
  type Closed,
  type CommitError,
  type EngineFailure,
  type KeyEncoding,
  KeyNotFound,
  type ReadOnly,
  type TransactionConflict,
  type ValueDecoding
} from "../../StoreError.ts"
import { copyOf, keyOf } from "../engineBytes.ts"
import { afterPrefix } from "../key/keyRange.ts"
import * as Settled from "../settled.ts"
import * as RecordStream from "../store/recordStream.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import { type Definition, findRecord, type Found, ifCurrent, type Index, refusalOf } from "./collectionDefinition.ts"
import * as KeyLists from "./keyLists.ts"
import * as RangeReads from "./rangeReads.ts"
import type { KeyCodec } from "./typedKeyCodec.ts"
import * as TypedRanges from "./typedRanges.ts"

const noBytes = new Uint8Array(0)

const noKey = ByteString("")

type StoredRecord = RecordStream.StoredRecord

/** The collection of an index: the parts of its definition that reads use. */
type Records<K extends KeySchema, V extends ValueSchema> = Pick<
  Definition<K, V, Record<string, KeySchema>>,
  "name" | "signature" | "database" | "key" | "value"
>

/** An index of an open collection. */
interface IndexReads<K extends KeySchema, V extends ValueSchema, IK extends KeySchema> {
  /** The name of the index in errors: `collection.index`. */
  readonly name: string
  readonly collection: Records<K, V>
  readonly index: Index<V["Type"], IK>
  readonly access: StoreAccess.StoreAccess
}

// ---------------------------------------------------------------------------
// entries
// ---------------------------------------------------------------------------

/** Returns the key of the record that an index entry refers to. */
export const recordKeyOf = (
  index: { readonly isUnique: boolean; readonly key: Pick<KeyCodec<KeySchema>, "endOf"> },
  [entry, value]: StoredRecord
): Result.Result<ByteString, KeyEncoding | undefined> =>
  Result.filterOrFail(
    index.isUnique
      ? Result.succeed(keyOf(value))
      : Result.map(index.key.endOf(entry), (end) => ByteString(entry.slice(end))),
    (key) => key !== "",
    () => undefined
  )

/** Returns the keys of the records that entries refer to. Skips a damaged entry; `verify` reports it. */
const recordKeysOf = <Value, IK extends KeySchema>(
  index: Index<Value, IK>,
  part: ReadonlyArray<StoredRecord>
): ReadonlyArray<ByteString> =>
  part.flatMap((entry) => {
    const key = Result.getOrUndefined(recordKeyOf(index, entry))
    return key === undefined ? [] : [key]
  })

/** Finds the record of each entry. */
const locate = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
  { collection, index }: IndexReads<K, V, IK>,
  part: ReadonlyArray<StoredRecord>,
  reader: Reader
): Effect.Effect<ReadonlyArray<TypedRanges.Located>, EngineFailure> => {
  const keys = part.map((entry) => Result.getOrUndefined(recordKeyOf(index, entry)) ?? noKey)
  return Settled.map(
    reader.getMany(collection.database, keys, (record) => copyOf(record)),
    (records) =>
      part.map(([entry], at): TypedRanges.Located => {
        const [key = noKey, record] = [keys[at], records[at]]
        return { entry, record: record === undefined ? undefined : [key, record] }
      })
  )
}

/** Finds the first entry of an index key, in an index that is not unique. */
const findFirstEntry = (
  reader: Reader,
  database: string,
  indexKey: ByteString,
  from: Bound
): Effect.Effect<StoredRecord | undefined, EngineFailure> =>
  Settled.flatMap(
    reader.read(database, {
      from,
      to: afterPrefix(indexKey),
      reverse: false,
      values: false,
      maxRecords: 1,
      maxBytes: Infinity
    }),
    ({ records: [first], rest }) =>
      // A pending write may have deleted the entry that LMDB has: then read the next one.
      first === undefined && rest?.from !== undefined
        ? findFirstEntry(reader, database, indexKey, rest.from)
        : Exit.succeed(first)
  )

/**
 * Finds the key of the record of the first entry of an index key. It is empty if the entry is damaged.
 *
 * The bytes of one key are never the beginning of those of another. So what follows the index key in an entry is the key of
 * the record, and the entry need not be decoded.
 */
const findRecordKey = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
  { index: { database, isUnique } }: IndexReads<K, V, IK>,
  reader: Reader,
  indexKey: ByteString
): Effect.Effect<ByteString | undefined, EngineFailure> =>
  isUnique
    ? reader.get(database, indexKey, keyOf)
    : Settled.map(
      findFirstEntry(reader, database, indexKey, { key: indexKey, inclusive: true }),
      (entry) => entry === undefined ? undefined : ByteString(entry[0].slice(indexKey.length))
    )

/** Tests whether an index key has an entry. */
const hasEntry = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
  self: IndexReads<K, V, IK>,
  reader: Reader,
  indexKey: ByteString
): Effect.Effect<boolean, EngineFailure> =>
  Settled.map(findRecordKey(self, reader, indexKey), (key) => key !== undefined)

/** Finds the record of the first entry of an index key. */
const findRecordOf = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
  self: IndexReads<K, V, IK>,
  reader: Reader,
  indexKey: ByteString
): Effect.Effect<Found | undefined, ValueDecoding | EngineFailure> =>
  Settled.flatMap(findRecordKey(self, reader, indexKey), (key) =>
    key === undefined || key === noKey
      ? Settled.nothing
      : findRecord(self.collection, reader, key, () => self.collection.key.stored(key)))

// ---------------------------------------------------------------------------
// decoding
// ---------------------------------------------------------------------------

const decodeFound = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
  { collection }: IndexReads<K, V, IK>,
  { encoded, key }: Found
) => collection.value.decodeEncoded(encoded, () => collection.key.stored(key))

const decodeValue = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
  { collection }: IndexReads<K, V, IK>,
  [key, record]: StoredRecord
) => collection.value.decode(record, () => collection.key.stored(key))

const decodeRecord = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
  self: IndexReads<K, V, IK>,
  record: StoredRecord
) =>
  Settled.flatMap(
    self.collection.key.decode(record[0]),
    (key) => Settled.map(decodeValue(self, record), (value) => [key, value] as const)
  )

/** Decodes the index key at the beginning of an entry. */
const decodeIndexKey = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
  { index }: IndexReads<K, V, IK>,
  entry: ByteString
) =>
  Effect.flatMap(
    Effect.fromResult(index.key.endOf(entry)),
    (end) => index.key.decode(ByteString(entry.slice(0, end)))
  )

// ---------------------------------------------------------------------------
// reading by index keys
// ---------------------------------------------------------------------------

/** An entry and its record must be read from the same state. */
const oneMoment: StoreAccess.ReadOptions = { isOneMoment: true }

/** Reads by an index key: searches a reader, and calls `use` with the result. */
const readKey = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema, F, E, A, E2, R>(
  self: IndexReads<K, V, IK>,
  key: IK["Type"],
  search: (self: IndexReads<K, V, IK>, reader: Reader, indexKey: ByteString) => Effect.Effect<F, E>,
  use: (self: IndexReads<K, V, IK>, found: F, key: IK["Type"], indexKey: ByteString) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E | E2 | KeyEncoding | Closed | EngineFailure, R | IK["EncodingServices"]> =>
  Effect.withFiber((fiber) =>
    Settled.flatMap(
      self.index.key.encode(key),
      (indexKey): Effect.Effect<A, E | E2 | Closed | EngineFailure, R> => {
        const { access, collection } = self
        const refused = refusalOf(collection, access.handle.core)
        if (refused !== undefined) return Effect.fail(refused)
        const reader = StoreAccess.readerAtOnce(access, fiber)
        return reader === undefined
          ? Effect.flatMap(
            StoreAccess.read(access, (other) => search(self, other, indexKey), oneMoment),
            (found) => use(self, found, key, indexKey)
          )
          : Settled.flatMap(search(self, reader, indexKey), (found) => use(self, found, key, indexKey))
      }
    )
  )

/** Decodes the record that was found to `some`. Returns `none` if no record was found. */
const decodeOption = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
  self: IndexReads<K, V, IK>,
  found: Found | undefined
): Effect.Effect<Option.Option<V["Type"]>, ValueDecoding, V["DecodingServices"]> =>
  found === undefined ? Effect.succeedNone : Settled.map(decodeFound(self, found), Option.some)

/** Decodes the record that was found. Fails with `KeyNotFound` if no record was found. */
const decodeOrFail = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
  self: IndexReads<K, V, IK>,
  found: Found | undefined,
  key: IK["Type"],
  indexKey: ByteString
): Effect.Effect<V["Type"], ValueDecoding | KeyNotFound<IK["Type"]>, V["DecodingServices"]> =>
  found === undefined
    ? Effect.fail(
      new KeyNotFound<IK["Type"]>({ key, shownKey: self.index.key.show(indexKey), collection: self.name })
    )
    : decodeFound(self, found)

const getMany = Effect.fnUntraced(
  function*<K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
    self: IndexReads<K, V, IK>,
    source: TypedRanges.Source<IK>,
    keys: ListOf<IK["Type"]>
  ) {
    const named = yield* KeyLists.encodeKeys(self.index.key, keys, self.name)
    const records = yield* source.find(
      (reader) => Settled.allReads(named.map(([, indexKey]) => findRecordOf(self, reader, indexKey))),
      Effect.succeed
    )
    return yield* KeyLists.decodeFound(named, records, (record) => decodeFound(self, record))
  }
)

// ---------------------------------------------------------------------------
// ranges
// ---------------------------------------------------------------------------

/** Makes the source of the ranges of an index. It fails with `Closed` after another definition has opened the collection. */
const makeSource = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
  self: IndexReads<K, V, IK>
): TypedRanges.Source<IK> => {
  const { access, collection, index, name } = self
  const { core } = access.handle
  return {
    open: (options, resolve) =>
      Effect.suspend(() => ifCurrent(collection, core, () => RecordStream.open(access, options, resolve))),
    find: (search, use) =>
      Effect.withFiber((fiber) =>
        ifCurrent(collection, core, () => StoreAccess.find(access, fiber, search, use, oneMoment))
      ),
    locate: (part, reader) => locate(self, part, reader),
    name,
    database: index.database,
    codec: index.key,
    isPart: !index.isUnique,
    // A unique index stores the keys of the records as its values.
    keys: {
      values: index.isUnique,
      resolve: (part) => Exit.succeed(recordKeysOf(index, part).map((key) => [key, noBytes]))
    },
    records: {
      values: index.isUnique,
      resolve: (part, reader) => {
        const keys = recordKeysOf(index, part)
        return reader.getMany(collection.database, keys, (record, at) => [keys[at] ?? noKey, copyOf(record)] as const)
      }
    }
  }
}

/** Decodes an item of a page: the index key of the entry, and the key and value of the record. */
const decodeItem = <K extends KeySchema, V extends ValueSchema, IK extends KeySchema>(
  self: IndexReads<K, V, IK>,
  record: StoredRecord,
  entry: ByteString
) =>
  Effect.flatMap(
    decodeIndexKey(self, entry),
    (indexKey) => Effect.map(decodeRecord(self, record), ([key, value]) => ({ indexKey, key, value }))
  )

/** Deletes the records whose keys the given effect reads, in one transaction. Returns their number. */
export type DeleteKeys = <R>(
  range: unknown,
  keys: Effect.Effect<ReadonlyArray<ByteString>, KeyEncoding | Closed | EngineFailure, R>
) => Effect.Effect<number, KeyEncoding | ReadOnly | CommitError | Closed | TransactionConflict, R>

/** Makes the methods of an index. */
export const make = <
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>,
  IK extends KeySchema
>(
  definition: Definition<K, V, I>,
  index: Index<V["Type"], IK>,
  access: StoreAccess.StoreAccess,
  deleteKeys: DeleteKeys
): CollectionIndex<IK, K, V> => {
  const self: IndexReads<K, V, IK> = {
    name: `${definition.name}.${index.name}`,
    collection: definition,
    index,
    access
  }
  const source = makeSource(self)
  return {
    get: (key) => readKey(self, key, findRecordOf, decodeOption),
    getOrFail: (key) => readKey(self, key, findRecordOf, decodeOrFail),
    has: (key) => readKey(self, key, hasEntry, (_, isFound) => Exit.succeed(isFound)),
    getMany: (keys) => getMany(self, source, keys),
    ...TypedRanges.makeReads<IK, K, V>(source, definition.key, (record) => decodeValue(self, record)),
    first: (range = {}) => RangeReads.end(source, range, false, (record) => decodeRecord(self, record)),
    last: (range = {}) => RangeReads.end(source, range, true, (record) => decodeRecord(self, record)),
    page: (range) => RangeReads.page(source, range, (record, entry) => decodeItem(self, record, entry)),
    deleteRange: (range) => deleteKeys(range, RangeReads.recordKeys(source, range))
  }
}
