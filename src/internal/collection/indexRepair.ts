/**
 * Repairs the indexes of an open collection in place, for `rebuildIndexes`.
 *
 * Compares every record with its entries, then every entry with its record, and writes what is wrong. Each part is one
 * transaction. Other fibers can read the indexes and write records during the repair. If the repair is interrupted, run
 * it again.
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
import { entryKey } from "./indexMaintainer.ts"
import {
  duplicateKeys,
  type IndexError,
  inTransaction,
  type Maintained,
  type MaintainedIndex,
  maxDuplicates,
  readPart,
  readTo,
  referencedKey
} from "./maintenance.ts"

/** An index with its slot and its database. */
interface IndexInSlot extends MaintainedIndex {
  readonly slot: string
  readonly database: string
}

const indexesInSlots = <R>({ declared, indexes }: Maintained<R>): ReadonlyMap<string, IndexInSlot> =>
  new Map(declared.indexes.flatMap((stored): ReadonlyArray<readonly [string, IndexInSlot]> => {
    const index = indexes.get(stored[0])
    if (index === undefined) return []
    const slot = Catalog.slotOf(stored)
    return [[index.name, { ...index, slot, database: indexDatabase(declared.name, slot) }]]
  }))

/** Tests whether the value of a record gives an index key. It ignores the entries that are stored in the record. */
const hasKey = Effect.fnUntraced(function*<R>(
  { database, keysOf }: Maintained<R>,
  { reader }: Transaction.Transaction,
  index: IndexInSlot,
  indexKey: ByteString,
  key: ByteString
) {
  const record = yield* reader.get(database, key, copyOf)
  if (record === undefined) return false
  const keys = yield* keysOf(key, record, new Set([index.name]))
  return keys.some(([, other]) => other === indexKey)
})

/** Writes the index entry of a record if it is missing. If another record has it in a unique index, returns the key of that. */
const repairEntry = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  transaction: Transaction.Transaction,
  index: IndexInSlot,
  indexKey: ByteString,
  key: ByteString
): Effect.fn.Return<ByteString | undefined, IndexError | EngineFailure, R> {
  const entry = entryKey(index, indexKey, key)
  const existing = yield* transaction.reader.get(index.database, entry, keyOf)
  if (existing !== undefined) {
    const holder = index.isUnique ? existing : key
    if (holder === key) return undefined
    // A damaged entry may have no key.
    if (holder !== "" && (yield* hasKey(collection, transaction, index, indexKey, holder))) return holder
  }
  Transaction.write(transaction, [[index.database, entry, CollectionRecord.entryValueOf(index, key)]])
  return undefined
})

/** Writes the missing entries of a record, and corrects the entries that are stored in it. Returns the duplicates. */
const repairRecord = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  transaction: Transaction.Transaction,
  indexes: ReadonlyMap<string, IndexInSlot>,
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
    entries.push([index.slot, indexKey])
  }
  // Other entries that an index still has for this record are found when its entries are compared with their records.
  if (!CollectionRecord.hasSameEntries(CollectionRecord.entriesOf(record), entries)) {
    const bytes = CollectionRecord.join(entries, CollectionRecord.valueOf(record))
    Transaction.write(transaction, [[collection.database, key, bytes]])
  }
  return duplicates
})

/** Deletes an index entry if its record does not have it. */
const repairIndex = <R>(
  { database }: Maintained<R>,
  transaction: Transaction.Transaction,
  index: IndexInSlot,
  entry: RangePart["records"][number]
): Effect.Effect<void, EngineFailure> =>
  Effect.gen(function*() {
    const key = referencedKey(index, entry)
    const entries = key === undefined
      ? undefined
      : yield* transaction.reader.get(database, key, CollectionRecord.entriesOf)
    const isValidEntry = key !== undefined && entries !== undefined &&
      entries.some(([slot, indexKey]) => slot === index.slot && entryKey(index, indexKey, key) === entry[0])
    if (!isValidEntry) Transaction.write(transaction, [[index.database, entry[0], null]])
  })

/** Reads a database part by part, and calls `use` with each part in a transaction of its own. */
const forEachPart = Effect.fnUntraced(function*<R, A, E, R2>(
  collection: Maintained<R>,
  database: string,
  use: (transaction: Transaction.Transaction, records: RangePart["records"]) => Effect.Effect<A, E, R2>,
  done: (result: A) => void
) {
  const { declared: { indexes, name }, internals: { access: { handle: { core } } }, signatureWith } = collection
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

/** Repairs all indexes. Fails with `DuplicateKeys`, `ValueDecoding` or `KeyEncoding` if records cannot be in an index. */
export const repair = Effect.fnUntraced(function*<R>(collection: Maintained<R>) {
  const indexes = indexesInSlots(collection)
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
    `The indexes of the collection "${collection.declared.name}" are repaired: ${count(records, "record")}`
  )
})
