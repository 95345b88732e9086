/**
 * The indexes of a collection, for those who read.
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
import { type Closed, type EngineFailure, type KeyEncoding, KeyNotFound, type ValueDecoding } from "../../StoreError.ts"
import { copyOf, keyOf } from "../engineBytes.ts"
import { afterPrefix } from "../key/keyRange.ts"
import * as Settled from "../settled.ts"
import * as RecordStream from "../store/recordStream.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import { type Definition, findRecord, type Found, ifCurrent, type Index } from "./collectionDefinition.ts"
import type { KeyCodec } from "./typedCodecs.ts"
import * as TypedRanges from "./typedRanges.ts"

const noBytes = new Uint8Array(0)

const noKey = ByteString("")

/** The key of the record that an entry of an index leads to. */
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

/** Makes an index for those who read. */
export const make = <
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>,
  IK extends KeySchema
>(
  definition: Definition<K, V, I>,
  index: Index<V["Type"], IK>,
  access: StoreAccess.StoreAccess
): CollectionIndex<IK, K, V> => {
  const { database, key: keyCodec, name, value: valueCodec } = definition
  const { core } = access.handle

  /** An index is that of the definition by which the collection was opened last. */
  const checked = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => ifCurrent(definition, core, () => effect))

  const open = (options: RecordStream.RecordStreamOptions, resolve: RecordStream.Resolve<RecordStream.StoredRecord>) =>
    checked(RecordStream.open(access, options, resolve))

  /** The keys that entries lead to. An entry that cannot be read leads to none; `verify` tells of it. */
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

  const decodeValue = ([key, record]: RecordStream.StoredRecord) =>
    valueCodec.decode(record, () => keyCodec.stored(key))

  const reads = TypedRanges.makeReads<IK, K, V>(
    {
      open,
      name: `${name}.${index.name}`,
      database: index.database,
      codec: index.key,
      isPart: !index.isUnique,
      // A unique index has the records' own keys in its values.
      keys: { values: index.isUnique, resolve: resolveKeys },
      records: { values: index.isUnique, resolve: resolveRecords }
    },
    keyCodec,
    decodeValue
  )

  /** The first entry of an index key. */
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
          // What the engine gave may be deleted by a pending write: then what follows is looked at.
          first === undefined && rest?.from !== undefined
            ? part(rest.from.key, rest.from.inclusive)
            : Exit.succeed(first)
      )
    return part(indexKey, true)
  }

  /** Finds the first record that an index key leads to. */
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

  /** Reads by an index key, and goes on with what was found. */
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
            // An entry and its record.
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
    ...reads
  }
}
