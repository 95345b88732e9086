/**
 * What the writes of a batch depend on: the index entries of the records that they replace, and which records have the keys
 * in unique indexes. It is read in a few calls, however many records there are, and kept up to date by the writes.
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Reader } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { keyOf } from "../engineBytes.ts"
import * as Settled from "../settled.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import type { Entries, HolderOf, IndexMaintainer } from "./indexMaintainer.ts"

/** The records of a batch, before the next of its writes. */
export interface PresentRecords {
  /** The index entries of each record by its key; `undefined` if the key has no record. */
  readonly entries: Map<ByteString, Entries | undefined>
  /** The key of the record that has an index key, by the databases of the unique indexes. */
  readonly holders: ReadonlyMap<string, Map<ByteString, ByteString | undefined>>
  /** The number of bytes of the records that were read. */
  readonly bytes: number
}

/** The keys in unique indexes that the writes may add or delete, by the databases of the indexes. */
const uniqueKeys = (
  { indexes }: IndexMaintainer,
  records: ReadonlyArray<Entries | undefined>
): ReadonlyMap<string, ReadonlySet<ByteString>> => {
  const keys = new Map<string, Set<ByteString>>()
  for (const entries of records) {
    for (const [slot, indexKey] of entries ?? []) {
      const index = indexes.get(slot)
      if (index?.isUnique !== true) continue
      const ofIndex = keys.get(index.database)
      if (ofIndex === undefined) keys.set(index.database, new Set([indexKey]))
      else ofIndex.add(indexKey)
    }
  }
  return keys
}

/** Pairs keys with what was found for them. */
const byKey = <A>(keys: ReadonlyArray<ByteString>, found: ReadonlyArray<A>) =>
  new Map<ByteString, A | undefined>(keys.map((key, at) => [key, found[at]]))

/** Reads the records under some keys, and the holders of their keys in unique indexes and of those of the new entries. */
export const read = (
  self: IndexMaintainer,
  reader: Reader,
  keys: ReadonlyArray<ByteString>,
  added: ReadonlyArray<Entries>
): Effect.Effect<PresentRecords, EngineFailure> => {
  let bytes = 0
  const stored = reader.getMany(self.database, keys, (record) => {
    bytes += record.length
    return CollectionRecord.entriesOf(record)
  })
  return Settled.flatMap(stored, (found) => {
    const reads = Array.from(uniqueKeys(self, [...found, ...added]), ([database, indexKeys]) => {
      const wanted = [...indexKeys]
      return Settled.map(
        reader.getMany(database, wanted, keyOf),
        (holders) => [database, byKey(wanted, holders)] as const
      )
    })
    return Settled.map(
      Settled.allReads(reads),
      (holders): PresentRecords => ({ entries: byKey(keys, found), holders: new Map(holders), bytes })
    )
  })
}

/** Returns the holders of index keys, as the writes so far have left them. */
export const holdersIn = ({ holders }: PresentRecords): HolderOf => (index, indexKey) =>
  Exit.succeed(holders.get(index)?.get(indexKey))

/** Takes in the writes of a record. `entries` are those that it has now; `undefined` if it was deleted. */
export const update = (
  self: PresentRecords,
  key: ByteString,
  entries: Entries | undefined,
  writes: ReadonlyArray<Write>
): void => {
  self.entries.set(key, entries)
  for (const [database, indexKey, write] of writes) {
    self.holders.get(database)?.set(indexKey, write === null || entries === undefined ? undefined : key)
  }
}
