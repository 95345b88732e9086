/**
 * Writes and deletes records without the schemas of their program.
 *
 * A deletion needs no schema, because a record contains its index entries. A put into a collection with indexes would need
 * the functions that compute the index keys, so it is refused.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { Step } from "../../Backend.ts"
import type { ByteString } from "../../Key.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import {
  type Closed,
  type CommitError,
  type EngineFailure,
  KeyEncoding,
  type ReadOnly,
  type ValueEncoding
} from "../../StoreError.ts"
import { NeedsSchema, type Place } from "../../StoreInspection.ts"
import * as Catalog from "../collection/catalog.ts"
import * as CollectionRecord from "../collection/collectionRecord.ts"
import * as IndexMaintainer from "../collection/indexMaintainer.ts"
import * as KeyLength from "../collection/keyLength.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { indexDatabase } from "../databases.ts"
import * as Settled from "../settled.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import type { StoreInternals } from "../store/storeInternals.ts"
import { databaseOf } from "./place.ts"
import * as StoredKeys from "./storedKeys.ts"

type WriteError = KeyEncoding | ReadOnly | Closed | CommitError

/** Reads the catalog entry of a collection in the transaction of the fiber, so that its commit checks the entry again. */
const readDescriptor = (access: StoreAccess.StoreAccess, place: Place) =>
  place._tag === "Collection"
    ? StoreAccess.read(access, (reader) =>
      Catalog.read(reader, place.name, access.handle.core.structures).pipe(
        Effect.catchTag("CollectionFailed", ({ message }) => Effect.fail(new NeedsSchema({ place, detail: message })))
      ))
    : Effect.succeed(undefined)

/** The indexes of a collection, also those that are being built. */
const maintainerOf = (place: Place, descriptor: Catalog.Descriptor | undefined): IndexMaintainer.IndexMaintainer => {
  const indexes = descriptor === undefined ? [] : Catalog.allIndexes(descriptor)
  return IndexMaintainer.make({
    database: databaseOf(place),
    indexes: new Map(indexes.map((index) => {
      const [name] = index
      const slot = Catalog.slotOf(index)
      const collection = place._tag === "Collection" ? place.name : ""
      return [slot, {
        name,
        slot,
        database: indexDatabase(collection, slot),
        isUnique: Catalog.isUnique(index)
      }]
    }))
  })
}

const encodeKey = Effect.fnUntraced(function*(access: StoreAccess.StoreAccess, place: Place, key: OrderedKey) {
  const bytes = yield* StoredKeys.ofPlace(access, place).encode(key)
  const { maxKeyBytes } = access.handle.core.backend
  if (bytes.length <= maxKeyBytes) return bytes
  return yield* new KeyEncoding({
    reason: { _tag: "TooLong", detail: KeyLength.describe(key, bytes.length, 0, maxKeyBytes) },
    key,
    shownKey: access.handle.keys.show(key)
  })
})

const removeStep = (access: StoreAccess.StoreAccess, maintainer: IndexMaintainer.IndexMaintainer, key: ByteString) =>
  StoreAccess.enterToWrite(access, (transaction) =>
    StoreAccess.step(
      access,
      transaction,
      (reader) =>
        Settled.flatMap(
          reader.get(maintainer.database, key, CollectionRecord.entriesOf),
          (entries): Effect.Effect<Step<boolean>, EngineFailure> =>
            entries === undefined
              ? Exit.succeed({ result: false, writes: [] })
              : Settled.map(
                IndexMaintainer.toDelete(maintainer, IndexMaintainer.holdersIn(reader), key, entries),
                (writes) => ({ result: true, writes })
              )
        ),
      { isDeleting: true }
    ))

/** Deletes records with their index entries, in one transaction. Returns how many of the keys had a record. */
export const remove = Effect.fnUntraced(function*(
  { access, transactions }: StoreInternals,
  place: Place,
  keys: ReadonlyArray<OrderedKey>
): Effect.fn.Return<number, NeedsSchema | WriteError> {
  const encoded = yield* Effect.forEach(keys, (key) => encodeKey(access, place, key))
  return yield* transactions.durably(
    Effect.gen(function*() {
      const maintainer = maintainerOf(place, yield* readDescriptor(access, place))
      const removed = yield* Effect.forEach(encoded, (key) => removeStep(access, maintainer, key))
      return removed.filter((isRemoved) => isRemoved).length
    })
  )
})

/** Why a record cannot be put into a collection without its schemas; `undefined` if it can. */
const obstacle = (descriptor: Catalog.Descriptor | undefined): string | undefined => {
  if (descriptor === undefined) return undefined
  const { building, indexes, migratedTo } = descriptor
  if (migratedTo !== undefined) return "its records are being migrated to another version"
  return building !== undefined || indexes.length > 0
    ? "it has indexes, and only the program of the collection can compute the index keys of a record"
    : undefined
}

const valueError =
  (access: StoreAccess.StoreAccess, key: OrderedKey) => (failure: Parameters<typeof StructureTable.encodingError>[0]) =>
    StructureTable.encodingError(failure, { key, shownKey: access.handle.keys.show(key) })

/** Puts a record in its stored form, durable. With `ifAbsent`, a record that exists stays. Returns whether it was put. */
export const put = Effect.fnUntraced(function*(
  { access, transactions }: StoreInternals,
  place: Place,
  key: OrderedKey,
  value: unknown,
  ifAbsent: boolean
): Effect.fn.Return<boolean, NeedsSchema | ValueEncoding | WriteError> {
  const database = databaseOf(place)
  const bytes = yield* encodeKey(access, place, key)
  const encoded = yield* Effect.fromResult(Result.mapError(
    StructureTable.encode(access.handle.core.structures, value),
    valueError(access, key)
  ))
  return yield* transactions.durably(
    Effect.gen(function*() {
      const detail = obstacle(yield* readDescriptor(access, place))
      if (detail !== undefined) return yield* new NeedsSchema({ place, detail })
      return yield* StoreAccess.enterToWrite(
        access,
        (transaction) =>
          StoreAccess.step(
            access,
            transaction,
            (reader) =>
              Settled.map(reader.has(database, bytes), (exists): Step<boolean> =>
                exists && ifAbsent
                  ? { result: false, writes: [] }
                  : { result: true, writes: [[database, bytes, encoded]] })
          )
      )
    })
  )
})
