/**
 * What a collection writes for a record: the record, and its entries in the indexes.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { ValueSchema } from "../CollectionOptions.ts"
import type { Reader, Write } from "../Engine.ts"
import { ByteString, fromBytes } from "../Key.ts"
import type { KeySchema } from "../KeySchema.ts"
import { type EngineFailure, type KeyEncoding, UniqueViolation, type ValueEncoding } from "../StoreError.ts"
import type { Definition, Index } from "./collectionDefinition.ts"
import * as CollectionRecord from "./collectionRecord.ts"

/** A record as it is to be stored. */
export interface NewRecord {
  readonly key: ByteString
  readonly bytes: Uint8Array
  readonly entries: ReadonlyArray<CollectionRecord.IndexEntry>
}

const noBytes = new Uint8Array(0)

/** Where an index has a record: a unique one under its key, another under that and the record's own. */
export const entryKey = (index: Pick<Index<unknown, KeySchema>, "isUnique">, indexKey: ByteString, key: ByteString) =>
  index.isUnique ? indexKey : ByteString(indexKey + key)

const bytesOf = (key: ByteString): Uint8Array => Buffer.from(key, "latin1")

/** What a collection writes. */
export type CollectionWrites<V extends ValueSchema, R> = {
  /** Encodes a record with its entries. */
  readonly encode: (
    key: ByteString,
    value: V["Type"]
  ) => Effect.Effect<NewRecord, ValueEncoding | KeyEncoding, R>
  /** The writes that keep a record in place of what is there. */
  readonly toPut: (
    reader: Reader,
    record: NewRecord,
    old: Uint8Array | undefined
  ) => Result.Result<ReadonlyArray<Write>, UniqueViolation | EngineFailure>
  /** The writes that delete what is under a key. */
  readonly toDelete: (key: ByteString, old: Uint8Array) => ReadonlyArray<Write>
}

/** Makes what writes the records of a collection. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { database, indexes, key: keyCodec, name, value: valueCodec }: Definition<K, V, I>
): CollectionWrites<V, V["EncodingServices"] | I[keyof I]["EncodingServices"]> => {
  const encode = Effect.fnUntraced(function*(key: ByteString, value: V["Type"]) {
    const bytes = yield* valueCodec.encode(value, () => keyCodec.show(key))
    const entries: Array<CollectionRecord.IndexEntry> = []
    for (const index of indexes.values()) {
      for (const indexKey of yield* index.keysOf(value)) {
        yield* Effect.fromResult(index.key.checkLength(entryKey(index, indexKey, key)))
        entries.push([index.name, indexKey])
      }
    }
    return { key, bytes: CollectionRecord.join(entries, bytes), entries }
  })

  const deleted = (key: ByteString, old: Uint8Array, kept: ReadonlySet<string>): ReadonlyArray<Write> => {
    const writes: Array<Write> = []
    for (const [indexName, indexKey] of CollectionRecord.entriesOf(old)) {
      const index = indexes.get(indexName)
      if (index !== undefined && !kept.has(`${indexName}\0${indexKey}`)) {
        writes.push([index.database, entryKey(index, indexKey, key), null])
      }
    }
    return writes
  }

  const toPut: CollectionWrites<V, never>["toPut"] = (reader, { bytes, entries, key }, old) => {
    const writes: Array<Write> = [[database, key, bytes]]
    if (old !== undefined) {
      writes.push(...deleted(key, old, new Set(entries.map(([index, indexKey]) => `${index}\0${indexKey}`))))
    }
    for (const [indexName, indexKey] of entries) {
      const index = indexes.get(indexName)
      if (index === undefined) continue
      if (index.isUnique) {
        const existing = reader.get(index.database, indexKey)
        if (Result.isFailure(existing)) return Result.fail(existing.failure)
        const existingKey = existing.success === undefined
          ? undefined
          : fromBytes(existing.success.subarray(0, existing.success.length))
        if (existingKey !== undefined && existingKey !== key) {
          return Result.fail(
            new UniqueViolation({
              collection: name,
              index: indexName,
              indexKey: index.key.show(indexKey),
              key: keyCodec.show(key),
              existingKey: keyCodec.show(existingKey)
            })
          )
        }
      }
      writes.push([index.database, entryKey(index, indexKey, key), index.isUnique ? bytesOf(key) : noBytes])
    }
    return Result.succeed(writes)
  }

  return {
    encode,
    toPut,
    toDelete: (key, old) => [[database, key, null], ...deleted(key, old, new Set())]
  }
}
