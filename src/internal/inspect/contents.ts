/**
 * Lists the namespaces, collections and indexes of a store, from its catalog and the names of its databases.
 */
import * as Effect from "effect/Effect"
import type { Reader } from "../../Backend.ts"
import type { EngineReaders } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import type { Closed, EngineFailure } from "../../StoreError.ts"
import {
  type CollectionInfo,
  type Contents,
  type IndexInfo,
  type NamespaceInfo,
  NotInStore,
  type Place,
  type StoreState
} from "../../StoreInspection.ts"
import * as Catalog from "../collection/catalog.ts"
import * as ChangeLog from "../commit/changeLog.ts"
import { catalogDatabase, collectionDatabase, indexDatabase, namespaceOf, recordsDatabase } from "../databases.ts"
import { encodings } from "../key/textEncoding.ts"
import { ownPrefix } from "../ownNames.ts"
import * as RangeReader from "../reader/rangeReader.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import { kindsOf } from "./keyKinds.ts"
import * as StoredKeys from "./storedKeys.ts"
import type { IndexPlace } from "./storedRecords.ts"

/** What is read to list the contents: one moment of a store. */
interface Moment {
  readonly access: StoreAccess.StoreAccess
  readonly reader: Reader
  /** The size of the pages of each database, in bytes. */
  readonly sizes: ReadonlyMap<string, number>
}

/** Reads the keys of a database, all of them or only the first. */
const readKeys = Effect.fnUntraced(function*(
  reader: Reader,
  database: string,
  { limit = Infinity, reverse = false }: { readonly limit?: number; readonly reverse?: boolean } = {}
): Effect.fn.Return<ReadonlyArray<ByteString>, EngineFailure> {
  const found: Array<ByteString> = []
  const next = RangeReader.make(reader, database, {
    from: undefined,
    to: undefined,
    reverse,
    values: false,
    wanted: () => limit
  })
  for (let part = yield* next(); part !== undefined && found.length < limit; part = yield* next()) {
    found.push(...part.map(([key]) => key))
  }
  return found.slice(0, limit)
})

/** The kinds of the first and the last key of a database. */
const keyKindsOf = Effect.fnUntraced(function*(
  { reader }: Moment,
  database: string,
  decode: (key: ByteString) => OrderedKey
) {
  const [first] = yield* readKeys(reader, database, { limit: 1 })
  const [last] = yield* readKeys(reader, database, { limit: 1, reverse: true })
  return kindsOf(first === undefined ? undefined : decode(first), last === undefined ? undefined : decode(last))
})

const indexInfo = Effect.fnUntraced(function*(
  moment: Moment,
  collection: string,
  index: Catalog.StoredIndex,
  isBuilding: boolean
): Effect.fn.Return<IndexInfo, EngineFailure> {
  const [name, fingerprint] = index
  const database = indexDatabase(collection, Catalog.slotOf(index))
  // The fingerprint of an index is `unique` or `plain`, a hash, and its version unless that is 1.
  const [, , version = "1"] = fingerprint.split(" ")
  return {
    name,
    isUnique: Catalog.isUnique(index),
    version: Number(version),
    isBuilding,
    entries: yield* moment.reader.count(database),
    keyKinds: yield* keyKindsOf(moment, database, StoredKeys.firstKeyOf),
    bytes: moment.sizes.get(database)
  }
})

const indexesOf = (moment: Moment, collection: string, descriptor: Catalog.Descriptor) =>
  Effect.forEach(
    Catalog.allIndexes(descriptor),
    (index) => indexInfo(moment, collection, index, !descriptor.indexes.includes(index))
  )

const collectionInfo = Effect.fnUntraced(function*(
  moment: Moment,
  name: string
): Effect.fn.Return<CollectionInfo, EngineFailure> {
  const { access, reader, sizes } = moment
  const database = collectionDatabase(name)
  const { problem, stored } = yield* Catalog.read(reader, name, access.handle.core.structures).pipe(
    Effect.map((descriptor) => ({ stored: descriptor, problem: undefined })),
    Effect.catchTag("CollectionFailed", ({ message }) => Effect.succeed({ stored: undefined, problem: message }))
  )
  return {
    name,
    isInternal: name.startsWith(ownPrefix),
    version: stored?.version,
    migratingTo: stored?.migratedTo === undefined ? undefined : stored.version + 1,
    records: yield* reader.count(database),
    keyKinds: yield* keyKindsOf(moment, database, StoredKeys.decodeAny),
    indexes: stored === undefined ? [] : yield* indexesOf(moment, name, stored),
    bytes: sizes.get(database),
    problem
  }
})

const namespaceInfo = Effect.fnUntraced(function*(
  { reader, sizes }: Moment,
  database: string,
  name: string
): Effect.fn.Return<NamespaceInfo, EngineFailure> {
  return { name, records: yield* reader.count(database), bytes: sizes.get(database) }
})

const nameIn = (key: ByteString): string => encodings.utf8.decodeLossy(key, "\ufffd")

/** Lists the names of the collections. */
export const collectionNames = (
  access: StoreAccess.StoreAccess
): Effect.Effect<ReadonlyArray<string>, Closed | EngineFailure> =>
  StoreAccess.read(access, (reader) => Effect.map(readKeys(reader, catalogDatabase), (keys) => keys.map(nameIn)))

/** Lists the names of the namespaces. */
const namespaceNames = (
  { handle: { core: { backend } } }: StoreAccess.StoreAccess
): Effect.Effect<ReadonlyArray<string>, EngineFailure> =>
  Effect.map(
    backend.databases(),
    (databases) => databases.flatMap((database) => namespaceOf(database) ?? []).toSorted()
  )

/** Fails if a place does not exist. A read would find nothing, as in an empty collection. */
export const checkPlace = (
  access: StoreAccess.StoreAccess,
  place: Place
): Effect.Effect<void, NotInStore | Closed | EngineFailure> => {
  if (place._tag === "Store") return Effect.void
  const [kind, names] = place._tag === "Collection"
    ? ["collection", collectionNames(access)] as const
    : ["namespace", namespaceNames(access)] as const
  return Effect.flatMap(
    names,
    (known) => known.includes(place.name) ? Effect.void : Effect.fail(new NotInStore({ kind, name: place.name, known }))
  )
}

/** Finds an index of a collection that is complete. */
export const findIndex = Effect.fnUntraced(function*(
  access: StoreAccess.StoreAccess,
  collection: string,
  index: string
): Effect.fn.Return<IndexPlace, NotInStore | Closed | EngineFailure> {
  yield* checkPlace(access, { _tag: "Collection", name: collection })
  const descriptor = yield* StoreAccess.read(
    access,
    (reader) =>
      Catalog.read(reader, collection, access.handle.core.structures).pipe(
        Effect.catchTag("CollectionFailed", () => Effect.succeed(undefined))
      )
  )
  const stored = descriptor?.indexes ?? []
  const found = stored.find(([name]) => name === index)
  if (found === undefined) {
    return yield* new NotInStore({ kind: "index", name: index, known: stored.map(([name]) => name) })
  }
  return { collection, index, slot: Catalog.slotOf(found), isUnique: Catalog.isUnique(found) }
})

/** Reads the size and the state of a store. */
export const readState = Effect.fnUntraced(function*(
  access: StoreAccess.StoreAccess
): Effect.fn.Return<StoreState, Closed | EngineFailure> {
  const { core } = access.handle
  const { fileBytes, mapSize, pageSize, readers, usedBytes } = yield* StoreAccess.whenReadable(
    access,
    () => core.backend.stats
  )
  const transactionId = yield* Effect.acquireUseRelease(
    core.openCommittedSnapshot(),
    (snapshot) => Effect.succeed(snapshot.transactionId),
    ({ release }) => Effect.sync(release)
  )
  const log = yield* StoreAccess.read(access, ChangeLog.readStoredState)
  return {
    fileBytes,
    usedBytes,
    mapSize,
    pageSize,
    readers,
    transactionId,
    changeLog: log === undefined
      ? undefined
      : { start: log.start, last: log.last, commits: log.commits, bytes: log.bytes, hasPrevious: log.hasPrevious }
  }
})

const noReaders: EngineReaders = { processes: [], slots: [] }

/** Lists the readers of a store. */
export const readReaders = (
  access: StoreAccess.StoreAccess
): Effect.Effect<EngineReaders, Closed | EngineFailure> =>
  StoreAccess.whenReadable(access, () => access.handle.core.backend.readers?.list ?? Effect.succeed(noReaders))

/** Frees the slots of processes that have ended. */
export const clearReaders = (access: StoreAccess.StoreAccess): Effect.Effect<number, Closed | EngineFailure> =>
  StoreAccess.whenReadable(access, () => access.handle.core.backend.readers?.clear ?? Effect.succeed(0))

const noSizes: ReadonlyMap<string, number> = new Map()

/** Lists what a store contains. */
export const read = Effect.fnUntraced(function*(
  access: StoreAccess.StoreAccess
): Effect.fn.Return<Contents, Closed | EngineFailure> {
  const { backend } = access.handle.core
  const sizes = yield* StoreAccess.whenReadable(access, () => backend.databaseBytes ?? Effect.succeed(noSizes))
  const databases = yield* backend.databases()
  return yield* StoreAccess.read(access, (reader) =>
    Effect.gen(function*() {
      const moment: Moment = { access, reader, sizes }
      const names = yield* readKeys(reader, catalogDatabase)
      const namespaces = databases.flatMap((database) => {
        const name = namespaceOf(database)
        return name === undefined ? [] : [namespaceInfo(moment, database, name)]
      })
      return {
        records: yield* reader.count(recordsDatabase),
        bytes: sizes.get(recordsDatabase),
        namespaces: yield* Effect.all(namespaces),
        collections: yield* Effect.forEach(names, (name) => collectionInfo(moment, nameIn(name)))
      }
    }), { isOneMoment: true })
})
