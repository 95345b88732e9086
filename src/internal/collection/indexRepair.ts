/**
 * Makes the indexes of an open collection exact, in place: what `rebuildIndexes` does.
 *
 * Every record is compared with its entries, then every entry with its record, part by
 * part, and what is wrong is written. So the indexes can be used all the while, others can
 * write, and a repair that ends in the middle leaves nothing to be done but another one.
 */
import * as Effect from "effect/Effect"
import type { RangePart } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { indexDatabase } from "../databases.ts"
import { copyOf, keyOf } from "../engineBytes.ts"
import { count } from "../quantity.ts"
import * as Transaction from "../transaction/transaction.ts"
import * as Catalog from "./catalog.ts"
import { ifCurrent } from "./collectionDefinition.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import { entryKey } from "./indexWrites.ts"
import {
  duplicateKeys,
  type IndexError,
  inTransaction,
  leadsTo,
  type Maintained,
  type MaintainedIndex,
  maxDuplicates,
  readPart,
  readTo
} from "./maintenance.ts"

/** An index with its place and its database. */
interface PlacedIndex extends MaintainedIndex {
  readonly place: string
  readonly database: string
}

const placedIndexesOf = <R>({ indexes, wanted }: Maintained<R>): ReadonlyMap<string, PlacedIndex> =>
  new Map(wanted.indexes.flatMap((stored): ReadonlyArray<readonly [string, PlacedIndex]> => {
    const index = indexes.get(stored[0])
    if (index === undefined) return []
    const place = Catalog.placeOf(stored)
    return [[index.name, { ...index, place, database: indexDatabase(wanted.name, place) }]]
  }))

/** Whether a record has a key in an index by its value, whatever it says of its entries. */
const hasKey = Effect.fnUntraced(function*<R>(
  { database, keysOf }: Maintained<R>,
  { reader }: Transaction.Transaction,
  index: PlacedIndex,
  indexKey: ByteString,
  key: ByteString
) {
  const record = yield* reader.get(database, key, copyOf)
  if (record === undefined) return false
  const keys = yield* keysOf(key, record, new Set([index.name]))
  return keys.some(([, other]) => other === indexKey)
})

/** Sees to it that an index has an entry of a record. Gives the record that has the key of a unique one, if that is another. */
const repairEntry = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  transaction: Transaction.Transaction,
  index: PlacedIndex,
  indexKey: ByteString,
  key: ByteString
): Effect.fn.Return<ByteString | undefined, IndexError | EngineFailure, R> {
  const entry = entryKey(index, indexKey, key)
  const present = yield* transaction.reader.get(index.database, entry, keyOf)
  if (present !== undefined) {
    const holder = index.isUnique ? present : key
    if (holder === key) return undefined
    // A damaged entry may lead to no key at all.
    if (holder !== "" && (yield* hasKey(collection, transaction, index, indexKey, holder))) return holder
  }
  Transaction.write(transaction, [[index.database, entry, CollectionRecord.entryValueOf(index, key)]])
  return undefined
})

/** Compares a record with its entries. */
const repairRecord = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  transaction: Transaction.Transaction,
  indexes: ReadonlyMap<string, PlacedIndex>,
  key: ByteString,
  record: Uint8Array
) {
  const duplicates: Array<Catalog.StoredDuplicate> = []
  const entries: Array<CollectionRecord.IndexEntry> = []
  for (const [name, indexKey] of yield* collection.keysOf(key, record, new Set(indexes.keys()))) {
    const index = indexes.get(name)
    if (index === undefined) continue
    const holder = yield* repairEntry(collection, transaction, index, indexKey, key)
    if (holder !== undefined) duplicates.push({ index: name, indexKey, key, holder })
    entries.push([index.place, indexKey])
  }
  // What an index still has of this record besides is found from there.
  if (!CollectionRecord.hasSameEntries(CollectionRecord.entriesOf(record), entries)) {
    const bytes = CollectionRecord.join(entries, CollectionRecord.valueOf(record))
    Transaction.write(transaction, [[collection.database, key, bytes]])
  }
  return duplicates
})

/** Deletes an entry that its record does not have. */
const repairIndex = <R>(
  { database }: Maintained<R>,
  transaction: Transaction.Transaction,
  index: PlacedIndex,
  entry: RangePart["records"][number]
): Effect.Effect<void, EngineFailure> =>
  Effect.gen(function*() {
    const key = leadsTo(index, entry)
    const entries = key === undefined
      ? undefined
      : yield* transaction.reader.get(database, key, CollectionRecord.entriesOf)
    const isBacked = key !== undefined && entries !== undefined &&
      entries.some(([place, indexKey]) => place === index.place && entryKey(index, indexKey, key) === entry[0])
    if (!isBacked) Transaction.write(transaction, [[index.database, entry[0], null]])
  })

/** Goes through a database part by part, each in a transaction. */
const forEachPart = Effect.fnUntraced(function*<R, A, E, R2>(
  collection: Maintained<R>,
  database: string,
  use: (transaction: Transaction.Transaction, records: RangePart["records"]) => Effect.Effect<A, E, R2>,
  done: (result: A) => void
) {
  const { internals: { access: { handle: { core } } }, signatureWith, wanted: { indexes, name } } = collection
  const signature = signatureWith(indexes)
  const repairPart = (after: ByteString | undefined) =>
    inTransaction(collection, (transaction) =>
      ifCurrent({ name, signature }, core, () =>
        Effect.gen(function*() {
          const part = yield* readPart(transaction.reader, database, after)
          return { part, result: yield* use(transaction, part.records) }
        })))
  let after: ByteString | undefined
  do {
    const { part, result } = yield* repairPart(after)
    done(result)
    after = readTo(part)
  } while (after !== undefined)
})

/** Makes all indexes exact, or fails with what is in the way of that. */
export const repair = Effect.fnUntraced(function*<R>(collection: Maintained<R>) {
  const indexes = placedIndexesOf(collection)
  if (indexes.size === 0) return
  const duplicates: Array<Catalog.StoredDuplicate> = []
  let duplicateCount = 0
  let records = 0
  yield* forEachPart(
    collection,
    collection.database,
    (transaction, part) =>
      Effect.forEach(part, ([key, record]) => repairRecord(collection, transaction, indexes, key, record)),
    (found) => {
      records += found.length
      for (const duplicate of found.flat()) {
        duplicateCount++
        if (duplicates.length < maxDuplicates) duplicates.push(duplicate)
      }
    }
  )
  for (const index of indexes.values()) {
    yield* forEachPart(
      collection,
      index.database,
      (transaction, part) =>
        Effect.forEach(part, (entry) => repairIndex(collection, transaction, index, entry), { discard: true }),
      () => undefined
    )
  }
  if (duplicateCount > 0) return yield* yield* duplicateKeys(collection, duplicates, duplicateCount)
  yield* Effect.logInfo(
    `The indexes of the collection "${collection.wanted.name}" are exact: ${count(records, "record")}`
  )
})
