/**
 * What a collection writes for a record: the record, and its entries in the indexes.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import type { Reader, Write } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import { type EngineFailure, type KeyEncoding, type ShownKey, ValueEncoding } from "../../StoreError.ts"
import type { EntryDeletions } from "../commit/foreignCommits.ts"
import { keyOf } from "../engineBytes.ts"
import * as Settled from "../settled.ts"
import { tooLong } from "../value/valueCodec.ts"
import type { Definition, Index } from "./collectionDefinition.ts"
import * as CollectionRecord from "./collectionRecord.ts"

/** A record as it is to be stored. */
export interface NewRecord<out Value = unknown> {
  /** The value as it is in the indexes. */
  readonly value: Value
  readonly key: ByteString
  readonly bytes: Uint8Array
  readonly entries: ReadonlyArray<CollectionRecord.IndexEntry>
}

/** Where an index has a record: a unique one under its key, another under that and the record's own. */
export const entryKey = (index: { readonly isUnique: boolean }, indexKey: ByteString, key: ByteString) =>
  index.isUnique ? indexKey : ByteString(indexKey + key)

/** Says that another record has the key of a record in a unique index. `uniqueViolation.ts` makes the error of it. */
export interface Taken {
  readonly _tag: "Taken"
  readonly index: string
  readonly indexKey: ByteString
  /** The record that has the key. */
  readonly existing: ByteString
}

/** What a collection writes. */
export type CollectionWrites<V extends ValueSchema, R> = {
  /** Encodes a record with its entries. */
  readonly encode: <Key>(
    key: ByteString,
    value: ValueInput<V>,
    shownKey: () => ShownKey<Key>
  ) => Effect.Effect<NewRecord<V["Type"]>, ValueEncoding<Key> | KeyEncoding, R>
  /** The writes that keep a record in place of what is there. */
  readonly toPut: (
    reader: Reader,
    record: NewRecord,
    old: Uint8Array | undefined
  ) => Result.Result<ReadonlyArray<Write>, Taken | EngineFailure>
  /** The writes that delete what is under a key. */
  readonly toDelete: (
    reader: Reader,
    key: ByteString,
    old: Uint8Array
  ) => Result.Result<ReadonlyArray<Write>, EngineFailure>
  /** The writes that delete the entries of what is there, but those that a record written over it keeps. */
  readonly entryDeletions: EntryDeletions
}

/** Makes what writes the records of a collection. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { database, indexes, name, value: valueCodec }: Definition<K, V, I>
): CollectionWrites<V, V["EncodingServices"] | I[keyof I]["EncodingServices"]> => {
  const byPlace = new Map(Array.from(indexes.values(), (index) => [index.place, index]))

  type IndexServices = I[keyof I]["EncodingServices"]

  const keysIn = (
    index: Index<V["Type"], I[keyof I]>,
    key: ByteString,
    value: V["Type"]
  ): Effect.Effect<ReadonlyArray<CollectionRecord.IndexEntry>, KeyEncoding, IndexServices> =>
    Settled.flatMap(
      index.keysOf(value),
      (indexKeys) =>
        Settled.all(indexKeys.map((indexKey) =>
          Effect.fromResult(
            Result.map(
              index.key.checkLength(entryKey(index, indexKey, key)),
              (): CollectionRecord.IndexEntry => [index.place, indexKey]
            )
          )
        ))
    )

  const addEntries = <Key>(
    key: ByteString,
    value: V["Type"],
    bytes: Uint8Array,
    shownKey: () => ShownKey<Key>
  ): Effect.Effect<NewRecord<V["Type"]>, KeyEncoding | ValueEncoding<Key>, IndexServices> =>
    Settled.flatMap(
      Settled.all(Array.from(indexes.values(), (index) => keysIn(index, key, value))),
      (found): Effect.Effect<NewRecord<V["Type"]>, ValueEncoding<Key>> => {
        const entries = found.flat()
        const record = CollectionRecord.join(entries, bytes)
        if (record.length <= valueCodec.maxBytes) return Effect.succeed({ value, key, bytes: record, entries })
        const detail = `with its entries in indexes, ${tooLong(record.length, valueCodec.maxBytes)}`
        return Effect.fail(new ValueEncoding({ ...shownKey(), collection: name, detail }))
      }
    )

  const encode: CollectionWrites<V, V["EncodingServices"] | I[keyof I]["EncodingServices"]>["encode"] = <Key>(
    key: ByteString,
    given: ValueInput<V>,
    shownKey: () => ShownKey<Key>
  ) =>
    Settled.flatMap(
      valueCodec.encode(given, shownKey),
      ({ bytes, value }): Effect.Effect<NewRecord<V["Type"]>, KeyEncoding | ValueEncoding<Key>, IndexServices> =>
        indexes.size === 0
          ? Effect.succeed({ value, key, bytes, entries: [] })
          : addEntries(key, value, bytes, shownKey)
    )

  /** The record that has a key in a unique index. */
  const holderOf = (
    reader: Reader,
    index: Index<V["Type"], I[keyof I]>,
    indexKey: ByteString
  ): Result.Result<ByteString | undefined, EngineFailure> =>
    Result.map(
      reader.get(index.database, indexKey),
      (value) => value === undefined ? undefined : keyOf(value)
    )

  /** The writes that delete the entries of a record that it does not keep. */
  const toDeleteEntries = (
    reader: Reader,
    key: ByteString,
    entries: ReadonlyArray<CollectionRecord.IndexEntry>,
    kept: ReadonlyArray<CollectionRecord.IndexEntry>
  ): Result.Result<ReadonlyArray<Write>, EngineFailure> => {
    const isKept = new Set(kept.map(CollectionRecord.nameOf))
    const writes: Array<Write> = []
    for (const entry of entries) {
      const [place, indexKey] = entry
      const index = byPlace.get(place)
      if (index === undefined || isKept.has(CollectionRecord.nameOf(entry))) continue
      if (index.isUnique) {
        // Where two records have the same key, which an index that was exact does not let happen, the other one may hold it.
        const holder = holderOf(reader, index, indexKey)
        if (Result.isFailure(holder)) return Result.fail(holder.failure)
        if (holder.success !== key) continue
      }
      writes.push([index.database, entryKey(index, indexKey, key), null])
    }
    return Result.succeed(writes)
  }

  const toPut: CollectionWrites<V, never>["toPut"] = (reader, { bytes, entries, key }, old) => {
    const deletions = toDeleteEntries(reader, key, old === undefined ? [] : CollectionRecord.entriesOf(old), entries)
    if (Result.isFailure(deletions)) return Result.fail(deletions.failure)
    const writes: Array<Write> = [[database, key, bytes], ...deletions.success]
    for (const [place, indexKey] of entries) {
      const index = byPlace.get(place)
      if (index === undefined) continue
      if (index.isUnique) {
        const holder = holderOf(reader, index, indexKey)
        if (Result.isFailure(holder)) return Result.fail(holder.failure)
        if (holder.success !== undefined && holder.success !== key) {
          return Result.fail({ _tag: "Taken", index: index.name, indexKey, existing: holder.success })
        }
      }
      writes.push([index.database, entryKey(index, indexKey, key), CollectionRecord.entryValueOf(index, key)])
    }
    return Result.succeed(writes)
  }

  return {
    encode,
    toPut,
    toDelete: (reader, key, old) =>
      Result.map(
        toDeleteEntries(reader, key, CollectionRecord.entriesOf(old), []),
        (deletions): ReadonlyArray<Write> => [[database, key, null], ...deletions]
      ),
    entryDeletions: (present, key, write) =>
      Result.flatMap(present.get(database, key), (old) =>
        old === undefined
          ? Result.succeed([])
          : toDeleteEntries(
            present,
            key,
            CollectionRecord.entriesOf(old),
            write === null ? [] : CollectionRecord.entriesOf(write)
          ))
  }
}
