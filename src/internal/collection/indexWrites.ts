/**
 * Maintains the indexes of a collection: computes the writes of a record and of its index entries.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { PendingChecks, Reader } from "../../Backend.ts"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import type { Write } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import { type EngineFailure, type KeyEncoding, type ShownKey, ValueEncoding } from "../../StoreError.ts"
import { keyOf } from "../engineBytes.ts"
import * as Settled from "../settled.ts"
import { tooLong } from "../value/valueCodec.ts"
import type { Definition, Index } from "./collectionDefinition.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import type { KeyCodec } from "./typedKeyCodec.ts"

/** An encoded record. */
export interface NewRecord<out Value = unknown> {
  /** The decoded value, from which the index keys were computed. */
  readonly value: Value
  readonly key: ByteString
  readonly bytes: Uint8Array
  readonly entries: ReadonlyArray<CollectionRecord.IndexEntry>
}

const noHolder = Exit.succeed(undefined)

const noWrites = Exit.succeed<ReadonlyArray<Write>>([])

/** Returns the key of an index entry: the index key in a unique index, otherwise the index key and the key of the record. */
export const entryKey = (index: { readonly isUnique: boolean }, indexKey: ByteString, key: ByteString) =>
  index.isUnique ? indexKey : ByteString(indexKey + key)

/** Refuses the key of an entry that is too long for the engine. */
export const checkEntry = (
  index: { readonly isUnique: boolean; readonly key: Pick<KeyCodec<KeySchema>, "checkLength"> },
  indexKey: ByteString,
  key: ByteString
) => index.key.checkLength(indexKey, index.isUnique ? 0 : key.length)

type EntryDeletions = PendingChecks["entryDeletions"] extends Map<string, infer F> ? F : never

/** Another record has the same key in a unique index. `uniqueViolation.ts` converts it into the error. */
export interface Taken {
  readonly _tag: "Taken"
  readonly index: string
  readonly indexKey: ByteString
  /** The key of the record that has the index key. */
  readonly existing: ByteString
}

/** Computes the writes of a collection. `old` are the entries that are stored in the present record. */
export type CollectionWrites<V extends ValueSchema, R> = {
  /** Encodes a record with its entries. */
  readonly encode: <Key>(
    key: ByteString,
    value: ValueInput<V>,
    shownKey: () => ShownKey<Key>
  ) => Effect.Effect<NewRecord<V["Type"]>, ValueEncoding<Key> | KeyEncoding, R>
  /** Computes the writes that store a record and replace the present one. */
  readonly toPut: (
    reader: Reader,
    record: NewRecord,
    old: ReadonlyArray<CollectionRecord.IndexEntry> | undefined
  ) => Effect.Effect<ReadonlyArray<Write>, Taken | EngineFailure>
  /** Computes the writes that delete the record of a key. */
  readonly toDelete: (
    reader: Reader,
    key: ByteString,
    old: ReadonlyArray<CollectionRecord.IndexEntry>
  ) => Effect.Effect<ReadonlyArray<Write>, EngineFailure>
  /** Computes the deletions of the entries of the present record, except those that the new record has too. */
  readonly entryDeletions: EntryDeletions
}

/** Makes the index maintainer of a collection. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { database, expires, indexes, name, value: valueCodec }: Definition<K, V, I>
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
              checkEntry(index, indexKey, key),
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
        return refuse(shownKey, `with its entries in indexes, ${tooLong(record.length, valueCodec.maxBytes)}`)
      }
    )

  const refuse = <Key>(shownKey: () => ShownKey<Key>, detail: string): Effect.Effect<never, ValueEncoding<Key>> =>
    Effect.fail(new ValueEncoding({ ...shownKey(), collection: name, detail }))

  /** Puts the time at which a record expires before its value. */
  const addTime = <Key>(
    value: V["Type"],
    bytes: Uint8Array,
    shownKey: () => ShownKey<Key>
  ): Effect.Effect<Uint8Array, ValueEncoding<Key>> => {
    if (expires === undefined) return Exit.succeed(bytes)
    const time = expires(value)
    if (Result.isFailure(time)) return refuse(shownKey, time.failure)
    const timed = CollectionRecord.withTime(time.success, bytes)
    return timed.length <= valueCodec.maxBytes
      ? Exit.succeed(timed)
      : refuse(shownKey, tooLong(timed.length, valueCodec.maxBytes))
  }

  const encode: CollectionWrites<V, V["EncodingServices"] | I[keyof I]["EncodingServices"]>["encode"] = <Key>(
    key: ByteString,
    given: ValueInput<V>,
    shownKey: () => ShownKey<Key>
  ) =>
    Settled.flatMap(
      valueCodec.encode(given, shownKey),
      (
        { bytes: plain, value }
      ): Effect.Effect<NewRecord<V["Type"]>, KeyEncoding | ValueEncoding<Key>, IndexServices> =>
        Settled.flatMap(
          addTime(value, plain, shownKey),
          (bytes): Effect.Effect<NewRecord<V["Type"]>, KeyEncoding | ValueEncoding<Key>, IndexServices> =>
            indexes.size === 0
              ? Effect.succeed({ value, key, bytes, entries: [] })
              : addEntries(key, value, bytes, shownKey)
        )
    )

  type MadeIndex = Index<V["Type"], I[keyof I]>

  /** Index entries, and for each entry of a unique index the key of the record that has it. */
  interface HeldEntries {
    readonly entries: ReadonlyArray<readonly [index: MadeIndex, indexKey: ByteString]>
    readonly holders: ReadonlyArray<ByteString | undefined>
  }

  /** Reads which records have the index keys in unique indexes. */
  const withHolders = (
    reader: Reader,
    named: ReadonlyArray<CollectionRecord.IndexEntry>
  ): Effect.Effect<HeldEntries, EngineFailure> => {
    const entries: Array<readonly [MadeIndex, ByteString]> = []
    const reads: Array<Effect.Effect<ByteString | undefined, EngineFailure>> = []
    for (const [place, indexKey] of named) {
      const index = byPlace.get(place)
      if (index === undefined) continue
      entries.push([index, indexKey])
      reads.push(index.isUnique ? reader.get(index.database, indexKey, keyOf) : noHolder)
    }
    return Settled.map(Settled.allReads(reads), (holders) => ({ entries, holders }))
  }

  /** Computes the deletions of the entries of a record that are not in `kept`. */
  const toDeleteEntries = (
    reader: Reader,
    key: ByteString,
    entries: ReadonlyArray<CollectionRecord.IndexEntry>,
    kept: ReadonlyArray<CollectionRecord.IndexEntry>
  ): Effect.Effect<ReadonlyArray<Write>, EngineFailure> => {
    if (entries.length === 0) return noWrites
    const isKept = new Set(kept.map(CollectionRecord.nameOf))
    const dropped = entries.filter((entry) => !isKept.has(CollectionRecord.nameOf(entry)))
    if (dropped.length === 0) return noWrites
    return Settled.map(withHolders(reader, dropped), (held) => {
      const writes: Array<Write> = []
      for (const [at, [index, indexKey]] of held.entries.entries()) {
        // In a damaged index two records may have the same key. Then the entry may belong to the other record.
        if (index.isUnique && held.holders[at] !== key) continue
        writes.push([index.database, entryKey(index, indexKey, key), null])
      }
      return writes
    })
  }

  /** Computes the index entries of a record. Fails if another record has one of its keys in a unique index. */
  const toEnter = (
    reader: Reader,
    { entries, key }: NewRecord
  ): Effect.Effect<ReadonlyArray<Write>, Taken | EngineFailure> =>
    Settled.flatMap(
      withHolders(reader, entries),
      (held): Exit.Exit<ReadonlyArray<Write>, Taken> => {
        const writes: Array<Write> = []
        for (const [at, [index, indexKey]] of held.entries.entries()) {
          const holder = held.holders[at]
          if (holder !== undefined && holder !== key) {
            return Exit.fail({ _tag: "Taken", index: index.name, indexKey, existing: holder })
          }
          writes.push([index.database, entryKey(index, indexKey, key), CollectionRecord.entryValueOf(index, key)])
        }
        return Exit.succeed(writes)
      }
    )

  return {
    encode,
    toPut: (reader, record, old) =>
      Settled.flatMap(toDeleteEntries(reader, record.key, old ?? [], record.entries), (deletions) =>
        Settled.map(
          toEnter(reader, record),
          (entries): ReadonlyArray<Write> => [[database, record.key, record.bytes], ...deletions, ...entries]
        )),
    toDelete: (reader, key, old) =>
      Settled.map(
        toDeleteEntries(reader, key, old, []),
        (deletions): ReadonlyArray<Write> => [[database, key, null], ...deletions]
      ),
    entryDeletions: (present, key, write) =>
      Settled.flatMap(
        present.get(database, key, CollectionRecord.entriesOf),
        (old) => toDeleteEntries(present, key, old ?? [], write === null ? [] : CollectionRecord.entriesOf(write))
      )
  }
}
