/**
 * Maintains the indexes of a collection: computes the writes of a record and of its index entries.
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Reader } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { keyOf } from "../engineBytes.ts"
import * as Settled from "../settled.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import type { EncodedRecord } from "./recordEncoding.ts"

/** An index, without the types of its keys. */
interface WrittenIndex {
  readonly name: string
  readonly slot: string
  readonly database: string
  readonly isUnique: boolean
}

/** The databases that a record of a collection and its index entries are written to. */
export interface IndexMaintainer {
  readonly database: string
  /** The indexes by their slots, as records refer to them. */
  readonly indexes: ReadonlyMap<string, WrittenIndex>
}

/** Another record has the same key in a unique index. `uniqueViolation.ts` converts it into the error. */
export interface TakenIndexKey {
  readonly _tag: "TakenIndexKey"
  readonly index: string
  readonly indexKey: ByteString
  /** The key of the record that has the index key. */
  readonly existing: ByteString
}

/** The index entries of a record. */
export type Entries = ReadonlyArray<CollectionRecord.IndexEntry>

/** Makes the index maintainer of a collection. */
export const make = (
  { database, indexes }: { readonly database: string; readonly indexes: ReadonlyMap<string, WrittenIndex> }
): IndexMaintainer => ({ database, indexes: new Map(Array.from(indexes.values(), (index) => [index.slot, index])) })

/** Returns the key of an index entry: the index key in a unique index, otherwise the index key and the key of the record. */
export const entryKey = (index: { readonly isUnique: boolean }, indexKey: ByteString, key: ByteString) =>
  index.isUnique ? indexKey : ByteString(indexKey + key)

/** Index entries, and for each entry of a unique index the key of the record that has it. */
interface HeldEntries {
  readonly entries: ReadonlyArray<readonly [index: WrittenIndex, indexKey: ByteString]>
  readonly holders: ReadonlyArray<ByteString | undefined>
}

/** Reads which record has an index key in a unique index. */
export type HolderOf = (index: string, indexKey: ByteString) => Effect.Effect<ByteString | undefined, EngineFailure>

/** Reads the holders of index keys one by one. */
export const holdersIn = (reader: Reader): HolderOf => (index, indexKey) => reader.get(index, indexKey, keyOf)

const noHolder = Exit.succeed(undefined)

/** Reads which records have the index keys in unique indexes. Skips entries of indexes that the collection no longer has. */
const withHolders = (
  { indexes }: IndexMaintainer,
  holderOf: HolderOf,
  named: Entries
): Effect.Effect<HeldEntries, EngineFailure> => {
  const entries: Array<readonly [WrittenIndex, ByteString]> = []
  const reads: Array<Effect.Effect<ByteString | undefined, EngineFailure>> = []
  for (const [slot, indexKey] of named) {
    const index = indexes.get(slot)
    if (index === undefined) continue
    entries.push([index, indexKey])
    reads.push(index.isUnique ? holderOf(index.database, indexKey) : noHolder)
  }
  return Settled.map(Settled.allReads(reads), (holders) => ({ entries, holders }))
}

const noWrites = Exit.succeed<ReadonlyArray<Write>>([])

/** Computes the deletions of the entries of a record that are not in `kept`. */
const deletionsOf = (
  self: IndexMaintainer,
  holderOf: HolderOf,
  key: ByteString,
  entries: Entries,
  kept: Entries
): Effect.Effect<ReadonlyArray<Write>, EngineFailure> => {
  if (entries.length === 0) return noWrites
  const isKept = new Set(kept.map(CollectionRecord.nameOf))
  const dropped = entries.filter((entry) => !isKept.has(CollectionRecord.nameOf(entry)))
  if (dropped.length === 0) return noWrites
  return Settled.map(withHolders(self, holderOf, dropped), (held) => {
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
const additionsOf = (
  self: IndexMaintainer,
  holderOf: HolderOf,
  { entries, key }: EncodedRecord
): Effect.Effect<ReadonlyArray<Write>, TakenIndexKey | EngineFailure> =>
  Settled.flatMap(
    withHolders(self, holderOf, entries),
    (held): Exit.Exit<ReadonlyArray<Write>, TakenIndexKey> => {
      const writes: Array<Write> = []
      for (const [at, [index, indexKey]] of held.entries.entries()) {
        const holder = held.holders[at]
        if (holder !== undefined && holder !== key) {
          return Exit.fail({ _tag: "TakenIndexKey", index: index.name, indexKey, existing: holder })
        }
        writes.push([index.database, entryKey(index, indexKey, key), CollectionRecord.entryValueOf(index, key)])
      }
      return Exit.succeed(writes)
    }
  )

/**
 * Computes the writes that store a record, beginning with that of the record. `old` are the entries that are stored in the
 * record that it replaces.
 */
export const toPut = (
  self: IndexMaintainer,
  holderOf: HolderOf,
  record: EncodedRecord,
  old: Entries | undefined
): Effect.Effect<ReadonlyArray<Write>, TakenIndexKey | EngineFailure> =>
  Settled.flatMap(
    deletionsOf(self, holderOf, record.key, old ?? [], record.entries),
    (deletions) =>
      Settled.map(
        additionsOf(self, holderOf, record),
        (additions): ReadonlyArray<Write> => [[self.database, record.key, record.bytes], ...deletions, ...additions]
      )
  )

/** Computes the writes that delete a record. `old` are the entries that are stored in it. */
export const toDelete = (
  self: IndexMaintainer,
  holderOf: HolderOf,
  key: ByteString,
  old: Entries
): Effect.Effect<ReadonlyArray<Write>, EngineFailure> =>
  Settled.map(
    deletionsOf(self, holderOf, key, old, []),
    (deletions): ReadonlyArray<Write> => [[self.database, key, null], ...deletions]
  )

/**
 * Computes the deletions of the entries of the stored record, except those that the new record has too. `write` are the
 * bytes of the new record, or `null` if the record is deleted.
 */
export const entryDeletions = (
  self: IndexMaintainer,
  present: Reader,
  key: ByteString,
  write: Uint8Array | null
): Effect.Effect<ReadonlyArray<Write>, EngineFailure> =>
  Settled.flatMap(
    present.get(self.database, key, CollectionRecord.entriesOf),
    (old) =>
      deletionsOf(
        self,
        holdersIn(present),
        key,
        old ?? [],
        write === null ? [] : CollectionRecord.entriesOf(write)
      )
  )
