/**
 * Compares a few records of a collection with their entries in the indexes, and a few
 * entries with their records, when the collection is opened: the function that an index is
 * of may have changed, and nothing else shows that.
 *
 * The records are the first, the last and some in between, found by keys that lie at equal
 * distances between these two. All of them are read in one step, so that they belong together.
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
import { entryKey } from "./indexWrites.ts"
import { leadsTo, type Maintained } from "./maintenance.ts"

type StoredRecord = readonly [key: ByteString, record: Uint8Array]

/** A record that was read, and the entries that indexes lack of those that it says it has. */
interface SampledRecord {
  readonly key: ByteString
  readonly record: Uint8Array
  readonly missing: ReadonlySet<string>
}

/** What was read. */
interface Sample {
  readonly records: ReadonlyArray<SampledRecord>
  /** The indexes that have an entry which no record has. */
  readonly stray: ReadonlySet<string>
}

/** What was found. */
export interface Findings {
  /** The indexes whose functions give other keys than those that records were written with. */
  readonly changed: ReadonlySet<string>
  /** The indexes that lack an entry which a record has, or have one that no record has. */
  readonly damaged: ReadonlySet<string>
  /** The indexes whose functions give other keys for the same value each time. */
  readonly unsteady: ReadonlySet<string>
}

const recordsBetween = 4

/** How many bytes of two keys are compared, from the first byte in which they differ. */
const positionBytes = 6

const positionOf = (key: ByteString, from: number): number => {
  let position = 0
  for (let at = from; at < from + positionBytes; at++) {
    position = position * 256 + (at < key.length ? key.charCodeAt(at) : 0)
  }
  return position
}

/** Keys at equal distances between two keys. */
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

/** Reads the ends of a database, and some records in between. */
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

/** The indexes that lack an entry which a record says it has. */
const missingOf = Effect.fnUntracedEager(function*<R>(
  { database, indexes, wanted: { name } }: Maintained<R>,
  reader: Reader,
  names: ReadonlyMap<string, string>,
  [key, record]: StoredRecord
): Effect.fn.Return<ReadonlySet<string>, EngineFailure> {
  const missing = new Set<string>()
  for (const [place, indexKey] of CollectionRecord.entriesOf(record)) {
    const index = indexes.get(names.get(place) ?? "")
    if (index === undefined) continue
    const holder = yield* reader.get(indexDatabase(name, place), entryKey(index, indexKey, key), keyOf)
    if (holder === undefined) missing.add(index.name)
    else if (index.isUnique && holder !== key) {
      // Building the index again does not help where two records have the same key.
      const other = holder === "" ? undefined : yield* reader.get(database, holder, CollectionRecord.entriesOf)
      const others = (other ?? []).map(CollectionRecord.nameOf)
      if (!others.includes(CollectionRecord.nameOf([place, indexKey]))) missing.add(index.name)
    }
  }
  return missing
})

/** Whether the record that an entry of an index leads to has it. */
const isBacked = <R>(
  { database, indexes }: Maintained<R>,
  reader: Reader,
  index: Catalog.StoredIndex,
  entry: StoredRecord
): Effect.Effect<boolean, EngineFailure> => {
  const maintained = indexes.get(index[0])
  const key = maintained === undefined ? undefined : leadsTo(maintained, entry)
  if (maintained === undefined || key === undefined) return Exit.succeed(false)
  return Settled.map(reader.get(database, key, CollectionRecord.entriesOf), (entries) =>
    entries !== undefined &&
    entries.some(([place, indexKey]) =>
      place === Catalog.placeOf(index) && entryKey(maintained, indexKey, key) === entry[0]
    ))
}

/** Reads some records and some entries. */
const readSample = Effect.fnUntracedEager(function*<R>(
  collection: Maintained<R>,
  reader: Reader,
  stored: ReadonlyArray<Catalog.StoredIndex>
): Effect.fn.Return<Sample, EngineFailure> {
  const names = new Map(stored.map((index) => [Catalog.placeOf(index), index[0]]))
  const records: Array<SampledRecord> = []
  for (const found of yield* readSome(reader, collection.database, recordsBetween)) {
    const missing = yield* missingOf(collection, reader, names, found)
    records.push({ key: found[0], record: found[1], missing })
  }
  const stray = new Set<string>()
  for (const index of stored) {
    const database = indexDatabase(collection.wanted.name, Catalog.placeOf(index))
    for (const entry of yield* readSome(reader, database, 0)) {
      if (!(yield* isBacked(collection, reader, index, entry))) stray.add(index[0])
    }
  }
  return { records, stray }
})

const sameKeys = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean => {
  const keys = new Set(a)
  return keys.size === new Set(b).size && b.every((key) => keys.has(key))
}

/** Compares what was read with what the functions of the indexes give. */
const compare = Effect.fnUntraced(function*<R>(
  { keysOf }: Maintained<R>,
  stored: ReadonlyArray<Catalog.StoredIndex>,
  { records, stray }: Sample
) {
  const changed = new Set<string>()
  const damaged = new Set<string>(stray)
  const unsteady = new Set<string>()
  const names = new Set(stored.map(([name]) => name))
  for (const { key, missing, record } of records) {
    for (const name of missing) damaged.add(name)
    const entries = CollectionRecord.entriesOf(record)
    // A record that does not decode, or has no key, is reported by the call that reads it.
    const given = yield* Effect.option(Effect.all([keysOf(key, record, names), keysOf(key, record, names)]))
    if (given._tag === "None") continue
    const [first, second] = given.value
    for (const index of stored) {
      const [keys, again] = [first, second].map((all) =>
        all.filter(([name]) => name === index[0]).map(([, indexKey]) => indexKey)
      )
      const present = entries.filter(([place]) => place === Catalog.placeOf(index)).map(([, indexKey]) => indexKey)
      if (!sameKeys(keys ?? [], again ?? [])) unsteady.add(index[0])
      else if (!sameKeys(keys ?? [], present)) changed.add(index[0])
    }
  }
  for (const name of unsteady) changed.delete(name)
  // An index that is built again does not count as damaged.
  for (const name of changed) damaged.delete(name)
  return { changed, damaged, unsteady }
})

/** Compares a few records with their entries in the indexes. */
export const check = <R>(collection: Maintained<R>, stored: ReadonlyArray<Catalog.StoredIndex>) =>
  stored.length === 0
    ? Effect.succeed<Findings>({ changed: new Set(), damaged: new Set(), unsteady: new Set() })
    : StoreAccess.read(
      collection.internals.access,
      (reader) => readSample(collection, reader, stored),
      { flush: false, isOneMoment: true }
    ).pipe(Effect.flatMap((sample): Effect.Effect<Findings, never, R> => compare(collection, stored, sample)))
