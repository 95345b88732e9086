/**
 * Compares a sample of records with their index entries, and a sample of entries with their records, when a collection
 * is opened. A program cannot compare functions, so this is the only way to notice that an index function has changed.
 *
 * The sample is the first record, the last record, and up to four records at equal distances between their keys. All of
 * them are read in one step, from the same state.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Reader } from "../../Backend.ts"
import { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { indexDatabase } from "../databases.ts"
import { copyOf, keyOf } from "../engineBytes.ts"
import * as Settled from "../settled.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import * as Catalog from "./catalog.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import { entryKey } from "./indexMaintainer.ts"
import { type Maintained, referencedKey } from "./maintenance.ts"

type StoredRecord = readonly [key: ByteString, record: Uint8Array]

/** A record of the sample, and the names of the indexes that lack an entry which is stored in it. */
interface SampledRecord {
  readonly key: ByteString
  readonly record: Uint8Array
  readonly missing: ReadonlySet<string>
}

/** The records and entries that were read. */
interface Sample {
  readonly records: ReadonlyArray<SampledRecord>
  /** The indexes that have an entry which no record has. */
  readonly stray: ReadonlySet<string>
}

/** The names of the indexes that must be built again, be repaired, or be reported. */
export interface Findings {
  /** The indexes whose functions give other keys than those that are stored in the records: they must be built again. */
  readonly stale: ReadonlySet<string>
  /** The indexes that lack an entry which a record has, or that have an entry which no record has. */
  readonly damaged: ReadonlySet<string>
  /** The indexes whose functions give different keys when they are called twice with the same value. */
  readonly nondeterministic: ReadonlySet<string>
}

const recordsBetween = 4

/** The number of bytes, from the first byte in which two keys differ, that are taken as a number. Six bytes are exact in a double. */
const positionBytes = 6

const positionOf = (key: ByteString, from: number): number => {
  let position = 0
  for (let at = from; at < from + positionBytes; at++) {
    position = position * 256 + (at < key.length ? key.charCodeAt(at) : 0)
  }
  return position
}

/** Computes `count` keys at equal distances between two keys. */
export const keysBetween = (first: ByteString, last: ByteString, count: number): ReadonlyArray<ByteString> => {
  let same = 0
  while (same < first.length && first[same] === last[same]) same++
  const from = positionOf(first, same)
  const distance = (positionOf(last, same) - from) / (count + 1)
  return Array.from({ length: count }, (_, number) => {
    const bytes = Buffer.alloc(positionBytes)
    bytes.writeUIntBE(Math.floor(from + distance * (number + 1)), 0, positionBytes)
    return ByteString(first.slice(0, same) + bytes.toString("latin1"))
  })
}

/** Reads the first record of a database at or after a key, or the last of all. */
const readOne = (
  reader: Reader,
  database: string,
  from: ByteString | undefined,
  reverse = false
): Effect.Effect<StoredRecord | undefined, EngineFailure> =>
  Settled.map(
    reader.read(database, {
      from: from === undefined ? undefined : { key: from, inclusive: true },
      to: undefined,
      reverse,
      values: true,
      maxRecords: 1,
      maxBytes: 1
    }),
    ({ records: [found] }) => found === undefined ? undefined : [found[0], copyOf(found[1])]
  )

/** Reads the first and the last record of a database, and up to `between` records between them. */
const readSome = Effect.fnUntracedEager(function*(
  reader: Reader,
  database: string,
  between: number
): Effect.fn.Return<ReadonlyArray<StoredRecord>, EngineFailure> {
  const found = new Map<ByteString, StoredRecord>()
  const first = yield* readOne(reader, database, undefined)
  const last = yield* readOne(reader, database, undefined, true)
  if (first !== undefined) found.set(first[0], first)
  if (last !== undefined) found.set(last[0], last)
  if (first !== undefined && last !== undefined && first[0] < last[0]) {
    for (const key of keysBetween(first[0], last[0], between)) {
      const record = yield* readOne(reader, database, key)
      if (record !== undefined) found.set(record[0], record)
    }
  }
  return [...found.values()]
})

/** Returns the names of the indexes that lack an entry which is stored in the record. */
const missingOf = Effect.fnUntracedEager(function*<R>(
  { database, declared: { name }, indexes }: Maintained<R>,
  reader: Reader,
  names: ReadonlyMap<string, string>,
  [key, record]: StoredRecord
): Effect.fn.Return<ReadonlySet<string>, EngineFailure> {
  const missing = new Set<string>()
  for (const [slot, indexKey] of CollectionRecord.entriesOf(record)) {
    const index = indexes.get(names.get(slot) ?? "")
    if (index === undefined) continue
    const holder = yield* reader.get(indexDatabase(name, slot), entryKey(index, indexKey, key), keyOf)
    if (holder === undefined) missing.add(index.name)
    else if (index.isUnique && holder !== key) {
      // If the other record has the same key, the index is not damaged: building it again would not help.
      const other = holder === "" ? undefined : yield* reader.get(database, holder, CollectionRecord.entriesOf)
      const others = (other ?? []).map(CollectionRecord.nameOf)
      if (!others.includes(CollectionRecord.nameOf([slot, indexKey]))) missing.add(index.name)
    }
  }
  return missing
})

/** Tests whether the record of an index entry has that entry. */
const isValidEntry = <R>(
  { database, indexes }: Maintained<R>,
  reader: Reader,
  index: Catalog.StoredIndex,
  entry: StoredRecord
): Effect.Effect<boolean, EngineFailure> => {
  const maintained = indexes.get(index[0])
  const key = maintained === undefined ? undefined : referencedKey(maintained, entry)
  if (maintained === undefined || key === undefined) return Exit.succeed(false)
  return Settled.map(reader.get(database, key, CollectionRecord.entriesOf), (entries) =>
    entries !== undefined &&
    entries.some(([slot, indexKey]) =>
      slot === Catalog.slotOf(index) && entryKey(maintained, indexKey, key) === entry[0]
    ))
}

/** Reads the sample. */
const readSample = Effect.fnUntracedEager(function*<R>(
  collection: Maintained<R>,
  reader: Reader,
  stored: ReadonlyArray<Catalog.StoredIndex>
): Effect.fn.Return<Sample, EngineFailure> {
  const names = new Map(stored.map((index) => [Catalog.slotOf(index), index[0]]))
  const records: Array<SampledRecord> = []
  for (const found of yield* readSome(reader, collection.database, recordsBetween)) {
    const missing = yield* missingOf(collection, reader, names, found)
    records.push({ key: found[0], record: found[1], missing })
  }
  const stray = new Set<string>()
  for (const index of stored) {
    const database = indexDatabase(collection.declared.name, Catalog.slotOf(index))
    for (const entry of yield* readSome(reader, database, 0)) {
      if (!(yield* isValidEntry(collection, reader, index, entry))) stray.add(index[0])
    }
  }
  return { records, stray }
})

const sameKeys = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean => {
  const keys = new Set(a)
  return keys.size === new Set(b).size && b.every((key) => keys.has(key))
}

/** Compares the sample with the keys that the index functions give. */
const compare = Effect.fnUntraced(function*<R>(
  { keysOf }: Maintained<R>,
  stored: ReadonlyArray<Catalog.StoredIndex>,
  { records, stray }: Sample
) {
  const stale = new Set<string>()
  const damaged = new Set<string>(stray)
  const nondeterministic = new Set<string>()
  const names = new Set(stored.map(([name]) => name))
  for (const { key, missing, record } of records) {
    for (const name of missing) damaged.add(name)
    const entries = CollectionRecord.entriesOf(record)
    // Skip a record that does not decode or has no valid key: a call that reads it fails with the error.
    const given = yield* Effect.option(Effect.all([keysOf(key, record, names), keysOf(key, record, names)]))
    if (given._tag === "None") continue
    const [first, second] = given.value
    for (const index of stored) {
      const [keys, again] = [first, second].map((all) =>
        all.filter(([name]) => name === index[0]).map(([, indexKey]) => indexKey)
      )
      const indexed = entries.filter(([slot]) => slot === Catalog.slotOf(index)).map(([, indexKey]) => indexKey)
      if (!sameKeys(keys ?? [], again ?? [])) nondeterministic.add(index[0])
      else if (!sameKeys(keys ?? [], indexed)) stale.add(index[0])
    }
  }
  for (const name of nondeterministic) stale.delete(name)
  // A stale index is built again: it needs no repair.
  for (const name of stale) damaged.delete(name)
  return { damaged, nondeterministic, stale }
})

/** Compares a sample of records with their entries in the indexes. */
export const check = <R>(collection: Maintained<R>, stored: ReadonlyArray<Catalog.StoredIndex>) =>
  stored.length === 0
    ? Effect.succeed<Findings>({ stale: new Set(), damaged: new Set(), nondeterministic: new Set() })
    : StoreAccess.read(
      collection.internals.access,
      (reader) => readSample(collection, reader, stored),
      { flush: false, isOneMoment: true }
    ).pipe(Effect.flatMap((sample): Effect.Effect<Findings, never, R> => compare(collection, stored, sample)))
