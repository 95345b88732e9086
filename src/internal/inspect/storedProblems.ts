/**
 * Verifies what a store contains, without schemas: whether keys and values decode, and whether the records and the indexes
 * agree. A record names its index entries, so its value is not needed to compare them.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Reader } from "../../Backend.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import type { Closed, EngineFailure } from "../../StoreError.ts"
import type { Place, StoredProblem } from "../../StoreInspection.ts"
import * as Catalog from "../collection/catalog.ts"
import { entriesOf, valueOf } from "../collection/collectionRecord.ts"
import { entryKey } from "../collection/indexMaintainer.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { collectionDatabase, indexDatabase, namespaceOf } from "../databases.ts"
import { copyOf, keyOf } from "../engineBytes.ts"
import { anyKeyCodec } from "../key/anyKeyCodec.ts"
import * as KeyJson from "../key/keyJson.ts"
import * as RangeReader from "../reader/rangeReader.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import { collectionNames } from "./contents.ts"
import { databaseOf } from "./place.ts"
import * as StoredKeys from "./storedKeys.ts"
import { split } from "./storedRecords.ts"

/** A verification that is running: it reads one moment of the store. */
interface Verification {
  readonly access: StoreAccess.StoreAccess
  readonly reader: Reader
  readonly problems: Array<StoredProblem>
}

type Record = RangeReader.Part[number]

const forEachRecord = Effect.fnUntraced(function*(
  { reader }: Verification,
  database: string,
  use: (record: Record) => Effect.Effect<void, EngineFailure>
) {
  const next = RangeReader.make(reader, database, { from: undefined, to: undefined, reverse: false, values: true })
  for (let part = yield* next(); part !== undefined; part = yield* next()) {
    yield* Effect.forEach(part, use, { discard: true })
    yield* Effect.yieldNow
  }
})

/** An index of a collection. */
interface Index {
  readonly name: string
  readonly slot: string
  readonly isUnique: boolean
  readonly database: string
}

const indexOf = (collection: string) => (stored: Catalog.StoredIndex): Index => {
  const slot = Catalog.slotOf(stored)
  return { name: stored[0], slot, isUnique: Catalog.isUnique(stored), database: indexDatabase(collection, slot) }
}

/** Verifies a record: its key, its value, and the entries that it names. */
const verifyRecord = Effect.fnUntraced(function*(
  self: Verification,
  place: Place,
  indexes: ReadonlyArray<Index>,
  [key, stored]: Record
) {
  const record = copyOf(stored)
  const keys = StoredKeys.ofPlace(self.access, place)
  const shown = keys.decode(key)
  const report = (kind: StoredProblem["kind"], detail: string, index?: string) =>
    void self.problems.push({ kind, place, key: shown, detail, ...(index === undefined ? {} : { index }) })
  if (place._tag === "Collection") {
    const decoded = anyKeyCodec.decode(key)
    if (Result.isFailure(decoded)) report("Undecodable", "the key is not the encoding of a key")
  }
  yield* StructureTable.decode(
    self.access.handle.core.structures,
    valueOf(record),
    () => ({ key: shown, shownKey: self.access.handle.keys.show(shown) })
  ).pipe(
    Effect.catchTag("ValueDecoding", ({ detail }) => Effect.sync(() => report("Undecodable", detail)))
  )
  for (const [slot, indexKey] of entriesOf(record)) {
    const index = indexes.find((one) => one.slot === slot)
    if (index === undefined) continue
    const holder = yield* self.reader.get(index.database, entryKey(index, indexKey, key), keyOf)
    if (holder !== undefined && (!index.isUnique || holder === key)) continue
    report("MissingEntry", `the index has no entry ${showKey(StoredKeys.decodeAny(indexKey))}`, index.name)
  }
})

const showKey = (key: OrderedKey): string => JSON.stringify(KeyJson.toJson(key))

/** Verifies an index entry: whether it belongs to a record that names it. */
const verifyEntry = Effect.fnUntraced(function*(self: Verification, collection: string, index: Index, entry: Record) {
  const [indexKey, key] = split(index.isUnique, ...entry)
  const named = key === ""
    ? undefined
    : yield* self.reader.get(collectionDatabase(collection), key, (bytes) => entriesOf(copyOf(bytes)))
  const isNamed = named?.some(([slot, name]) => slot === index.slot && entryKey(index, name, key) === entry[0]) ?? false
  if (isNamed) return
  self.problems.push({
    kind: "StrayEntry",
    place: { _tag: "Collection", name: collection },
    index: index.name,
    key: key === "" ? undefined : StoredKeys.decodeAny(key),
    detail: `the index has the entry ${showKey(indexKey)}, and ` +
      (named === undefined ? "there is no such record" : "the record does not name it")
  })
})

const verifyCollection = Effect.fnUntraced(function*(self: Verification, name: string) {
  const place: Place = { _tag: "Collection", name }
  const descriptor = yield* Catalog.read(self.reader, name, self.access.handle.core.structures).pipe(
    Effect.catchTag("CollectionFailed", ({ message }) =>
      Effect.sync(() => {
        self.problems.push({ kind: "UnreadableCollection", place, key: undefined, detail: message })
      }))
  )
  const indexes = descriptor?.indexes.map(indexOf(name)) ?? []
  yield* forEachRecord(self, databaseOf(place), (record) => verifyRecord(self, place, indexes, record))
  for (const index of indexes) {
    yield* forEachRecord(self, index.database, (entry) => verifyEntry(self, name, index, entry))
  }
})

const verifyPlain = (self: Verification, place: Place) =>
  forEachRecord(self, databaseOf(place), (record) => verifyRecord(self, place, [], record))

/** Verifies all records and indexes of a store. Returns the problems. */
export const find = Effect.fnUntraced(function*(
  access: StoreAccess.StoreAccess
): Effect.fn.Return<ReadonlyArray<StoredProblem>, Closed | EngineFailure> {
  const databases = yield* access.handle.core.backend.databases()
  const names = yield* collectionNames(access)
  return yield* StoreAccess.read(access, (reader) =>
    Effect.gen(function*() {
      const self: Verification = { access, reader, problems: [] }
      yield* verifyPlain(self, { _tag: "Store" })
      for (const database of databases) {
        const name = namespaceOf(database)
        if (name !== undefined) yield* verifyPlain(self, { _tag: "Namespace", name })
      }
      for (const name of names) yield* verifyCollection(self, name)
      return self.problems
    }), { isOneMoment: true })
})
