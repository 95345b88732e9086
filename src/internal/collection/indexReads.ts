/**
 * Makes the methods of an index, which read records by their index keys.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Reader } from "../../Backend.ts"
import type { ValueSchema } from "../../CollectionOptions.ts"
import type { CollectionIndex } from "../../CollectionService.ts"
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
import * as CallArguments from "../key/callArguments.ts"
import { afterPrefix } from "../key/keyRange.ts"
import * as Settled from "../settled.ts"
import * as RecordStream from "../store/recordStream.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import { type Definition, findRecord, type Found, ifCurrent, type Index } from "./collectionDefinition.ts"
import * as RangeReads from "./rangeReads.ts"
import type { KeyCodec } from "./typedCodecs.ts"
import * as TypedRanges from "./typedRanges.ts"

const noBytes = new Uint8Array(0)

const noKey = ByteString("")

/** Returns the key of the record that an index entry refers to. */
export const recordKeyOf = (
  index: { readonly isUnique: boolean; readonly key: Pick<KeyCodec<KeySchema>, "endOf"> },
  [entry, value]: RecordStream.StoredRecord
): Result.Result<ByteString, KeyEncoding | undefined> =>
  Result.filterOrFail(
    index.isUnique
      ? Result.succeed(keyOf(value))
      : Result.map(index.key.endOf(entry), (end) => ByteString(entry.slice(end))),
    (key) => key !== "",
    () => undefined
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
  const { database, key: keyCodec, name, value: valueCodec } = definition
  const { core } = access.handle

  /** Fails with `Closed` if another definition has opened the collection since. */
  const checked = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => ifCurrent(definition, core, () => effect))

  const open = <A>(options: RecordStream.RecordStreamOptions, resolve: RecordStream.Resolve<A>) =>
    checked(RecordStream.open(access, options, resolve))

  /** Returns the keys of the records that entries refer to. Skips a damaged entry; `verify` reports it. */
  const keysOf = (part: ReadonlyArray<RecordStream.StoredRecord>) =>
    part.flatMap((entry) => {
      const key = Result.getOrUndefined(recordKeyOf(index, entry))
      return key === undefined ? [] : [key]
    })

  const resolveKeys: RecordStream.Resolve<RecordStream.StoredRecord> = (part) =>
    Exit.succeed(keysOf(part).map((key) => [key, noBytes]))

  const resolveRecords: RecordStream.Resolve<RecordStream.StoredRecord> = (part, reader) => {
    const keys = keysOf(part)
    return reader.getMany(database, keys, (record, at) => [keys[at] ?? noKey, copyOf(record)] as const)
  }

  /** Finds the record of each entry. */
  const locate: RecordStream.Resolve<TypedRanges.Located> = (part, reader) => {
    const keys = part.map((entry) => Result.getOrUndefined(recordKeyOf(index, entry)) ?? noKey)
    return Settled.map(
      reader.getMany(database, keys, (record) => copyOf(record)),
      (records) =>
        part.map(([entry], at): TypedRanges.Located => {
          const [key = noKey, record] = [keys[at], records[at]]
          return { entry, record: record === undefined ? undefined : [key, record] }
        })
    )
  }

  const decodeValue = ([key, record]: RecordStream.StoredRecord) =>
    valueCodec.decode(record, () => keyCodec.stored(key))

  const source: TypedRanges.Source<IK> = {
    open,
    find: (search, use) =>
      Effect.withFiber((fiber) =>
        // The entry and its record must be read from the same state.
        checked(StoreAccess.find(access, fiber, search, use, { isOneMoment: true }))
      ),
    locate,
    name: `${name}.${index.name}`,
    database: index.database,
    codec: index.key,
    isPart: !index.isUnique,
    // A unique index stores the keys of the records as its values.
    keys: { values: index.isUnique, resolve: resolveKeys },
    records: { values: index.isUnique, resolve: resolveRecords }
  }

  const reads = TypedRanges.makeReads<IK, K, V>(source, keyCodec, decodeValue)

  const decodeEntry = (record: RecordStream.StoredRecord) =>
    Settled.flatMap(
      keyCodec.decode(record[0]),
      (key) => Settled.map(decodeValue(record), (value) => [key, value] as const)
    )

  /** Decodes the index key at the beginning of an entry. */
  const decodeIndexKey = (entry: ByteString) =>
    Effect.flatMap(
      Effect.fromResult(index.key.endOf(entry)),
      (end) => index.key.decode(ByteString(entry.slice(0, end)))
    )

  /** Finds the first entry of an index key. */
  const findEntry = (
    reader: Reader,
    indexKey: ByteString
  ): Effect.Effect<RecordStream.StoredRecord | undefined, EngineFailure> => {
    if (index.isUnique) return reader.get(index.database, indexKey, (value) => [indexKey, copyOf(value)] as const)
    const part = (
      from: ByteString,
      inclusive: boolean
    ): Effect.Effect<RecordStream.StoredRecord | undefined, EngineFailure> =>
      Settled.flatMap(
        reader.read(index.database, {
          from: { key: from, inclusive },
          to: afterPrefix(indexKey),
          reverse: false,
          values: false,
          maxRecords: 1,
          maxBytes: Infinity
        }),
        ({ records: [first], rest }) =>
          // A pending write may have deleted the entry that LMDB has: then read the next one.
          first === undefined && rest?.from !== undefined
            ? part(rest.from.key, rest.from.inclusive)
            : Exit.succeed(first)
      )
    return part(indexKey, true)
  }

  /** Finds the record of the first entry of an index key. */
  const findFirst = (
    reader: Reader,
    indexKey: ByteString
  ): Effect.Effect<Found | undefined, ValueDecoding | EngineFailure> =>
    Settled.flatMap(findEntry(reader, indexKey), (entry) => {
      const key = entry === undefined ? undefined : Result.getOrUndefined(recordKeyOf(index, entry))
      return key === undefined
        ? Exit.succeed(undefined)
        : findRecord(definition, reader, key, () => keyCodec.stored(key))
    })

  /** Reads by an index key, and calls `use` with the result. */
  const readKey = <F, E, A, E2, R>(
    key: IK["Type"],
    find: (reader: Reader, indexKey: ByteString) => Effect.Effect<F, E>,
    use: (found: F, indexKey: ByteString) => Effect.Effect<A, E2, R>
  ): Effect.Effect<A, E | E2 | KeyEncoding | Closed | EngineFailure, R | IK["EncodingServices"]> =>
    Effect.withFiber((fiber) =>
      Settled.flatMap(index.key.encode(key), (indexKey) =>
        ifCurrent(definition, core, () =>
          StoreAccess.find(
            access,
            fiber,
            (reader) => find(reader, indexKey),
            (found) => use(found, indexKey),
            // The entry and its record must be read from the same state.
            { isOneMoment: true }
          )))
    )

  const decodeFound = ({ encoded, key }: Found) => valueCodec.decodeEncoded(encoded, () => keyCodec.stored(key))

  return {
    get: (key) =>
      readKey(
        key,
        findFirst,
        (found) => found === undefined ? Effect.succeedNone : Settled.map(decodeFound(found), Option.some)
      ),
    getOrFail: (key) =>
      readKey(
        key,
        findFirst,
        (found, indexKey): Effect.Effect<V["Type"], ValueDecoding | KeyNotFound<IK["Type"]>, V["DecodingServices"]> =>
          found === undefined
            ? Effect.fail(
              new KeyNotFound<IK["Type"]>({
                key,
                shownKey: index.key.show(indexKey),
                collection: `${name}.${index.name}`
              })
            )
            : decodeFound(found)
      ),
    has: (key) =>
      readKey(
        key,
        (reader, indexKey) => Settled.map(findEntry(reader, indexKey), (entry) => entry !== undefined),
        Effect.succeed
      ),
    getMany: Effect.fnUntraced(function*(wanted) {
      const noList = CallArguments.notAList("keys", wanted, source.name)
      if (noList !== undefined) return yield* noList
      const named: Array<readonly [IK["Type"], ByteString]> = []
      for (const key of wanted) named.push([key, yield* index.key.encode(key)])
      const records = yield* source.find(
        (reader) => Settled.allReads(named.map(([, indexKey]) => findFirst(reader, indexKey))),
        Effect.succeed
      )
      const found = new Map<IK["Type"], V["Type"]>()
      const missing: Array<IK["Type"]> = []
      for (const [at, [key]] of named.entries()) {
        const record = records[at]
        if (record === undefined) missing.push(key)
        else if (!found.has(key)) found.set(key, yield* decodeFound(record))
      }
      return { found, missing }
    }),
    ...reads,
    first: (range = {}) => RangeReads.end(source, range, false, decodeEntry),
    last: (range = {}) => RangeReads.end(source, range, true, decodeEntry),
    page: (range) =>
      RangeReads.page(
        source,
        range,
        (record, entry) =>
          Effect.flatMap(
            decodeIndexKey(entry),
            (indexKey) => Effect.map(decodeEntry(record), ([key, value]) => ({ indexKey, key, value }))
          )
      ),
    deleteRange: (range) => deleteKeys(range, RangeReads.recordKeys(source, range))
  }
}
